"""A population that follows a path, level by level: the only loop over inverse temperatures.

Upwards from draws of the base it is annealed importance sampling (Neal 2001), with resampling
sequential Monte Carlo (Del Moral et al. 2006); downwards from draws of the model it is reverse
annealing (Burda et al. 2015). Pilots, samplers, first chains and log Z all call it.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from harmonium.model import Path
from harmonium.sampling.chains import ADAPTATION_RATE
from harmonium.sampling.kernel import AbstractKernel
from harmonium.sampling.population import (
    RESAMPLE_BELOW,
    Population,
    move,
    resample,
    reweight,
    start_population,
)
from harmonium.typing import RandomKey, Scalar

Levels = Float[Array, "levels"]


class Passed(NamedTuple):
    """What was met at every level but the first.

    `spreads` are standard deviations over chains of the change of F from the level before, in nats;
    `step_sizes` those of the kernel after its moves.
    """

    spreads: Float[Array, "..."]
    step_sizes: Float[Array, "..."]


def follow_path(
    key: RandomKey,
    population: Population,
    path: Path,
    inverse_temperatures: Levels,
    step_sizes: Levels | None = None,
    *,
    n_steps: int = 1,
    resample_below: float = RESAMPLE_BELOW,
    adaptation_rate: float = ADAPTATION_RATE,
) -> tuple[Population, Passed]:
    """Weight, resample and move at one level after the other; the population stands at the first.

    Levels may rise or fall. `step_sizes`, one per level, are set before the moves there; without
    them the kernel's own is carried on. `resample_below` is the share of effective chains under
    which they are resampled; 0 never does.
    """

    def one_level(population: Population, inputs: tuple[Scalar, Scalar | None, RandomKey]):
        inverse_temperature, step_size, key = inputs
        key_weight, key_resample, key_move = jax.random.split(key, 3)
        model, before = path.at(inverse_temperature), population.states.free_energy
        population = reweight(key_weight, population, model)
        spread = jnp.std(population.states.free_energy - before)
        if resample_below > 0:
            population = resample(key_resample, population, below=resample_below)
        if step_size is not None:
            population = eqx.tree_at(lambda p: p.kernel.step_size, population, step_size)
        population = move(
            key_move, population, model, n_steps=n_steps, adaptation_rate=adaptation_rate
        )
        return population, Passed(spread, population.kernel.step_size)

    keys = jax.random.split(key, inverse_temperatures.shape[0] - 1)
    steps = None if step_sizes is None else step_sizes[1:]
    return jax.lax.scan(one_level, population, (inverse_temperatures[1:], steps, keys))


def anneal_population(
    key: RandomKey,
    path: Path,
    kernel: AbstractKernel,
    n_chains: int,
    *,
    n_temperatures: int = 200,
    n_steps: int = 2,
) -> Population:
    """A population brought from the exact base to the model along a path; the base itself if W =
    0.
    """
    key_start, key_anneal = jax.random.split(key)
    if not bool(jnp.any(path.model.weights != 0)):
        # A model with W = 0 is its own base: nothing is left to anneal.
        return eqx.filter_jit(start_population)(key_start, Path(path.model), kernel, n_chains)
    population = eqx.filter_jit(start_population)(key_start, path, kernel, n_chains)
    levels = jnp.linspace(0, 1, n_temperatures + 1)
    return _follow_path(key_anneal, population, path, levels, n_steps=n_steps)[0]


_follow_path = eqx.filter_jit(follow_path)
