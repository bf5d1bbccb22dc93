"""Where the cells of a column may lie: on a lattice, with few decimals, on one side of zero."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Column = Float[np.ndarray, "cells"]

# Numbers of more steps than this have no cells of their own in double precision: they are points.
_MOST_STEPS = 1e12
# In steps; what `find_grid` takes for rounding.
_ON_LATTICE = 1e-3


@dataclass(frozen=True)
class CellShape:
    """What the training cells say of all cells of a column, beside their distribution.

    `step` and `offset` are those of the lattice, 0 where there is none. `decimals` is -1 where
    cells have many. `sign` is 1 where no training cell is negative, -1 where none is positive,
    else 0; zero is then a plain bound of the column. `nearest` is the training cell nearest to
    zero.
    """

    step: float = 0.0
    offset: float = 0.0
    decimals: int = -1
    sign: int = 0
    nearest: float = 0.0

    @staticmethod
    def of(seen: Column, step: float, offset: float, decimals: int) -> "CellShape":
        """The shape of a column with these observed cells."""
        sign = int(np.all(seen >= 0)) - int(np.all(seen <= 0))
        nearest = seen[np.argmin(np.abs(seen))]
        return CellShape(float(step), float(offset), int(decimals), sign, float(nearest))

    @property
    def bound(self) -> float:
        """The last cell that the plain bound allows; NaN where there is none."""
        if self.sign == 0:
            return np.nan
        if self.step == 0:
            return 0.0
        inward = np.ceil if self.sign > 0 else np.floor
        last = self.offset + self.step * inward(-self.offset / self.step - self.sign * 1e-6)
        return float(self._of_few_decimals(last))

    def is_lattice(self, cells: Column) -> np.ndarray:
        """Which cells are intervals of the lattice, and not points."""
        return (self.step > 0) & (np.abs(cells) <= _MOST_STEPS * self.step)

    def edges(self, cells: Column) -> tuple[Column, Column]:
        """The ends of cells in data units. The cell at a plain bound reaches to infinity."""
        half = np.where(self.is_lattice(cells), self.step / 2, 0.0)
        low, high = cells - half, cells + half
        at_bound = (half > 0) & (np.abs(cells - self.bound) < self.step / 2)
        if self.sign > 0:
            low = np.where(at_bound, -np.inf, low)
        if self.sign < 0:
            high = np.where(at_bound, np.inf, high)
        return low, high

    def snap(self, numbers: Column) -> Column:
        """The cells that numbers stand for: on the lattice, of few decimals, within the bound.

        In a lattice, a number beyond the bound becomes the cell at the bound. In a continuous
        column it becomes the training cell nearest to zero, because a column of positive numbers
        may not hold zeros.
        """
        cells = self._rounded(numbers)
        if self.sign == 0:
            return cells
        if self.step > 0:
            return np.where(self.sign * (cells - self.bound) < 0, self.bound, cells)
        beyond = cells * self.sign <= 0 if self.nearest != 0 else cells * self.sign < 0
        return np.where(beyond, self.nearest, cells)

    def cleaned(self, cells: Column) -> Column:
        """The same cells, without rounding errors where they lie on a lattice."""
        if self.step == 0:
            return cells
        rounded = self._rounded(cells)
        return np.where(np.abs(rounded - cells) <= _ON_LATTICE * self.step, rounded, cells)

    def _rounded(self, numbers: Column) -> Column:
        """The nearest numbers on the lattice, and of few decimals."""
        cells = numbers
        if self.step > 0:
            cells = self.offset + self.step * np.round((cells - self.offset) / self.step)
        return self._of_few_decimals(cells)

    def _of_few_decimals(self, cells: Column) -> Column:
        """Cells without rounding errors; zero has no sign."""
        return cells if self.decimals < 0 else np.round(cells, self.decimals) + 0.0
