"""What each column is: continuous, on a grid, of categories, constant, a duplicate, or left out.

Constant and duplicate columns have no density; they are rules. A rule that held in all n training
rows is kept by the next row with probability (n + 1)/(n + 2) (Laplace's rule of succession); that a
category has been seen before is such a rule too. How the cells of the other columns are distributed
is said by `Marginals`. Missing cells are NaN throughout.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmonium.data.columns_state import build_state, check_state
from harmonium.data.fields import Field
from harmonium.data.kinds import classify, decimals_of
from harmonium.data.levels import CODED, Levels, levels_of
from harmonium.data.problems import problem, quote, samples
from harmonium.data.table import Table
from harmonium.errors import HarmoniumWarning, about, message

# A row keeps a rule up to rounding. A rule is only made where rounding alone is left to explain
# a difference, so that large numbers that differ a little (time stamps) stay columns.
_KEEPS_RULE = 1e-9
_MAKES_RULE = 1e-13
# Rows by which columns that may be duplicates are found.
N_PROBED = 32
_MODELED = ("continuous", "grid", "binary", "categorical")


@dataclass(frozen=True, eq=False)
class Columns:
    """Fitted column rules of a table.

    All fields but `n_rows` have one entry per column of the table: `fields`, what the columns are
    outside; `kinds`, of "continuous", "grid", "binary", "categorical", "constant", "duplicate",
    "ignored"; `constant`, the value of a constant column; `source`, the index of the column that a
    duplicate repeats; `offset` and `step`, the lattice offset + step·Z of a grid column (in data
    units); `decimals`, those of the cells of a continuous or grid column, -1 where they have many;
    `levels`, the categories of a binary or categorical column, else None. Other numbers that do not
    apply are 0. `n_rows` counts the training rows.
    """

    fields: tuple[Field, ...]
    kinds: tuple[str, ...]
    constant: np.ndarray
    source: np.ndarray
    offset: np.ndarray
    step: np.ndarray
    decimals: np.ndarray
    levels: tuple[Levels | None, ...]
    n_rows: int

    @staticmethod
    def fit(table: Table, *, call: str = "Columns.fit(table)") -> "Columns":
        """Find the kind of every column.

        Warns (`HarmoniumWarning`) when columns are dropped from modeling; raises
        `InvalidInputError` when none remains.
        """
        n_columns = table.n_columns
        kinds = ["continuous"] * n_columns
        constant, offset, step = (np.zeros(n_columns) for _ in range(3))
        source = np.zeros(n_columns, dtype=np.int64)
        decimals = np.full(n_columns, -1)
        modeled: list[int] = []
        for i, field in enumerate(table.fields):
            column = table.values[:, i]
            seen = column[~np.isnan(column)]
            if field.kind == "identifier" or not len(seen):
                kinds[i] = "ignored"
            elif np.all(_close(seen, seen[:1], _MAKES_RULE)):
                kinds[i], constant[i] = "constant", seen[0]
            elif (twin := _find_twin(table, i, modeled)) is not None:
                kinds[i], source[i] = "duplicate", twin
            else:
                modeled.append(i)
                kinds[i], offset[i], step[i] = classify(field, seen)
                decimals[i] = decimals_of(kinds[i], seen)
        columns = Columns(
            fields=table.fields,
            kinds=tuple(kinds),
            constant=constant,
            source=source,
            offset=offset,
            step=step,
            decimals=decimals,
            levels=levels_of(table.values, kinds, modeled),
            n_rows=table.n_rows,
        )
        _check_modeled(columns, call)
        _warn_dropped(columns, call)
        return columns

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns of the table."""
        return tuple(field.name for field in self.fields)

    @property
    def modeled_index(self) -> np.ndarray:
        """Positions of the modeled columns in the table, shape (modeled,)."""
        return np.flatnonzero([kind in _MODELED for kind in self.kinds])

    @property
    def modeled_names(self) -> tuple[str, ...]:
        """Names of the modeled columns."""
        return tuple(self.names[i] for i in self.modeled_index)

    @property
    def n_modeled(self) -> int:
        """How many columns are modeled."""
        return len(self.modeled_index)

    @property
    def is_integer(self) -> np.ndarray:
        """Whether every column of the table holds whole numbers, boolean of shape (columns,)."""
        own = np.array([kind in ("grid", "binary", "constant") for kind in self.kinds], dtype=bool)
        whole = (self.constant % 1 == 0) & (self.offset % 1 == 0) & (self.step % 1 == 0)
        whole &= [own is None or bool(np.all(own.codes % 1 == 0)) for own in self.levels]
        integer = own & whole
        twins = self._indices("duplicate")
        integer[twins] = integer[self.source[twins]]
        return integer

    def complete(self, cells: np.ndarray) -> np.ndarray:
        """All columns, shape (rows, columns), from the cells of the modeled ones (rows, modeled).

        Constants are filled in, duplicates copied; columns that are left out are NaN.
        """
        self._check_width(cells, self.n_modeled, "complete")
        full = np.tile(self.constant, (len(cells), 1))
        full[:, self._indices("ignored")] = np.nan
        full[:, self.modeled_index] = cells
        twins = self._indices("duplicate")
        full[:, twins] = full[:, self.source[twins]]
        return full

    def log_rule(self, values: np.ndarray) -> np.ndarray:
        """What the rules add to the log-density of each row, in nats, shape (rows,).

        Each constant or duplicate column adds log((n + 1)/(n + 2)) to a row that keeps its rule (to
        a relative 1e-9) and log(1/(n + 2)) to one that breaks it, n training rows; so does each
        column of categories, which a category that was not seen in training breaks. A missing cell
        adds nothing.
        """
        self._check_width(values, len(self.names), "log_rule")
        is_rule = [kind in ("constant", "duplicate", *CODED) for kind in self.kinds]
        known = ~np.isnan(values[:, is_rule])
        broken = self.breaks_rule(values)[:, is_rule]
        n = self.n_rows
        kept = np.where(known, np.log((n + 1) / (n + 2)), 0.0)
        return np.where(broken, -np.log(n + 2), kept).sum(axis=1)

    def breaks_rule(self, values: np.ndarray) -> np.ndarray:
        """Which cells break a rule, boolean (rows, columns): constants, duplicates, unseen
        categories.
        """
        self._check_width(values, len(self.names), "breaks_rule")
        constants, twins = self._indices("constant"), self._indices("duplicate")
        broken = np.zeros(values.shape, dtype=bool)
        broken[:, constants] = ~_close(values[:, constants], self.constant[constants], _KEEPS_RULE)
        sources = values[:, self.source[twins]]
        broken[:, twins] = ~_close(values[:, twins], sources, _KEEPS_RULE) & ~np.isnan(sources)
        for i, levels in enumerate(self.levels):
            if levels is not None:
                broken[:, i] = levels.index(values[:, i]) < 0
        return broken & ~np.isnan(values)

    def to_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """JSON-able settings and arrays from which `from_state` builds these columns again."""
        config = {
            "fields": [field.to_config() for field in self.fields],
            "kinds": list(self.kinds),
            "n_rows": self.n_rows,
        }
        names = ("constant", "source", "offset", "step", "decimals")
        arrays = {name: getattr(self, name) for name in names}
        parts = [
            (np.zeros(0),) * 2 if own is None else (own.codes, own.counts) for own in self.levels
        ]
        arrays["n_levels"] = np.array([len(codes) for codes, _ in parts], dtype=np.int64)
        arrays["codes"] = np.concatenate([codes for codes, _ in parts])
        arrays["counts"] = np.concatenate([counts for _, counts in parts])
        return config, arrays

    @staticmethod
    def from_state(config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "Columns":
        """Columns from what `to_state` returned; `InvalidInputError` on anything else."""
        call = "Columns.from_state(config, arrays)"
        columns = Columns(**build_state(config, arrays, call))
        check_state(columns, call)
        _check_modeled(columns, call)
        return columns

    def _indices(self, kind: str) -> np.ndarray:
        return np.flatnonzero([own == kind for own in self.kinds])

    def _check_width(self, values: np.ndarray, width: int, method: str) -> None:
        if values.ndim != 2 or values.shape[1] != width:
            expected = f"values of shape (rows, {width})"
            raise problem(f"Columns.{method}(values)", expected, f"shape {values.shape}")


def _close(a: np.ndarray, b: np.ndarray, tolerance: float) -> np.ndarray:
    """Whether a and b agree to a relative tolerance, cell by cell."""
    return np.abs(a - b) <= tolerance * np.maximum(np.abs(a), np.abs(b))


def _find_twin(table: Table, column: int, candidates: list[int]) -> int | None:
    """The first of the candidate columns that equals this one in every row, missing cells
    included.
    """
    values = table.values
    # A look at some rows spares most of the full comparisons.
    probe = values[:: max(1, len(values) // N_PROBED)]
    for i in np.array(candidates, dtype=np.int64)[_equal(probe[:, candidates], probe[:, [column]])]:
        same_cells = table.fields[i].same_cells(table.fields[column])
        if same_cells and _equal(values[:, [i]], values[:, [column]])[0]:
            return int(i)
    return None


def _equal(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether columns of a and b (rows, columns) agree in every row."""
    return np.all(_close(a, b, _MAKES_RULE) | (np.isnan(a) & np.isnan(b)), axis=0)


def _check_modeled(columns: Columns, call: str) -> None:
    """Raise if no column is left to model."""
    if columns.n_modeled == 0:
        raise problem(
            call,
            "at least one column whose values differ",
            message("only constant, empty or identifier columns in {}", samples(columns.n_rows)),
            "give more rows, or other columns",
        )


def _warn_dropped(columns: Columns, call: str) -> None:
    """One warning that names the columns that are not modeled."""
    rules = [
        f"{kind}: {quote([columns.names[i] for i in columns._indices(kind)])}"
        for kind in ("constant", "duplicate")
        if kind in columns.kinds
    ]
    # Those that name rows were named when they were read, unless they were stated to.
    ignored = zip(columns.names, columns.kinds, columns.fields, strict=True)
    empty = [n for n, kind, f in ignored if kind == "ignored" and f.kind != "identifier"]
    parts = [f"only checked in every row ({'; '.join(rules)})"] if rules else []
    parts += [f"left out, being empty: {quote(empty)}"] if empty else []
    if parts:
        text = f"columns not modeled, {'; '.join(parts)}."
        warnings.warn(about(call, text), HarmoniumWarning, stacklevel=3)
