"""Kind of truth: contract. Several devices compute what one does, up to the order of sums, and do
share the work."""

import functools
import json

import jax
import numpy as np
import pytest
from devices.fits import (
    BATCH_SIZE,
    N_CHAINS,
    OBJECTIVES,
    make_model,
    make_rows,
    numbers,
    population,
    updated,
    with_holes,
)
from devices.programs import free_port, start_fits

import harmonium as hm
from harmonium.errors import InvalidInputError
from harmonium.learning.devices import broadcast, gather, replicate, shard, use_devices

# Optax itself relies on standard dtype promotion.
pytestmark = pytest.mark.usefixtures("usual_promotion")

# Of sums in another order in double precision, after some updates with accept tests that amplify
# them.
TOLERANCE = 1e-9


def assert_same(ours, theirs):
    """Absolutely too: small numbers are differences of larger ones."""
    np.testing.assert_allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE)


@functools.cache
def found(name, n_devices):
    """What came of an objective on so many devices of this process, once."""
    return updated(OBJECTIVES[name](), n_devices)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_two_devices_train_like_one(name):
    (state, by_one), (_, by_two) = found(name, 1), found(name, 2)
    assert_same(by_two, by_one)
    assert not np.allclose(numbers(state.parameters), numbers(make_model()))


def test_rows_with_holes_are_filled_like_on_one_device():
    rows = with_holes(make_rows())
    (state, by_one), (_, by_two) = (updated(population(), n, rows) for n in (1, 2))
    assert_same(by_two, by_one)
    assert not np.allclose(state.rows.standard, rows.standard)


def test_chains_are_split_and_parameters_are_whole():
    state, _ = found("population", 2)
    positions = state.carry.states.position
    parts = [shard.data.shape for shard in positions.addressable_shards]
    assert parts == [(2, N_CHAINS // 2, 2)] * 2
    for leaf in jax.tree.leaves((state.parameters, state.optimizer_state)):
        assert len(leaf.sharding.device_set) == 2 and leaf.is_fully_replicated
    alone, _ = found("population", 1)
    assert len(alone.carry.states.position.sharding.device_set) == 1


def test_eight_devices_train_like_one():
    run = start_fits("2", "8", n_devices=8)
    _, by_one = found("population", 1)
    out, err = run.communicate()
    assert run.returncode == 0, err
    answers = json.loads(out)
    for n in ("2", "8"):
        assert answers[n]["shards"] == [[2, N_CHAINS // int(n), 2]] * int(n)
        assert_same(answers[n]["numbers"], by_one)


def test_two_processes_train_like_one():
    address = f"localhost:{free_port()}"
    runs = [start_fits("--join", address, "2", str(i), n_devices=1) for i in (0, 1)]
    answers = [run.communicate() for run in runs]
    assert [run.returncode for run in runs] == [0, 0], answers
    _, by_one = found("population", 1)
    for out, _ in answers:
        answer = json.loads(out)["None"]
        assert answer["shards"] == [[2, N_CHAINS // 2, 2]]
        assert_same(answer["numbers"], by_one)


def whole_fit(**options):
    return hm.fit(
        make_model(),
        make_rows(),
        key=jax.random.key(0),
        objective=population(),
        n_updates=12,
        settings=hm.FitSettings(batch_size=BATCH_SIZE, n_evaluations=3),
        **options,
    )


def curve(result):
    names = ("train_log_likelihood", "validation_log_likelihood", "ess", "energy_gap")
    return [[record[name] for name in names if name in record] for record in result.history]


def test_a_fit_goes_on_with_another_number_of_devices(tmp_path):
    whole = whole_fit()
    with use_devices(2):
        stopped = whole_fit(
            checkpoints=tmp_path / "state", callback=lambda state: state.update >= 4
        )
    assert len(stopped.history) < len(whole.history)
    resumed = whole_fit(resume=tmp_path / "state")
    for ours, theirs in zip(curve(resumed), curve(whole), strict=True):
        assert_same(ours, theirs)
    with use_devices(2):
        again = whole_fit(resume=tmp_path / "state")
    assert len(again.history) == len(whole.history)
    assert_same(numbers(again.model), numbers(whole.model))
    assert {leaf.sharding.num_devices for leaf in jax.tree.leaves(again.carry)} == {1}


def test_what_cannot_be_shared_evenly_is_refused():
    with use_devices(2):
        with pytest.raises(InvalidInputError, match=r"n_chains=15.*Try: n_chains=16"):
            updated(hm.MaximumLikelihood(hm.WeightedPopulation(n_chains=15)), 2)
        with pytest.raises(InvalidInputError, match=r"batch_size=31.*Try: batch_size=32"):
            hm.fit(
                make_model(),
                make_rows(),
                key=jax.random.key(0),
                settings=hm.FitSettings(batch_size=31),
            )


@pytest.mark.parametrize("n", [0, 3])
def test_devices_that_are_not_there_are_refused(n):
    message = rf"from 1 to 2, .*got {n}.*Try: "
    with pytest.raises(InvalidInputError, match=message), use_devices(n):
        pass


def test_without_several_devices_nothing_moves():
    tree = {"rows": make_rows(), "name": "x"}
    for function in (shard, replicate, gather, broadcast):
        assert function(tree) is tree
    with use_devices(1):
        assert replicate(tree) is tree
