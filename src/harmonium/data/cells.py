"""Cells of any kind -> float64, or an error that names the column and the data row.

Everything here refuses rather than guesses: text that is not a number, dates, complex numbers and
Python objects each end in an `InvalidInputError`; a null becomes NaN, which `table` then refuses.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from harmonium.data.problems import problem, shorten
from harmonium.errors import InvalidInputError, describe

# float() knows no missing value but NaN; pandas spells it in two more ways.
_NULL_TYPES = ("NoneType", "NAType", "NaTType")


class CellTypeError(InvalidInputError, TypeError):
    """A cell holds a Python object that is neither a number nor text."""


def array_to_floats(array: np.ndarray, names: tuple[str, ...], *, call: str) -> np.ndarray:
    """A 2-D array of any dtype as float64, shape (rows, columns)."""
    if array.dtype.kind in "biuf":
        return array.astype(np.float64, copy=False)
    if array.dtype.kind == "c":
        raise complex_error(call)
    if array.dtype.kind in "OU":
        columns = [cells_to_floats(array[:, i], name, call=call) for i, name in enumerate(names)]
        return np.column_stack(columns)
    raise dtype_error(call, names[0], str(array.dtype))


def series_to_floats(series: Any, name: str, *, call: str) -> np.ndarray:
    """One narwhals series as float64, shape (rows,); nulls become NaN."""
    import narwhals as nw

    if series.dtype.is_numeric() or series.dtype == nw.Boolean:
        return np.asarray(series.cast(nw.Float64).to_numpy(), dtype=np.float64)
    if series.null_count() == len(series):
        return np.full(len(series), np.nan)
    if series.dtype in (nw.String, nw.Categorical, nw.Enum, nw.Object):
        return cells_to_floats(series.to_list(), name, call=call)
    dtype = _native_dtype(series)
    raise complex_error(call) if "complex" in dtype else dtype_error(call, name, dtype)


def cells_to_floats(cells: Iterable[Any], name: str, *, call: str) -> np.ndarray:
    """Python objects of one column as float64, shape (rows,)."""
    return np.array(
        [_cell_to_float(cell, name, row, call) for row, cell in enumerate(cells, start=1)],
        dtype=np.float64,
    )


def complex_error(call: str) -> InvalidInputError:
    """The error for complex numbers."""
    got = "complex numbers (Complex data not supported)"
    return problem(call, "real numbers", got, "two columns, X.real and X.imag")


def dtype_error(call: str, name: str, dtype: str) -> InvalidInputError:
    """The error for a column of dates, lists or another type that is no number."""
    got = f"column {name!r} of type {dtype}"
    return problem(call, "numbers", got, f"convert column {name!r} to numbers, or drop it")


def _cell_to_float(cell: Any, name: str, row: int, call: str) -> float:
    """One cell as a float; `row` is 1-based."""
    if type(cell).__name__ in _NULL_TYPES:
        return float("nan")
    if isinstance(cell, complex):
        raise complex_error(call)
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError) as error:
        raise _cell_error(cell, name, row, call) from error


def _cell_error(cell: Any, name: str, row: int, call: str) -> InvalidInputError:
    """The error for one cell that is no number."""
    place = f"in column {name!r}, data row {row}"
    if isinstance(cell, str):
        hint = f"correct this cell, or drop column {name!r}, or encode it as numbers"
        return problem(call, "numbers", f"text {shorten(cell)} {place}", hint)
    # The words in brackets are those that scikit-learn's estimator checks look for.
    return CellTypeError(
        describe(
            call,
            expected="numbers (the argument must be neither string nor object, but number)",
            got=f"a {type(cell).__name__} {place}",
            hint=f"convert column {name!r} to numbers, or drop it",
        )
    )


def _native_dtype(series: Any) -> str:
    """The type of a column in the words of the library that holds it."""
    native = series.to_native()
    return str(getattr(native, "dtype", None) or getattr(native, "type", series.dtype))
