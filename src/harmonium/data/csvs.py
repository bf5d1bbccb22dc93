"""CSV text -> an Arrow table: header, types of columns, and errors in our words."""

import csv
import gzip
import re
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harmonium.data.fields import Field
from harmonium.data.problems import problem, shorten
from harmonium.data.table import check_count, default_names
from harmonium.errors import HarmoniumWarning, InvalidInputError


def read_csv(
    path: Path,
    call: str,
    *,
    fields: tuple[Field, ...] | None,
    kinds: Mapping[str, str] | None,
) -> Any:
    """The Arrow table of one CSV file; without a header, columns have the names of training."""
    import pyarrow as pa
    import pyarrow.csv

    text = _csv_bytes(path, call)
    has_header = _has_header(text, call)
    names = None if has_header else _positional_names(text, fields, call)
    literal = _literal_columns(fields, kinds)
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(text),
            # One block: the type of a column then follows from all of its cells. One thread:
            # errors then know their row.
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False,
                block_size=min(len(text) + 1, 2**31 - 1),
                column_names=names,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                strings_can_be_null=True, column_types=dict.fromkeys(literal, pa.string())
            ),
        )
    except pa.ArrowInvalid as error:
        raise _csv_error(str(error), has_header, call) from error
    return _without_blanks(table)


def _literal_columns(
    fields: tuple[Field, ...] | None, kinds: Mapping[str, str] | None
) -> list[str]:
    """Columns to be read to the letter, so that a category 007 or 1.0 stays what it is."""
    if fields is not None:
        return [field.name for field in fields if field.form == "text"]
    stated = kinds if isinstance(kinds, Mapping) else {}
    return [name for name, kind in stated.items() if kind == "categorical"]


def _positional_names(text: bytes, fields: tuple[Field, ...] | None, call: str) -> list[str]:
    """The names of the columns of a file without header."""
    n_columns = len(next(csv.reader([_first_line(text)])))
    if fields is None:
        return list(default_names(n_columns))
    check_count(n_columns, len(fields), call)
    return [field.name for field in fields]


def _without_blanks(table: Any) -> Any:
    """The table with cells of nothing but spaces as missing ones, like the empty cells already."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for i, name in enumerate(table.column_names):
        column = table.column(i)
        if pa.types.is_string(column.type):
            options = pc.MatchSubstringOptions(r"^\s*$")
            blank = pc.call_function("match_substring_regex", [column], options)
            cells = [blank, pa.scalar(None, column.type), column]
            table = table.set_column(i, name, pc.call_function("if_else", cells))
    return table


def _csv_bytes(path: Path, call: str) -> bytes:
    """The checked, unpacked bytes of a CSV file, ending in a newline."""
    data = path.read_bytes()
    if data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise problem(call, "a gzip file", f"a damaged one ({error})") from error
    if not data.strip():
        raise problem(call, "a table", "an empty file")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        got = f"bytes that are not UTF-8 (first at byte {error.start + 1})"
        raise problem(call, "CSV text", got, "save the file as CSV in UTF-8") from error
    if b"\0" in data:
        raise problem(call, "CSV text", "binary data", "save the file as CSV in UTF-8")
    return data if data.endswith(b"\n") else data + b"\n"


def _has_header(text: bytes, call: str) -> bool:
    """Whether the first line is a header: not only numbers, or the positions 0, 1, 2, …

    Warns (`HarmoniumWarning`) when it is taken as data.
    """
    line = _first_line(text)
    cells = next(csv.reader([line]))
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


def _first_line(text: bytes) -> str:
    return text.decode("utf-8-sig").lstrip("\r\n").splitlines()[0]


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
