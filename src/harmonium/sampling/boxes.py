"""What is known of the cells of rows, and what is found of the boxes that they span."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp, softmax

from harmonium.errors import InvalidInputError, describe

# Single precision can divide such bounds by a small standard deviation.
LARGEST_BOUND = 1e30

Table = Float[np.ndarray, "rows columns"]
PerRow = Float[np.ndarray, "rows"]
PerDraw = Float[np.ndarray, "rows draws"]
Positions = Float[np.ndarray, "rows draws columns"]


@dataclass(frozen=True, eq=False)
class Boxes:
    """The boxes of rows: bounds `low` <= `high`, both (rows, columns), in the units of the density.

    Equal bounds are a known value, (-inf, inf) is an open cell, all others are intervals. Raises
    `InvalidInputError` where a bound is NaN, out of order, infinite on the wrong side, or finite
    beyond 1e30.
    """

    low: Table
    high: Table

    def __post_init__(self) -> None:
        low, high = (np.asarray(bound, np.float64) for bound in (self.low, self.high))
        if low.ndim != 2 or low.shape != high.shape:
            got = f"shapes {low.shape} and {high.shape}"
            raise _refused("low and high of one shape (rows, columns)", got)
        is_ordered = (low <= high) & (low < np.inf) & (high > -np.inf)
        is_small = np.ones(low.shape, bool)
        for bound in (low, high):
            is_small &= np.isinf(bound) | (np.abs(bound) <= LARGEST_BOUND)
        wrong = np.argwhere(~(is_ordered & is_small))
        if len(wrong):
            row, column = wrong[0]
            cell = f"({low[row, column]}, {high[row, column]}) in row {row}, column {column}"
            raise _refused("low <= high, each infinite on its side or at most 1e30", cell)
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    @staticmethod
    def of_values(values: Table) -> "Boxes":
        """Known values (rows, columns); cells that are NaN are open."""
        values = np.asarray(values, np.float64)
        is_open = np.isnan(values)
        return Boxes(np.where(is_open, -np.inf, values), np.where(is_open, np.inf, values))


class MassEstimate(NamedTuple):
    """log ∫ over the box of every row of a density, times a factor if one was given, in nats.

    `log_mass_error` (rows,) is the standard error that independent points would have; quasi-random
    points mostly do better. `ess` (rows,) is the effective sample size of the weights (Kong 1992),
    at most the number of draws; it equals that number where the mass is exact.
    """

    log_mass: PerRow
    log_mass_error: PerRow
    ess: PerRow


@dataclass(frozen=True, eq=False)
class TruncatedDraws:
    """Weighted draws from the boxes of rows.

    `positions` (rows, draws, columns), `log_weights` (rows, draws) in nats. The mean over draws of
    exp(log_weights) g(position) is an unbiased estimate of the integral of the density times g over
    the box, for every g; `log_mass` (rows,) is the logarithm of that for g = 1.
    """

    positions: Positions
    log_weights: PerDraw
    log_mass: PerRow

    @property
    def n_draws(self) -> int:
        """Draws of each row."""
        return self.log_weights.shape[1]

    @property
    def weights(self) -> PerDraw:
        """Weights that add up to 1 in each row."""
        return softmax(self.log_weights, axis=1)

    @property
    def mass(self) -> MassEstimate:
        """`log_mass` with its standard error and the effective sample size of each row."""
        ess = effective_sample_sizes(self.log_weights)
        return MassEstimate(self.log_mass, log_mass_errors(ess, self.n_draws), ess)

    def reweighted(self, log_factors: PerDraw) -> "TruncatedDraws":
        """These draws for the density times exp(r), where `log_factors` holds r at every draw."""
        log_weights = self.log_weights + np.asarray(log_factors, np.float64)
        return TruncatedDraws(self.positions, log_weights, log_mean_exps(log_weights))

    def resampled(self, n: int, seed: int) -> Positions:
        """`n` equally weighted draws of every row, (rows, n, columns), in random order.

        Systematic resampling (Kitagawa 1996), in an order of its own for every row: points are the
        same for all rows, their choice is not. Draws repeat where weights are uneven, and where `n`
        exceeds the number of draws.
        """
        rng = np.random.default_rng(seed)
        n_rows = len(self.positions)
        start = np.arange(n_rows)[:, None]
        marks = (np.arange(n) + rng.random((n_rows, 1))) / n
        # Every eighth point of a quasi-random sequence lies in one eighth of an axis.
        order = rng.permuted(np.tile(np.arange(self.n_draws), (n_rows, 1)), axis=1)
        cumulative = np.cumsum(np.take_along_axis(self.weights, order, axis=1), axis=1)
        cumulative /= cumulative[:, -1:]
        # One search serves all rows: the cumulative weights of row r lie in (r, r + 1].
        places = np.searchsorted((cumulative + start).ravel(), (marks + start).ravel(), "right")
        chosen = (places.reshape(n_rows, n) - start * self.n_draws).clip(0, self.n_draws - 1)
        chosen = rng.permuted(np.take_along_axis(order, chosen, axis=1), axis=1)
        return np.take_along_axis(self.positions, chosen[:, :, None], axis=1)


def log_mean_exps(log_weights: PerDraw) -> PerRow:
    """Log of the mean weight of every row."""
    return np.asarray(logsumexp(log_weights, axis=1)) - np.log(log_weights.shape[1])


def effective_sample_sizes(log_weights: PerDraw) -> PerRow:
    """(Σ w)² / Σ w² of every row (Kong 1992)."""
    return 1 / np.sum(softmax(log_weights, axis=1) ** 2, axis=1)


def log_mass_errors(ess: PerRow, n_draws: int) -> PerRow:
    """Standard errors of logs of mean weights, to first order."""
    return np.sqrt(np.maximum(n_draws / ess - 1, 0) / (n_draws - 1))


def _refused(expected: str, got: str) -> InvalidInputError:
    return InvalidInputError(describe("Boxes(low, high)", expected=expected, got=got))
