"""Files in and out: CSV, Parquet, folders of Parquet, NPY.

Arrow is imported inside the functions, so that importing harmonium stays cheap.
"""

import csv
import gzip
import os
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harmonium.data.problems import problem, shorten
from harmonium.data.table import Table, as_table, default_names
from harmonium.errors import HarmoniumWarning, InvalidInputError

_KNOWN = ".csv, .csv.gz, .parquet, .npy or .npz, or a folder of .parquet files"


def read_table(
    path: str | os.PathLike[str],
    *,
    call: str | None = None,
    columns: tuple[str, ...] | None = None,
    min_rows: int = 1,
) -> Table:
    """Read a table of numbers from a CSV, Parquet or NPY file, or a folder of Parquet files.

    `columns`, `min_rows` and `call` are those of `as_table`. A CSV file has no header when every
    cell of its first line is a number; such a file, like an array, goes by position. Data rows are
    counted from 1, after the header and without blank lines. Raises `InvalidInputError` if the file
    is missing, empty, damaged, of another kind, or holds cells that are no finite numbers.
    """
    path = Path(path)
    call = call or f"read_table({str(path)!r})"
    if not path.exists():
        raise problem(call, "a file or folder", f"{str(path)!r}, which does not exist")
    try:
        content = _reader(path, call)(path, call)
    except OSError as error:
        raise problem(call, "a readable file", _reason(error)) from error
    return as_table(content, call=call, columns=columns, min_rows=min_rows)


def write_table(
    path: str | os.PathLike[str],
    names: Sequence[str],
    values: np.ndarray,
    *,
    integer: Sequence[bool] | None = None,
) -> None:
    """Write values of shape (rows, columns) as CSV, Parquet or NPY, whole or not at all.

    The columns flagged by `integer` are written as integers (an NPY file only if all are). Raises
    `InvalidInputError` for an unknown extension, a folder that cannot be written to, or a flagged
    column that holds other than integers.
    """
    path = Path(path)
    call = f"write_table({str(path)!r})"
    values = Table(np.asarray(values), tuple(names)).values
    flags = [False] * len(names) if integer is None else list(integer)
    columns = [
        _as_integers(values[:, i], name, call) if flag else values[:, i]
        for i, (name, flag) in enumerate(zip(names, flags, strict=True))
    ]
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise problem(call, "a file ending in .csv, .parquet or .npy", f"{path.name!r}")
    _replace(path, lambda partial: writer(partial, list(names), columns), call)


def write_columns(
    path: str | os.PathLike[str], columns: Mapping[str, Sequence[float] | Sequence[str]]
) -> None:
    """Write named columns of one length, numbers or words, as CSV or Parquet, whole or not at all.

    Raises `InvalidInputError` for an unknown extension or a folder that cannot be written to.
    """
    path = Path(path)
    call = f"write_columns({str(path)!r})"
    writers = {".csv": _write_csv, ".parquet": _write_parquet}
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise problem(call, "a file ending in .csv or .parquet", f"{path.name!r}")
    values = [np.asarray(column) for column in columns.values()]
    _replace(path, lambda partial: writer(partial, list(columns), values), call)


def _reader(path: Path, call: str) -> Callable[[Path, str], Any]:
    """The function that reads this kind of file."""
    name = path.name.lower()
    if path.is_dir():
        return _read_folder
    if name.endswith((".csv", ".csv.gz")):
        return _read_csv
    readers = {".parquet": _read_parquet, ".npy": _read_numpy, ".npz": _read_numpy}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise problem(call, _KNOWN, f"{path.name!r}", "convert the file to CSV or Parquet")
    return reader


def _read_csv(path: Path, call: str) -> Any:
    """An Arrow table with names, or a bare array if the file has no header."""
    import pyarrow as pa
    import pyarrow.csv

    text = _csv_bytes(path, call)
    has_header = _has_header(text, call)
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(text),
            # One block: the type of a column then follows from all of its cells. One thread:
            # errors then know their row.
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False,
                block_size=min(len(text) + 1, 2**31 - 1),
                autogenerate_column_names=not has_header,
            ),
            convert_options=pyarrow.csv.ConvertOptions(strings_can_be_null=True),
        )
    except pa.ArrowInvalid as error:
        raise _csv_error(str(error), has_header, call) from error
    if has_header:
        return table
    names = default_names(table.num_columns)
    return as_table(table.rename_columns(list(names)), call=call).values


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
    line = text.decode("utf-8-sig").lstrip("\r\n").splitlines()[0]
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


def _read_parquet(path: Path, call: str) -> Any:
    """The Arrow table of one Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet

    if path.stat().st_size == 0:
        raise problem(call, "a table", "an empty file")
    try:
        # ParquetFile, unlike read_table, takes no meaning from the names of the folders above.
        with pyarrow.parquet.ParquetFile(path) as file:
            return file.read()
    except pa.ArrowException as error:
        got = f"{path.name!r}, which cannot be read ({str(error).rstrip('.')})"
        raise problem(call, "a Parquet file", got) from error


def _read_folder(path: Path, call: str) -> Any:
    """The rows of all Parquet files of a folder, in the order of their names."""
    import pyarrow as pa

    files = sorted(path.glob("*.parquet"))
    if not files:
        raise problem(call, "a folder of .parquet files", f"{str(path)!r}, which holds none")
    tables = [_read_parquet(file, call) for file in files]
    for file, table in zip(files, tables, strict=True):
        if sorted(table.column_names) != sorted(tables[0].column_names):
            got = f"other columns in {file.name!r} than in {files[0].name!r}"
            raise problem(call, "the same columns in every file", got)
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise problem(call, "the same types in every file", str(error).rstrip(".")) from error


def _read_numpy(path: Path, call: str) -> np.ndarray:
    """The array of an NPY file, or the one that is meant in an NPZ archive."""
    try:
        # Without pickles, which could run code.
        with open(path, "rb") as file:
            content = np.load(file, allow_pickle=False)
            array = content if isinstance(content, np.ndarray) else _pick(content)
    except (ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise problem(call, "a NumPy file of numbers", f"{path.name!r} ({error})") from error
    if array is None:
        got = f"{path.name!r} with the arrays {', '.join(content) or '(none)'}"
        raise problem(call, "one array X, or a single 2-D array", got, "numpy.savez(path, X=X)")
    return array


def _pick(archive: Any) -> np.ndarray | None:
    """The array X of an NPZ archive, or its only array if that is 2-D."""
    if "X" in archive.files:
        return archive["X"]
    arrays = [archive[name] for name in archive.files[:2]]
    return arrays[0] if len(arrays) == 1 and arrays[0].ndim == 2 else None


def _as_integers(column: np.ndarray, name: str, call: str) -> np.ndarray:
    """A column as int64."""
    if not np.all((np.abs(column) < 2**63) & (column == np.round(column))):
        raise problem(call, f"integers in column {name!r}", "other numbers")
    return column.astype(np.int64)


def _replace(path: Path, write: Callable[[Path], None], call: str) -> None:
    """Write beside `path`, then rename: a reader never sees half a file."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(partial)
        os.replace(partial, path)
    except OSError as error:
        hint = f"create the folder {str(path.parent)!r}, or choose another"
        raise problem(call, "a file that can be written", _reason(error), hint) from error
    finally:
        if partial.is_file():
            partial.unlink()


def _write_csv(path: Path, names: list[str], columns: list[np.ndarray]) -> None:
    import pyarrow as pa
    import pyarrow.csv

    pyarrow.csv.write_csv(pa.Table.from_arrays([pa.array(c) for c in columns], names=names), path)


def _write_parquet(path: Path, names: list[str], columns: list[np.ndarray]) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    table = pa.Table.from_arrays([pa.array(c) for c in columns], names=names)
    pyarrow.parquet.write_table(table, path)


def _write_npy(path: Path, names: list[str], columns: list[np.ndarray]) -> None:
    del names  # an NPY file has none
    with open(path, "wb") as file:
        np.save(file, np.column_stack(columns))


_WRITERS = {".csv": _write_csv, ".parquet": _write_parquet, ".npy": _write_npy}


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).rstrip(".").lower()
