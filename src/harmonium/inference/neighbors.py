"""How near rows are to training rows, by kernels that stand at these and by distances."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from harmonium.inference.batches import map_rows
from harmonium.typing import Batch, Points

# Of the kernel density: few rows are near any other, so that it says how near the nearest are.
BANDWIDTH = 0.1
# Distance of rows that are the same, relative to the numbers that it is a difference of.
SAME = 1e-5
# Rows at which kernels stand, at most, and those that are neighbors.
MOST_KERNELS, MOST_NEIGHBORS = 5000, 2000
# Nearest rows whose distances count, and columns of a distance that are added in one pass.
N_NEAREST, MOST_ADDED = 5, 16
# Rows that vote at once: a processor's cache holds what all components make of them.
MOST_VOTING = 256


def near_votes(kernels: Batch, rows: Points) -> Float[np.ndarray, "rows 2"]:
    """Minus the log of the sum of Gaussian kernels at the rows, and distances, (rows, 2).

    Distances are sums over columns, whose nearest few are averaged: one odd cell counts once there,
    and squared in the kernels. One kernel and one neighbor in the very place of a row are left out:
    they may be its own.
    """
    return map_rows(lambda batch: votes_near(kernels, batch), rows, longest=MOST_VOTING)


@eqx.filter_jit
def votes_near(kernels: Batch, rows: Batch) -> Float[Array, "rows 2"]:
    """`near_votes` of one batch, as a program, (rows, 2)."""
    neighbors = kernels[:MOST_NEIGHBORS]
    return jnp.stack([_kernel_votes(kernels, rows), _distances(neighbors, rows)], axis=1)


def _kernel_votes(kernels: Batch, rows: Batch) -> Float[Array, "rows"]:
    # Differences are squared, not |row|² - 2 row·kernel + |kernel|² taken: narrow kernels make of
    # its rounding up to 0.1 nats far from the center, and a product saves hardly any time.
    distances = _sums_of_gaps(rows, kernels, jnp.square)
    size = jnp.sqrt(jnp.sum(rows**2, axis=1))
    is_same = distances <= ((SAME * (1 + size)) ** 2)[:, None]
    others = jnp.where(is_same, jnp.inf, distances)
    nearest = jnp.min(others, axis=1)
    start = jnp.where(jnp.isfinite(nearest), nearest, 0)
    total = jnp.sum(jnp.exp((start[:, None] - others) / (2 * BANDWIDTH**2)), axis=1)
    exponent = jnp.log(total) - start / (2 * BANDWIDTH**2)
    # Where the first of several is left out, the others count in full.
    n_same = jnp.maximum(jnp.sum(is_same, axis=1) - 1, 0).astype(rows.dtype)
    return -jnp.logaddexp(exponent, jnp.log(n_same))


def _distances(neighbors: Batch, rows: Batch) -> Float[Array, "rows"]:
    """The mean distance to the nearest neighbors, less one in the very place of a row."""
    n_nearest = min(N_NEAREST, neighbors.shape[0] - 1)
    nearest = -jax.lax.top_k(-_sums_of_gaps(rows, neighbors, jnp.abs), n_nearest + 1)[0]
    # By slices, which every runtime has.
    first, others = (
        jax.lax.slice_in_dim(nearest, start, start + n_nearest, axis=1) for start in (0, 1)
    )
    own = jax.lax.index_in_dim(nearest, 0, axis=1)
    is_same = own <= SAME * (1 + jnp.sum(jnp.abs(rows), axis=1))[:, None]
    return jnp.mean(jnp.where(is_same, others, first), axis=1)


def _sums_of_gaps(
    rows: Batch, others: Batch, of_gap: Callable[[Array], Array]
) -> Float[Array, "rows others"]:
    """The sum over columns of of_gap(row - other), six times as fast as one reduction over
    columns.
    """

    def add(total: Array, column: tuple[Array, Array]) -> tuple[Array, None]:
        own, other = column
        return total + of_gap(own[:, None] - other[None, :]), None

    none = jnp.zeros((rows.shape[0], others.shape[0]), rows.dtype)
    unroll = min(rows.shape[1], MOST_ADDED)
    return jax.lax.scan(add, none, (rows.T, others.T), unroll=unroll)[0]
