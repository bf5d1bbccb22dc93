"""CSV text -> Arrow tables: header, types of columns, and errors in our words."""

import csv
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harmonium.data.cells import number_text
from harmonium.data.csv_bytes import CheckedBytes, first_line
from harmonium.data.encoding import read_numbers
from harmonium.data.fields import Field
from harmonium.data.problems import problem, shorten
from harmonium.data.table import check_count, default_names, select_columns
from harmonium.errors import HarmoniumWarning, InvalidInputError

# A row must fit in a block. Arrow reads some forty of them ahead.
_BLOCK_BYTES = 1 << 21
# What else Arrow takes for a number, in a column that holds nothing else.
_TRUTHS = {"true": "1", "True": "1", "TRUE": "1", "false": "0", "False": "0", "FALSE": "0"}
_HEXADECIMAL = re.compile(r"0[xX][0-9a-fA-F]{1,15}")


def read_csv(path: Path, call: str, *, kinds: Mapping[str, str] | None) -> Any:
    """The Arrow table of one CSV file; the type of a column follows from all of its cells."""
    import pyarrow as pa
    import pyarrow.csv

    names = _positional_names(path, None, call)
    with CheckedBytes(path, call) as file:
        text = file.read()
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(text),
            # One block, so that all cells are seen. One thread: errors then know their row.
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False,
                block_size=min(len(text) + 1, 2**31 - 1),
                column_names=names,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                strings_can_be_null=True,
                column_types=dict.fromkeys(literal_columns(kinds), pa.string()),
            ),
        )
    except pa.ArrowInvalid as error:
        raise _csv_error(str(error), names is None, call) from error
    return without_blanks(table)


def csv_tables(path: Path, call: str, *, fields: tuple[Field, ...] | None = None) -> Iterator[Any]:
    """The cells of one CSV file as text, in Arrow tables of some rows each.

    The first table has no rows: it tells the columns, which are those of `fields` where these are
    given. Cells that are empty, or spell a missing one, are null.
    """
    import pyarrow as pa

    bare = _positional_names(path, fields, call)
    with _open(path, call, bare, None) as reader:
        names = reader.schema.names
    wanted = names
    if fields is not None:
        order = select_columns(names, fields, call)
        wanted = [names[i] for i in order if i is not None] or names[:1]
    yield pa.schema([(name, pa.string()) for name in wanted]).empty_table()
    with _open(path, call, bare, wanted) as reader:
        try:
            for batch in reader:
                yield pa.Table.from_batches([batch])
        except pa.ArrowInvalid as error:
            raise _csv_error(str(error), bare is None, call) from error


def code_numbers(table: Any, fields: tuple[Field, ...]) -> Any:
    """The texts of `csv_tables`, with numbers where fields hold numbers.

    Every cell is read on its own, so that a part of a file is read as the whole is. A column with a
    cell that is no number stays text, for `as_table` to name the cell.
    """
    for field in fields:
        numeric = field.form not in ("text", "datetime") and field.kind != "identifier"
        if numeric and field.name in table.column_names:
            i = table.column_names.index(field.name)
            table = table.set_column(i, field.name, _numbers_or_text(table.column(i)))
    return without_blanks(table)


def without_blanks(table: Any) -> Any:
    """The table with cells of nothing but spaces as missing ones, like the empty cells already."""
    for i, name in enumerate(table.column_names):
        if _is_text(table.column(i).type):
            table = table.set_column(i, name, _without(table.column(i), r"^\s*$"))
    return table


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def cast_texts(texts: Any, kind: Any) -> Any:
    """An Arrow array of text as another type; None if a cell is not of it."""
    import pyarrow as pa

    try:
        # A cast takes long over cells that fail, and most that fail do so soon.
        texts.slice(0, 100).cast(kind)
        return texts.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def literal_columns(kinds: Mapping[str, str] | None) -> list[str]:
    """Columns to be read to the letter, so that a category 007 or 1.0 stays what it is."""
    stated = kinds if isinstance(kinds, Mapping) else {}
    return [name for name, kind in stated.items() if kind == "categorical"]


def _open(path: Path, call: str, bare: list[str] | None, wanted: list[str] | None) -> Any:
    """Arrow's reader of these columns as text, or of all, as it thinks fit, if `wanted` is None."""
    import pyarrow as pa
    import pyarrow.csv

    types = dict.fromkeys(wanted or (), pa.string())
    try:
        return pyarrow.csv.open_csv(
            pa.PythonFile(CheckedBytes(path, call), mode="r"),
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, block_size=_BLOCK_BYTES, column_names=bare
            ),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                strings_can_be_null=True, column_types=types, include_columns=wanted
            ),
        )
    except pa.ArrowInvalid as error:
        raise _csv_error(str(error), bare is None, call) from error


def _numbers_or_text(column: Any) -> Any:
    """Texts as float64 if all of them are numbers; the number cells of the rest spelled alike."""
    import pyarrow as pa
    import pyarrow.compute as pc

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
    import pyarrow as pa
    import pyarrow.compute as pc

    options = pc.MatchSubstringOptions(pattern, ignore_case=True)
    matches = pc.call_function("match_substring_regex", [column], options)
    return pc.call_function("if_else", [matches, pa.scalar(None, column.type), column])


def _positional_names(path: Path, fields: tuple[Field, ...] | None, call: str) -> list[str] | None:
    """The names of the columns of a file without header; None if there is a header."""
    line = first_line(path, call)
    if _is_header(line, call):
        return None
    n_columns = len(_cells(line, call))
    if fields is None:
        return list(default_names(n_columns))
    check_count(n_columns, len(fields), call)
    return [field.name for field in fields]


def _is_header(line: str, call: str) -> bool:
    """Whether the first line is a header: not only numbers, or the positions 0, 1, 2, …

    Warns (`HarmoniumWarning`) when it is taken as data.
    """
    cells = _cells(line, call)
    if len(cells) == 1 and re.search("[;\t]", line):
        hint = "save the file with commas between cells and points in numbers"
        raise problem(call, "cells separated by commas", f"the first line {shorten(line)}", hint)
    filled = [cell for cell in cells if cell.strip()]
    if not filled or not all(_is_number(cell) for cell in filled):
        return True
    # A frame without names is written with its positions as header.
    if len(cells) > 1 and cells == [str(position) for position in range(len(cells))]:
        return True
    note = f"{call}: no header found; the first line ({shorten(line)}) is taken as data."
    warnings.warn(note, HarmoniumWarning, stacklevel=2)
    return False


def _cells(line: str, call: str) -> list[str]:
    """The cells of the first line."""
    try:
        return next(csv.reader([line]))
    except csv.Error as error:
        got = f"the first line {shorten(line)} ({error})"
        raise problem(call, "cells separated by commas", got) from error


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _csv_error(message: str, has_header: bool, call: str) -> InvalidInputError:
    """Arrow's complaint in our words; Arrow counts the header as row 1."""
    ragged = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", message)
    if ragged is None:
        return problem(call, "a CSV table", message.rstrip("."))
    row, expected, got = (int(group) for group in ragged.groups())
    place = f"data row {row - has_header}"
    hint = "quote cells that hold commas, and complete short rows"
    return problem(call, f"{expected} cells in every row", f"{got} cells in {place}", hint)
