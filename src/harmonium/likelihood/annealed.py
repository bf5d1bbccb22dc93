"""Annealed importance sampling along beta, from the exact base to the model (Neal 2001).

A short pilot population finds the step size along the path and spaces the inverse temperatures by
thermodynamic length; the main run then uses frozen kernels, so that the mean of the weights is an
unbiased estimate of Z.
"""

from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from harmonium.model import Harmonium, temper
from harmonium.sampling.population import (
    Population,
    default_kernel,
    follow,
    move,
    reweight,
    start_population,
)
from harmonium.typing import RandomKey, Scalar

PILOT_CHAINS = 128
PILOT_TEMPERATURES = 100
PILOT_STEPS = 3

Ladder = Float[Array, "temperatures"]


class _Pilot(NamedTuple):
    inverse_temperatures: Ladder
    step_sizes: Ladder
    lengths: Ladder


@dataclass(frozen=True)
class AnnealedEstimate:
    """log Z in nats, its standard error by the delta method, and the effective sample size."""

    value: float
    standard_error: float
    ess: float
    n_chains: int


def annealed_log_partition(
    key: RandomKey, model: Harmonium, n_chains: int, n_temperatures: int
) -> AnnealedEstimate:
    """Estimate log Z by annealed importance sampling; in expectation a lower bound."""
    key_pilot, key_main = jax.random.split(key)
    pilot = _run_pilot(key_pilot, model)
    inverse_temperatures, step_sizes = _space(pilot, n_temperatures)
    log_weights, log_partition = _anneal(
        key_main, model, inverse_temperatures, step_sizes, n_chains
    )
    return summarize(np.asarray(log_weights, np.float64), float(log_partition))


def summarize(log_weights: np.ndarray, log_partition: float) -> AnnealedEstimate:
    """log_partition + log mean exp(log_weights), with the delta-method standard error."""
    n_chains = len(log_weights)
    total = float(np.logaddexp.reduce(log_weights))
    ess = float(np.exp(2 * total - np.logaddexp.reduce(2 * log_weights)))
    # Var(w) / (n mean(w)²) = (n / ess - 1) / n
    standard_error = float(np.sqrt(max(n_chains / ess - 1, 0.0) / max(n_chains - 1, 1)))
    value = float(log_partition + total - np.log(n_chains))
    return AnnealedEstimate(value, standard_error, ess, n_chains)


@eqx.filter_jit
def _run_pilot(key: RandomKey, model: Harmonium) -> _Pilot:
    key_start, key_scan = jax.random.split(key)
    population = start_population(key_start, model, default_kernel(model), PILOT_CHAINS)
    # Quadratic spacing: the first steps away from the base are the most sensitive.
    inverse_temperatures = jnp.linspace(0, 1, PILOT_TEMPERATURES + 1) ** 2

    def one_temperature(population: Population, inputs: tuple[Scalar, RandomKey]):
        inverse_temperature, key = inputs
        tempered = temper(model, inverse_temperature)
        free_energy = jax.vmap(tempered.free_energy)(population.states.position)
        length = jnp.std(free_energy - population.states.free_energy)
        population = follow(key, population, tempered, n_steps=PILOT_STEPS)
        return population, (population.kernel.step_size, length)

    keys = jax.random.split(key_scan, PILOT_TEMPERATURES)
    inputs = (inverse_temperatures[1:], keys)
    _, (step_sizes, lengths) = jax.lax.scan(one_temperature, population, inputs)
    return _Pilot(inverse_temperatures, step_sizes, lengths)


def _space(pilot: _Pilot, n_temperatures: int) -> tuple[Ladder, Ladder]:
    """Inverse temperatures at equal thermodynamic length, and the pilot's step sizes there."""
    grid = np.asarray(pilot.inverse_temperatures, np.float64)
    lengths = np.asarray(pilot.lengths, np.float64)
    # A share of uniform spacing keeps flat stretches from being skipped.
    shares = 0.8 * lengths / max(lengths.sum(), 1e-12) + 0.2 * np.diff(grid)
    cumulative = np.concatenate([[0.0], np.cumsum(shares)])
    targets = np.linspace(0, cumulative[-1], n_temperatures + 1)
    inverse_temperatures = np.interp(targets, cumulative, grid)[1:]
    inverse_temperatures[-1] = 1.0
    step_sizes = np.exp(
        np.interp(inverse_temperatures, grid[1:], np.log(np.asarray(pilot.step_sizes, np.float64)))
    )
    return jnp.asarray(inverse_temperatures, float), jnp.asarray(step_sizes, float)


@eqx.filter_jit
def _anneal(
    key: RandomKey,
    model: Harmonium,
    inverse_temperatures: Ladder,
    step_sizes: Ladder,
    n_chains: int,
) -> tuple[Float[Array, "chains"], Scalar]:
    key_start, key_scan = jax.random.split(key)
    population = start_population(key_start, model, default_kernel(model), n_chains)

    def one_temperature(population: Population, inputs: tuple[Scalar, Scalar, RandomKey]):
        inverse_temperature, step_size, key = inputs
        key_weight, key_move = jax.random.split(key)
        tempered = temper(model, inverse_temperature)
        population = reweight(key_weight, population, tempered)
        population = eqx.tree_at(
            lambda p: p.kernel.step_size, population, step_size.astype(step_sizes.dtype)
        )
        return move(key_move, population, tempered, n_steps=1, adaptation_rate=0.0), None

    keys = jax.random.split(key_scan, inverse_temperatures.shape[0])
    population, _ = jax.lax.scan(
        one_temperature, population, (inverse_temperatures, step_sizes, keys)
    )
    return population.log_weights, population.log_partition
