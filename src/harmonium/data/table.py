"""`Table`: named columns of float64 cells, and the one place where input is checked."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np

from harmonium.data.cells import Cells, array_cells, arrow_cells, complex_error, series_cells
from harmonium.data.encoding import encode
from harmonium.data.fields import Field, check_kinds, number_fields
from harmonium.data.frames import decode_column
from harmonium.data.inferring import Inferred, infer_field, warn_noted
from harmonium.data.names import (
    check_count,
    check_names,
    default_names,
    repeated_names,
    select_columns,
)
from harmonium.data.problems import problem, quote
from harmonium.data.tallies import Tally
from harmonium.errors import InvalidInputError, Message, NoRowsError, describe

# Beyond this, squares of standardized values can overflow; such cells are sentinels or damage.
LARGEST = 1e100


@dataclass(frozen=True, eq=False)
class Table:
    """Named columns of cells coded as numbers.

    `values` is float64 of shape (rows, columns), NaN where a cell is missing; there is one name and
    one field per column. Fields left out are those of plain numbers. Raises `InvalidInputError`
    where the shapes or names differ.
    """

    values: np.ndarray
    names: tuple[str, ...]
    fields: tuple[Field, ...] = ()

    def __post_init__(self):
        if self.values.ndim != 2 or self.values.shape[1] != len(self.names):
            raise problem(
                "Table(values, names)",
                "values of shape (rows, columns) and one name per column",
                f"values of shape {self.values.shape} and {len(self.names)} names",
            )
        fields = self.fields or number_fields(self.names)
        if tuple(field.name for field in fields) != tuple(self.names):
            raise problem(
                "Table(values, names, fields)",
                "one field per column, of the same name",
                f"fields {quote([field.name for field in fields])} for {quote(self.names)}",
            )
        object.__setattr__(self, "fields", tuple(fields))

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return self.values.shape[0]

    @property
    def n_columns(self) -> int:
        """How many columns there are."""
        return self.values.shape[1]


@dataclass(frozen=True, eq=False)
class _Source:
    """A table of any origin: `names`, None where columns only have positions, and its cells.

    `cells` gives the column at a position, under the name that errors use. `values`, where the
    source has them, are its cells as numbers, described by `fields`.
    """

    shape: tuple[int, int]
    names: tuple[str, ...] | None
    cells: Callable[[int, str], Cells]
    values: np.ndarray | None = None
    fields: tuple[Field, ...] = ()


def as_table(
    X: Any,
    *,
    call: str,
    fields: tuple[Field, ...] | None = None,
    kinds: Mapping[str, str] | None = None,
    min_rows: int = 1,
    rows: Sequence[int] | None = None,
    tallies: Mapping[str, Tally] | None = None,
) -> Table:
    """Check a table once and return it as float64 with names and fields.

    `X` is a `Table`, a NumPy array or nested lists, or a pandas, polars or pyarrow table, of shape
    (rows, columns); columns without names are called x1, x2, … `call` is how the caller typed the
    request and starts every message. Without `fields` (at fit time) they are inferred: `kinds`
    states some of them by column name. With `fields` (at scoring time) a frame or `Table` must hold
    these columns, identifiers excepted, which are selected by name; an array must have exactly that
    many. Missing cells, however spelled, are NaN; the values may share memory with `X`. `rows` are
    the numbers of the rows where `X` is a part of a larger table; 1, 2, … if left out. `tallies`
    count the cells of its columns of text in the whole of that table.

    Warns (`HarmoniumWarning`) of columns that are left out because they name rows, of cells that
    are not spelled plainly, and, with `fields`, of columns that are not among them. Raises
    `InvalidInputError`, naming column and number of the row, for cells that are not what their
    column holds, infinities, magnitudes beyond 1e100, repeated names, and tables of the wrong
    shape.
    """
    source = _source(X, call)
    _check_size(source.shape, min_rows, call)
    rows = range(1, source.shape[0] + 1) if rows is None else rows
    if fields is None:
        found = _infer(source, kinds, call, rows, tallies or {})
    else:
        found = _apply(source, fields, call, rows)
    _check_cells(found.values, found.names, call, rows)
    return found


def _source(X: Any, call: str) -> _Source:
    """`X`, whatever it is, as columns of cells."""
    if isinstance(X, Table):
        return _table_source(X, call)
    if (frame := _as_frame(X, call)) is not None:
        return _frame_source(frame, call)
    array = _as_array(X, call)
    fields: tuple[Field, ...] = ()
    if array.dtype.kind in "biuf":
        form = {"b": "boolean", "f": "number"}.get(array.dtype.kind, "integer")
        fields = tuple(Field(name, form) for name in default_names(array.shape[1]))
    return _Source(
        array.shape,
        None,
        lambda position, name: array_cells(array[:, position], name, call=call),
        array if fields else None,
        fields,
    )


def _table_source(table: Table, call: str) -> _Source:
    """The columns of a table; those to be coded anew are decoded first."""

    def cells(position: int, name: str) -> Cells:
        field = table.fields[position]
        if field.kind == "identifier":
            got = f"column {name!r}, whose content was dropped as that of an identifier"
            raise problem(call, "the cells of every column", got, "read the table anew")
        array = decode_column(table.values[:, position], field, call=call)
        decoded = arrow_cells(array, name, call=call)
        return Cells(decoded.form, field.dtype, decoded.numbers, decoded.texts)

    return _Source(table.values.shape, table.names, cells, table.values, table.fields)


def _frame_source(frame: Any, call: str) -> _Source:
    """The columns of a narwhals frame."""
    # pandas numbers the columns of a frame made without names: no names then, only positions.
    named = len(frame.columns) == 0 or any(isinstance(label, str) for label in frame.columns)
    return _Source(
        (len(frame), len(frame.columns)),
        tuple(str(label) for label in frame.columns) if named else None,
        lambda position, name: series_cells(frame[:, position], name, call=call),
    )


def _infer(
    source: _Source,
    kinds: Mapping[str, str] | None,
    call: str,
    rows: Sequence[int],
    tallies: Mapping[str, Tally],
) -> Table:
    """A training table, with the fields that its cells and the stated kinds make."""
    names = source.names or default_names(source.shape[1])
    check_names(names, call)
    stated = check_kinds(kinds, names, call)
    if source.values is not None and not stated:
        return Table(source.values.astype(np.float64, copy=False), names, source.fields)
    columns: list[Inferred] = []
    for i, name in enumerate(names):
        if source.values is not None and name not in stated:
            columns.append(Inferred(source.fields[i], source.values[:, i]))
        else:
            kind, tally = stated.get(name, "auto"), tallies.get(name)
            cells = _cells(source, i, name, kind)
            columns.append(infer_field(cells, name, kind, call=call, rows=rows, tally=tally))
    warn_noted(columns, call)
    values = np.column_stack([column.values for column in columns])
    fields = tuple(column.field for column in columns)
    return Table(values.astype(np.float64, copy=False), names, fields)


def _apply(source: _Source, fields: tuple[Field, ...], call: str, rows: Sequence[int]) -> Table:
    """A table to be scored, coded by the fields of training."""
    names = tuple(field.name for field in fields)
    if source.names is None:
        check_count(source.shape[1], len(fields), call)
        order: list[int | None] = list(range(len(fields)))
    else:
        order = select_columns(source.names, fields, call)
    own = [None if i is None or not source.fields else source.fields[i] for i in order]
    same = [
        has is not None and has.same_cells(wanted) for has, wanted in zip(own, fields, strict=True)
    ]
    if source.values is not None and all(same):
        kept = order == list(range(source.shape[1]))
        values = source.values if kept else source.values[:, np.array(order, dtype=int)]
        return Table(values.astype(np.float64, copy=False), names, fields)
    values = np.zeros((source.shape[0], len(fields)))
    for i, (position, field) in enumerate(zip(order, fields, strict=True)):
        if position is None:  # an identifier that is not there
            continue
        if source.values is not None and same[i]:
            values[:, i] = source.values[:, position]
        else:
            cells = _cells(source, position, field.name, field.kind)
            values[:, i] = encode(cells, field, call=call, rows=rows)
    return Table(values, names, fields)


def _cells(source: _Source, position: int, name: str, kind: str) -> Cells:
    """The cells of a column; of an identifier, whose content is not needed, those of types that
    cannot be used as well.
    """
    try:
        return source.cells(position, name)
    except InvalidInputError:
        if kind != "identifier":
            raise
        return Cells("text", "Unknown", np.zeros(source.shape[0]))


def _as_frame(X: Any, call: str) -> Any:
    """`X` as a narwhals frame, or None if it is no frame."""
    try:
        frame = nw.from_native(X, eager_only=True, allow_series=True, pass_through=True)
    except nw.exceptions.DuplicateError as error:
        labels = getattr(X, "column_names", None) or X.columns
        raise repeated_names([str(label) for label in labels], call) from error
    if isinstance(frame, nw.DataFrame):
        return frame
    if hasattr(X, "collect") and hasattr(X, "collect_schema"):
        got = "a lazy frame, which holds no rows yet"
        raise problem(call, "a table of numbers", got, "X.collect()")
    return None


def _as_array(X: Any, call: str) -> np.ndarray:
    """`X` as a 2-D array of any dtype."""
    sparse = sys.modules.get("scipy.sparse")
    if sparse is not None and sparse.issparse(X):
        raise problem(call, "a dense table of numbers", "a sparse matrix", "X.toarray()")
    try:
        # A mask would be dropped by asarray, and the numbers beneath it taken for data.
        array = _unmasked(X) if isinstance(X, np.ma.MaskedArray) else np.asarray(X)
    except (TypeError, ValueError) as error:
        raise problem(call, "rows of equal length", f"a {type(X).__name__}: {error}") from error
    if array.dtype.kind == "c":
        raise complex_error(call)
    if array.ndim != 2:
        raise _dimension_error(array, X, call)
    return array


def _unmasked(X: np.ma.MaskedArray) -> np.ndarray:
    """A masked array with missing cells under its mask."""
    if X.dtype.kind in "biuf":
        return np.ma.filled(X.astype(np.float64), np.nan)
    objects = np.array(X.data, dtype=object)
    objects[np.ma.getmaskarray(X)] = None
    return objects


def _check_size(shape: tuple[int, ...], min_rows: int, call: str) -> None:
    """Raise unless there are at least `min_rows` rows and one column."""
    for count, noun, minimum in ((shape[0], "sample", min_rows), (shape[1], "feature", 1)):
        if count < minimum:
            # The words for Python are scikit-learn's, whose checks look for them.
            got = Message(
                f"{count} {noun}(s) (shape=({shape[0]}, {shape[1]})) "
                f"while a minimum of {minimum} is required",
                f"{shape[0]} and {shape[1]}",
            )
            expected = f"at least {min_rows} row(s) and 1 column"
            kind = InvalidInputError if shape[0] else NoRowsError
            raise kind(describe(call, expected=expected, got=got))


def _check_cells(values: np.ndarray, names: Sequence[str], call: str, rows: Sequence[int]) -> None:
    """Raise if a cell is infinite or beyond `LARGEST`; the first in reading order is named."""
    large = np.abs(values) > LARGEST  # false for NaN, a missing cell
    if not large.any():
        return
    infinite = np.isinf(values)
    for kind, bad, hint in (
        ("inf (an infinite value)", infinite, "replace it, or drop the row"),
        (
            f"a magnitude beyond {LARGEST:g}",
            large & ~infinite,
            "drop the row if the value stands for a missing one, or rescale the column",
        ),
    ):
        if bad.any():
            row, column = (int(place) for place in np.argwhere(bad)[0])
            count = f"{bad.sum()} such in {len(values)} rows"
            place = f"in column {names[column]!r}, data row {rows[row]} ({count})"
            error = problem(call, "finite numbers", f"{kind} {place}", hint)
            raise error.at(str(names[column]), rows[row])


def _dimension_error(array: np.ndarray, X: Any, call: str) -> InvalidInputError:
    """The error for anything but two dimensions."""
    got = f"a {type(X).__name__}" if array.ndim == 0 else f"{array.ndim}-D data {array.shape}"
    hint = {
        0: "an array, a frame, or read_table(path)",
        1: "Reshape your data: X.reshape(-1, 1) for one column, X.reshape(1, -1) for one row",
    }.get(array.ndim, "X.reshape(len(X), -1)")
    return problem(call, "a 2-D table (rows, columns)", got, hint)
