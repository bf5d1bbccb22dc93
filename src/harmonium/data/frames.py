"""float64 values -> the cells that a table had outside: Arrow columns, and frames of any
library.
"""

import importlib
import re
import zoneinfo
from collections.abc import Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow as pa

from harmonium.data.fields import DATETIME, Field
from harmonium.data.problems import problem
from harmonium.data.spellings import CLOCK, write_clock

CONTAINERS = ("pandas", "polars", "pyarrow")
# Whole milliseconds that Python's dates can hold: the years 1 to 9999; and those of nanoseconds.
_SECONDS = (-62_135_596_800, 253_402_300_799)
_NANOSECONDS = (-9_223_372_036, 9_223_372_036)
_ARROW_NAMES = {"Float16": "halffloat", "Float32": "float", "Float64": "double"}


def container_of(X: Any) -> str:
    """What a table came in: "pandas", "polars", "pyarrow", or "array" for all that has no names.

    Other frames count as the one of the three that is nearest to them.
    """
    frame = nw.from_native(X, eager_only=True, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        return "array"
    if frame.implementation.is_pandas_like():
        return "pandas"
    return "polars" if frame.implementation.is_polars() else "pyarrow"


def to_frame(values: np.ndarray, fields: Sequence[Field], container: str) -> Any:
    """Values of shape (rows, columns) as a pandas, polars or pyarrow table, columns as they were.

    NaN becomes a missing cell, codes their categories, and each column has its own type again where
    its values allow that: pandas has whole numbers with gaps as floats. Identifiers are all
    missing. Raises `InvalidInputError` for another container, one that is not installed, and codes
    that are none.
    """
    call = f"to_frame(values, fields, {container!r})"
    if container not in CONTAINERS:
        raise problem(call, f"a container among {CONTAINERS}", repr(container))
    try:
        library = importlib.import_module(container)
    except ImportError as error:
        got = f"{container}, which is not installed"
        hint = f"pip install {container}"
        raise problem(call, f"the library {container}", got, hint) from error
    table = pa.table(decode_columns(values, fields, call=call))
    if container == "pandas":
        return table.to_pandas()
    return table if container == "pyarrow" else library.from_arrow(table)


def decode_columns(
    values: np.ndarray, fields: Sequence[Field], *, call: str = "decode_columns(values, fields)"
) -> dict[str, Any]:
    """Values of shape (rows, columns) as one Arrow array per column, by name.

    Raises `InvalidInputError` for another number of columns, and for codes that are none.
    """
    if values.ndim != 2 or values.shape[1] != len(fields):
        expected = f"values of shape (rows, {len(fields)})"
        raise problem(call, expected, f"shape {values.shape}")
    columns = zip(values.T, fields, strict=True)
    return {field.name: decode_column(column, field, call=call) for column, field in columns}


def decode_column(values: np.ndarray, field: Field, *, call: str) -> Any:
    """Values of one column, shape (rows,), as an Arrow array of the type that the column had."""
    if field.kind == "identifier":
        return pa.nulls(len(values), _arrow_type(field, call))
    if field.kind != "categorical":
        return _decode_numbers(values, field, call)
    codes = _check_codes(values, field, call)
    known = codes >= 0
    if field.form == "text":
        return _decode_texts(np.where(known, codes, 0), known, field)
    numbers = np.array([float(text) for text in field.categories])
    return _decode_numbers(np.where(known, numbers[codes], np.nan), field, call)


def _check_codes(values: np.ndarray, field: Field, call: str) -> np.ndarray:
    """Positions in the categories as integers; -1 for missing and unknown ones."""
    codes = np.where(np.isnan(values), -1, values)
    n_categories = len(field.categories)
    bad = np.flatnonzero((codes != np.round(codes)) | (codes < -1) | (codes >= n_categories))
    if len(bad):
        row = int(bad[0])
        got = f"{float(values[row])!r} in column {field.name!r}, row {row + 1}"
        raise problem(call, f"a category from 0 to {n_categories - 1}, or -1", got)
    return codes.astype(np.int64)


def _decode_texts(codes: np.ndarray, known: np.ndarray, field: Field) -> Any:
    """Categories as text, or as Arrow's dictionary where the column had categories outside too."""
    indices = pa.array(codes, pa.int32(), mask=~known)
    coded = pa.DictionaryArray.from_arrays(indices, pa.array(field.categories, pa.string()))
    return coded if field.dtype in ("Categorical", "Enum") else coded.cast(pa.string())


def _decode_numbers(values: np.ndarray, field: Field, call: str) -> Any:
    """Numbers, whole numbers, truth values, dates and times of day as an Arrow array."""
    missing = np.isnan(values)
    if field.form == "datetime":
        return _decode_times(values, missing, field, call)
    if field.spelling == CLOCK:
        return pa.array(write_clock(values), pa.string())
    filled = np.where(missing, 0.0, values)
    if field.form == "boolean" and np.isin(filled, (0.0, 1.0)).all():
        return pa.array(filled != 0, pa.bool_(), mask=missing)
    if field.form == "integer" and np.all((filled == np.round(filled)) & (np.abs(filled) < 2**63)):
        return _narrow(pa.array(filled.astype(np.int64), mask=missing), _arrow_type(field, call))
    floats = pa.array(values, pa.float64(), mask=missing)
    return floats.cast(_arrow_type(field, call), safe=False) if field.form == "number" else floats


def _narrow(integers: Any, kind: Any) -> Any:
    """Integers in the type of their column, or in 64 bits where one is too large for it."""
    try:
        return integers.cast(kind)
    except pa.ArrowInvalid:
        return integers


def _decode_times(values: np.ndarray, missing: np.ndarray, field: Field, call: str) -> Any:
    """Seconds since 1970-01-01 UTC as dates or times, within the years that these can hold."""
    kind = _arrow_type(field, call)
    nanoseconds = pa.types.is_timestamp(kind) and kind.unit == "ns"
    seconds = np.clip(np.where(missing, 0.0, values), *(_NANOSECONDS if nanoseconds else _SECONDS))
    if pa.types.is_date(kind):
        days = np.floor(seconds / 86_400).astype(np.int32)
        return pa.array(days, pa.int32(), mask=missing).cast(kind)
    # float64 seconds of our days are exact to a microsecond, not further.
    unit = min(10**6, {"s": 1, "ms": 10**3}.get(kind.unit, 10**6))
    counts = np.round(seconds * unit).astype(np.int64) * (1000 if nanoseconds else 1)
    return pa.array(counts, pa.int64(), mask=missing).cast(kind)


def _arrow_type(field: Field, call: str) -> Any:
    """The Arrow type of a column, by its dtype or else by its form."""
    if field.spelling == CLOCK:
        return pa.string()
    if field.form == "datetime":
        return pa.date32() if field.dtype == "Date" else _timestamp(field, call)
    if field.form == "text":
        category = field.dtype in ("Categorical", "Enum")
        return pa.dictionary(pa.int32(), pa.string()) if category else pa.string()
    if field.form == "boolean":
        return pa.bool_()
    integer = field.form == "integer"
    pattern = r"U?Int(8|16|32|64)" if integer else r"Float(16|32|64)"
    if re.fullmatch(pattern, field.dtype):
        return pa.type_for_alias(_ARROW_NAMES.get(field.dtype, field.dtype.lower()))
    return pa.int64() if integer else pa.float64()


def _timestamp(field: Field, call: str) -> Any:
    """The Arrow type of a column of times; microseconds without a zone where nothing is known."""
    match = DATETIME.fullmatch(field.dtype)
    if match is None:
        return pa.timestamp("us")
    unit, zone = match.groups()
    if zone is not None and not re.fullmatch(r"[+-]\d\d:\d\d", zone):
        try:
            zoneinfo.ZoneInfo(zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
            got = f"{zone!r} in column {field.name!r}"
            raise problem(call, "a time zone that this computer knows", got) from error
    return pa.timestamp(unit, zone)
