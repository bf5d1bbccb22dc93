"""`Marginals`: every modeled column of a table by its own rule, as one coordinate u.

In u a cell is a point, an interval, or open where it is missing. Every column is standard normal on
the training rows. With `bounds` and `log_measure` of a row's cells,

    log p(row) = log ∫_box p(u) du + Σ log_measure,

where the box is that of the intervals, and points enter by their density: a continuous column has a
density in data units, a cell of a lattice its mass over the step, a category or an atom its mass.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from harmonium.data.atoms import find_atoms, has_levels
from harmonium.data.bodies import Body
from harmonium.data.body_choice import (
    BODIES,
    Numbers,
    choose_bodies,
    choose_own_bodies,
    numbers_of,
    refit_bodies,
)
from harmonium.data.cell_shapes import CellShape
from harmonium.data.columns import Columns
from harmonium.data.intervals import Bounds, Cells
from harmonium.data.levels import CODED
from harmonium.data.marginal import Marginal
from harmonium.data.marginals_state import build_marginals, describe_marginals
from harmonium.data.problems import problem
from harmonium.data.smooth_columns import SmoothColumns
from harmonium.parallel import side_by_side_if

Scores = dict[str, float]


@dataclass(frozen=True, eq=False)
class Marginals:
    """The marginals of the modeled columns, in their order.

    `scores` are those of the bodies that were tried for each column: penalized log-likelihoods in
    nats per row and data units. Columns of levels have none.
    """

    columns: Columns
    parts: tuple[Marginal, ...]
    scores: tuple[Scores, ...]

    @staticmethod
    def fit(
        columns: Columns,
        values: np.ndarray,
        body: str | type = "auto",
        *,
        atoms: bool = True,
        like: "Marginals | None" = None,
    ) -> "Marginals":
        """Fit to table cells `values` (rows, columns), NaN where missing, with rules `columns`.

        `body` is one of "auto", "affine", "asinh", "mixture", or a class with the methods of
        `ColumnMap`, whose columns without a map are chosen as by "auto". Without `atoms` every
        number is a point or a cell of a body: neither common values nor columns of few values
        become intervals of their own. With `like`, marginals of all rows of which `values` are a
        part, bodies get the tails and sizes of theirs. Raises `InvalidInputError` for another
        `body` or shape, and for columns of numbers without two different finite cells.
        """
        call = "Marginals.fit(columns, values, …)"
        if isinstance(body, str) and body not in BODIES:
            raise problem(call, f"a body among {BODIES}", repr(body))
        _check_width(columns, values, "fit")
        parts: list[Marginal | Numbers] = []
        for i in columns.modeled_index:
            parts.append(_prepare(columns, i, values[:, i], atoms, call))
        known = [part.body for part in like.parts] if like else [None] * len(parts)
        numbers = [
            (part, own) for part, own in zip(parts, known, strict=True) if isinstance(part, Numbers)
        ]
        new = [part for part, own in numbers if own is None]
        if isinstance(body, str):
            choose_bodies(new, body)
        else:
            choose_own_bodies(new, body)
        again = [(part, own) for part, own in numbers if isinstance(own, Body)]
        refit_bodies([part for part, _ in again], [own for _, own in again])
        scores = tuple(part.scores if isinstance(part, Numbers) else {} for part in parts)
        found = [part.best if isinstance(part, Numbers) else part for part in parts]
        return Marginals(columns, tuple(part for part in found if part is not None), scores)

    @property
    def n_columns(self) -> int:
        """How many columns are modeled."""
        return len(self.parts)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What each modeled column is: "levels", "affine", "asinh", "mixture", or "own:" with a
        class name.
        """
        return tuple(part.kind for part in self.parts)

    def bounds(self, values: np.ndarray, *, fine: np.ndarray | None = None) -> Bounds:
        """The cells of table rows (rows, columns) as intervals of u, (rows, modeled) each.

        Both ends are equal at points; they are -inf and inf where a cell is missing or its level
        unseen. `fine`, boolean (modeled,), says which lattices have cells to be taken for points.
        """
        _check_width(self.columns, values, "bounds")
        fine = self._mask(fine)
        u, low, high = self._smooth.to_normal(values), self._room(values), self._room(values)
        low[:, self._smooth.places] = np.where(np.isnan(u), -np.inf, u)
        high[:, self._smooth.places] = np.where(np.isnan(u), np.inf, u)

        def place(j: int, i: int, part: Marginal) -> None:
            low[:, j], high[:, j] = part.bounds(values[:, i], as_points=bool(fine[j]))

        self._for_others(place, values)
        return Bounds(low, high)

    def centers(self, values: np.ndarray) -> Cells:
        """One point u in every cell of table rows, (rows, modeled), NaN where a cell is missing.

        It is the center of a lattice cell in data units, and the median of an atom or a category.
        """
        _check_width(self.columns, values, "centers")
        found = self._room(values)
        found[:, self._smooth.places] = self._smooth.to_normal(values)

        def place(j: int, i: int, part: Marginal) -> None:
            found[:, j] = part.centers(values[:, i])

        self._for_others(place, values)
        return found

    def log_measure(self, values: np.ndarray, *, fine: np.ndarray | None = None) -> Cells:
        """What turns densities and masses in u into those of the cells, (rows, modeled), in nats.

        log du/dx at points; -log(step) in the cells of a lattice; 0 for categories and atoms, and
        where a cell is missing. `fine` is that of `bounds`.
        """
        _check_width(self.columns, values, "log_measure")
        fine = self._mask(fine)
        found = self._room(values)
        found[:, self._smooth.places] = self._smooth.log_slope(values)

        def place(j: int, i: int, part: Marginal) -> None:
            found[:, j] = part.log_measure(values[:, i], as_points=bool(fine[j]))

        self._for_others(place, values)
        return found

    def log_density(self, values: np.ndarray) -> Cells:
        """The log-density of every cell of table rows by itself, (rows, modeled).

        In nats, as `log_measure` counts it; 0 where a cell is missing or its level unseen.
        """
        return self._each(lambda part, cells: part.log_density(cells), values, "log_density")

    def is_unseen(self, values: np.ndarray) -> Bool[np.ndarray, "rows modeled"]:
        """Which cells hold a category, or a level of few, that training has not seen."""
        return self._each(lambda part, cells: part.is_unseen(cells), values, "is_unseen")

    def log_rule(self, values: np.ndarray) -> Float[np.ndarray, "rows"]:
        """What columns of few numbers add to the log-density of rows, (rows,), in nats.

        That a level has been seen before is a rule; `Columns` says what it costs to break one.
        `Columns.log_rule` sees to the rules of categories.
        """
        _check_width(self.columns, values, "log_rule")
        total, n = np.zeros(len(values)), self.columns.n_rows
        for _, i, part in self._enumerated():
            if part.body is None and self.columns.kinds[i] not in CODED:
                known = ~np.isnan(values[:, i])
                kept = np.where(known, np.log((n + 1) / (n + 2)), 0.0)
                total += np.where(part.is_unseen(values[:, i]), -np.log(n + 2), kept)
        return total

    def restore(self, u: Cells) -> Cells:
        """The cells of the modeled columns that points u lie in, (rows, modeled) both.

        Atoms, categories and lattice cells are exact; other numbers have the decimals of the
        training cells. Zero is a bound of columns whose training cells are all on one side of it;
        a continuous number beyond it becomes the training cell nearest to zero. NaN stays NaN.
        """
        if u.ndim != 2 or u.shape[1] != self.n_columns:
            expected = f"u of shape (rows, {self.n_columns})"
            raise problem("Marginals.restore(u)", expected, f"shape {u.shape}")

        def of_column(j: int) -> np.ndarray:
            return self.parts[j].restore(u[:, j])

        return np.stack(side_by_side_if(u.size, of_column, range(self.n_columns)), axis=1)

    def to_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """JSON-able settings and arrays from which `from_state` builds these marginals again."""
        return describe_marginals(self.columns, self.parts, self.scores)

    @staticmethod
    def from_state(
        config: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
        columns: Columns,
        own: type | None = None,
    ) -> "Marginals":
        """Marginals from what `to_state` returned, with the class of own bodies if there are any;
        `InvalidInputError` on anything else.
        """
        call = "Marginals.from_state(config, arrays, columns)"
        return Marginals(columns, *build_marginals(config, arrays, columns, call, own))

    def _enumerated(self) -> list[tuple[int, int, Marginal]]:
        """Position among the modeled columns, position in the table, and marginal."""
        index = self.columns.modeled_index
        return [(j, int(index[j]), part) for j, part in enumerate(self.parts)]

    @cached_property
    def _smooth(self) -> SmoothColumns:
        return SmoothColumns.among(self.parts, np.asarray(self.columns.modeled_index))

    @cached_property
    def _others(self) -> list[tuple[int, int, Marginal]]:
        """`_enumerated` without the smooth columns."""
        smooth = set(self._smooth.places.tolist())
        return [own for own in self._enumerated() if own[0] not in smooth]

    def _for_others(
        self, function: Callable[[int, int, Marginal], None], values: np.ndarray
    ) -> None:
        """Call `function` for each of `_others`, side by side where cells are many."""
        side_by_side_if(values.size, lambda own: function(*own), self._others)

    def _room(self, values: np.ndarray) -> Cells:
        """Room for a number per modeled cell of table rows."""
        return np.empty((len(values), self.n_columns))

    def _each(
        self, function: Callable[[Marginal, np.ndarray], np.ndarray], values: np.ndarray, name: str
    ) -> np.ndarray:
        _check_width(self.columns, values, name)

        def of_column(own: tuple[int, int, Marginal]) -> np.ndarray:
            _, i, part = own
            return function(part, values[:, i])

        return np.stack(side_by_side_if(values.size, of_column, self._enumerated()), axis=1)

    def _mask(self, fine: np.ndarray | None) -> np.ndarray:
        return np.zeros(self.n_columns, dtype=bool) if fine is None else fine


def _prepare(
    columns: Columns, index: int, cells: np.ndarray, atoms: bool, call: str
) -> Marginal | Numbers:
    """The marginal of a column of levels, or the numbers of which a body is to be chosen."""
    levels = columns.levels[index]
    if levels is not None:
        return Marginal(None, levels.codes, levels.shares, CellShape())
    seen = cells[~np.isnan(cells)]
    if not len(seen) or not np.all(np.isfinite(seen)) or np.ptp(seen) == 0:
        got = f"column {columns.names[index]!r} without them"
        raise problem(call, "columns of numbers with two different finite cells", got)
    shape = CellShape.of(seen, columns.step[index], columns.offset[index], columns.decimals[index])
    values, counts = np.unique(shape.cleaned(seen), return_counts=True)
    counts = counts.astype(np.float64)
    # Who states that a column is continuous wants a density of all of its cells.
    atoms = atoms and columns.fields[index].kind != "continuous"
    if atoms and has_levels(values, counts, shape.step):
        return Marginal(None, values, counts / counts.sum(), shape)
    is_atom = find_atoms(values, counts, shape.step) if atoms else np.zeros(len(values), dtype=bool)
    return numbers_of(values, counts, is_atom, shape)


def _check_width(columns: Columns, values: np.ndarray, method: str) -> None:
    if values.ndim != 2 or values.shape[1] != len(columns.names):
        expected = f"values of shape (rows, {len(columns.names)})"
        raise problem(f"Marginals.{method}(values)", expected, f"shape {values.shape}")
