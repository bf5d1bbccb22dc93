"""Where along the path from the base to the model inverse temperatures are needed, and how far to
step there.

A pilot population is annealed twice: first over a fixed grid, then over a grid of equal
thermodynamic length (Gelman and Meng 1998; Syed et al. 2022 call its sum the communication
barrier).
"""

from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from harmonium.model import Path
from harmonium.sampling.annealing import Levels, Passed, follow_path
from harmonium.sampling.kernel import AbstractKernel
from harmonium.sampling.population import start_population
from harmonium.typing import RandomKey

PILOT_CHAINS = 64
PILOT_TEMPERATURES = 80
PILOT_STEPS = 2
PILOT_ADAPTATION_RATE = 0.15
# Share of the spacing that is uniform, so that flat stretches are not skipped.
UNIFORM_SHARE = 0.1


class Schedule(NamedTuple):
    """Inverse temperatures that rise from 0 to 1, shape (levels,), with a step size for each."""

    inverse_temperatures: Levels
    step_sizes: Levels


@dataclass(frozen=True)
class PathProfile:
    """A path as a pilot saw it: inverse temperatures, thermodynamic length up to each, step sizes.

    One unit of length is one standard deviation, in nats, of the change of F from level to level.
    """

    inverse_temperatures: np.ndarray
    lengths: np.ndarray
    step_sizes: np.ndarray

    @property
    def length(self) -> float:
        """The whole thermodynamic length from the base to the model."""
        return float(self.lengths[-1])

    def schedule(self, n_levels: int) -> Schedule:
        """A schedule of `n_levels` levels (base and model included) at equal thermodynamic
        length.
        """
        grid = self.inverse_temperatures
        share = self.lengths / max(self.length, 1e-12)
        cumulative = (1 - UNIFORM_SHARE) * share + UNIFORM_SHARE * grid
        cumulative = cumulative / cumulative[-1]
        levels = np.interp(np.linspace(0, 1, n_levels), cumulative, grid)
        levels[0], levels[-1] = 0.0, 1.0
        step_sizes = np.exp(np.interp(levels, grid, np.log(self.step_sizes)))
        return Schedule(jnp.asarray(levels, float), jnp.asarray(step_sizes, float))


def profile_path(key: RandomKey, path: Path, kernel: AbstractKernel) -> PathProfile:
    """Anneal a pilot population from the base to the model and note what it met on its way."""
    key_first, key_second = jax.random.split(key)
    # Quadratic spacing at first: the steps away from the base are the most sensitive.
    grid = np.linspace(0, 1, PILOT_TEMPERATURES + 1) ** 2
    levels = _profile(key_first, path, kernel, grid).schedule(PILOT_TEMPERATURES + 1)
    return _profile(key_second, path, kernel, np.asarray(levels.inverse_temperatures, np.float64))


def _profile(key: RandomKey, path: Path, kernel: AbstractKernel, grid: np.ndarray) -> PathProfile:
    spreads, step_sizes = _run_pilot(key, path, kernel, jnp.asarray(grid, float))
    # A pilot that meets values that are not finite says nothing about the length there.
    spreads = np.nan_to_num(np.asarray(spreads, np.float64), nan=0.0, posinf=1e3)
    step_sizes = np.asarray(step_sizes, np.float64)
    return PathProfile(
        inverse_temperatures=grid,
        lengths=np.concatenate([[0.0], np.cumsum(spreads)]),
        step_sizes=np.concatenate([step_sizes[:1], step_sizes]),
    )


@eqx.filter_jit
def _run_pilot(key: RandomKey, path: Path, kernel: AbstractKernel, grid: Levels) -> Passed:
    key_start, key_follow = jax.random.split(key)
    population = start_population(key_start, path, kernel, PILOT_CHAINS)
    return follow_path(
        key_follow,
        population,
        path,
        grid,
        n_steps=PILOT_STEPS,
        adaptation_rate=PILOT_ADAPTATION_RATE,
    )[1]
