"""What a callback sees, and stages of a training. Kind of truth: states, compared bit by bit.

Seeds: rows 0, keys 0 and 1.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from harmonium.errors import InvalidInputError
from harmonium.learning import (
    DenoisingScoreMatching,
    FitSettings,
    MinimizedLoss,
    NoiseContrastive,
    Stage,
    TrainingState,
    fit,
)
from harmonium.model import Harmonium

ROWS = jnp.asarray(np.random.default_rng(0).normal(size=(96, 2)) * [0.5, 0.9])
MODEL = eqx.tree_at(
    lambda m: m.weights,
    Harmonium(2, 3, key=jax.random.key(0)),
    0.1 * jax.random.normal(jax.random.key(1), (3, 2)),
)
SETTINGS = FitSettings(batch_size=16, n_evaluations=3)
CONTRASTIVE = NoiseContrastive(pool_size=256, held_size=128)
pytestmark = pytest.mark.usefixtures("usual_promotion")


def trained(callback, objective=CONTRASTIVE, **given):
    given = {"n_updates": 12, "settings": SETTINGS, "key": jax.random.key(1)} | given
    return fit(MODEL, ROWS, objective=objective, callback=callback, **given)


def same(a, b):
    return bool(eqx.tree_equal(a, b))


def test_a_callback_sees_the_whole_state_and_may_end_the_training():
    states = []

    def look(state):
        states.append(state)
        return state.update == 8

    result = trained(look)
    assert all(isinstance(state, TrainingState) for state in states)
    assert [state.update for state in states] == [0, 4, 8]
    assert tuple(state.record for state in states) == result.history
    assert "stopped on request, after 8 of 12 updates" in result.verdict
    first, *_, last = states
    assert same(first.model, MODEL) and same(first.averaged_model, MODEL)
    assert not same(last.model, MODEL) and not same(last.averaged_model, last.model)
    assert last.carry.noise.shape == (256, 2)
    # Adam counts the updates; the state is what the next one would start from.
    counts = optax.tree_utils.tree_get_all_with_path(last.optimizer_state, "count")
    assert {int(count) for _, count in counts} == {8}
    assert last.latest.update == 8 and last.trainer.objective is CONTRASTIVE
    best = max(states, key=lambda state: state.record["validation_log_likelihood"])
    assert same(last.best_model, best.averaged_model)


def test_stages_follow_one_another_on_the_same_rows():
    states, loss = (
        [],
        MinimizedLoss(lambda key, model, batch: jnp.mean(batch**2) + 0 * key_free(model)),
    )
    stages = [
        Stage(DenoisingScoreMatching.between(0.3), share=1 / 3),
        Stage(loss, share=2 / 3, optimizer=optax.sgd(0.0)),
    ]
    result = trained(states.append, stages)
    updates = [state.update for state in states]
    second = updates.index(0, 1)
    assert updates[second - 1] == 4 and updates[-1] == 8
    assert [record["update"] for record in result.history] == updates
    assert same(states[second].model, states[second - 1].best_model)
    held_out = [state.trainer.held_out for state in (states[0], states[-1])]
    assert same(*held_out)
    # A stage has its own optimizer: this one moves nothing.
    assert same(states[-1].model, states[second].model)
    assert not same(states[second - 1].model, MODEL)


def key_free(model):
    return jnp.sum(model.weights)


@pytest.mark.parametrize(
    "stages",
    [
        [],
        [Stage(CONTRASTIVE, 0.5)],
        [Stage(CONTRASTIVE, 1.5), Stage(CONTRASTIVE, -0.5)],
        [CONTRASTIVE],
    ],
    ids=["none", "half", "negative", "bare"],
)
def test_shares_that_are_no_whole_are_refused(stages, unannotated):
    with pytest.raises(InvalidInputError, match=r"shares that add up to 1; got .*hm\.Stage"):
        trained(None, stages)
