"""`Cells` -> float64: the field of a column found once, at fit time, and applied ever after.

Missing cells are NaN; categories are their positions, -1 for one that training has not seen;
identifiers are 0, for their content is not needed.
"""

import difflib
import re
import shlex
import warnings
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harmonium.data.cells import Cells, dtype_error, number_text, text_error
from harmonium.data.fields import Field
from harmonium.data.problems import shorten, state_kind
from harmonium.data.spellings import CLOCK, read_spelled
from harmonium.errors import HarmoniumWarning, Message, about, message

_EXPECTED = {
    "number": {"": "numbers", CLOCK: "times of day"},
    "datetime": {"": "dates such as 2020-12-31"},
}
# Of the names of categories, to be taken for one another; and how many are named at most.
_NEAR, _MOST_NAMED, _MOST_COMPARED = 0.85, 3, 200


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
        return _encode_text(cells, field, call, rows)
    if (cells.form == "datetime") != (field.form == "datetime"):
        expected = "dates" if field.form == "datetime" else "numbers"
        raise dtype_error(call, field.name, cells.dtype or cells.form, expected)
    if field.form == "integer":
        _warn_fractions(cells.numbers, field, call, rows)
    return cells.numbers


def _encode_categories(cells: Cells, field: Field, call: str) -> np.ndarray:
    """Positions in the categories of a field: NaN for missing cells, -1 for unknown ones."""
    if cells.form == "datetime":
        raise dtype_error(call, field.name, cells.dtype or "datetime", "text or numbers")
    if cells.form == "text":
        known = pa.array(field.categories, pa.large_string())
        found = pc.fill_null(
            pc.call_function("index_in", [cells.texts], pc.SetLookupOptions(known)), -1
        )
        positions, inverse = found.to_numpy(zero_copy_only=False), cells.codes
        unseen = cells.texts.take(np.flatnonzero(positions < 0)[:_MOST_COMPARED]).to_pylist()
        _warn_unseen(unseen, field, call)
    else:
        distinct, inverse = np.unique(cells.numbers, return_inverse=True)
        known = {text: i for i, text in enumerate(field.categories)}
        finite = np.isfinite(distinct)
        positions = [
            known.get(number_text(number), -1) if usable else -1
            for number, usable in zip(distinct, finite, strict=True)
        ]
        positions = np.asarray(positions)
    codes = positions.astype(np.float64)[inverse]
    return np.where(cells.is_missing, np.nan, codes)


def _encode_text(cells: Cells, field: Field, call: str, rows: Sequence[int]) -> np.ndarray:
    """Texts that stand for numbers or dates; the first that does not is named."""
    form = "datetime" if field.form == "datetime" else "number"
    values = read_spelled(cells.texts, form, field.spelling)
    missing = cells.is_missing
    if len(values) == 0:
        return np.full(len(missing), np.nan)
    column = np.where(missing, np.nan, values[cells.codes])
    bad = np.flatnonzero(np.isnan(column) & ~missing)
    if len(bad):
        text = cells.texts[int(cells.codes[bad[0]])].as_py()
        expected = _EXPECTED[form].get(field.spelling, f"{form}s, {field.spelling}")
        raise text_error(
            call, field.name, text, rows[bad[0]], expected, cell_hint(field.name, text)
        )
    return column


def cell_hint(name: str, text: str) -> Message:
    """What to do about a cell of text among numbers or dates."""
    empty = Message("replace it by None", f"state --missing {shlex.quote(text)}")
    words = "correct this cell; {} if it stands for a missing one; or fit with {}"
    return message(words, empty, state_kind(name, "categorical"))


def _warn_fractions(numbers: np.ndarray, field: Field, call: str, rows: Sequence[int]) -> None:
    """Name a number with a fraction in a column that had whole numbers alone."""
    broken = np.flatnonzero(np.isfinite(numbers) & (numbers != np.round(numbers)))
    if len(broken):
        first = int(broken[0])
        text = (
            f"column {field.name!r} has {numbers[first]:.15g} in row {rows[first]}; training had "
            "whole numbers alone."
        )
        warnings.warn(about(call, text), HarmoniumWarning, stacklevel=2)


def _warn_unseen(texts: Sequence[str], field: Field, call: str) -> None:
    """Name categories that training has not seen, but knows under a name that is much like it."""
    near = {text: own for text in texts if (own := _nearest(text, field.categories))}
    pairs = [f"{shorten(text)} (nearest: {shorten(own)})" for text, own in near.items()]
    if pairs:
        more = f" and {len(pairs) - _MOST_NAMED} more" if len(pairs) > _MOST_NAMED else ""
        listed = ", ".join(pairs[:_MOST_NAMED]) + more
        text = f"column {field.name!r} has categories that training has not seen: {listed}."
        warnings.warn(about(call, text), HarmoniumWarning, stacklevel=2)


def _nearest(text: str, categories: Sequence[str]) -> str:
    """The category that a text may have been meant for; empty if there is none."""
    folded = {_folded(own): own for own in categories}
    if _folded(text) in folded:
        return folded[_folded(text)]
    for own in difflib.get_close_matches(_folded(text), folded, n=1, cutoff=_NEAR):
        # Codes with other digits are other codes.
        if re.sub(r"\D", "", own) == re.sub(r"\D", "", text):
            return folded[own]
    return ""


def _folded(text: str) -> str:
    """A text without what people write in one way or another: case, spaces, points."""
    return re.sub(r"[\W_]", "", text).casefold()
