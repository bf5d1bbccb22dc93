"""Single cells under a mixture of Gaussians, given the other cells of their row, in closed form.

Rows are standardized points, (rows, modeled).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import logsumexp, ndtr

from harmonium.model import Mixture
from harmonium.model.abstract_mixture import LOG_2PI
from harmonium.typing import PerCell, Points

# Standard deviations from all centers within which quantiles are sought, and halvings of that span.
SPAN, N_HALVINGS = 6.0, 40
# Rows whose quantiles are sought at once.
MOST_ROWS = 4096

Positions = Int[np.ndarray, "rows"]
ByComponent = Float[np.ndarray, "components rows modeled"]


class Conditionals(NamedTuple):
    """x_j given the other coordinates, for every row and j: a mixture of one-dimensional Gaussians.

    `log_weights` and `centers` are of components, rows and columns; `precision` (components, 1,
    modeled) is the same for all rows.
    """

    log_weights: ByComponent
    centers: ByComponent
    precision: Float[np.ndarray, "components 1 modeled"]

    @staticmethod
    def of(mixture: Mixture, rows: Points) -> "Conditionals":
        """Of component k with precision P, x_j given the others has variance 1/P_jj and the mean
        x_j - (P(x - m))_j / P_jj.
        """
        log_weights, means, inverses = (
            np.asarray(part, np.float64)
            for part in (mixture.log_weights, mixture.means, mixture.inverses)
        )
        standard = np.einsum("kij,knj->kni", inverses, rows - means[:, None], optimize=True)
        pulled = np.einsum("kij,kni->knj", inverses, standard, optimize=True)
        precision = np.sum(inverses**2, axis=1)[:, None, :]
        log_det = np.log(np.diagonal(inverses, axis1=1, axis2=2)).sum(axis=1)
        joint = (log_weights + log_det)[:, None] - 0.5 * np.sum(standard**2, axis=2)
        # Without coordinate j: the joint density less that of j given the others.
        others = joint[:, :, None] - 0.5 * (np.log(precision) - pulled**2 / precision)
        others -= logsumexp(others, axis=0)
        return Conditionals(others, rows - pulled / precision, precision)


def conditional_log_densities(
    mixture: Mixture, rows: Points, places: Float[np.ndarray, "rows modeled places"]
) -> Float[np.ndarray, "rows modeled places"]:
    """log q(x_j = place given the other coordinates of the row), for every j and place; nats."""
    log_weights, centers, precision = Conditionals.of(mixture, rows)
    apart = places[None] - centers[:, :, :, None]
    own = (
        0.5 * (np.log(precision) - LOG_2PI)[:, :, :, None]
        - 0.5 * precision[:, :, :, None] * apart**2
    )
    return np.asarray(logsumexp(log_weights[:, :, :, None] + own, axis=0))


def conditional_quantiles(
    mixture: Mixture, rows: Points, columns: Positions, shares: tuple[float, ...]
) -> Float[np.ndarray, "rows shares"]:
    """Places below which x_j lies with these probabilities given the other coordinates, where j is
    one of `columns` per row; by halving.
    """
    starts = range(0, len(rows), MOST_ROWS)
    parts = [(rows[at : at + MOST_ROWS], columns[at : at + MOST_ROWS]) for at in starts]
    found = [_quantiles(mixture, *part, shares) for part in parts]
    return np.concatenate(found) if found else np.empty((0, len(shares)))


def _quantiles(
    mixture: Mixture, rows: Points, columns: Positions, shares: tuple[float, ...]
) -> Float[np.ndarray, "rows shares"]:
    found, own = Conditionals.of(mixture, rows), range(len(rows))
    weights = np.exp(found.log_weights[:, own, columns])[:, :, None]
    centers = found.centers[:, own, columns][:, :, None]
    steepness = np.sqrt(found.precision[:, 0, columns])[:, :, None]
    low = np.repeat((centers - SPAN / steepness).min(axis=0), len(shares), axis=1)
    high = np.repeat((centers + SPAN / steepness).max(axis=0), len(shares), axis=1)
    for _ in range(N_HALVINGS):
        middle = (low + high) / 2
        below = np.sum(weights * ndtr((middle - centers) * steepness), axis=0) < shares
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


def marginal_log_densities(mixture: Mixture, rows: Points) -> PerCell:
    """log q(x_j) of every coordinate by itself, (rows, modeled)."""
    log_weights, means, factors = (
        np.asarray(part, np.float64)
        for part in (mixture.log_weights, mixture.means, mixture.factors)
    )
    variances = np.sum(factors**2, axis=2)[:, None]
    squares = (rows - means[:, None]) ** 2 / variances
    own = log_weights[:, None, None] - 0.5 * (squares + np.log(variances) + LOG_2PI)
    return np.asarray(logsumexp(own, axis=0))


def pair_log_ratios(mixture: Mixture, rows: Points, columns: Positions) -> PerCell:
    """log q(x_j, x_k) / (q(x_j) q(x_k)) for every k, where j is one of `columns` per row; infinite
    for j itself.
    """
    single = marginal_log_densities(mixture, rows)
    log_weights, means, factors = (
        np.asarray(part, np.float64)
        for part in (mixture.log_weights, mixture.means, mixture.factors)
    )
    variances = np.sum(factors**2, axis=2)
    found = np.full(rows.shape, np.inf)
    for j in np.unique(columns):
        at, rest = np.flatnonzero(columns == j), np.delete(np.arange(rows.shape[1]), j)
        shared = (factors @ factors[:, j, :, None])[:, None, rest, 0]
        first, others = variances[:, None, [j]], variances[:, None, rest]
        apart = rows[at] - means[:, None]
        mine, theirs = apart[:, :, [j]], apart[:, :, rest]
        spread = first * others - shared**2
        squares = (others * mine**2 - 2 * shared * mine * theirs + first * theirs**2) / spread
        joint = log_weights[:, None, None] - LOG_2PI - 0.5 * (np.log(spread) + squares)
        both = single[at][:, [j]] + single[at][:, rest]
        found[np.ix_(at, rest)] = logsumexp(joint, axis=0) - both
    return found
