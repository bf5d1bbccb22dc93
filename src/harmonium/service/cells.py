"""Rows of JSON <-> tables, as the command line's tables are read."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from harmonium.data import Field, Table, as_table, decode_columns
from harmonium.data.table import LARGEST
from harmonium.errors import InvalidInputError
from harmonium.service.messages import Cell, Note, Row
from harmonium.service.problems import ProblemError

_NUMBERS = {int, float, type(None)}
_TEXTS = {str, type(None)}
# Unseen categories that are noted.
MOST_NOTED = 10


class RowReader:
    """Reads rows, by the names of columns, into tables of the fields of a fit.

    Cells that are plainly numbers, truth values or known categories are taken at once; all others
    go through `as_table`, like those of a file, and get its errors.
    """

    def __init__(self, fields: tuple[Field, ...], call: str):
        self.fields, self.call = fields, call
        self._names = {field.name for field in fields}
        self._codes: dict[str, dict[Cell, float]] = {}
        for field in fields:
            if field.kind == "categorical" and field.form == "text":
                codes: dict[Cell, float] = {
                    text: float(code) for code, text in enumerate(field.categories)
                }
                codes[None] = float("nan")
                self._codes[field.name] = codes

    def read(self, rows: Sequence[Row]) -> tuple[Table, list[Note]]:
        """The table of rows, and what is to be noted of them.

        Raises `ProblemError` for columns that lack, and `InvalidInputError` for cells that cannot
        be.
        """
        if not rows:
            raise ProblemError(422, "rows: expected at least one row; got an empty list.")
        values = np.zeros((len(rows), len(self.fields)))
        for i, field in enumerate(self.fields):
            if field.kind != "identifier":
                values[:, i] = self._column(rows, field)
        if (np.abs(values) > LARGEST).any():
            values = self._checked(values)
        table = Table(values, tuple(field.name for field in self.fields), self.fields)
        extra = sorted({name for row in rows for name in row.keys() - self._names})
        notes = unseen_notes(table, lambda row, column: rows[row][column])
        return table, ignored_notes(extra) + notes

    def _column(self, rows: Sequence[Row], field: Field) -> np.ndarray:
        try:
            cells = [row[field.name] for row in rows]
        except KeyError:
            at = next(i for i, row in enumerate(rows, start=1) if field.name not in row)
            raise ProblemError(
                422,
                f"data row {at} has no column {field.name!r}. Try: null for a missing cell.",
                column=field.name,
                row=at,
            ) from None
        plain = self._plain(cells, field)
        return self._read(cells, field) if plain is None else plain

    def _plain(self, cells: list[Cell], field: Field) -> np.ndarray | None:
        """The values of cells that need no reading; None where some do."""
        types = set(map(type, cells))
        if field.is_number and (
            types <= _NUMBERS or (field.form == "boolean" and types <= {bool, type(None)})
        ):
            with contextlib.suppress(OverflowError):
                return np.array(cells, dtype=np.float64)
            return None
        if field.name in self._codes and types <= _TEXTS:
            codes = self._codes[field.name]
            return np.array([codes.get(text, -1.0) for text in cells], dtype=np.float64)
        return None

    def _checked(self, values: np.ndarray) -> np.ndarray:
        """The same values; raises `InvalidInputError` for those that are too large."""
        table = Table(values, tuple(field.name for field in self.fields), self.fields)
        return as_table(table, call=self.call, fields=self.fields).values

    def _read(self, cells: list[Cell], field: Field) -> np.ndarray:
        column = np.empty((len(cells), 1), dtype=object)
        column[:, 0] = cells
        return as_table(column, call=self.call, fields=(field,)).values[:, 0]


def ignored_notes(names: Sequence[str]) -> list[Note]:
    """What is to be said of columns that training did not have."""
    return [
        Note("this column was not in training: it is ignored", column=name)
        for name in names[:MOST_NOTED]
    ]


def unseen_notes(table: Table, cell: Callable[[int, str], Cell]) -> list[Note]:
    """What is to be said of categories that the fit does not know; `cell(row, column)` is one."""
    coded = [field.kind == "categorical" for field in table.fields]
    found = np.argwhere((table.values < 0) & np.array(coded))[:MOST_NOTED]
    return [
        Note(
            f"{str(cell(row, table.names[column]))[:80]!r} is a category that no training row has",
            column=table.names[column],
            row=row + 1,
        )
        for row, column in found.tolist()
    ]


def plain_rows(values: np.ndarray, fields: Sequence[Field]) -> list[Row]:
    """Values (rows, columns) as rows of numbers, truth values, texts, ISO dates and None."""
    columns = decode_columns(values, fields)
    cells = [[plain(cell) for cell in column.to_pylist()] for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*cells, strict=True)]


def plain(cell: Any) -> Cell:
    """A cell that JSON knows too."""
    if hasattr(cell, "isoformat"):
        return cell.isoformat()
    # JSON has no other numbers.
    return None if isinstance(cell, float) and not np.isfinite(cell) else cell


def filled_rows(rows: Sequence[Row], values: np.ndarray, fields: Sequence[Field]) -> list[Row]:
    """Rows as they came, with missing cells from values (rows, columns)."""
    found = plain_rows(values, fields)
    return [
        dict(own) | {name: new[name] for name in new if own.get(name) is None and name in own}
        for own, new in zip(rows, found, strict=True)
    ]


def first_bad_cell(rows: Any) -> ProblemError | None:
    """Where decoded JSON is no list of rows of plain cells."""
    if not isinstance(rows, list):
        return ProblemError(422, "rows: expected a list of rows, each an object.")
    for i, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            got = type(row).__name__
            return ProblemError(422, f"data row {i}: expected an object; got a {got}.", row=i)
        for name, cell in row.items():
            if isinstance(cell, list | dict):
                got = "a list" if isinstance(cell, list) else "an object"
                return ProblemError(
                    422,
                    f"column {name!r}, data row {i}: expected a number, text, true, false or null; "
                    f"got {got}.",
                    column=name,
                    row=i,
                )
    return None


def as_problem(error: InvalidInputError | ProblemError) -> ProblemError:
    """Either kind of error as what is answered."""
    return error if isinstance(error, ProblemError) else ProblemError.of_input(error)
