"""When patience ends a training. Kind of truth: scripted evaluations, whose end can be counted.

The updates are real; only the validation log-likelihoods are made up. Seed: NumPy 0.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harmonium.learning import FitSettings, NoiseContrastive
from harmonium.learning.fit_progress import FitProgress
from harmonium.learning.loop import LEAST_PATIENCE
from harmonium.learning.train import FitTask, train
from harmonium.learning.trainer import State, Trainer
from harmonium.model import Harmonium

ROWS = jnp.asarray(np.random.default_rng(0).normal(size=(60, 2)))
MODEL = Harmonium(2, 2, key=jax.random.key(0))
N_UPDATES = 1000


@pytest.fixture
def scripted(usual_promotion, monkeypatch):
    """A training whose evaluation after so many updates says what a function of them says."""
    measure = Trainer.evaluate

    def of(validation, *, patience, per_evaluation):
        def evaluate(self, state):
            value = jnp.asarray(float(validation(int(state.update))))
            return {**measure(self, state), "validation_log_likelihood": value}

        monkeypatch.setattr(Trainer, "evaluate", evaluate)
        settings = FitSettings(
            batch_size=16, patience=patience, n_evaluations=N_UPDATES // per_evaluation
        )
        task = FitTask(
            MODEL,
            ROWS,
            jax.random.key(1),
            objective=NoiseContrastive(),
            n_updates=N_UPDATES,
            settings=settings,
        )
        found = train(task)
        return found.course

    return of


def test_a_training_ends_after_so_many_evaluations_without_a_better_one(scripted):
    # The best one is after 100 updates.
    course = scripted(lambda update: -abs(update - 100), patience=3, per_evaluation=50)
    assert [record["update"] for record in course.history] == [50.0 * i for i in range(6)]
    assert course.since_best == 3 and int(course.best.update) == 100


def test_a_better_evaluation_starts_the_count_again(scripted):
    rising = {0: 0.0, 50: -1.0, 100: -1.0, 150: 0.5}
    course = scripted(lambda update: rising.get(update, 0.4), patience=3, per_evaluation=50)
    assert course.update == 300 and int(course.best.update) == 150


def test_equal_evaluations_are_no_better(scripted):
    course = scripted(lambda _: 0.0, patience=4, per_evaluation=50)
    assert course.update == 200 and int(course.best.update) == 0


@pytest.mark.parametrize("per_evaluation", [10, 40])
def test_short_trainings_are_not_ended_by_close_evaluations(scripted, per_evaluation):
    course = scripted(lambda update: -update, patience=1, per_evaluation=per_evaluation)
    # The first evaluation at which so many updates have brought nothing.
    assert course.update == -(-LEAST_PATIENCE // per_evaluation) * per_evaluation
    assert course.update >= LEAST_PATIENCE


def test_a_training_that_gets_better_uses_all_of_its_updates(scripted):
    course = scripted(lambda update: update, patience=1, per_evaluation=50)
    assert course.update == N_UPDATES


def test_unknown_likelihoods_end_nothing(scripted):
    course = scripted(lambda _: np.nan, patience=1, per_evaluation=50)
    assert course.update == N_UPDATES


def test_what_was_rolled_back_is_no_mark_for_what_comes_after():
    def record(update, value, event=""):
        return {"update": float(update), "train_log_likelihood": value, "event": event}

    def state(update):
        return State(MODEL, MODEL, None, None, None, jax.random.key(0), jnp.asarray(float(update)))

    history = (record(0, 1.0), record(50, 9.0), record(100, 2.0, "a fault"), record(50, 3.0))
    back = FitProgress(state(0), state(0), 1.0, 0, 0.5, history[:3])
    assert back.highest("train_log_likelihood") == 1.0
    after = FitProgress(state(50), state(0), 1.0, 0, 0.5, history)
    assert after.highest("train_log_likelihood") == 3.0
