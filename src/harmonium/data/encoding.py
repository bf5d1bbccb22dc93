"""`Cells` -> float64: the field of a column found once, at fit time, and applied ever after.

Missing cells are NaN; categories are their positions, -1 for one that training has not seen;
identifiers are 0, for their content is not needed.
"""

import datetime
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from harmonium.data.cells import Cells, dtype_error, number_text, text_error
from harmonium.data.fields import MOST_CATEGORIES, Field
from harmonium.data.problems import problem
from harmonium.errors import InvalidInputError

# Text with more than this share of distinct cells, in at least this many cells, names its rows.
IDENTIFIER_SHARE, IDENTIFIER_CELLS = 0.9, 20
# Text of which at least this share are numbers is taken for damaged numbers, not for categories.
NUMERIC_SHARE = 0.5
# What Python reads as a number, apart from the words for infinity and NaN.
_NUMBER = r"^\s*[+-]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][+-]?\d+)?\s*$"


def infer_field(
    cells: Cells, name: str, kind: str, *, call: str, rows: Sequence[int]
) -> tuple[Field, np.ndarray]:
    """The field of a training column and its values, float64 of shape (rows,).

    `kind` is the one that was stated, "auto" if none was; errors call the rows by the numbers in
    `rows`, of the same length. Raises `InvalidInputError` for text of
    which half are numbers, for a kind that the cells cannot be of, and for too many categories.
    """
    if cells.form == "text":
        return _infer_text(cells, name, kind, call, rows)
    field = Field(name, cells.form, kind, dtype=cells.dtype)
    if kind == "categorical":
        return _infer_categories(cells, field, call)
    if kind == "integer":
        _check_whole(cells.numbers, name, call, rows)
    return field, encode(cells, field, call=call, rows=rows)


def encode(cells: Cells, field: Field, *, call: str, rows: Sequence[int]) -> np.ndarray:
    """The values of a column by its field, float64 of shape (rows,).

    Raises `InvalidInputError`, naming the column and the row by its number in `rows`, for cells
    that are not of the form of the field; a category that it does not know is no error.
    """
    missing = cells.is_missing
    if missing.all():
        return np.full(len(missing), np.nan)
    if field.kind == "identifier":
        return np.where(missing, np.nan, 0.0)
    if field.kind == "categorical":
        return _encode_categories(cells, field, call)
    if cells.form == "text":
        reader, expected = (
            (_read_times, "dates in ISO format")
            if field.form == "datetime"
            else (read_numbers, "numbers")
        )
        return _encode_text(cells, field.name, reader, expected, call, rows)
    if (cells.form == "datetime") != (field.form == "datetime"):
        expected = "dates" if field.form == "datetime" else "numbers"
        raise dtype_error(call, field.name, cells.dtype or cells.form, expected)
    return cells.numbers


def _infer_text(
    cells: Cells, name: str, kind: str, call: str, rows: Sequence[int]
) -> tuple[Field, np.ndarray]:
    """The field of a column of text: numbers, categories or an identifier."""
    present = ~cells.is_missing
    if kind == "categorical":
        return _infer_categories(cells, Field(name, "text", kind, dtype=cells.dtype), call)
    if kind == "identifier":
        field = Field(name, "text", kind, dtype=cells.dtype)
        return field, encode(cells, field, call=call, rows=rows)
    counts = np.bincount(cells.codes[present], minlength=len(cells.texts))
    numbers = read_numbers(cells.texts)
    share = counts @ ~np.isnan(numbers) / max(counts.sum(), 1)
    if kind in ("continuous", "integer") or share >= NUMERIC_SHARE or not present.any():
        # Numbers written as text come back as numbers.
        values = _encode_text(cells, name, read_numbers, "numbers", call, rows)
        if kind == "integer":
            _check_whole(values, name, call, rows)
        return Field(name, "number", kind, dtype="Float64"), values
    if counts.sum() >= IDENTIFIER_CELLS and len(counts) > IDENTIFIER_SHARE * counts.sum():
        field = Field(name, "text", "identifier", dtype=cells.dtype)
        return field, encode(cells, field, call=call, rows=rows)
    return _infer_categories(cells, Field(name, "text", "categorical", dtype=cells.dtype), call)


def _infer_categories(cells: Cells, field: Field, call: str) -> tuple[Field, np.ndarray]:
    """A categorical field with its categories, and the codes of its cells."""
    if cells.form == "datetime":
        expected = f"text or numbers to be categories (kind {field.kind!r})"
        raise dtype_error(call, field.name, cells.dtype or "datetime", expected)
    present = cells.numbers[~cells.is_missing]
    distinct = np.unique(present)
    if not 0 < len(distinct) <= MOST_CATEGORIES:
        raise problem(
            call,
            f"1 to {MOST_CATEGORIES} categories in column {field.name!r}",
            f"{len(distinct)} distinct cells",
            f"kinds={{{field.name!r}: 'identifier'}}, or drop the column",
        )
    if not np.all(np.isfinite(distinct)):
        raise problem(call, "finite numbers", f"inf (an infinite value) in column {field.name!r}")
    texts = cells.texts.to_pylist() if cells.form == "text" else map(number_text, distinct)
    field = Field(field.name, field.form, field.kind, tuple(sorted(set(texts))), field.dtype)
    return field, _encode_categories(cells, field, call)


def _encode_categories(cells: Cells, field: Field, call: str) -> np.ndarray:
    """Positions in the categories of a field: NaN for missing cells, -1 for unknown ones."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if cells.form == "datetime":
        raise dtype_error(call, field.name, cells.dtype or "datetime", "text or numbers")
    if cells.form == "text":
        known = pa.array(field.categories, pa.large_string())
        found = pc.fill_null(
            pc.call_function("index_in", [cells.texts], pc.SetLookupOptions(known)), -1
        )
        positions, inverse = found.to_numpy(zero_copy_only=False), cells.codes
    else:
        distinct, inverse = np.unique(cells.numbers, return_inverse=True)
        known = {text: i for i, text in enumerate(field.categories)}
        finite = np.isfinite(distinct)
        positions = [
            known.get(number_text(number), -1) if usable else -1
            for number, usable in zip(distinct, finite, strict=True)
        ]
    codes = np.asarray(positions, dtype=np.float64)[inverse]
    return np.where(cells.is_missing, np.nan, codes)


def _encode_text(
    cells: Cells,
    name: str,
    read: Callable[[Any], np.ndarray],
    expected: str,
    call: str,
    rows: Sequence[int],
) -> np.ndarray:
    """Texts that stand for numbers or dates; the first that does not is named."""
    values = read(cells.texts)
    missing = cells.is_missing
    if len(values) == 0:
        return np.full(len(missing), np.nan)
    column = np.where(missing, np.nan, values[cells.codes])
    bad = np.flatnonzero(np.isnan(column) & ~missing)
    if len(bad):
        text = cells.texts[int(cells.codes[bad[0]])].as_py()
        raise text_error(call, name, text, rows[bad[0]], expected, cell_hint(name))
    return column


def cell_hint(name: str) -> str:
    """What to do about a cell of text among numbers or dates."""
    return (
        f"correct this cell, or drop column {name!r}, or fit with kinds={{{name!r}: 'categorical'}}"
    )


def read_numbers(texts: Any) -> np.ndarray:
    """Finite numbers that an Arrow array of text spells, float64; NaN for other text."""
    import pyarrow.compute as pc

    numbers = np.full(len(texts), np.nan)
    options = pc.MatchSubstringOptions(_NUMBER)
    looks = pc.call_function("match_substring_regex", [texts], options)
    flags = looks.to_numpy(zero_copy_only=False).astype(bool)
    numbers[flags] = [_read(float, text) for text in texts.filter(looks).to_pylist()]
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _read_times(texts: Any) -> np.ndarray:
    """Seconds since 1970-01-01 UTC of dates in ISO format, float64; NaN for other text."""
    return np.array([_read(_iso_seconds, text.strip()) for text in texts.to_pylist()], dtype=float)


def _read(reader: Callable[[str], float], text: str) -> float:
    try:
        return reader(text)
    except ValueError:
        return float("nan")


def _iso_seconds(text: str) -> float:
    """Seconds since 1970-01-01 UTC; a time without a zone is UTC."""
    if text.isdigit():
        # Python would read dates out of the digits of some numbers.
        raise ValueError(f"{text} is a number")
    moment = datetime.datetime.fromisoformat(text)
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    return zoned.timestamp()


def _check_whole(values: np.ndarray, name: str, call: str, rows: Sequence[int]) -> None:
    """Raise unless a column stated to be integer is."""
    bad = np.flatnonzero((values != np.round(values)) & ~np.isnan(values))
    if len(bad):
        raise _fraction_error(call, name, float(values[bad[0]]), rows[bad[0]])


def _fraction_error(call: str, name: str, value: float, row: int) -> InvalidInputError:
    return problem(
        call,
        "whole numbers in a column of kind 'integer'",
        f"{value!r} in column {name!r}, data row {row}",
        f"kinds={{{name!r}: 'continuous'}}",
    )
