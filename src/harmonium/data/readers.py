"""Files in and out: CSV, Parquet, folders of Parquet, NPY.

Arrow is imported inside the functions, so that importing harmonium stays cheap.
"""

import os
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harmonium.data.csvs import read_csv
from harmonium.data.fields import Field
from harmonium.data.frames import decode_columns
from harmonium.data.problems import problem, quote
from harmonium.data.table import Table, as_table

_KNOWN = ".csv, .csv.gz, .parquet, .npy or .npz, or a folder of .parquet files"


def read_table(
    path: str | os.PathLike[str],
    *,
    call: str | None = None,
    fields: tuple[Field, ...] | None = None,
    kinds: Mapping[str, str] | None = None,
    min_rows: int = 1,
) -> Table:
    """Read a table from a CSV, Parquet or NPY file, or a folder of Parquet files.

    `fields`, `kinds`, `min_rows` and `call` are those of `as_table`. A CSV file has no header when
    every cell of its first line is a number; such a file, like an array, goes by position. Its
    numbers, truth values and ISO dates are recognized; columns of text, and those that `kinds`
    calls categorical, keep their cells to the letter. Data rows are counted from 1, after the
    header and without blank lines. Raises `InvalidInputError` if the file is missing, empty,
    damaged or of another kind, and for what `as_table` refuses.
    """
    path = Path(path)
    call = call or f"read_table({str(path)!r})"
    if not path.exists():
        raise problem(call, "a file or folder", f"{str(path)!r}, which does not exist")
    try:
        if path.is_file() and path.name.lower().endswith((".csv", ".csv.gz")):
            content = read_csv(path, call, fields=fields, kinds=kinds)
        else:
            content = _reader(path, call)(path, call)
    except OSError as error:
        raise problem(call, "a readable file", _reason(error)) from error
    return as_table(content, call=call, fields=fields, kinds=kinds, min_rows=min_rows)


def write_table(path: str | os.PathLike[str], values: np.ndarray, fields: Sequence[Field]) -> None:
    """Write values of shape (rows, columns) as CSV, Parquet or NPY, whole or not at all.

    Every column is decoded by its field; an NPY file needs numbers alone, and holds integers only
    if all are. Raises `InvalidInputError` for an unknown extension, a folder that cannot be written
    to, text or dates in an NPY file, and codes that stand for no category.
    """
    path = Path(path)
    call = f"write_table({str(path)!r})"
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise problem(call, "a file ending in .csv, .parquet or .npy", f"{path.name!r}")
    if writer is _write_npy:
        _check_numbers(fields, call)
    columns = decode_columns(np.asarray(values), fields, call=call)
    _replace(path, lambda partial: writer(partial, columns), call)


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
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    _replace(path, lambda partial: writer(partial, arrays), call)


def _reader(path: Path, call: str) -> Callable[[Path, str], Any]:
    """The function that reads this kind of file."""
    if path.is_dir():
        return _read_folder
    readers = {".parquet": _read_parquet, ".npy": _read_numpy, ".npz": _read_numpy}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise problem(call, _KNOWN, f"{path.name!r}", "convert the file to CSV or Parquet")
    return reader


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


def _check_numbers(fields: Sequence[Field], call: str) -> None:
    """Raise if a column has other than numbers to write."""
    other = [field.name for field in fields if not field.is_number]
    if other:
        got = f"text, dates or identifiers in {quote(other)}"
        raise problem(call, "columns of numbers alone", got, "write .csv or .parquet")


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


def _write_csv(path: Path, columns: Mapping[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.csv

    pyarrow.csv.write_csv(pa.table(dict(columns)), path)


def _write_parquet(path: Path, columns: Mapping[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    pyarrow.parquet.write_table(pa.table(dict(columns)), path)


def _write_npy(path: Path, columns: Mapping[str, Any]) -> None:
    import pyarrow as pa

    # Truth values with gaps would become Python objects, and the file a pickle.
    arrays = [
        (column.cast(pa.float64()) if pa.types.is_boolean(column.type) else column).to_numpy(
            zero_copy_only=False
        )
        for column in columns.values()
    ]
    with open(path, "wb") as file:
        np.save(file, np.column_stack(arrays), allow_pickle=False)


_WRITERS = {".csv": _write_csv, ".parquet": _write_parquet, ".npy": _write_npy}


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).rstrip(".").lower()
