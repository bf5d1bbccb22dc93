"""Kind of truth: contract. What cannot work is refused in words: what was given, what was needed.

Anything else ends in an estimate that is wrong and trusted, or in an error of NumPy's. Seeds: key
0.
"""

import importlib

import jax
import jax.numpy as jnp
import pytest
from exact import brute

import harmonium as hm
from harmonium.errors import InvalidInputError
from harmonium.sampling import MALA, ReplicaExchange, sample

DEEP = brute.deep_model("bernoulli", n_visible=3)

# arguments of ReplicaExchange after the kernel, words of the error
LADDERS = {
    "one level": (([1.0],), "rising inverse temperatures from 0 to 1"),
    "a table": (([[0.0, 1.0]],), "rising inverse temperatures from 0 to 1"),
    "falling": (([0.0, 0.7, 0.3, 1.0],), "rising inverse temperatures from 0 to 1"),
    # The base is drawn exactly at the first level: elsewhere its draws are not that level's.
    "not from 0": (([0.2, 0.6, 1.0],), "rising inverse temperatures from 0 to 1"),
    # The last level is taken for the model.
    "not to 1": (([0.0, 0.4, 0.8],), "rising inverse temperatures from 0 to 1"),
    "not a number": (([0.0, float("nan"), 1.0],), "rising inverse temperatures from 0 to 1"),
    "step sizes": (([0.0, 0.5, 1.0], [0.1, 0.2]), "step size"),
}


@pytest.mark.parametrize("name", LADDERS)
def test_ladders_that_cannot_work_are_refused(name, unannotated):
    arguments, words = LADDERS[name]
    with pytest.raises(InvalidInputError, match=words) as caught:
        ReplicaExchange(MALA(), *map(jnp.asarray, arguments))
    assert "ReplicaExchange(" in str(caught.value) and "got" in str(caught.value)


def test_no_moves_are_refused():
    with pytest.raises(InvalidInputError, match="n_moves=0"):
        ReplicaExchange(MALA(), n_moves=0)


# settings of estimate_log_partition
ESTIMATES = {
    "no temperatures": {"method": "ais", "n_temperatures": 0},
    "no temperatures, smc": {"method": "smc", "n_temperatures": 0},
    "fewer": {"method": "ais", "n_temperatures": -3},
    "no chains": {"method": "ais", "n_chains": 0},
    "wide starts": {"method": "bar", "starts": jnp.zeros((4, 7))},
    "no starts": {"method": "bar", "starts": jnp.zeros((0, 3))},
    "starts not finite": {"method": "bar", "starts": jnp.full((4, 3), jnp.nan)},
    "exchange as the kernel": {"method": "bar", "kernel": ReplicaExchange(MALA())},
}


@pytest.mark.parametrize("name", ESTIMATES)
def test_settings_without_an_estimate_are_refused(name, unannotated):
    with pytest.raises(InvalidInputError, match=r"estimate_log_partition\(.*got"):
        hm.estimate_log_partition(DEEP, key=jax.random.key(0), **ESTIMATES[name])


@pytest.mark.slow
def test_sampling_keeps_the_moves_that_were_asked_for(monkeypatch):
    # Levels are tuned anew; how often replicas move between swaps is not the tuner's to decide.
    module = importlib.import_module("harmonium.sampling.sample")
    settle, kernels = module.continue_population, []

    def noting(population, *arguments, **settings):
        kernels.append(population.kernel)
        return settle(population, *arguments, **settings)

    monkeypatch.setattr(module, "continue_population", noting)
    sample(DEEP, 4, key=jax.random.key(0), kernel=ReplicaExchange(MALA(), n_moves=3), n_steps=4)
    assert [kernel.n_moves for kernel in kernels] == [3]
