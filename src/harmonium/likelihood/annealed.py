"""Annealing along beta between the exact base and the model, upwards and downwards.

Upwards without resampling it is annealed importance sampling (Neal 2001), with resampling
sequential Monte Carlo (Del Moral et al. 2006): both estimate Z without bias, and so log Z from
below in expectation. Downwards from draws of the model it is reverse annealing (Burda et al. 2015;
Grosse et al. 2015), which errs on the other side. Kernels are frozen: their step sizes come from a
pilot.
"""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from harmonium.likelihood.result import Evidence, interval
from harmonium.model import Path, base_log_partition
from harmonium.sampling import AbstractKernel
from harmonium.sampling.annealing import follow_path
from harmonium.sampling.chains import init_chains
from harmonium.sampling.population import Population, resample, start_population
from harmonium.sampling.schedule import Schedule
from harmonium.typing import PerChain, Positions, RandomKey


@dataclass(frozen=True)
class AnnealedEstimate:
    """log Z in nats, its standard error, the effective sample size, and of how many units the error
    is made.
    """

    value: float
    standard_error: float
    ess: float
    n_chains: int
    n_units: float

    def as_evidence(self, method: str, way: str, n_units: float) -> Evidence:
        """The estimate with its interval, for an error that is made of so many units; `way` says
        how it was made.
        """
        low, high = interval(self.value, self.standard_error, n_units)
        return Evidence(
            method=method,
            value=self.value,
            low=low,
            high=high,
            standard_error=self.standard_error,
            ess=self.ess,
            facts=f"{way}, standard error {self.standard_error:.3f} nats",
        )


def anneal_up(
    key: RandomKey,
    path: Path,
    kernel: AbstractKernel,
    schedule: Schedule,
    n_chains: int,
    *,
    resample_below: float = 0.0,
) -> tuple[AnnealedEstimate, Population]:
    """log Z by chains that start at exact draws of the base, and the chains as they arrive.

    `resample_below` is the share of effective chains under which they are resampled; 0 never does.
    """
    population = _anneal_up(key, path, kernel, schedule, n_chains, resample_below)
    estimate = summarize(
        np.asarray(population.log_weights, np.float64),
        float(population.log_partition),
        np.asarray(population.ancestors),
    )
    return estimate, population


@eqx.filter_jit
def equally_weighted(key: RandomKey, population: Population) -> Positions:
    """Positions (chains, visible) of the population after resampling."""
    return resample(key, population, below=1.0).states.position


def anneal_down(
    key: RandomKey,
    path: Path,
    kernel: AbstractKernel,
    schedule: Schedule,
    positions: Positions,
    origins: np.ndarray,
) -> AnnealedEstimate:
    """log Z by chains that start at draws of the model (chains, visible) and end at the base.

    Draws of one origin (the ladder they come from) may be alike: the standard error is taken over
    origins.
    """
    log_weights = np.asarray(_anneal_down(key, path, kernel, schedule, positions), np.float64)
    back = summarize(log_weights, 0.0, np.arange(len(log_weights)))
    _, index, counts = np.unique(origins, return_inverse=True, return_counts=True)
    weights = np.exp(log_weights - np.logaddexp.reduce(log_weights))
    # How much an origin moves the mean weight, relative to it.
    shifts = np.bincount(index, weights) - counts / len(weights)
    variance = float(np.sum(shifts**2)) * len(counts) / max(len(counts) - 1, 1)
    value = float(base_log_partition(path.base)) - back.value
    return AnnealedEstimate(
        value, float(np.sqrt(variance)), back.ess, back.n_chains, float(len(counts))
    )


def summarize(
    log_weights: np.ndarray, log_partition: float, ancestors: np.ndarray
) -> AnnealedEstimate:
    """log_partition + log mean exp(log_weights), with the delta-method standard error.

    Chains that descend from one start count as one draw: weights are added up per ancestor before
    the effective sample size is taken (the genealogical estimate of Lee and Whiteley 2018). Without
    resampling every chain is its own ancestor.
    """
    n_chains = len(log_weights)
    total = float(np.logaddexp.reduce(log_weights))
    weights = np.bincount(ancestors, np.exp(log_weights - total), minlength=n_chains)
    ess = float(1 / np.sum(weights**2)) if np.isfinite(total) else 0.0
    # Var(w) / (n mean(w)²) = (n / ess - 1) / n
    relative = (n_chains / ess - 1) / max(n_chains - 1, 1) if ess > 0 else np.inf
    value = float(log_partition + total - np.log(n_chains))
    return AnnealedEstimate(value, float(np.sqrt(max(relative, 0.0))), ess, n_chains, ess)


@eqx.filter_jit
def _anneal_up(
    key: RandomKey,
    path: Path,
    kernel: AbstractKernel,
    schedule: Schedule,
    n_chains: int,
    resample_below: float,
) -> Population:
    key_start, key_follow = jax.random.split(key)
    population = start_population(key_start, path, kernel, n_chains)
    return _follow(key_follow, population, path, schedule, resample_below)


@eqx.filter_jit
def _anneal_down(
    key: RandomKey,
    path: Path,
    kernel: AbstractKernel,
    schedule: Schedule,
    positions: Positions,
) -> PerChain:
    key_init, key_follow = jax.random.split(key)
    states = init_chains(key_init, path.model, kernel, positions)
    log_weights = jnp.zeros(len(positions), positions.dtype)
    population = Population.unmoved(kernel, states, log_weights, jnp.zeros((), positions.dtype))
    downwards = Schedule(*(values[::-1] for values in schedule))
    return _follow(key_follow, population, path, downwards, 0.0).log_weights


def _follow(
    key: RandomKey, population: Population, path: Path, schedule: Schedule, resample_below: float
) -> Population:
    """The population at the last level of a schedule, moved once at each with frozen steps."""
    return follow_path(
        key, population, path, *schedule, resample_below=resample_below, adaptation_rate=0.0
    )[0]
