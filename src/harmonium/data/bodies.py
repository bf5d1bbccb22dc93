"""`Body`: the increasing map of a column of numbers to a coordinate that is standard normal.

With v = (x - location)/scale, or tail·asinh of v/tail in columns with long tails, a body is

    u = Φ⁻¹(Σ_k weights_k Φ((v - means_k)/sds_k)),

the distribution function of a Gaussian mixture of v. One component makes the map affine in v, and
the body an affine or an asinh one. Both tails are computed from their own side, in logarithms, so
that the map is strictly increasing far out too.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy.special import log_ndtr, ndtr, ndtri_exp

from harmonium.data.intervals import log_normal_density
from harmonium.data.table import LARGEST

# Beyond so many standard deviations the widest component alone is all of the tail, to the last
# digit of u, and to eight digits of the slope, which cancellation would take.
_ALONE, _ALONE_FOR_SLOPES = 1e8, 1e4
# Knots of the inverse per component, between ±8 standard deviations.
_KNOTS = np.linspace(-8.0, 8.0, 65)
_MAX_STEPS = 100

Column = Float[np.ndarray, "cells"]


@dataclass(frozen=True, eq=False)
class Body:
    """The map of one column.

    `location` and `scale` are in data units; `tail` is in units of `scale`, 0 for none. `weights`,
    `means` and `sds` (components,) describe the mixture of v; weights add up to 1.
    """

    location: float
    scale: float
    tail: float
    weights: Float[np.ndarray, "components"]
    means: Float[np.ndarray, "components"]
    sds: Float[np.ndarray, "components"]

    @property
    def n_components(self) -> int:
        """How many Gaussians the mixture has."""
        return len(self.weights)

    @property
    def kind(self) -> str:
        """One of "affine", "asinh", "mixture"."""
        if self.n_components > 1:
            return "mixture"
        return "asinh" if self.tail > 0 else "affine"

    def to_normal(self, cells: Column) -> Column:
        """The coordinate u of cells in data units; infinite cells go to infinite u."""
        return self._to_normal(self._compress(cells))

    def from_normal(self, u: Column) -> Column:
        """The inverse of `to_normal`: cells in data units, kept within ±1e100."""
        v = self._from_normal(u)
        with np.errstate(over="ignore"):
            expanded = self.tail * np.sinh(v / self.tail) if self.tail > 0 else v
            cells = self.location + self.scale * expanded
        return np.clip(cells, -LARGEST, LARGEST)

    def log_slope(self, cells: Column) -> Column:
        """log du/dx at cells in data units, in nats."""
        v = self._compress(cells)
        return self._log_slope(v, self._to_normal(v)) + self._log_compression(cells)

    def log_density(self, cells: Column) -> Column:
        """log of the density of cells, per data unit, in nats."""
        v = self._compress(cells)
        return self._log_mixture(v) + self._log_compression(cells)

    def _compress(self, cells: Column) -> Column:
        v = (cells - self.location) / self.scale
        return self.tail * np.arcsinh(v / self.tail) if self.tail > 0 else v

    def _log_compression(self, cells: Column) -> Column:
        """log dv/dx."""
        if self.tail == 0:
            return np.full(len(cells), -np.log(self.scale))
        ratio = (cells - self.location) / self.scale / self.tail
        return -np.log(self.scale) - np.log(np.hypot(1.0, ratio))

    def _standard(self, v: Column) -> Float[np.ndarray, "components cells"]:
        """v in standard deviations of each component."""
        return (v - self.means[:, None]) / self.sds[:, None]

    def _to_normal(self, v: Column) -> Column:
        z = self._standard(v)
        if self.n_components == 1:
            return z[0]
        side = np.where(v <= self.median, 1.0, -1.0)
        logs = np.log(self.weights)[:, None] + log_ndtr(side * z)
        u = side * ndtri_exp(np.minimum(_log_sum(logs), 0.0))
        return np.where(_is_beyond(z, _ALONE), _nearest(z), u)

    def _log_slope(self, v: Column, u: Column) -> Column:
        """log du/dv, where v is mapped to u."""
        if self.n_components == 1:
            return np.full(len(v), -np.log(self.sds[0]))
        z = self._standard(v)
        alone = -np.log(self.sds)[np.abs(z).argmin(axis=0)]
        with np.errstate(invalid="ignore"):
            slope = self._log_mixture(v) - log_normal_density(u)
        return np.where(_is_beyond(z, _ALONE_FOR_SLOPES), alone, slope)

    def _log_mixture(self, v: Column) -> Column:
        """log of the density of v."""
        logs = np.log(self.weights / self.sds)[:, None] + log_normal_density(self._standard(v))
        return _log_sum(logs)

    @cached_property
    def median(self) -> float:
        """The median of v, by bisection; only the choice of a side for tails depends on it."""
        low, high = float(self.means.min()), float(self.means.max())
        for _ in range(60):
            middle = (low + high) / 2
            below = self.weights @ ndtr((middle - self.means) / self.sds) < 0.5
            low, high = (middle, high) if below else (low, middle)
        return (low + high) / 2

    @cached_property
    def _knots(self) -> tuple[Column, Column]:
        """Points v and their u, both increasing, between which the inverse is sought."""
        v = np.unique(self.means[:, None] + self.sds[:, None] * _KNOTS)
        u = np.maximum.accumulate(self._to_normal(v))
        keep = np.diff(u, prepend=-np.inf) > 0
        return v[keep], u[keep]

    def _from_normal(self, u: Column) -> Column:
        if self.n_components == 1:
            return self.means[0] + self.sds[0] * u
        low, high = self._bracket(u)
        knots = self._knots
        v = np.clip(np.interp(u, knots[1], knots[0]), low, high)
        beyond = (u < knots[1][0]) | (u > knots[1][-1])
        v = np.where(beyond, (low + high) / 2, v)
        return self._newton(u, v, low, high)

    def _bracket(self, u: Column) -> tuple[Column, Column]:
        """Ends between which the inverse lies: v of the components, or neighboring knots."""
        ends = self.means[:, None] + self.sds[:, None] * u
        low, high = ends.min(axis=0), ends.max(axis=0)
        v, of_knots = self._knots
        right = np.searchsorted(of_knots, u, side="left")
        low = np.maximum(low, np.append(-np.inf, v)[right])
        high = np.minimum(high, np.append(v, np.inf)[right])
        return np.minimum(low, high), np.maximum(low, high)

    def _newton(self, u: Column, v: Column, low: Column, high: Column) -> Column:
        """The inverse by Newton's method, to rounding; bisection where a step is too long."""
        v, low, high = v.copy(), low.copy(), high.copy()
        active = np.flatnonzero(np.isfinite(u) & (low < high))
        for _ in range(_MAX_STEPS):
            own = v[active]
            found = self._to_normal(own)
            miss = found - u[active]
            # No distribution function is known to more digits than these.
            missed = np.abs(miss) > np.spacing(1 + np.abs(u[active]))
            active, own, found, miss = (part[missed] for part in (active, own, found, miss))
            if not len(active):
                break
            low[active] = np.where(miss < 0, own, low[active])
            high[active] = np.where(miss > 0, own, high[active])
            with np.errstate(over="ignore", invalid="ignore"):
                step = own - miss * np.exp(-self._log_slope(own, found))
            inside = (step > low[active]) & (step < high[active])
            v[active] = np.where(inside, step, (low[active] + high[active]) / 2)
            moved = np.abs(v[active] - own) > np.spacing(np.abs(own))
            active = active[moved]
        return np.where(np.isinf(u), u, v)


def _is_beyond(z: Float[np.ndarray, "components cells"], distance: float) -> np.ndarray:
    """Which cells lie on one side of all components, so many standard deviations away."""
    return (z.max(axis=0) < -distance) | (z.min(axis=0) > distance)


def _nearest(z: Float[np.ndarray, "components cells"]) -> Column:
    """The z of the smallest magnitude."""
    return np.take_along_axis(z, np.abs(z).argmin(axis=0)[None], axis=0)[0]


def _log_sum(logs: Float[np.ndarray, "components cells"]) -> Column:
    """log Σ exp over the first axis; -inf where all are."""
    peak = logs.max(axis=0)
    peak = np.where(np.isfinite(peak), peak, 0.0)
    with np.errstate(divide="ignore"):
        return peak + np.log(np.exp(logs - peak).sum(axis=0))
