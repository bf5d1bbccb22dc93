"""CSV text -> Arrow tables of text: header, numbers by known fields, errors in our words."""

import csv
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from harmonium.data.cells import number_text
from harmonium.data.csv_blocks import CSVBlocks
from harmonium.data.csv_bytes import first_line
from harmonium.data.dialects import Known
from harmonium.data.fields import Field, stated_codes
from harmonium.data.names import check_count, default_names, select_columns
from harmonium.data.problems import problem, shorten
from harmonium.data.spellings import read_numbers
from harmonium.errors import HarmoniumWarning, about

# What else Arrow takes for a number, in a column that holds nothing else.
_TRUTHS = {"true": "1", "True": "1", "TRUE": "1", "false": "0", "False": "0", "FALSE": "0"}
_HEXADECIMAL = re.compile(r"0[xX][0-9a-fA-F]{1,15}")


def csv_tables(
    path: Path, dialect: Known, call: str, *, fields: tuple[Field, ...] | None = None
) -> Iterator[Any]:
    """The cells of one CSV file as text, in Arrow tables of some rows each.

    The first table has no rows: it tells the columns, which are those of `fields` where these are
    given. Cells that are empty, or spell a missing one, are null, and so are the codes that the
    dialect or the fields state.
    """
    blocks = CSVBlocks(path, dialect, call, _positional_names(path, dialect, fields, call))
    wanted = names = blocks.names
    if fields is not None:
        order = select_columns(names, fields, call)
        wanted = [names[i] for i in order if i is not None] or names[:1]
    yield pa.Table.from_batches([], pa.schema([(name, pa.string()) for name in wanted]))
    codes = (*dialect.missing, *stated_codes(fields or ()))
    yield from (_without_codes(table, codes) for table in blocks.tables(wanted))


def code_numbers(table: Any, fields: tuple[Field, ...], decimal: str = ".") -> Any:
    """The texts of `csv_tables`, with numbers where fields hold numbers.

    Every cell is read on its own, so that a part of a file is read as the whole is. A column with a
    cell that is no number stays text, for `as_table` to name the cell.
    """
    for field in fields:
        numeric = field.form not in ("text", "datetime") and field.kind != "identifier"
        if numeric and field.name in table.column_names:
            i = table.column_names.index(field.name)
            column = with_points(table.column(i), decimal)
            table = table.set_column(i, field.name, _numbers_or_text(column))
    return without_blanks(table)


def with_points(texts: Any, decimal: str) -> Any:
    """Texts of numbers with points as decimal signs, and commas between thousands.

    Text without a digit is none, and stays as errors are to show it.
    """
    if decimal == ".":
        return texts
    swapped = texts
    for old, new in ((".", "\0"), (",", "."), ("\0", ",")):
        options = pc.ReplaceSubstringOptions(old, new)
        swapped = pc.call_function("replace_substring", [swapped], options)
    options = pc.MatchSubstringOptions(r"\d")
    has_digits = pc.call_function("match_substring_regex", [texts], options)
    return pc.call_function("if_else", [has_digits, swapped, texts])


def without_blanks(table: Any) -> Any:
    """The table with cells of nothing but spaces as missing ones, like the empty cells already."""
    for i, name in enumerate(table.column_names):
        if _is_text(table.column(i).type):
            table = table.set_column(i, name, _without(table.column(i), r"^\s*$"))
    return table


def _without_codes(table: Any, codes: tuple[str, ...]) -> Any:
    """The table of text with missing cells for those that hold one of these codes."""
    if not codes:
        return table
    options = pc.SetLookupOptions(pa.array(codes, pa.string()))
    for i, name in enumerate(table.column_names):
        column = table.column(i)
        trimmed = pc.call_function("utf8_trim_whitespace", [column])
        coded = pc.call_function("is_in", [trimmed], options)
        kept = pc.call_function("if_else", [coded, pa.nulls(1, column.type)[0], column])
        table = table.set_column(i, name, kept)
    return table


def _is_text(kind: Any) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def cast_texts(texts: Any, kind: Any) -> Any:
    """An Arrow array of text as another type; None if a cell is not of it."""
    try:
        # A cast takes long over cells that fail, and most that fail do so soon.
        texts.slice(0, 100).cast(kind)
        return texts.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _numbers_or_text(column: Any) -> Any:
    """Texts as float64 if all of them are numbers; the number cells of the rest spelled alike."""
    if (numbers := cast_texts(column, pa.float64())) is not None:
        return numbers
    trimmed = pc.call_function("utf8_trim_whitespace", [column])
    coded = _without(trimmed, "^([+-]?nan)?$").combine_chunks().dictionary_encode()
    texts = coded.dictionary.to_pylist()
    spelled = [
        number_text(number) if number == number else _spelled(text)
        for text, number in zip(texts, read_numbers(coded.dictionary), strict=True)
    ]
    plain = pa.array(spelled, pa.string()).take(coded.indices)
    numbers = cast_texts(plain, pa.float64())
    return plain if numbers is None else numbers


def _spelled(text: str) -> str:
    """A truth value or a hexadecimal number as a decimal one; other text as it is."""
    return str(int(text, 16)) if _HEXADECIMAL.fullmatch(text) else _TRUTHS.get(text, text)


def _without(column: Any, pattern: str) -> Any:
    """The column with missing cells for those that match."""
    options = pc.MatchSubstringOptions(pattern, ignore_case=True)
    matches = pc.call_function("match_substring_regex", [column], options)
    return pc.call_function("if_else", [matches, pa.nulls(1, column.type)[0], column])


def _positional_names(
    path: Path, dialect: Known, fields: tuple[Field, ...] | None, call: str
) -> list[str] | None:
    """The names of the columns of a file without header; None if there is a header."""
    cells = _first_cells(path, dialect, call)
    if _is_header(cells, dialect, call):
        return None
    if fields is None:
        return list(default_names(len(cells)))
    check_count(len(cells), len(fields), call)
    return [field.name for field in fields]


def _is_header(cells: list[str], dialect: Known, call: str) -> bool:
    """Whether the first line is a header: not only numbers, or the positions 0, 1, 2, …

    Warns (`HarmoniumWarning`) when it is taken as data.
    """
    filled = [cell for cell in cells if cell.strip() and cell.strip() not in dialect.missing]
    if not filled or not all(_is_number(cell.replace(dialect.decimal, ".")) for cell in filled):
        return True
    # A frame without names is written with its positions as header.
    if len(cells) > 1 and cells == [str(position) for position in range(len(cells))]:
        return True
    line = dialect.separator.join(cells)
    note = f"no header found; the first line ({shorten(line)}) is taken as data."
    warnings.warn(about(call, note), HarmoniumWarning, stacklevel=2)
    return False


def _first_cells(path: Path, dialect: Known, call: str) -> list[str]:
    """The cells of the first line."""
    line = first_line(path, dialect.encoding, call)
    try:
        return next(csv.reader([line], delimiter=dialect.separator))
    except csv.Error as error:
        got = f"the first line {shorten(line)} ({error})"
        raise problem(call, "cells of text", got) from error


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
