"""A user's own map of a column of numbers to a coordinate that is standard normal.

It is a class, not known to this package, that is fitted column by column; `OwnBody` gives its
instances the face of a `Body`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from harmonium.data.intervals import log_normal_density
from harmonium.data.problems import problem
from harmonium.data.table import LARGEST

# Before the class name of an own body, among the kinds of columns.
OWN = "own:"
METHODS = ("fit", "to_normal", "from_normal", "log_slope")
# From one map to the other and back, relative to the spread of the cells.
TOLERANCE = 1e-6

Column = Float[np.ndarray, "cells"]


class ColumnMap(Protocol):
    """What a class of bodies has: an increasing map u(x) of cells, by NumPy in float64.

    Its fields, those of a dataclass or an `equinox.Module`, are numbers and arrays of numbers,
    which files hold.
    """

    @staticmethod
    def fit(values: Column, counts: Column) -> "ColumnMap | None":
        """A map for distinct, sorted cells (cells,) that occur so often; None for a column that it
        is not for.
        """
        ...

    def to_normal(self, cells: Column) -> Column:
        """u of cells in data units; infinite cells go to infinite u."""
        ...

    def from_normal(self, u: Column) -> Column:
        """The inverse."""
        ...

    def log_slope(self, cells: Column) -> Column:
        """log du/dx at cells, in nats."""
        ...


@dataclass(frozen=True, eq=False)
class OwnBody:
    """An own map with what a `Body` has beside it."""

    map: ColumnMap
    tail: float = 0.0
    n_components: int = 0

    @property
    def kind(self) -> str:
        """The class name, after "own:"."""
        return OWN + type(self.map).__name__

    def to_normal(self, cells: Column) -> Column:
        """The coordinate u of cells in data units."""
        return _as_column(self.map.to_normal(cells))

    def from_normal(self, u: Column) -> Column:
        """The inverse of `to_normal`, kept within ±1e100."""
        return np.clip(_as_column(self.map.from_normal(u)), -LARGEST, LARGEST)

    def log_slope(self, cells: Column) -> Column:
        """log du/dx at cells in data units, in nats."""
        return _as_column(self.map.log_slope(cells))

    def log_density(self, cells: Column) -> Column:
        """log of the density of cells, per data unit, in nats."""
        return log_normal_density(self.to_normal(cells)) + self.log_slope(cells)

    @property
    def n_parameters(self) -> int:
        """Numbers in its fields."""
        return sum(np.size(value) for value in self.describe().values())

    def describe(self) -> dict[str, Any]:
        """Its fields as plain values: numbers, and lists of them."""
        own: Any = self.map
        return {part.name: np.asarray(getattr(own, part.name)).tolist() for part in fields(own)}


def fit_own(own: type, values: Column, counts: Column) -> OwnBody | None:
    """The body of a class for cells that occur so often, checked on them; None where it says so.

    Raises `InvalidInputError` where it is no increasing map with its inverse and its slope.
    """
    made = own.fit(values, counts)  # pyright: ignore[reportAttributeAccessIssue]
    if made is None:
        return None
    body, name = OwnBody(made), own.__name__
    u = body.to_normal(values)
    if not np.all(np.isfinite(u)) or not np.all(np.diff(u) > 0):
        raise _broken(name, "to_normal(cells) that is finite and increasing", "others")
    with np.errstate(invalid="ignore", over="ignore"):
        miss = float(np.abs(body.from_normal(u) - values).max() / np.ptp(values))
    if not miss <= TOLERANCE:
        raise _broken(
            name, "from_normal(to_normal(cells)) that is cells", f"{miss:.1g} of their range off"
        )
    middle = (values[1:] + values[:-1]) / 2
    step = 1e-4 * np.diff(values)
    slope = (body.to_normal(middle + step) - body.to_normal(middle - step)) / (2 * step)
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = float(np.median(np.abs(np.log(slope) - body.log_slope(middle))))
    if not gap <= 1e-2:
        raise _broken(name, "log_slope(cells) that is log du/dx", f"{gap:.2g} nats beside it")
    return body


def build_own(own: type, stored: Mapping[str, Any]) -> OwnBody:
    """The body of a class with stored fields; raises `InvalidInputError` for others than it has."""
    wanted = sorted(part.name for part in fields(own))
    if sorted(stored) != wanted:
        raise problem(f"marginals={own.__name__}", f"the fields {wanted}", f"{sorted(stored)}")
    made = object.__new__(own)
    for name, value in stored.items():
        numbers = np.asarray(value, np.float64)
        if not np.all(np.isfinite(numbers)):
            raise problem(f"marginals={own.__name__}", f"finite numbers in {name}", "others")
        object.__setattr__(made, name, numbers if numbers.ndim else float(numbers))
    return OwnBody(made)


def _as_column(values: Any) -> Column:
    return np.asarray(values, np.float64)


def _broken(name: str, expected: str, got: str) -> Exception:
    return problem(f"DensityEstimator(marginals={name})", expected, got)
