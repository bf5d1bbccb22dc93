"""What the columns of a training table are: fields and values, by their cells and stated kinds."""

import datetime
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from harmonium.data.cells import Cells, dtype_error, number_text, text_error
from harmonium.data.encoding import cell_hint, encode
from harmonium.data.fields import MOST_CATEGORIES, Field
from harmonium.data.problems import problem, state_kind
from harmonium.data.spellings import CLOCK, read_spelled
from harmonium.data.tallies import NUMBER, NUMERIC_SHARE, Reading, Tally
from harmonium.errors import HarmoniumWarning, InvalidInputError, Message, about, message

# Text with more than this share of distinct cells, in at least this many cells, names its rows.
IDENTIFIER_SHARE, IDENTIFIER_CELLS = 0.9, 20
# Names of columns that name rows, where every row has another whole number.
_NAMES_ROWS = re.compile(
    r"(?i:row[ _.-]?(names?|numbers?|num|nr|no|id|index)?|index|idx|unnamed: 0|uid|key"
    r"|(.*[ _.-])?(ids?|nr|no|number|nummer)|.*nummer)|.*[a-z](Id|ID)"
)
# Numbers that often stand for missing cells.
_CODES = (-9.0, -99.0, -999.0, -9999.0, -99999.0, 99.0, 999.0, 9999.0, 99999.0)
_SECONDS_PER_DAY = 86_400


class Inferred(NamedTuple):
    """A column at training: its field, its values, float64 of shape (rows,), what a user should
    know of how it was read, and the number in it that may stand for missing cells, if there is one.
    """

    field: Field
    values: np.ndarray
    note: str = ""
    code: float | None = None


def infer_field(
    cells: Cells,
    name: str,
    kind: str,
    *,
    call: str,
    rows: Sequence[int],
    tally: Tally | None = None,
) -> Inferred:
    """What a training column is.

    `kind` is the one that was stated, "auto" if none was; errors call the rows by the numbers in
    `rows`, of the same length. `tally` counts the cells of the whole column where these are a part
    of it. Raises `InvalidInputError` for text of which half are numbers, for a kind that the cells
    cannot be of, and for too many categories.
    """
    if cells.form == "text":
        return _infer_text(cells, name, kind, call, rows, tally)
    if kind == "auto" and (reason := _names_rows(cells, name, rows)):
        field = Field(name, cells.form, "identifier", dtype=cells.dtype)
        return Inferred(field, encode(cells, field, call=call, rows=rows), reason)
    field = Field(name, cells.form, kind, dtype=cells.dtype)
    if kind == "categorical":
        return _infer_categories(cells, field, call)
    if kind == "integer":
        _check_whole(cells.numbers, name, call, rows)
    values = encode(cells, field, call=call, rows=rows)
    return Inferred(field, values, code=_code(values) if kind == "auto" else None)


def warn_noted(columns: Sequence[Inferred], call: str) -> None:
    """One warning of the columns that are left out, one of those that were read in a way that a
    user may not expect, and one for each that may have a code for missing cells.
    """
    noted = [column for column in columns if column.note]
    left_out = [column for column in noted if column.field.kind == "identifier"]
    read = [column for column in noted if column.field.kind != "identifier"]
    if left_out:
        first = left_out[0].field
        kind = "categorical" if first.form == "text" else "integer"
        hint = state_kind(first.name, kind)
        text = message("columns left out: {}. To keep one: {}.", _listed(left_out), hint)
        warnings.warn(about(call, text), HarmoniumWarning, stacklevel=5)
    if read:
        warnings.warn(about(call, message("{}.", _listed(read))), HarmoniumWarning, stacklevel=5)
    for column in columns:
        if column.code is not None:
            code, count = number_text(column.code), int(np.sum(column.values == column.code))
            where = f"{column.field.name!r} has {code} in {count} rows, far from all other cells"
            hint = Message("replace it by NaN", f"--missing {code}")
            text = message("{}. If it stands for a missing cell: {}.", where, hint)
            warnings.warn(about(call, text), HarmoniumWarning, stacklevel=5)


def _listed(columns: Sequence[Inferred], most: int = 8) -> str:
    """Columns with their notes, the first `most` of them, and how many more there are."""
    shown = "; ".join(f"{own.field.name!r} {own.note}" for own in columns[:most])
    return shown if len(columns) <= most else f"{shown}; and {len(columns) - most} more"


def _infer_text(
    cells: Cells, name: str, kind: str, call: str, rows: Sequence[int], tally: Tally | None
) -> Inferred:
    """A column of text: numbers, dates, categories or an identifier."""
    if kind == "categorical":
        return _infer_categories(cells, Field(name, "text", kind, dtype=cells.dtype), call)
    if kind == "identifier":
        field = Field(name, "text", kind, dtype=cells.dtype)
        return Inferred(field, encode(cells, field, call=call, rows=rows))
    if tally is None:
        tally = Tally()
        tally.see(cells.texts, np.where(cells.is_missing, -1, cells.codes), rows)
    reading = tally.reading()
    if reading is None and tally.n_cells:
        if kind in ("continuous", "integer") or tally.number_share >= NUMERIC_SHARE:
            text, row = tally.odd[NUMBER]
            raise text_error(call, name, text, row, "numbers", cell_hint(name, text))
        return _infer_words(cells, name, call, rows, tally.doubt())
    field = _field_of(name, kind, reading or Reading("number"))
    values = encode(cells, field, call=call, rows=rows)
    if kind == "integer":
        _check_whole(values, name, call, rows)
    if field.form == "datetime" and np.all(values[~cells.is_missing] % _SECONDS_PER_DAY == 0):
        field = replace(field, dtype="Date")
    code = _code(values) if field.form == "number" and kind == "auto" else None
    return Inferred(field, values, _spelled_note(cells, field, values, tally), code)


def _field_of(name: str, kind: str, reading: Reading) -> Field:
    """The field of a column of text that stands for numbers or dates."""
    # Numbers and dates written as text come back as numbers and dates.
    dtype = "Float64" if reading.form == "number" else "Datetime(time_unit='us', time_zone=None)"
    return Field(name, reading.form, kind, dtype=dtype, spelling=reading.spelling)


def _infer_words(cells: Cells, name: str, call: str, rows: Sequence[int], doubt: str) -> Inferred:
    """A column of text that stands for nothing else: categories, or an identifier."""
    present = ~cells.is_missing
    n_present = int(present.sum())
    n_distinct = len(np.unique(cells.codes[present]))
    names = n_present >= IDENTIFIER_CELLS and n_distinct > IDENTIFIER_SHARE * n_present
    # Without cells among the rows at hand there are no categories to learn.
    if names or not n_present:
        field = Field(name, "text", "identifier", dtype=cells.dtype)
        note = "has text that differs in nearly every row" if names else "has no cells here"
        note += f" ({doubt})" if doubt else ""
        return Inferred(field, encode(cells, field, call=call, rows=rows), note)
    found = _infer_categories(cells, Field(name, "text", "categorical", dtype=cells.dtype), call)
    return found._replace(note=f"stays text: {doubt}" if doubt else "")


def _spelled_note(cells: Cells, field: Field, values: np.ndarray, tally: Tally) -> str:
    """How cells that are not spelled plainly were read, with the first of them."""
    if not field.spelling or cells.is_missing.all():
        return ""
    form = "datetime" if field.form == "datetime" else "number"
    is_odd = np.isnan(read_spelled(cells.texts, form))[cells.codes] & ~cells.is_missing
    row = int(np.argmax(is_odd))
    text, value = cells.texts[int(cells.codes[row])].as_py(), float(values[row])
    if form == "number":
        unit = "minutes since midnight" if field.spelling == CLOCK else "numbers"
        shown, words = f"{value:.12g}", unit
    else:
        shown = datetime.datetime.fromtimestamp(value, datetime.UTC).date().isoformat()
        guess = ", which no cell confirms (write dates as 2020-12-31 if it is wrong)"
        words = f"dates, {field.spelling}{guess if tally.is_guessed else ''}"
    example = f": {text!r} is {shown}" if is_odd.any() else ""
    return f"is read as {words}{example}"


def _names_rows(cells: Cells, name: str, rows: Sequence[int]) -> str:
    """Why unique whole numbers name rows instead of measuring something; empty if they do not."""
    numbers = cells.numbers
    if cells.form not in ("integer", "number") or len(numbers) < IDENTIFIER_CELLS:
        return ""
    if cells.is_missing.any() or np.any(numbers != np.round(numbers)):
        return ""
    if any(np.array_equal(numbers, np.asarray(rows) - first) for first in (0, 1)):
        return "numbers the rows"
    if _NAMES_ROWS.fullmatch(name.strip()) and len(np.unique(numbers)) == len(numbers):
        return "has another whole number in every row"
    return ""


def _code(values: np.ndarray) -> float | None:
    """A number in several cells that lies further from all others than these from each other, and
    that often stands for missing ones; None if there is none.
    """
    is_code = np.isin(values, _CODES)
    others = values[~is_code & ~np.isnan(values)]
    if len(others) < IDENTIFIER_CELLS:
        return None
    low, high = others.min(), others.max()
    for code in _CODES:
        is_far = max(low - code, code - high) > high - low
        if is_far and low < high and np.sum(values == code) > 1:
            return code
    return None


def _infer_categories(cells: Cells, field: Field, call: str) -> Inferred:
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
            message("{}, or drop the column", state_kind(field.name, "identifier")),
        )
    if not np.all(np.isfinite(distinct)):
        raise problem(call, "finite numbers", f"inf (an infinite value) in column {field.name!r}")
    texts = cells.texts.to_pylist() if cells.form == "text" else map(number_text, distinct)
    field = Field(field.name, field.form, field.kind, tuple(sorted(set(texts))), field.dtype)
    return Inferred(field, encode(cells, field, call=call, rows=range(len(cells.numbers))))


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
        state_kind(name, "continuous"),
    )
