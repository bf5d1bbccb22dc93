"""Cells as intervals of a standard normal coordinate u: their masses, and places inside of them.

A cell with `low == high` is a point. A missing cell reaches from -inf to inf.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import log_ndtr, ndtri_exp

# Masses of narrower intervals are differences of nearly equal numbers; a series is exact there.
_NARROW = 1e-4
_LOG_ROOT_2PI = 0.5 * np.log(2 * np.pi)

Cells = Float[np.ndarray, "rows modeled"]


class Bounds(NamedTuple):
    """The two ends of every cell in u, (rows, modeled) each."""

    low: Cells
    high: Cells

    @property
    def is_point(self) -> Bool[np.ndarray, "rows modeled"]:
        """Which cells are points."""
        return self.low == self.high

    @property
    def is_open(self) -> Bool[np.ndarray, "rows modeled"]:
        """Which cells are missing or of an unseen category."""
        return np.isneginf(self.low) & np.isposinf(self.high)

    @property
    def has_intervals(self) -> Bool[np.ndarray, "rows"]:
        """Which rows have cells that are neither points nor open."""
        return ~np.all(self.is_point | self.is_open, axis=1)

    def of_rows(self, rows: np.ndarray) -> "Bounds":
        """Those of some rows, by their numbers or a mask."""
        return Bounds(self.low[rows], self.high[rows])


def log_normal_density(u: np.ndarray) -> np.ndarray:
    """The log-density of N(0, 1), in nats."""
    return -0.5 * np.square(u) - _LOG_ROOT_2PI


def spread(bounds: Bounds, place: np.ndarray | float) -> Cells:
    """The point of every cell at a share `place`, in (0, 1), of its mass under N(0, 1).

    Φ⁻¹(Φ(low) + place (Φ(high) - Φ(low))), computed in logarithms on the side of the smaller
    mass, so that it is exact in both tails. Points stay, missing cells are NaN. `place` has a
    shape that fits (rows, modeled).
    """
    points = np.where(bounds.is_open, np.nan, bounds.low)
    wide = ~(bounds.is_point | bounds.is_open)
    low, high = bounds.low[wide], bounds.high[wide]
    share = np.broadcast_to(np.asarray(place, dtype=np.float64), points.shape)[wide]
    below, above = np.log1p(-share), np.log(share)
    log_lower = np.logaddexp(below + log_ndtr(low), above + log_ndtr(high))
    log_upper = np.logaddexp(below + log_ndtr(-low), above + log_ndtr(-high))
    points[wide] = np.clip(from_log_tails(log_lower, log_upper), low, high)
    return points


def from_log_tails(log_lower: np.ndarray, log_upper: np.ndarray) -> np.ndarray:
    """The u with log Φ(u) = log_lower and log Φ(-u) = log_upper, from the smaller of the two."""
    side = np.where(log_lower <= log_upper, 1.0, -1.0)
    return side * ndtri_exp(np.minimum(log_lower, log_upper))


def log_interval_mass(bounds: Bounds) -> Cells:
    """log(Φ(high) - Φ(low)) of every cell, (rows, modeled), in nats.

    It is -inf for points, and 0 for missing cells.
    """
    # Reflected so that the end nearer to the center is `high`: nothing is then close to 1.
    flip = bounds.low > -bounds.high
    low = np.where(flip, -bounds.high, bounds.low)
    high = np.where(flip, -bounds.low, bounds.high)
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = log_ndtr(low) - log_ndtr(high)
        mass = log_ndtr(high) + np.log(-np.expm1(difference))
        narrow = high - low < _NARROW
        series = _log_narrow_mass(low, high)
    mass = np.where(narrow, series, mass)
    return np.where(high > low, mass, -np.inf)


def _log_narrow_mass(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """log of ∫ φ over an interval of middle m and small width d.

    It is φ(m) d sinh(a)/a (1 - d²/24) with a = m d/2, to fourth order of d.
    """
    middle, width = (low + high) / 2, high - low
    a = np.abs(middle * width / 2)
    far = a + np.log1p(-np.exp(-2 * a)) - np.log(2 * a)
    ratio = np.where(a < 1e-3, a**2 / 6, far)
    return log_normal_density(middle) + np.log(width) + ratio + np.log1p(-(width**2) / 24)
