"""`Table`: named columns of finite float64 cells, and the one place where input is checked."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmonium.data.cells import array_to_floats, complex_error, series_to_floats
from harmonium.data.problems import problem, quote
from harmonium.errors import InvalidInputError

# Beyond this, squares of standardized values can overflow; such cells are sentinels or damage.
LARGEST = 1e100


@dataclass(frozen=True, eq=False)
class Table:
    """Named columns of numbers: `values` float64 of shape (rows, columns), one name per column."""

    values: np.ndarray
    names: tuple[str, ...]

    def __post_init__(self):
        if self.values.ndim != 2 or self.values.shape[1] != len(self.names):
            raise problem(
                "Table(values, names)",
                "values of shape (rows, columns) and one name per column",
                f"values of shape {self.values.shape} and {len(self.names)} names",
            )

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return self.values.shape[0]

    @property
    def n_columns(self) -> int:
        """How many columns there are."""
        return self.values.shape[1]


def as_table(
    X: Any, *, call: str, columns: tuple[str, ...] | None = None, min_rows: int = 1
) -> Table:
    """Check a table of numbers once and return it as float64 with names.

    `X` is a `Table`, a NumPy array or nested lists, or a pandas, polars or pyarrow table, of shape
    (rows, columns); columns without names are called x1, x2, … `call` is how the caller typed the
    request and starts every message. With `columns` (at scoring time) a frame or `Table` must hold
    these columns, which are selected by name; an array must have exactly that many. Booleans become
    0 and 1. The values may share memory with `X`.

    Raises `InvalidInputError`, naming column and 1-based data row, for text, dates, NaN or null,
    infinities, magnitudes beyond 1e100, repeated names, and tables of the wrong shape.
    """
    if isinstance(X, Table):
        _check_size((X.n_rows, X.n_columns), min_rows, call)
        order = _select(X.names, columns, call)
        names, values = columns or X.names, X.values[:, order]
    elif (frame := _as_frame(X, call)) is not None:
        names, values = _read_frame(frame, call, columns, min_rows)
    else:
        names, values = _read_array(_as_array(X, call), call, columns, min_rows)
    _check_cells(values, names, call)
    return Table(values, names)


def default_names(n_columns: int) -> tuple[str, ...]:
    """Names of columns that came without: x1, x2, …"""
    return tuple(f"x{i}" for i in range(1, n_columns + 1))


def _as_frame(X: Any, call: str) -> Any:
    """`X` as a narwhals frame, or None if it is no frame."""
    import narwhals as nw

    try:
        frame = nw.from_native(X, eager_only=True, allow_series=True, pass_through=True)
    except nw.exceptions.DuplicateError as error:
        labels = getattr(X, "column_names", None) or X.columns
        raise _duplicate_error([str(label) for label in labels], call) from error
    if isinstance(frame, nw.DataFrame):
        return frame
    if hasattr(X, "collect") and hasattr(X, "collect_schema"):
        got = "a lazy frame, which holds no rows yet"
        raise problem(call, "a table of numbers", got, "X.collect()")
    return None


def _read_frame(
    frame: Any, call: str, columns: tuple[str, ...] | None, min_rows: int
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and float64 values of a narwhals frame."""
    names = tuple(str(label) for label in frame.columns)
    _check_size((len(frame), len(names)), min_rows, call)
    if not any(isinstance(label, str) for label in frame.columns):
        # pandas numbers the columns of a frame made without names: no names then, only positions.
        _check_count(len(names), columns, call)
        names = columns or default_names(len(names))
        order = list(range(len(names)))
    else:
        order = _select(names, columns, call)
        names = columns or names
    values = np.empty((len(frame), len(order)))
    for i, position in enumerate(order):
        values[:, i] = series_to_floats(frame[:, position], names[i], call=call)
    return names, values


def _as_array(X: Any, call: str) -> np.ndarray:
    """`X` as a 2-D array of any dtype."""
    sparse = sys.modules.get("scipy.sparse")
    if sparse is not None and sparse.issparse(X):
        raise problem(call, "a dense table of numbers", "a sparse matrix", "X.toarray()")
    try:
        # A mask would be dropped by asarray, and the numbers beneath it taken for data.
        masked = isinstance(X, np.ma.MaskedArray) and X.dtype.kind in "biuf"
        array = np.ma.filled(X.astype(np.float64), np.nan) if masked else np.asarray(X)
    except (TypeError, ValueError) as error:
        raise problem(call, "rows of equal length", f"a {type(X).__name__}: {error}") from error
    if array.dtype.kind == "c":
        raise complex_error(call)
    if array.ndim != 2:
        raise _dimension_error(array, X, call)
    return array


def _read_array(
    array: np.ndarray, call: str, columns: tuple[str, ...] | None, min_rows: int
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and float64 values of a 2-D array."""
    _check_size(array.shape, min_rows, call)
    _check_count(array.shape[1], columns, call)
    names = columns or default_names(array.shape[1])
    return names, array_to_floats(array, names, call=call)


def _select(names: Sequence[str], columns: tuple[str, ...] | None, call: str) -> list[int]:
    """Positions of the wanted columns among `names`; all of them when none are asked for."""
    if len(set(names)) < len(names):
        raise _duplicate_error(names, call)
    if columns is None:
        return list(range(len(names)))
    position = {name: i for i, name in enumerate(names)}
    missing = [name for name in columns if name not in position]
    if missing:
        raise problem(
            call,
            f"the {len(columns)} columns seen in training",
            f"a table without {quote(missing)} (it has {quote(names)})",
            "rename or add these columns, or pass an array to go by position",
        )
    return [position[name] for name in columns]


def _check_count(n_columns: int, columns: tuple[str, ...] | None, call: str) -> None:
    """Raise unless an array has as many columns as were seen in training."""
    if columns is not None and n_columns != len(columns):
        # The sentence in brackets is scikit-learn's, whose checks look for it word by word.
        owner = call.partition("(")[0].partition(".")[0]
        raise problem(
            call,
            f"{len(columns)} columns, as in training",
            f"{n_columns} (X has {n_columns} features, but {owner} is expecting "
            f"{len(columns)} features as input)",
        )


def _check_size(shape: tuple[int, ...], min_rows: int, call: str) -> None:
    """Raise unless there are at least `min_rows` rows and one column."""
    for count, noun, minimum in ((shape[0], "sample", min_rows), (shape[1], "feature", 1)):
        if count < minimum:
            raise problem(
                call,
                f"at least {min_rows} row(s) and 1 column",
                f"{count} {noun}(s) (shape=({shape[0]}, {shape[1]})) "
                f"while a minimum of {minimum} is required",
            )


def _check_cells(values: np.ndarray, names: Sequence[str], call: str) -> None:
    """Raise if a cell is NaN, infinite or beyond `LARGEST`; the first in reading order is named."""
    if np.all(np.abs(values) <= LARGEST):  # false for NaN too
        return
    finite = np.isfinite(values)
    for kind, bad, hint in (
        (
            "NaN (an empty cell)",
            np.isnan(values),
            "drop these rows or fill the cells: missing cells are not supported yet",
        ),
        ("inf (an infinite value)", ~finite, "replace it, or drop the row"),
        (
            f"a magnitude beyond {LARGEST:g}",
            finite & (np.abs(values) > LARGEST),
            "drop the row if the value stands for a missing one, or rescale the column",
        ),
    ):
        if bad.any():
            row, column = np.argwhere(bad)[0]
            place = f"in column {names[column]!r}, data row {row + 1} ({bad.sum()} such in all)"
            raise problem(call, "finite numbers", f"{kind} {place}", hint)


def _dimension_error(array: np.ndarray, X: Any, call: str) -> InvalidInputError:
    """The error for anything but two dimensions."""
    got = f"a {type(X).__name__}" if array.ndim == 0 else f"{array.ndim}-D data {array.shape}"
    hint = {
        0: "an array, a frame, or read_table(path)",
        1: "Reshape your data: X.reshape(-1, 1) for one column, X.reshape(1, -1) for one row",
    }.get(array.ndim, "X.reshape(len(X), -1)")
    return problem(call, "a 2-D table (rows, columns)", got, hint)


def _duplicate_error(names: Sequence[str], call: str) -> InvalidInputError:
    """The error for names that occur more than once."""
    repeated = [name for name in dict.fromkeys(names) if list(names).count(name) > 1]
    return problem(
        call, "a different name for every column", f"{quote(repeated)} repeated", "rename them"
    )
