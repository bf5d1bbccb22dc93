"""JSON records and sheets of Excel -> Arrow tables, held in memory."""

import io
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json

from harmonium.data.cells import number_text
from harmonium.data.csvs import without_blanks
from harmonium.data.problems import problem
from harmonium.errors import HarmoniumWarning, InvalidInputError, about, message

# What Excel shows where a formula has no value.
_ERRORS = ("#N/A", "#DIV/0!", "#NULL!", "#NUM!", "#REF!", "#VALUE!", "#NAME?")
HOW_TO_INSTALL = "pip install 'harmonium[excel]'"


def read_records(path: Path, kind: str, call: str) -> Any:
    """The Arrow table of a file of kind "json" or "excel"."""
    return (read_json if kind == "json" else read_excel)(path, call)


def read_json(path: Path, call: str) -> Any:
    """The records of a JSON file: an array of objects, or one object per line."""
    data = path.read_bytes().lstrip(b"\xef\xbb\xbf \t\r\n")
    if not data:
        raise problem(call, "a table", "an empty file")
    if data.startswith(b"["):
        data = _lines(data, call)
    try:
        options = pyarrow.json.ReadOptions(block_size=min(len(data) + 1, 2**31 - 1))
        return pyarrow.json.read_json(io.BytesIO(data), read_options=options)
    except pa.ArrowException as error:
        raise _json_error(call, str(error).partition("\n")[0].rstrip(".")) from error


def read_excel(path: Path, call: str) -> Any:
    """The first sheet of a workbook: names in its first row that is not empty, then cells.

    Warns (`HarmoniumWarning`) where there are other sheets. Raises `InvalidInputError` if the
    library that reads it is not installed.
    """
    try:
        import openpyxl
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError as error:
        words = "{}: Excel files are read by the package openpyxl, which is not installed. Try: {}."
        raise InvalidInputError(message(words, call, HOW_TO_INSTALL)) from error
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        sheet = book.worksheets[0]
        rows = [row for row in sheet.iter_rows(values_only=True) if any(c is not None for c in row)]
        names = [own.title for own in book.worksheets]
        book.close()
    except (InvalidFileException, zipfile.BadZipFile, LookupError, ValueError, OSError) as error:
        raise problem(call, "an Excel workbook", f"{path.name!r} ({error!s:.200})") from error
    if not rows:
        raise problem(call, "a table", f"the empty sheet {names[0]!r}")
    if len(names) > 1:
        note = f"of {len(names)} sheets the first, {names[0]!r}, is read."
        warnings.warn(about(call, note), HarmoniumWarning, stacklevel=2)
    header, *cells = rows
    used = [i for i, name in enumerate(header) if name is not None]
    arrays = [_array([row[i] if i < len(row) else None for row in cells]) for i in used]
    return without_blanks(pa.table(arrays, names=[str(header[i]) for i in used]))


def _lines(data: bytes, call: str) -> bytes:
    """An array of objects as one object per line."""
    try:
        records = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _json_error(call, str(error)) from error
    if not all(isinstance(record, dict) for record in records):
        raise _json_error(call, "an array of other things")
    if not records:
        raise problem(call, "a table", "an array without records")
    return "\n".join(map(json.dumps, records)).encode()


def _json_error(call: str, got: str) -> Exception:
    expected = 'JSON records: [{"a": 1, …}, …], or one {"a": 1, …} per line'
    return problem(call, expected, got)


def _array(cells: list[Any]) -> Any:
    """One column of a sheet: numbers, truth values, dates, times, or else all as text."""
    known = [None if cell in _ERRORS else cell for cell in cells]
    try:
        array = pa.array(known)
    except (pa.ArrowException, OverflowError):
        return pa.array([None if cell is None else _text(cell) for cell in known], pa.string())
    if not pa.types.is_timestamp(array.type):
        return array
    try:
        return array.cast(pa.date32())  # fails where a time of day would be lost
    except pa.ArrowInvalid:
        return array


def _text(cell: Any) -> str:
    is_number = isinstance(cell, int | float) and not isinstance(cell, bool)
    return number_text(cell) if is_number else str(cell)
