"""Looking for mass that an estimate of log Z has not seen.

Annealing and replica exchange both come from the base. A mode that has no mass until late on the
path is never met by either, and their weights do not show it. So chains are also started far
apart (`find_modes`), left to fall into whatever modes there are, and compared with the draws behind
the estimate. And what is near the lowest places that anyone has met is integrated by itself: it
cannot be more than Z.
"""

import math
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from harmonium.compiling import compiled_briefly
from harmonium.likelihood.local_mass import local_bound
from harmonium.likelihood.result import Evidence
from harmonium.model import Harmonium
from harmonium.model.oracles import in_double, log_masses_of
from harmonium.sampling.starts import SEARCH_CHAINS
from harmonium.typing import Batch, Hidden, PerRow, Positions, RandomKey, Visible

HIDDEN_DRAWS = 8
# Hidden units of which the states drawn cover what has mass.
MAX_COVERED_HIDDEN = 16
# A chain is elsewhere if its nearest neighbors, among draws and chains found, are chains: so many
# that in one mode this would happen to a chain with this probability. A small one: there are
# hundreds of chains, and they fall into modes by other shares than the draws.
CHANCE = 1e-5
# And never fewer: where draws are many, a mode may hold few of them and many chains.
FEWEST_NEIGHBORS = 8
# Draws whose median F is compared with.
N_MEDIAN = 1024
# Draws whose distances are held at once.
MOST_COMPARED = 8192
# Nats above the median F of the draws up to which a neighborhood elsewhere matters.
NEGLIGIBLE = 1.0
# Two chains could be on their way still.
FEWEST_ELSEWHERE = 3
# Standard errors, and nats, by which an estimate may fall short of a bound that holds for certain.
SIGMAS = 5.0
ROUNDING = 0.02


@dataclass(frozen=True)
class Comparison:
    """What was found, beside the draws behind an estimate.

    `lower_bound` is a bound on log Z: for affine maps the sum over the hidden states that were
    visited, which holds for certain; for others the mass near the lowest places, by importance
    sampling, less five standard errors. `n_elsewhere` counts the chains that ended among chains
    alone, with no draw near, at a free energy that matters; where nearly all hidden states are
    visited it is 0, since the bound says more.
    """

    lower_bound: float
    n_elsewhere: int


def compare(
    key: RandomKey,
    model: Harmonium,
    found: Positions,
    draws: Batch,
    more: Float[Array | np.ndarray, "more visible"] | None = None,
) -> Comparison:
    """Hold what was found beside `draws` (draws, visible) of the model, and `more` of them if there
    are.
    """
    bound = -np.inf
    if model.is_affine:
        bound = _visited_log_partition(key, model, jnp.concatenate([found, draws]))
        if model.n_hidden <= MAX_COVERED_HIDDEN:
            return Comparison(bound, 0)
    places = np.asarray(draws) if more is None else np.concatenate([draws, more])
    known, places = _finite(np.asarray(found)), _finite(places)
    if len(known) == 0 or len(places) == 0:
        return Comparison(bound, 0)
    met = np.concatenate([known, places[:N_MEDIAN]])
    energies = free_energies(model, met)
    if not model.is_affine:
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        # As many draws as rows: F of them takes no further program.
        bound = local_bound(partial(free_energies, model), met, rng)
    of_found, of_draws = energies[: len(known)], energies[len(known) :]
    return Comparison(bound, _count_elsewhere(known, of_found, places, float(np.median(of_draws))))


def _finite(rows: np.ndarray) -> np.ndarray:
    return rows[np.all(np.isfinite(rows), axis=1)]


def _visited_log_partition(key: RandomKey, model: Harmonium, positions: Positions) -> float:
    """Log of the sum of the masses of all distinct hidden states drawn at these positions."""
    hidden = np.asarray(_draw_hidden(key, model, positions), np.float64)
    states = hidden.reshape(-1, model.n_hidden)
    _, first = np.unique(states, axis=0, return_index=True)
    with jax.enable_x64(True):
        # All of them, repeats too: one shape, compiled once.
        log_masses = np.asarray(log_masses_of(in_double(model), jnp.asarray(states)))
    return float(np.logaddexp.reduce(log_masses[first]))


@compiled_briefly
def _draw_hidden(key: RandomKey, model: Harmonium, positions: Positions):
    def draw(key: RandomKey, x: Visible) -> Hidden:
        return model.hidden_units.sample(key, model.hidden_logits(x))

    repeated = jnp.repeat(positions, HIDDEN_DRAWS, axis=0)
    return jax.vmap(draw)(jax.random.split(key, len(repeated)), repeated)


def _count_elsewhere(
    found: Float[np.ndarray, "found visible"],
    of_found: Float[np.ndarray, "found"],
    draws: Float[np.ndarray, "draws visible"],
    median: float,
) -> int:
    """How many of the positions found lie among themselves, with an F that is not far above the
    median of the draws.
    """
    # Resampling repeats draws; a repeated one is still one place.
    n_places = len(np.unique(draws, axis=0))
    n_neighbors = math.ceil(math.log(CHANCE) / math.log(len(found) / (len(found) + n_places)))
    n_neighbors = max(n_neighbors, FEWEST_NEIGHBORS)
    if n_neighbors >= len(found):
        return 0
    to_draws = np.min([_distances(found, part).min(axis=1) for part in _parts(draws)], axis=0)
    among = _distances(found, found)
    # The first neighbor of a chain is itself.
    np.fill_diagonal(among, -np.inf)
    neighbors = np.argsort(among, axis=1, kind="stable")[:, : n_neighbors + 1]
    farthest = np.take_along_axis(among, neighbors[:, -1:], axis=1)[:, 0]
    among_chains = farthest < to_draws
    # The mean over a neighborhood: F of one position varies by much within a mode.
    low = of_found[neighbors].mean(axis=1) < NEGLIGIBLE + median
    n_elsewhere = int(np.sum(among_chains & low))
    return n_elsewhere if n_elsewhere >= FEWEST_ELSEWHERE else 0


def _parts(draws: Float[np.ndarray, "draws visible"]) -> list[np.ndarray]:
    return np.array_split(draws, -(-len(draws) // MOST_COMPARED))


def _distances(
    found: Float[np.ndarray, "found visible"], others: Float[np.ndarray, "others visible"]
) -> Float[np.ndarray, "found others"]:
    """Squared distances, by a product: in many columns, trees of neighbors compare nearly all."""
    found, others = np.asarray(found, np.float64), np.asarray(others, np.float64)
    lengths = np.sum(found**2, axis=1)[:, None] + np.sum(others**2, axis=1)
    return lengths - 2 * found @ others.T


def free_energies(
    model: Harmonium, positions: Float[np.ndarray, "rows visible"]
) -> Float[np.ndarray, "rows"]:
    """F of positions, (rows,), in nats."""
    dtype = model.visible_bias.dtype
    return np.asarray(_free_energies(model, jnp.asarray(positions, dtype)), np.float64)


@compiled_briefly
def _free_energies(model: Harmonium, positions: Batch) -> PerRow:
    return jax.vmap(model.free_energy)(positions)


def with_comparison(evidence: Evidence, comparison: Comparison) -> Evidence:
    """The evidence in the light of what chains from dispersed starts have found."""
    concerns = list(evidence.concerns)
    bound = comparison.lower_bound
    if bound > evidence.value + SIGMAS * evidence.standard_error + ROUNDING:
        concerns.append(
            f"what was visited alone gives log Z of at least {bound:.2f}, more than the estimate "
            f"of {evidence.value:.2f}"
        )
    # Nothing below the bound is possible; how far log Z exceeds it is as uncertain as before.
    shift = max(bound - evidence.value, 0.0)
    evidence = replace(evidence, value=evidence.value + shift, high=evidence.high + shift)
    if comparison.n_elsewhere:
        concerns.append(
            f"{comparison.n_elsewhere} of {SEARCH_CHAINS} chains from dispersed starts ended in "
            "modes "
            "that the estimate has not seen"
        )
    return replace(evidence, concerns=tuple(concerns))
