"""What each column is: continuous, on a grid, constant, or a duplicate of an earlier one.

Constant and duplicate columns have no density; they are rules. A rule that held in all n training
rows is kept by the next row with probability (n + 1)/(n + 2) (Laplace's rule of succession). Grid
columns have no finite density maximum; uniform noise of one step gives them one.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmonium.data.fields import Field, fields_from_config
from harmonium.data.grids import find_grid
from harmonium.data.problems import problem, quote
from harmonium.data.state import check_keys, state_error, take_arrays
from harmonium.data.table import Table
from harmonium.errors import HarmoniumWarning

KINDS = ("continuous", "grid", "constant", "duplicate")

# A row keeps a rule up to rounding. A rule is only made where rounding alone is left to explain
# a difference, so that large numbers that differ a little (time stamps) stay columns.
_KEEPS_RULE = 1e-9
_MAKES_RULE = 1e-13


@dataclass(frozen=True, eq=False)
class Columns:
    """Fitted column rules of a table.

    All fields have one entry per column of the table: `fields`; `kinds`, of "continuous", "grid",
    "constant", "duplicate"; `constant`, the value of a constant column; `source`, the index of the
    column that a duplicate repeats; `offset` and `step`, the lattice offset + step·Z of a grid
    column (in data units). Entries that do not apply are 0. `n_rows` counts the training rows.
    """

    fields: tuple[Field, ...]
    kinds: tuple[str, ...]
    constant: np.ndarray
    source: np.ndarray
    offset: np.ndarray
    step: np.ndarray
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
        modeled: list[int] = []
        for i in range(n_columns):
            column = table.values[:, i]
            if np.all(_close(column, column[:1], _MAKES_RULE)):
                kinds[i], constant[i] = "constant", column[0]
            elif (twin := _find_twin(table.values, i, modeled)) is not None:
                kinds[i], source[i] = "duplicate", twin
            else:
                modeled.append(i)
                if (grid := find_grid(column)) is not None:
                    kinds[i], (offset[i], step[i]) = "grid", grid
        columns = Columns(table.fields, tuple(kinds), constant, source, offset, step, table.n_rows)
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
        kept = [kind in ("continuous", "grid") for kind in self.kinds]
        return np.flatnonzero(kept)

    @property
    def modeled_names(self) -> tuple[str, ...]:
        """Names of the modeled columns."""
        return tuple(self.names[i] for i in self.modeled_index)

    @property
    def n_modeled(self) -> int:
        """How many columns are modeled."""
        return len(self.modeled_index)

    @property
    def is_grid(self) -> np.ndarray:
        """Whether each modeled column lies on a grid, boolean of shape (modeled,)."""
        return np.array([self.kinds[i] == "grid" for i in self.modeled_index], dtype=bool)

    @property
    def is_integer(self) -> np.ndarray:
        """Whether every column of the table holds whole numbers, boolean of shape (columns,)."""
        own = np.array([kind in ("grid", "constant") for kind in self.kinds], dtype=bool)
        whole = (self.constant % 1 == 0) & (self.offset % 1 == 0) & (self.step % 1 == 0)
        integer = own & whole
        twins = self._indices("duplicate")
        integer[twins] = integer[self.source[twins]]
        return integer

    def modeled(self, values: np.ndarray) -> np.ndarray:
        """The modeled columns of values of shape (rows, columns): shape (rows, modeled)."""
        self._check_width(values, len(self.names), "modeled")
        return values[:, self.modeled_index]

    def dequantize(self, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Modeled values plus, in grid columns, uniform noise on [-step/2, step/2)."""
        self._check_width(values, self.n_modeled, "dequantize")
        noise = rng.uniform(-0.5, 0.5, size=(len(values), int(self.is_grid.sum())))
        noisy = np.array(values, dtype=np.float64)
        noisy[:, self.is_grid] += noise * self.step[self.modeled_index][self.is_grid]
        return noisy

    def restore(self, values: np.ndarray) -> np.ndarray:
        """All columns, shape (rows, columns), from modeled values of shape (rows, modeled).

        Grid columns are rounded to their lattice, constants filled in, duplicates copied.
        """
        self._check_width(values, self.n_modeled, "restore")
        full = np.tile(self.constant, (len(values), 1))
        full[:, self.modeled_index] = values
        grid = np.flatnonzero(self.step)
        offset, step = self.offset[grid], self.step[grid]
        full[:, grid] = offset + step * np.round((full[:, grid] - offset) / step)
        twins = self._indices("duplicate")
        full[:, twins] = full[:, self.source[twins]]
        return full

    def log_rule(self, values: np.ndarray) -> np.ndarray:
        """What the rules add to the log-density of each row, in nats, shape (rows,).

        Each constant or duplicate column adds log((n + 1)/(n + 2)) to a row that keeps its rule
        (to a relative 1e-9) and log(1/(n + 2)) to one that breaks it, n training rows.
        """
        self._check_width(values, len(self.names), "log_rule")
        is_rule = [kind in ("constant", "duplicate") for kind in self.kinds]
        kept = ~self.breaks_rule(values)[:, is_rule]
        n = self.n_rows
        return np.where(kept, np.log((n + 1) / (n + 2)), -np.log(n + 2)).sum(axis=1)

    def breaks_rule(self, values: np.ndarray) -> np.ndarray:
        """Which cells break the rule of a constant or duplicate column, boolean (rows, columns)."""
        self._check_width(values, len(self.names), "breaks_rule")
        constants, twins = self._indices("constant"), self._indices("duplicate")
        broken = np.zeros(values.shape, dtype=bool)
        broken[:, constants] = ~_close(values[:, constants], self.constant[constants], _KEEPS_RULE)
        broken[:, twins] = ~_close(values[:, twins], values[:, self.source[twins]], _KEEPS_RULE)
        return broken

    def to_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """JSON-able settings and arrays from which `from_state` builds these columns again."""
        fields = [field.to_config() for field in self.fields]
        config = {"fields": fields, "kinds": list(self.kinds), "n_rows": self.n_rows}
        arrays = {name: getattr(self, name) for name in ("constant", "source", "offset", "step")}
        return config, arrays

    @staticmethod
    def from_state(config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "Columns":
        """Columns from what `to_state` returned; `InvalidInputError` on anything else."""
        call = "Columns.from_state(config, arrays)"
        check_keys(config, ("fields", "kinds", "n_rows"), "config", call)
        fields = fields_from_config(config["fields"], call=call)
        kinds, n_rows = config["kinds"], config["n_rows"]
        _check_lists(fields, kinds, n_rows, call)
        shape = (len(fields),)
        taken = take_arrays(
            arrays, dict.fromkeys(("constant", "source", "offset", "step"), shape), call
        )
        source = taken["source"].astype(np.int64)
        _check_rules(kinds, source, taken["step"], call)
        columns = Columns(
            fields,
            tuple(kinds),
            taken["constant"],
            source,
            taken["offset"],
            taken["step"],
            n_rows,
        )
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


def _find_twin(values: np.ndarray, column: int, candidates: list[int]) -> int | None:
    """The first of the candidate columns that equals this one in every row."""
    # A look at some rows spares most of the full comparisons.
    probe = values[:: max(1, len(values) // 256)]
    for i in candidates:
        if all(np.all(_close(v[:, i], v[:, column], _MAKES_RULE)) for v in (probe, values)):
            return i
    return None


def _check_modeled(columns: Columns, call: str) -> None:
    """Raise if every column is constant."""
    if columns.n_modeled == 0:
        raise problem(
            call,
            "at least one column whose values differ",
            f"only constant columns in {columns.n_rows} sample(s)",
            "give more rows, or other columns",
        )


def _warn_dropped(columns: Columns, call: str) -> None:
    """One warning that names the columns that are not modeled."""
    parts = []
    for kind in ("constant", "duplicate"):
        names = [columns.names[i] for i in columns._indices(kind)]
        if names:
            parts.append(f"{kind}: {quote(names)}")
    if parts:
        text = f"{call}: columns not modeled, only checked in every row ({'; '.join(parts)})."
        warnings.warn(text, HarmoniumWarning, stacklevel=3)


def _check_lists(fields: tuple[Field, ...], kinds: Any, n_rows: Any, call: str) -> None:
    """Raise unless kinds and n_rows are what `to_state` writes."""
    texts = isinstance(kinds, list | tuple) and all(isinstance(kind, str) for kind in kinds)
    if not texts or len(fields) != len(kinds):
        raise state_error(call, "one field and one kind per column", f"{len(fields)} and {kinds}")
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        raise state_error(call, f"kinds among {KINDS}", f"{unknown}")
    if not isinstance(n_rows, int) or isinstance(n_rows, bool) or n_rows < 1:
        raise state_error(call, "n_rows of at least 1", f"{n_rows!r}")


def _check_rules(kinds: list[str], source: np.ndarray, step: np.ndarray, call: str) -> None:
    """Raise unless every grid has a step and every duplicate an earlier, modeled source."""
    for i, kind in enumerate(kinds):
        if (step[i] > 0) != (kind == "grid") or step[i] < 0:
            raise state_error(
                call, "a positive step in grid columns only", f"{step[i]} in column {i + 1}"
            )
        if kind == "duplicate" and not (
            0 <= source[i] < i and kinds[source[i]] in ("continuous", "grid")
        ):
            raise state_error(
                call, "duplicates of earlier columns", f"column {i + 1} of {source[i] + 1}"
            )
