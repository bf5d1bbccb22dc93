"""A sweep beside single fits. Kind of truth: the same fits one by one, to rounding.

Seeds: rows 0, keys 0 to 2. Objectives without chains, which would amplify rounding, and one with.
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
    MaximumLikelihood,
    NoiseContrastive,
    PersistentChains,
    Run,
    fit,
    loop,
    sweep,
)
from harmonium.model import Harmonium

ROWS = jnp.asarray(np.random.default_rng(0).normal(size=(96, 2)) * [0.5, 0.9])
SETTINGS = FitSettings(batch_size=16, n_evaluations=3, patience=1)
OPTIMIZER = optax.inject_hyperparams(optax.adam)(learning_rate=1e-2)
OBJECTIVE = NoiseContrastive(pool_size=256, held_size=128)
pytestmark = pytest.mark.usefixtures("usual_promotion")


def model(seed, n_hidden=3):
    made = Harmonium(2, n_hidden, key=jax.random.key(seed))
    weights = 0.1 * jax.random.normal(jax.random.key(seed + 10), made.weights.shape)
    return eqx.tree_at(lambda m: m.weights, made, weights)


def runs_over(objective, rates=(1e-2, 3e-2)):
    return [
        Run(model(seed), jax.random.key(seed), objective, {"learning_rate": rate})
        for seed in range(2)
        for rate in rates
    ]


def single(run, **given):
    optimizer = optax.inject_hyperparams(optax.adam)(**run.hyperparameters)
    return fit(run.model, ROWS, key=run.key, objective=run.objective, optimizer=optimizer, **given)


def assert_same(found, expected, **tolerance):
    assert len(found.history) == len(expected.history)
    for name in ("update", "train_log_likelihood", "validation_log_likelihood"):
        np.testing.assert_allclose(
            [record[name] for record in found.history],
            [record[name] for record in expected.history],
            **tolerance,
        )
    for a, b in zip(jax.tree.leaves(found.model), jax.tree.leaves(expected.model), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), **tolerance)


def test_every_run_of_a_sweep_is_its_single_fit():
    given = {"n_updates": 12, "settings": SETTINGS}
    runs = runs_over(OBJECTIVE)
    found = sweep(runs, ROWS, optimizer=OPTIMIZER, **given)
    for run, one in zip(runs, found, strict=True):
        assert_same(one, single(run, **given), rtol=1e-9, atol=1e-11)
    # Seeds and learning rates make a difference, so that the equality above can fail.
    ends = {one.history[-1]["train_log_likelihood"] for one in found}
    assert len(ends) == len(runs)


def test_numbers_of_an_objective_may_differ_and_rows_that_are_held_out_may_be_given():
    given = {"n_updates": 6, "settings": SETTINGS, "validation": ROWS[:20]}
    runs = [
        Run(model(0), jax.random.key(0), DenoisingScoreMatching.between(noise))
        for noise in (0.2, 0.6)
    ]
    found = sweep(runs, ROWS, **given)
    for run, one in zip(runs, found, strict=True):
        expected = fit(run.model, ROWS, key=run.key, objective=run.objective, **given)
        losses = [record["loss"] for record in one.history[1:]]
        np.testing.assert_allclose(
            losses, [record["loss"] for record in expected.history[1:]], rtol=1e-9
        )


def test_a_run_with_a_fault_goes_on_from_its_own_best_state(monkeypatch):
    """Faults that are made up of the digits of a loss, so that both ways meet the same ones."""

    def find(measured, highest, gap_limit):
        return "made up" if int(1e4 * measured["loss"]) % 3 == 0 else ""

    monkeypatch.setattr(loop, "find_fault", find)
    settings = FitSettings(batch_size=16, n_evaluations=4, patience=100)
    given = {"n_updates": 12, "settings": settings}
    runs = runs_over(OBJECTIVE)
    found = sweep(runs, ROWS, optimizer=OPTIMIZER, **given)
    faults = []
    for run, one in zip(runs, found, strict=True):
        expected = single(run, **given)
        assert_same(one, expected, rtol=1e-9, atol=1e-11)
        events = [bool(record["event"]) for record in one.history]
        assert events == [bool(record["event"]) for record in expected.history]
        faults.append(sum(events))
    # Some runs have them and some have not, or fewer.
    assert max(faults) > 0 and len(set(faults)) > 1


@pytest.mark.slow
def test_a_sweep_over_chains_begins_as_its_single_fits():
    objective = MaximumLikelihood(PersistentChains(n_chains=16, steps_per_update=1))
    given = {"n_updates": 3, "settings": SETTINGS}
    runs = runs_over(objective, rates=(1e-2,))
    for run, one in zip(runs, sweep(runs, ROWS, optimizer=OPTIMIZER, **given), strict=True):
        expected = single(run, **given)
        gaps = [[record["energy_gap"] for record in r.history[1:]] for r in (one, expected)]
        np.testing.assert_allclose(*gaps, rtol=1e-6)


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([], "at least one Run"),
        (
            [Run(model(0), jax.random.key(0)), Run(model(0, 4), jax.random.key(0))],
            "differ in numbers alone; got run 1",
        ),
        ([Run(model(0), jax.random.key(0), None, {"momentum": 0.9})], "'momentum', which it has"),
    ],
    ids=["none", "sizes", "hyperparameter"],
)
def test_what_is_no_sweep_is_refused(runs, words):
    with pytest.raises(InvalidInputError, match=words):
        sweep(runs, ROWS, n_updates=3, settings=SETTINGS)
