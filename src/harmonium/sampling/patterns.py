"""Mixtures of Gaussians given the known cells of rows: in float64, by NumPy, per pattern of cells.

Everything that factorizes matrices happens here and not in compiled code, where batches of small
factorizations are slow. A pattern says which columns of a row are known, which lie in an interval,
and which are open; rows of one pattern share their factors.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int8

from harmonium.model.abstract_mixture import LOG_2PI
from harmonium.model.mixture import Mixture, lower_factors

# Variance left of a column given those before it, in parts of its own, whose rounding is harmless.
LEAST_PIVOT = 1e-8

# The kinds of cells, in the order in which they are conditioned on.
KNOWN, INTERVAL, OPEN = 0, 1, 2

Table = Float[np.ndarray, "rows columns"]
Kinds = Int8[np.ndarray, "rows columns"]
Patterns = Int8[np.ndarray, "patterns columns"]
Orders = Int[np.ndarray, "patterns columns"]
Weights = Float[np.ndarray, "components"]
Means = Float[np.ndarray, "components columns"]
Factors = Float[np.ndarray, "components columns columns"]
PatternFactors = Float[np.ndarray, "patterns components columns columns"]


class DoubleMixture(NamedTuple):
    """A mixture of Gaussians in float64 by NumPy; `factors` are those of its `covariances`."""

    log_weights: Weights
    means: Means
    factors: Factors
    covariances: Factors

    @staticmethod
    def of(mixture: Mixture) -> "DoubleMixture":
        """The numbers of `mixture`."""
        parts = (mixture.log_weights, mixture.means, mixture.factors)
        log_weights, means, factors = (np.asarray(part, np.float64) for part in parts)
        covariances = factors @ np.swapaxes(factors, 1, 2)
        return DoubleMixture(log_weights, means, factors, covariances)


class Conditioned(NamedTuple):
    """A mixture given the known cells of rows, columns in the order of each row's pattern.

    The intervals come first, then the open columns, then the known ones. Given component k, column
    t is means[row, k, t] + Σ_s factors[pattern, k, t, s] e_s with standard normal e; the factors
    are lower triangular, and the identity on known columns. `log_joint` (rows, components) is
    log w_k N_k(known cells), in nats. Row r has the pattern `patterns`[r], and its column t is
    column `orders`[pattern, t] of the table.
    """

    log_joint: Float[np.ndarray, "rows components"]
    means: Float[np.ndarray, "rows components columns"]
    factors: PatternFactors
    orders: Orders
    patterns: Int[np.ndarray, "rows"]


def cell_kinds(low: Table, high: Table) -> Kinds:
    """`KNOWN` where the bounds are equal, `OPEN` where both are infinite, else `INTERVAL`."""
    is_open = np.isneginf(low) & np.isposinf(high)
    return np.where(low == high, KNOWN, np.where(is_open, OPEN, INTERVAL)).astype(np.int8)


def find_patterns(kinds: Kinds) -> tuple[Patterns, Int[np.ndarray, "rows"]]:
    """The distinct patterns (patterns, columns), and the number of each row's pattern (rows,)."""
    distinct, numbers = np.unique(kinds, axis=0, return_inverse=True)
    return distinct, numbers.reshape(-1)


def condition(
    mixture: DoubleMixture, values: Table, kinds: Patterns, patterns: Int[np.ndarray, "rows"]
) -> Conditioned:
    """The mixture given the cells of `values` that the rows' patterns call known."""
    orders = _orders(mixture, kinds)
    factors = _ordered_factors(mixture, orders)
    n_known = np.sum(kinds == KNOWN, axis=1)
    order, row_known = orders[patterns], n_known[patterns]
    values = np.take_along_axis(values, order, axis=1)
    means = np.moveaxis(mixture.means[:, order], 0, 1)
    own = factors if len(factors) == 1 else factors[patterns]
    noise = _known_noise(own, values[:, None, :] - means, row_known)
    is_known = np.arange(values.shape[1]) < row_known[:, None]
    diagonal = np.log(np.diagonal(own, axis1=2, axis2=3))
    log_det = np.sum(np.where(is_known[:, None, :], diagonal, 0.0), axis=2)
    squares = np.sum(noise**2, axis=2) + row_known[:, None] * LOG_2PI
    log_joint = mixture.log_weights - log_det - 0.5 * squares
    means = means + np.matmul(own, noise[..., None])[..., 0]
    # Known columns come first in the factorization and last in the result.
    turn = (np.arange(values.shape[1]) + n_known[:, None]) % values.shape[1]
    return Conditioned(
        log_joint,
        np.take_along_axis(means, turn[patterns][:, None, :], axis=2),
        _without_known(factors, n_known),
        np.take_along_axis(orders, turn, axis=1),
        patterns,
    )


def _orders(mixture: DoubleMixture, kinds: Patterns) -> Orders:
    """Known columns, then intervals, then open columns, (patterns, columns).

    Among the intervals the next column is the one that explains most of the variance that is left
    of the intervals, in the pooled covariance: what is fixed early should explain most of the rest.
    The order depends on the pattern alone, so that rows share factors.
    """
    n_patterns, n_columns = kinds.shape
    roots = np.exp(0.5 * mixture.log_weights)[:, None, None] * mixture.factors
    pooled = np.sum(roots @ np.swapaxes(roots, 1, 2), axis=0)
    sd = np.sqrt(np.diagonal(pooled))
    left = np.tile(pooled / np.outer(sd, sd), (n_patterns, 1, 1))
    waits = np.ones((n_patterns, n_columns), bool)
    every = np.arange(n_patterns)
    orders = np.empty((n_patterns, n_columns), np.int64)
    for place in range(n_columns):
        counts = waits & (kinds == INTERVAL)
        variance = np.maximum(np.diagonal(left, axis1=1, axis2=2), 1e-12)
        explained = np.einsum("pij,pj->pi", left**2, counts) / variance
        # The kinds follow one another whatever the columns explain; at most all columns of it.
        score = np.where(waits, explained - kinds * (n_columns + 1.0) ** 2, -np.inf)
        orders[:, place] = chosen = np.argmax(score, axis=1)
        waits[every, chosen] = False
        column = left[every, :, chosen] / np.sqrt(variance[every, chosen])[:, None]
        left -= column[:, :, None] * column[:, None, :]
    return orders


def _ordered_factors(mixture: DoubleMixture, orders: Orders) -> PatternFactors:
    """Cholesky factors of the covariances with the columns of each pattern in order.

    The factorization of covariances is several times as fast as that of their factors, which keeps
    twice as many digits: it serves where none of these would be missed.
    """
    rows, columns = orders[:, :, None], orders[:, None, :]
    ordered = np.moveaxis(mixture.covariances[:, rows, columns], 0, 1)
    try:
        factors = np.linalg.cholesky(ordered)
    except np.linalg.LinAlgError:
        factors = np.zeros_like(ordered)
    pivots, variances = (np.diagonal(part, axis1=2, axis2=3) for part in (factors, ordered))
    if np.all(pivots**2 > LEAST_PIVOT * variances):
        return factors
    roots = np.moveaxis(mixture.factors[:, orders], 0, 1)
    return lower_factors(roots.reshape(-1, *roots.shape[2:])).reshape(roots.shape)


def _known_noise(
    factors: PatternFactors,
    residuals: Float[np.ndarray, "rows components columns"],
    n_known: Int[np.ndarray, "rows"],
) -> Float[np.ndarray, "rows components columns"]:
    """The e of the known columns, which come first, by forward substitution; 0 in the others."""
    noise = np.zeros_like(residuals)
    for j in range(n_known.max(initial=0)):
        explained = np.matmul(factors[:, :, j, None, :j], noise[:, :, :j, None])[..., 0, 0]
        found = (residuals[:, :, j] - explained) / factors[:, :, j, j]
        noise[:, :, j] = np.where((j < n_known)[:, None], found, 0.0)
    return noise


def _without_known(factors: PatternFactors, n_known: Int[np.ndarray, "patterns"]) -> PatternFactors:
    """The factors of the columns that are not known, moved to the front; then the identity."""
    n_columns = factors.shape[-1]
    moved = np.zeros_like(factors)
    moved[:, :, range(n_columns), range(n_columns)] = 1.0
    for known in np.unique(n_known):
        own, left = n_known == known, n_columns - known
        moved[own, :, :left, :left] = factors[own, :, known:, known:]
    return moved
