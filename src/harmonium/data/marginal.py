"""`Marginal`: one column as points and intervals of a coordinate u that is standard normal.

The distribution function of a column is that of its body, where the values are continuous, plus a
jump at every atom, a value that many rows share. An atom is the interval of u that its jump covers.
A column of few levels, or of categories, has atoms only: their intervals cover the whole line.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy.special import log_ndtr

from harmonium.data.bodies import Body
from harmonium.data.cell_shapes import CellShape
from harmonium.data.intervals import (
    Bounds,
    from_log_tails,
    log_interval_mass,
    log_normal_density,
    spread,
)
from harmonium.data.own_bodies import OwnBody

Column = Float[np.ndarray, "cells"]
# Points u between which very many cells are interpolated.
TABULATED = np.linspace(-6.0, 6.0, 4097)


@dataclass(frozen=True, eq=False)
class Marginal:
    """The marginal of one column.

    `body` is the continuous part, None where every cell is an atom. `atoms` (atoms,) are values in
    their order on the line, increasing where there is a body; `masses` (atoms,) are their
    probabilities, which the body does not share. `shape` says where cells lie.
    """

    body: Body | OwnBody | None
    atoms: Float[np.ndarray, "atoms"]
    masses: Float[np.ndarray, "atoms"]
    shape: CellShape

    @property
    def kind(self) -> str:
        """One of "levels", "affine", "asinh", "mixture", or that of an own body."""
        return "levels" if self.body is None else self.body.kind

    @property
    def has_long_tails(self) -> bool:
        """Whether the tails of the body are compressed, so that a mean of draws hangs on few of
        them.
        """
        return self.body is not None and self.body.tail > 0

    @property
    def rest(self) -> float:
        """The mass of the body."""
        return 0.0 if self.body is None else float(1 - self.masses.sum())

    def index(self, cells: Column) -> Int[np.ndarray, "cells"]:
        """Positions of the cells among the atoms; -1 for all that are none."""
        if not len(self.atoms):
            return np.full(len(cells), -1)
        order = np.argsort(self.atoms)
        cells = self.shape.cleaned(cells)
        place = np.searchsorted(self.atoms[order], cells).clip(max=len(order) - 1)
        found = order[place]
        return np.where(self.atoms[found] == cells, found, -1)

    def is_unseen(self, cells: Column) -> np.ndarray:
        """Which cells are none of the levels of the column, boolean; missing cells never are."""
        if self.body is not None:
            return np.zeros(len(cells), dtype=bool)
        return (self.index(cells) < 0) & ~np.isnan(cells)

    def bounds(self, cells: Column, *, as_points: bool = False) -> tuple[Column, Column]:
        """The two ends of cells in u; from -inf to inf where they are missing or unseen levels.

        `as_points` takes the cells of a lattice for points at their centers; atoms stay intervals.
        """
        index = self.index(cells)
        known = index >= 0 if self.body is None else ~np.isnan(cells)
        low, high = np.full(len(cells), -np.inf), np.full(len(cells), np.inf)
        if self.body is None:
            low[known], high[known] = (cut[index[known]] for cut in self._cuts)
        else:
            low[known], high[known] = self._ends(cells[known], index[known], as_points)
        return low, high

    def interval(self, low: float, high: float) -> tuple[float, float] | None:
        """The ends in u of the values from `low` to `high`, which may be infinite; None if there
        are none.

        A cell of a lattice belongs to it where its center does, an atom where it lies inside.
        """
        if self.body is None:
            inside = np.flatnonzero((self.atoms >= low) & (self.atoms <= high))
            if not len(inside) or np.ptp(inside) + 1 > len(inside):
                return None
            return float(self._cuts[0][inside[0]]), float(self._cuts[1][inside[-1]])
        first, last = low, high
        if self.shape.step > 0:
            offset, step = self.shape.offset, self.shape.step
            first = low if np.isinf(low) else offset + step * (np.ceil((low - offset) / step) - 0.5)
            last = (
                high if np.isinf(high) else offset + step * (np.floor((high - offset) / step) + 0.5)
            )
            if not first < last:
                return None
        start, end = (
            value if np.isinf(value) else float(self._at(np.array([value]), side)[0])
            for value, side in ((first, "left"), (last, "right"))
        )
        return (start, end) if start < end else None

    def centers(self, cells: Column) -> Column:
        """One point u in every cell, NaN where it is missing.

        It is the center of a lattice cell in data units, and the median of an atom.
        """
        if self.body is None:
            return self._medians[self.index(cells)]
        low, high = (end[:, None] for end in self.bounds(cells, as_points=True))
        return spread(Bounds(low, high), 0.5)[:, 0]

    def log_measure(self, cells: Column, *, as_points: bool = False) -> Column:
        """What turns a density or a mass in u into those of the cells, (cells,), in nats.

        log du/dx at points; -log(step) in the cells of a lattice; 0 for atoms and categories of no
        lattice, and where a cell is missing or unseen. `as_points` is that of `bounds`.
        """
        index = self.index(cells)
        measure = np.zeros(len(cells))
        lattice = self.shape.is_lattice(cells) & ((index >= 0) | (not as_points))
        measure[lattice] = -np.log(self.shape.step or 1.0)
        if self.body is None:
            return np.where(index < 0, 0.0, measure)
        smooth = ~lattice & (index < 0) & ~np.isnan(cells)
        measure[smooth] = self._log_slope(cells[smooth])
        return measure

    def log_density(self, cells: Column) -> Column:
        """The log-density of cells by themselves, as `log_measure` counts it; 0 where missing."""
        low, high = (end[:, None] for end in self.bounds(cells))
        bounds = Bounds(low, high)
        point = bounds.is_point[:, 0]
        density = np.where(point, 0.0, log_interval_mass(bounds)[:, 0])
        density[point] = log_normal_density(low[point, 0])
        return density + self.log_measure(cells)

    def restore(self, u: Column) -> Column:
        """The cells that u lies in; NaN stays NaN."""
        if self.body is None:
            index = np.searchsorted(self._cuts[1][:-1], u, side="right")
            return np.where(np.isnan(u), np.nan, self.atoms[index])
        known = ~np.isnan(u)
        cells = np.full(len(u), np.nan)
        cells[known] = self.shape.snap(self.numbers(u[known]))
        return cells

    def restore_closely(self, u: np.ndarray) -> np.ndarray:
        """`restore` of very many cells, of any shape: of a body, numbers between those of a table,
        which is made once.
        """
        if self.body is None:
            return self.restore(u.ravel()).reshape(u.shape)
        return np.interp(u, TABULATED, self._table)

    def numbers(self, u: Column) -> Column:
        """The numbers at u of a column with a body, not rounded to its cells; atoms where their
        intervals are hit.
        """
        assert self.body is not None
        if not len(self.atoms):
            return self.body.from_normal(u)
        low, high = self._cuts
        passed = np.searchsorted(high, u, side="left")
        inside = np.append(low, np.inf)[passed] <= u
        numbers = self.body.from_normal(self._without_atoms(u, passed))
        # Beside an atom rounding may step over it.
        ends = np.concatenate([[-np.inf], self.atoms, [np.inf]])
        numbers = np.clip(numbers, ends[passed], ends[passed + 1])
        return np.where(inside, ends[passed + 1], numbers)

    def _without_atoms(self, u: Column, passed: Int[np.ndarray, "cells"]) -> Column:
        """The coordinate of the body alone at u, of which so many atoms lie below."""
        below, above = self.passed
        log_rest = np.log(self.rest)
        lower = _log_difference(log_ndtr(u), below[passed]) - log_rest
        upper = _log_difference(log_ndtr(-u), above[passed]) - log_rest
        return from_log_tails(np.minimum(lower, 0.0), np.minimum(upper, 0.0))

    def _ends(
        self, cells: Column, index: Int[np.ndarray, "cells"], as_points: bool
    ) -> tuple[Column, Column]:
        """The ends of cells of a column with a body."""
        if self.shape.step > 0 and not as_points:
            low, high = self.shape.edges(cells)
            return self._at(low, "left"), self._at(high, "right")
        low = self._at(cells, "left")
        high = low.copy()
        atom = index >= 0
        low[atom], high[atom] = (cut[index[atom]] for cut in self.cell_cuts())
        return low, high

    def cell_cuts(self) -> tuple[Column, Column]:
        """The ends of the cells of the atoms, which in a lattice hold a part of the body too."""
        low, high = self.shape.edges(self.atoms)
        return self._at(low, "left"), self._at(high, "right")

    def _at(self, numbers: Column, side: str) -> Column:
        """u at numbers, below ("left") or above ("right") of an atom that stands there."""
        assert self.body is not None
        u = self.body.to_normal(numbers)
        if not len(self.atoms):
            return u
        passed = np.searchsorted(self.atoms, numbers, side="left" if side == "left" else "right")
        return self._with_atoms(u, passed)

    def _with_atoms(self, u: Column, passed: Int[np.ndarray, "cells"]) -> Column:
        """The coordinate of the column where that of the body is u and so many atoms lie below."""
        below, above = self.passed
        log_rest = np.log(self.rest)
        return from_log_tails(
            np.logaddexp(log_rest + log_ndtr(u), below[passed]),
            np.logaddexp(log_rest + log_ndtr(-u), above[passed]),
        )

    def _log_slope(self, numbers: Column) -> Column:
        """log du/dx where no atom stands."""
        assert self.body is not None
        slope = self.body.log_slope(numbers)
        if not len(self.atoms):
            return slope
        body, u = self.body.to_normal(numbers), self._at(numbers, "left")
        return slope + np.log(self.rest) + (u - body) * (u + body) / 2

    @cached_property
    def passed(self) -> tuple[Column, Column]:
        """log of the masses of the atoms below and above, of which 0, 1, … lie below."""
        below = np.append(0.0, np.cumsum(self.masses))
        above = np.append(np.cumsum(self.masses[::-1])[::-1], 0.0)
        with np.errstate(divide="ignore"):
            return np.minimum(np.log(below), 0.0), np.minimum(np.log(above), 0.0)

    @cached_property
    def _table(self) -> Column:
        """The cells at `TABULATED`."""
        return self.restore(TABULATED)

    @cached_property
    def _medians(self) -> Column:
        """Those of the atoms; last, where -1 finds it, NaN for what is none of them."""
        low, high = (end[:, None] for end in self._cuts)
        return np.append(spread(Bounds(low, high), 0.5)[:, 0], np.nan)

    @cached_property
    def _cuts(self) -> tuple[Column, Column]:
        """The ends of the jumps of the atoms in u."""
        if self.body is None:
            below, above = self.passed
            cuts = from_log_tails(below, above)
            return cuts[:-1], cuts[1:]
        return self._at(self.atoms, "left"), self._at(self.atoms, "right")


def _log_difference(log_a: Column, log_b: Column) -> Column:
    """log(exp(log_a) - exp(log_b)), -inf where it is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = np.where(np.isneginf(log_b), -np.inf, np.minimum(log_b - log_a, 0.0))
        return log_a + np.log(-np.expm1(gap))
