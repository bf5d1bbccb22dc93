"""The Gaussian fit of a table with missing cells, and what it says of them given the others."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

# More rows than these tell the moments of a Gaussian no better than the time they take.
MAX_ROWS = 20_000
# Floating-point operations of one pass of expectation-maximization, which bound the rows further.
MAX_WORK = 2e9
MAX_PASSES = 30
TOLERANCE = 1e-3
# Of the arrays of one batch.
MAX_NUMBERS = 2_000_000
# Added to the variances, so that columns that determine each other leave a matrix that can be
# inverted.
RIDGE = 1e-6

Rows = Float[np.ndarray, "rows columns"]
Square = Float[np.ndarray, "columns columns"]


class Moments(NamedTuple):
    """Mean (columns,) and covariance (columns, columns)."""

    mean: Float[np.ndarray, "columns"]
    covariance: Square


def fit_moments(values: Rows) -> Moments:
    """Maximum-likelihood mean and covariance of rows with missing cells (NaN), by
    expectation-maximization.

    Valid where cells are missing at random, which is more than dropping rows or filling means can
    say (Little and Rubin, "Statistical Analysis with Missing Data", section 11.2). Every column
    needs an observed cell. Complete rows need no iteration.
    """
    mean = np.nanmean(values, axis=0)
    if not np.isnan(values).any():
        centered = values - mean
        return Moments(mean, centered.T @ centered / len(values))
    values = values[: _affordable(values.shape)]
    seen = ~np.isnan(values)
    counts = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, values, 0.0).sum(axis=0) / counts
    variance = np.where(seen, (values - mean) ** 2, 0.0).sum(axis=0) / counts
    moments = Moments(mean, np.diag(np.maximum(variance, RIDGE)))
    for _ in range(MAX_PASSES):
        improved = _one_pass(values, moments)
        change = np.max(np.abs(improved.covariance - moments.covariance))
        moments = improved
        if change < TOLERANCE * np.max(np.diag(moments.covariance)):
            break
    return moments


def draw_missing(values: Rows, moments: Moments, rng: np.random.Generator) -> Rows:
    """The rows with every missing cell (NaN) drawn from the Gaussian given the observed cells of
    its row.
    """
    filled = np.array(values)
    for rows, means, covariances in _given_observed(values, moments):
        missing = np.isnan(values[rows])
        # A block of ones on the diagonal stands for the observed cells, which get no noise.
        identity = np.eye(values.shape[1]) * ~missing[:, None, :]
        factors = np.linalg.cholesky(covariances + identity)
        noise = rng.standard_normal(missing.shape) * missing
        drawn = means + np.einsum("rij,rj->ri", factors, noise)
        filled[rows] = np.where(missing, drawn, values[rows])
    return filled


def expect_missing(values: Rows, moments: Moments) -> Rows:
    """The rows with every missing cell (NaN) at its mean under the Gaussian given the observed
    cells of its row.
    """
    filled = np.array(values)
    for rows, means, _ in _given_observed(values, moments):
        filled[rows] = np.where(np.isnan(values[rows]), means, values[rows])
    return filled


def _affordable(shape: tuple[int, ...]) -> int:
    n_rows, n_columns = shape
    return int(min(n_rows, MAX_ROWS, max(2 * n_columns + 100, MAX_WORK // n_columns**3)))


def _one_pass(values: Rows, moments: Moments) -> Moments:
    """Expected first and second moments under the current Gaussian."""
    filled = np.array(values)
    spread = np.zeros_like(moments.covariance)
    for rows, means, covariances in _given_observed(values, moments):
        filled[rows] = np.where(np.isnan(values[rows]), means, values[rows])
        spread += covariances.sum(axis=0)
    mean = filled.mean(axis=0)
    centered = filled - mean
    return Moments(mean, (centered.T @ centered + spread) / len(values))


def _given_observed(
    values: Rows, moments: Moments
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Of batches of the rows with missing cells: their indices, and means and covariances given the
    observed cells.

    Means are (batch, columns) and covariances (batch, columns, columns), both 0 where nothing is
    missing.
    """
    missing = np.isnan(values)
    precision = np.linalg.inv(_with_ridge(moments.covariance))
    # Rows with the same cells missing share a covariance, so they come one after the other.
    incomplete = np.flatnonzero(missing.any(axis=1))
    order = np.lexsort(missing[incomplete].T)
    incomplete = incomplete[order]
    size = max(1, MAX_NUMBERS // values.shape[1] ** 2)
    for start in range(0, len(incomplete), size):
        rows = incomplete[start : start + size]
        absent = missing[rows]
        is_new = np.append(True, (absent[1:] != absent[:-1]).any(axis=1))
        covariances = _block_inverses(precision, absent[is_new])[np.cumsum(is_new) - 1]
        known = np.where(absent, 0.0, values[rows] - moments.mean)
        pull = (known @ precision) * absent
        means = moments.mean - np.einsum("rij,rj->ri", covariances, pull)
        yield rows, means, covariances


def _block_inverses(
    precision: Square, missing: Bool[np.ndarray, "patterns columns"]
) -> Float[np.ndarray, "patterns columns columns"]:
    """The inverse of the block of missing cells of a precision, 0 elsewhere, for every pattern."""
    both = missing[:, :, None] & missing[:, None, :]
    identity = np.eye(missing.shape[1])
    inverses = np.linalg.inv(np.where(both, precision, identity))
    return np.where(both, inverses, 0.0)


def _with_ridge(covariance: Square) -> Square:
    return covariance + RIDGE * np.diag(np.maximum(np.diag(covariance), RIDGE))
