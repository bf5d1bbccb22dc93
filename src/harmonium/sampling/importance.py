"""Independent draws of the exact base, weighted for the model (importance sampling).

They cost one evaluation of F each, and are as good as the base is near to the model: their
effective sample size and the tail of their weights show it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.special import logsumexp

from harmonium.compiling import compiled_briefly
from harmonium.model import Path, base_log_partition, sample_base
from harmonium.sampling.chains import init_chains
from harmonium.sampling.kernel import AbstractKernel
from harmonium.sampling.pareto import fit_shape
from harmonium.sampling.population import (
    Population,
    effective_sample_size,
    log_mean_exp,
    systematic_indices,
)
from harmonium.typing import PerChain, Positions, RandomKey

# Rows of one call of a compiled function: what a mixture makes of them on the way stays small.
CHUNK = 4096
# Vehtari et al. (2024): beyond it, no number of draws that anybody has makes the weights reliable.
LARGEST_PARETO_K = 0.7
_SMALLEST_TAIL = 5


class WeightedDraws(NamedTuple):
    """Draws (draws, visible) of the base of a path, and their log-weights (draws,) for its
    model.
    """

    positions: Positions
    log_weights: PerChain

    @property
    def n_draws(self) -> int:
        """How many draws there are."""
        return self.log_weights.shape[0]

    def ess(self) -> float:
        """Effective sample size of the weights, between 1 and the number of draws; 0 if one is not
        finite.
        """
        ess = float(_ess(self.log_weights))
        return ess if np.isfinite(ess) else 0.0

    def repeats(self, n: int) -> bool:
        """Whether `n` draws of the model would have copies among them."""
        log_weights = np.asarray(self.log_weights, np.float64)
        return bool(n * np.exp(log_weights.max() - logsumexp(log_weights)) > 1)

    def resampled(
        self, key: RandomKey, n: int
    ) -> tuple[Float[Array, "_ visible"], Int[Array, "_"]]:
        """N draws of the model (n, visible), some of them copies, and which draws of the base they
        are.
        """
        return _resampled(key, self.positions, self.log_weights, n)


def draw_weighted(key: RandomKey, path: Path, n: int) -> WeightedDraws:
    """At least n draws of the base of a path, in whole chunks of 4096, with their weights."""
    chunks = [_draw_chunk(key, jnp.asarray(number), path) for number in range(-(-n // CHUNK))]
    return WeightedDraws(*(jnp.concatenate(parts) for parts in zip(*chunks, strict=True)))


def weigh(path: Path, positions: Float[Array | np.ndarray, "_ visible"]) -> Float[np.ndarray, "_"]:
    """Log-weights of any positions (rows, visible), by one compiled function for all numbers of
    rows.
    """
    # By NumPy, which compiles nothing for each number of rows.
    positions, found = np.asarray(positions), []
    for start in range(0, len(positions), CHUNK):
        rows = positions[start : start + CHUNK]
        padded = np.pad(rows, ((0, CHUNK - len(rows)), (0, 0)))
        found.append(np.asarray(_log_weights(path, jnp.asarray(padded)), np.float64)[: len(rows)])
    return np.concatenate(found)


def population_from_base(
    key: RandomKey, path: Path, kernel: AbstractKernel, draws: WeightedDraws, n_chains: int
) -> Population:
    """Chains of equal weight at resampled draws of the base; their ancestors are the numbers of the
    draws.
    """
    return _population(key, path, kernel, draws, n_chains)


def pareto_k(log_weights: PerChain | Float[np.ndarray, "chains"]) -> float:
    """The shape k of a generalized Pareto distribution fitted to the largest weights.

    Weights with k below 1/2 have a finite variance; from 0.7 on, estimates by them are not reliable
    (Vehtari et al. 2024, "Pareto smoothed importance sampling"). The tail is the 3 sqrt(n) largest
    of n weights, and the fit that of Zhang and Stephens (2009) with the weak prior of the former.
    Weights that share one largest value have k = -1; infinite if one is not finite.
    """
    log_weights = np.sort(np.asarray(log_weights, np.float64))
    if not np.all(np.isfinite(log_weights)):
        return np.inf
    n_tail = int(np.ceil(min(0.2 * len(log_weights), 3 * len(log_weights) ** 0.5)))
    if n_tail < _SMALLEST_TAIL:
        return np.inf
    relative = np.exp(log_weights[-n_tail - 1 :] - log_weights[-1])
    excesses = relative[1:] - relative[0]
    # Some value has to come apart from the threshold and from the largest one.
    if excesses[n_tail // 4] <= 0 or np.ptp(excesses) <= 0:
        return -1.0
    # As if ten more draws had k = 1/2.
    return fit_shape(excesses, prior=0.5, prior_weight=10.0)


@compiled_briefly
def _draw_chunk(key: RandomKey, number: Int[Array, ""], path: Path) -> tuple[Positions, PerChain]:
    positions = sample_base(jax.random.fold_in(key, number), path.base, CHUNK)
    return positions, jax.vmap(path.log_weight)(positions)


@compiled_briefly
def _log_weights(path: Path, positions: Positions) -> PerChain:
    return jax.vmap(path.log_weight)(positions)


@compiled_briefly
def _ess(log_weights: PerChain) -> Array:
    return effective_sample_size(log_weights)


@compiled_briefly
def _resampled(key: RandomKey, positions: Positions, log_weights: PerChain, n: int):
    chosen = systematic_indices(key, log_weights, n)
    return positions[chosen], chosen


@compiled_briefly
def _population(
    key: RandomKey, path: Path, kernel: AbstractKernel, draws: WeightedDraws, n_chains: int
) -> Population:
    key_resample, key_init = jax.random.split(key)
    chosen = systematic_indices(key_resample, draws.log_weights, n_chains)
    states = init_chains(key_init, path.model, kernel, draws.positions[chosen])
    return Population(
        kernel=kernel,
        states=states,
        log_weights=jnp.zeros(n_chains, draws.log_weights.dtype),
        log_partition=base_log_partition(path.base) + log_mean_exp(draws.log_weights),
        ancestors=chosen,
        acceptance=jnp.ones_like(kernel.step_size),
        correlation=jnp.zeros((), draws.log_weights.dtype),
    )
