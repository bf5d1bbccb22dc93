"""What goes wrong in training is found, named, repaired and recorded: faults are provoked here."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import harmonium as hm
from harmonium.errors import DivergedError, InvalidInputError
from harmonium.learning.loop import LARGEST_FALL, find_fault
from harmonium.learning.result import BASE_KEPT, START_KEPT, judge
from harmonium.learning.selection import MAX_DISAGREEMENT, reconcile
from harmonium.learning.trainer import default_optimizer
from harmonium.likelihood import LogPartition
from harmonium.sampling import ChainDiagnostics

HEALTHY = {"finite": 1.0, "train_log_likelihood": -3.0, "energy_gap": 0.1, "acceptance": 0.5}
ESTIMATE = LogPartition(10.0, 9.9, 10.1, 0.05, 300.0, "ais", "fine", True)


@pytest.fixture(autouse=True)
def as_users_run_it():
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        yield


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"finite": 0.0}, "non-finite parameters"),
        ({"energy_gap": math.nan}, "non-finite energy_gap"),
        ({"ess": math.inf}, "non-finite ess"),
        ({"energy_gap": -500.0}, "energy gap -500"),
        ({"train_log_likelihood": -2.5 - LARGEST_FALL - 1.0}, "fell by 3.0 nats"),
        ({"train_log_likelihood": math.nan}, ""),
    ],
)
def test_faults_are_named(change, words):
    fault = find_fault({**HEALTHY, **change}, -2.5, 20.0)
    assert words in fault
    assert bool(fault) == bool(words)


@pytest.mark.parametrize(
    ("running", "value", "trusted"),
    [
        (math.nan, 10.0, True),
        (10.0 + 0.9 * MAX_DISAGREEMENT, 10.0, True),
        (10.0 - 0.9 * MAX_DISAGREEMENT, 10.0, True),
        (17.0, 17.0, False),
        (3.0, 10.0, False),
    ],
)
def test_disagreeing_estimates_lose_trust_and_the_larger_is_used(running, value, trusted):
    result = reconcile(ESTIMATE, running)
    assert (result.value, result.trusted) == (value, trusted)
    assert result.low <= min(ESTIMATE.value, result.value) <= result.high
    assert ("do not quote" in result.verdict) == (not trusted)


@pytest.mark.parametrize(
    ("name", "value"),
    [("batch_size", 0), ("trust_radius", 0.0), ("n_evaluations", 0), ("patience", 0)],
)
def test_settings_that_cannot_work_are_named(name, value):
    with pytest.raises(InvalidInputError, match=f"{name}=.*positive number; got 0"):
        hm.FitSettings(**{name: value})


def test_an_exact_value_is_not_overruled():
    exact = dataclasses.replace(ESTIMATE, standard_error=0.0, method="quadrature")
    assert reconcile(exact, 17.0) == exact


AGREED = ChainDiagnostics(
    r_hat=1.01,
    start_r_hat=1.0,
    worst="free energy",
    bulk_ess=900.0,
    tail_ess=800.0,
    autocorrelation_time=3.0,
    acceptance=0.6,
    n_chains=96,
    n_steps=1200,
    starts=("the data", "the training chains", "the base"),
    kernel="MALA",
    start_gaps={"the data": 0.1, "the training chains": 0.1, "the base": 0.2},
    agrees=True,
)
KEPT = {"update": 10.0, "event": "", "dead_hidden": 0.0, "running_log_partition": 1.0}


@pytest.mark.parametrize(
    ("record", "diagnostics", "words"),
    [
        ({}, {}, "MALA chains from the data, the training chains and the base agree"),
        ({}, {"r_hat": 1.6, "agrees": False}, "do NOT travel between separate modes"),
        ({}, {"start_r_hat": 1.5, "r_hat": 1.6, "agrees": False}, "do NOT agree"),
        ({}, {"r_hat": 1.6, "agrees": False}, "log Z does not rest on these chains"),
        (
            {"running_log_partition": math.nan},
            {"r_hat": 1.6, "agrees": False},
            "carry no weights, so the model may give separate modes wrong shares",
        ),
        ({"autocorrelation_time": 80.0}, {}, "forget in 80 updates"),
        ({"acceptance": 0.01}, {}, "hardly moved"),
        ({"ess": 0.04}, {}, "left 4% of them effective"),
        ({"dead_hidden": 0.7}, {}, "70% of the hidden units"),
    ],
)
def test_the_verdict_says_what_the_chains_say(record, diagnostics, words):
    history = ({**KEPT, **record},)
    found = dataclasses.replace(AGREED, **diagnostics)
    verdict = judge(history, ESTIMATE, found, kept_update=10, is_base=False)
    assert words in verdict
    assert (words in judge((KEPT,), ESTIMATE, AGREED, kept_update=10, is_base=False)) == (
        words[:4] == "MALA"
    )


def test_the_verdict_tells_the_start_from_the_base():
    history = ({**KEPT, "update": 0.0},)
    start = judge(history, ESTIMATE, AGREED, kept_update=0, is_base=False)
    base = judge(history, ESTIMATE, None, kept_update=0, is_base=True)
    assert START_KEPT in start and BASE_KEPT not in start
    assert BASE_KEPT in base and START_KEPT not in base
    assert "chains" not in base


def bent_rows(n=400):
    rng = np.random.default_rng(5)
    first = rng.normal(size=n)
    rows = np.stack([first, first**2 + 0.2 * rng.normal(size=n), rng.normal(size=n)], axis=1)
    return jnp.asarray((rows - rows.mean(0)) / rows.std(0) * 0.5**0.5)


def small_model():
    feature_map = hm.feature_maps.MLP(3, (8,), key=jax.random.key(0))
    return hm.Harmonium(3, 8, feature_map=feature_map, key=jax.random.key(1))


@pytest.mark.slow
def test_a_hopeless_learning_rate_ends_in_an_error_that_says_what_to_do():
    """An optimizer that returns NaN cannot be repaired: nothing is learned, and fit says so."""
    broken = optax.GradientTransformation(
        lambda params: (),
        lambda updates, state, params=None: (
            jax.tree.map(lambda leaf: leaf * jnp.nan, updates),
            state,
        ),
    )
    with pytest.raises(DivergedError, match="non-finite.*smaller learning rate"):
        hm.fit(small_model(), bent_rows(), key=jax.random.key(2), optimizer=broken, n_updates=40)


@pytest.mark.slow
def test_the_returned_model_is_no_worse_on_held_out_rows_than_its_start():
    """The held-out rows are from the Gaussian start itself: what is learned can only hurt there."""
    held_out = 0.5**0.5 * np.random.default_rng(7).normal(size=(500, 3))
    result = hm.fit(
        small_model(),
        bent_rows(),
        key=jax.random.key(3),
        optimizer=default_optimizer(1e-2),
        n_updates=200,
        validation=held_out,
        # It goes on although no evaluation is better than the start.
        settings=hm.FitSettings(patience=100),
    )
    start = -float(np.mean(np.sum(held_out**2, axis=1))) - 1.5 * math.log(math.pi)
    rows = jnp.asarray(held_out, jnp.float32)
    free_energy = float(jnp.mean(jax.vmap(result.model.free_energy)(rows)))
    last = float(result.history[-1]["validation_log_likelihood"])
    assert last < start - 0.05
    assert -free_energy - result.log_partition.value >= start - 1e-3


def test_the_same_key_gives_the_same_fit():
    runs = [hm.fit(small_model(), bent_rows(), key=jax.random.key(4), n_updates=40) for _ in "ab"]
    np.testing.assert_array_equal(runs[0].model.weights, runs[1].model.weights)
    assert runs[0].log_partition == runs[1].log_partition


def test_training_improves_on_the_gaussian_and_agrees_with_its_chains():
    result = hm.fit(
        small_model(),
        bent_rows(2000),
        key=jax.random.key(6),
        n_updates=600,
        optimizer=default_optimizer(1e-2),
    )
    first, last = result.history[0], result.history[-1]
    gain = last["validation_log_likelihood"] - first["validation_log_likelihood"]
    assert gain > 0.2
    assert result.trusted, result.verdict
    assert [record["event"] for record in result.history if record["event"]] == []
    checked = [record for record in result.history if "r_hat" in record]
    # 15 updates per evaluation; at least 500 between two comparisons of chains.
    assert [record["update"] for record in checked] == [510]
    assert all(record["r_hat"] > 0.9 and record["tail_ess"] > 1 for record in checked)
    assert all(record["autocorrelation_time"] >= 1 for record in result.history[1:])
    assert result.diagnostics.describe() in result.verdict
