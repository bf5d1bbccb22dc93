"""Cells of any origin -> `Cells`: the numbers or the texts of one column, not yet given a meaning.

Everything here refuses rather than guesses: complex numbers, durations, lists and Python objects
each end in an `InvalidInputError` that names the column. A missing cell, however spelled, is NaN.
"""

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harmonium.data.problems import problem, shorten
from harmonium.errors import InvalidInputError, describe

# pandas spells a missing cell in two more ways than None and NaN.
_NULL_TYPES = ("NoneType", "NAType", "NaTType")
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6}
_SECONDS_PER_DAY = 86_400


class CellTypeError(InvalidInputError, TypeError):
    """A cell holds a Python object that is neither a number nor text."""


@dataclass(frozen=True, eq=False)
class Cells:
    """One column as it came, with n rows.

    `numbers`, float64 of shape (n,), holds NaN where a cell is missing; otherwise the number, the
    seconds since 1970-01-01 UTC of a date, or, in a column of text, the position of the cell in
    `texts`, an Arrow array of the distinct texts. `form` and `dtype` are those of `Field`.
    """

    form: str
    dtype: str
    numbers: np.ndarray
    texts: Any = None

    @property
    def is_missing(self) -> np.ndarray:
        """Which cells are missing, boolean of shape (n,)."""
        return np.isnan(self.numbers)

    @property
    def codes(self) -> np.ndarray:
        """Positions in `texts`, integers of shape (n,); 0 where a cell is missing."""
        return np.where(self.is_missing, 0, self.numbers).astype(np.int64)


def array_cells(column: np.ndarray, name: str, *, call: str) -> Cells:
    """The cells of one column of an array, shape (rows,), of any dtype."""
    kind = column.dtype.kind
    if kind in "biuf":
        form = {"b": "boolean", "f": "number"}.get(kind, "integer")
        return Cells(form, "", column.astype(np.float64, copy=False))
    if kind == "O":
        found = object_cells(column.tolist(), name, call=call)
    elif kind == "U":
        found = arrow_cells(pa.array(column.tolist(), pa.large_string()), name, call=call)
    elif kind == "M":
        found = arrow_cells(pa.array(column.astype("M8[us]"), from_pandas=True), name, call=call)
    else:
        raise complex_error(call) if kind == "c" else dtype_error(call, name, str(column.dtype))
    return Cells(found.form, "", found.numbers, found.texts)


def series_cells(series: Any, name: str, *, call: str) -> Cells:
    """The cells of one narwhals series."""
    dtype = series.dtype
    if dtype.is_numeric() or dtype == nw.Boolean:
        if series.implementation.is_pyarrow():  # whose cast refuses integers beyond 2^53
            numbers = _to_floats(series.to_arrow())
        else:
            numbers = np.asarray(series.cast(nw.Float64).to_numpy(), dtype=np.float64)
        form = "integer" if dtype.is_integer() else "number"
        # Precision and scale of a decimal follow from its cells.
        text = str(dtype).partition("(")[0]
        return Cells("boolean" if dtype == nw.Boolean else form, text, numbers)
    if dtype == nw.Object:
        return object_cells(series.to_list(), name, call=call)
    native = _native_dtype(series)
    if "complex" in native:
        raise complex_error(call)
    found = arrow_cells(series.to_arrow(), name, call=call, type_text=native)
    is_category = dtype in (nw.Categorical, nw.Enum)
    dtype_text = type(dtype).__name__ if is_category else found.dtype
    return Cells(found.form, dtype_text, found.numbers, found.texts)


def object_cells(cells: list[Any], name: str, *, call: str) -> Cells:
    """Python objects of one column."""
    try:
        array = pa.array(cells, from_pandas=True)
    except (pa.ArrowException, OverflowError):
        return _mixed_cells(cells, name, call)
    if _is_known(array.type):
        return arrow_cells(array, name, call=call)
    return _mixed_cells(cells, name, call)


def arrow_cells(array: Any, name: str, *, call: str, type_text: str = "") -> Cells:
    """The cells of one Arrow array, in one piece or several."""
    if isinstance(array, pa.ChunkedArray):
        array = array.unify_dictionaries().combine_chunks()
    kind = array.type
    if not _is_known(kind):
        raise dtype_error(call, name, type_text or str(kind))
    if pa.types.is_null(kind):
        return Cells("number", "Unknown", np.full(len(array), np.nan))
    if pa.types.is_dictionary(kind) or _is_text(kind):
        return _text_cells(array)
    if pa.types.is_date(kind):
        days = _to_floats(array.cast(pa.date32()).cast(pa.int32()))
        return Cells("datetime", "Date", days * _SECONDS_PER_DAY)
    if pa.types.is_timestamp(kind):
        seconds = _to_seconds(array.cast(pa.int64()), kind.unit)
        dtype = f"Datetime(time_unit={kind.unit!r}, time_zone={kind.tz!r})"
        return Cells("datetime", dtype, seconds)
    if pa.types.is_time(kind):
        # Minutes since midnight, as of text.
        micro = array.cast(pa.time64("us"), safe=False).cast(pa.int64())
        return Cells("number", "Float64", _to_floats(micro) / (60 * 10**6))
    if pa.types.is_boolean(kind):
        return Cells("boolean", "Boolean", _to_floats(array.cast(pa.int8())))
    integer = pa.types.is_integer(kind)
    return Cells(
        "integer" if integer else "number", "Int64" if integer else "Float64", _to_floats(array)
    )


def number_text(number: float) -> str:
    """A number as the text of a category: 3 and 3.0 are "3"."""
    return str(int(number)) if number == round(number) else repr(float(number))


def complex_error(call: str) -> InvalidInputError:
    """The error for complex numbers."""
    got = "complex numbers (Complex data not supported)"
    return problem(call, "real numbers", got, "two columns, X.real and X.imag")


def dtype_error(
    call: str, name: str, dtype: str, expected: str = "numbers, text or dates"
) -> InvalidInputError:
    """The error for a column of lists, durations or another type that cannot be used."""
    got = f"column {name!r} of type {dtype}"
    return problem(call, expected, got, f"convert column {name!r}, or drop it").at(name)


def _is_known(kind: Any) -> bool:
    """Whether cells of this Arrow type are numbers, texts, dates or missing."""
    types = pa.types
    if types.is_dictionary(kind):
        return _is_known(kind.value_type)
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return True
    dated = types.is_date(kind) or types.is_timestamp(kind) or types.is_time(kind)
    return dated or types.is_boolean(kind) or types.is_null(kind) or _is_text(kind)


def _is_text(kind: Any) -> bool:
    return (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _to_floats(array: Any) -> np.ndarray:
    """An Arrow array of numbers as float64, shape (rows,); nulls become NaN."""
    floats = array.cast(pa.float64(), safe=False)
    return np.array(floats.to_numpy(zero_copy_only=False), dtype=np.float64)


def _to_seconds(counts: Any, unit: str) -> np.ndarray:
    """Counts of a unit of time as seconds; whole microseconds are the nearest float64."""
    if unit != "ns":
        return _to_floats(counts) / _PER_SECOND[unit]
    # Nanoseconds of our days are beyond 2^53: the same time in another unit would be another float.
    micro = pc.call_function("divide", [counts, 1000])
    rest = pc.call_function("subtract", [counts, pc.call_function("multiply", [micro, 1000])])
    return _to_floats(micro) / 10**6 + _to_floats(rest) / 10**9


def _text_cells(array: Any) -> Cells:
    """An Arrow array of text, or of categories of any type, as text."""
    dtype = "String"
    if pa.types.is_dictionary(array.type):
        dtype, values = "Categorical", array.type.value_type
        if not _is_text(values):
            numeric = not (pa.types.is_date(values) or pa.types.is_timestamp(values))
            return _relabeled(array, numeric)
    # By way of plain text: categories that no cell has would count as seen.
    coded = array.cast(pa.large_string()).dictionary_encode()
    codes = _to_floats(pc.cast(coded.indices, pa.float64()))
    return Cells("text", dtype, codes, coded.dictionary)


def _relabeled(array: Any, numeric: bool) -> Cells:
    """An Arrow array of categories that are no text, as the text of its categories."""
    labels = array.dictionary.to_pylist()
    texts = [
        None if label is None else _mixed_text(float(label)) if numeric else str(label)
        for label in labels
    ]
    dictionary = pa.array(texts, pa.large_string())
    plain = pa.DictionaryArray.from_arrays(array.indices, dictionary).cast(pa.large_string())
    found = _text_cells(plain)
    return Cells("text", "Categorical", found.numbers, found.texts)


def _mixed_cells(cells: list[Any], name: str, call: str) -> Cells:
    """Objects of several types: numbers if none of them is text, else all as text."""
    numbers = [
        cell if isinstance(cell, str) else _object_to_float(cell, name, row, call)
        for row, cell in enumerate(cells, start=1)
    ]
    if not any(isinstance(number, str) for number in numbers):
        return Cells("number", "Float64", np.array(numbers, dtype=np.float64))
    texts = [_mixed_text(number) for number in numbers]
    return _text_cells(pa.array(texts, pa.large_string()))


def _mixed_text(number: float | str) -> str | None:
    """A cell of a mixed column as text, None where it is missing."""
    if isinstance(number, str) or np.isnan(number):
        return number if isinstance(number, str) else None
    return number_text(number) if np.isfinite(number) else repr(number)


def _object_to_float(cell: Any, name: str, row: int, call: str) -> float:
    """One object that is no text as a float; `row` is 1-based."""
    if type(cell).__name__ in _NULL_TYPES:
        return float("nan")
    if isinstance(cell, complex):
        raise complex_error(call)
    try:
        if isinstance(cell, bytes | bytearray):
            raise TypeError("bytes are no number")
        return float(cell)
    except (TypeError, ValueError, OverflowError) as error:
        # The words in brackets are those that scikit-learn's estimator checks look for.
        raise CellTypeError(
            describe(
                call,
                expected="numbers (the argument must be neither string nor object, but number)",
                got=f"a {type(cell).__name__} in column {name!r}, data row {row}",
                hint=f"convert column {name!r} to numbers or text, or drop it",
            )
        ).at(name, row) from error


def text_error(
    call: str, name: str, text: str, row: int, expected: str, hint: str
) -> InvalidInputError:
    """The error for one cell of text where something else is needed; `row` is 1-based."""
    place = f"in column {name!r}, data row {row}"
    return problem(call, expected, f"text {shorten(text)} {place}", hint).at(name, row)


def _native_dtype(series: Any) -> str:
    """The type of a column in the words of the library that holds it."""
    native = series.to_native()
    return str(getattr(native, "dtype", None) or getattr(native, "type", series.dtype))
