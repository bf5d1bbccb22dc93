"""Files in: CSV, Parquet, folders of Parquet, NPY.

Arrow is imported inside the functions, so that importing harmonium stays cheap.
"""

import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harmonium.data.csvs import code_numbers, csv_tables, read_csv
from harmonium.data.fields import Field
from harmonium.data.parquets import read_parquet
from harmonium.data.problems import problem, read_errors
from harmonium.data.table import Table, as_table

_ENDINGS = {"csv": (".csv", ".csv.gz"), "parquet": (".parquet",), "numpy": (".npy", ".npz")}
# All that NumPy and the readers of archives raise at damage, sizes beyond all memory among it.
_DAMAGE = (
    *(ValueError, EOFError, LookupError, RuntimeError, MemoryError, SyntaxError),
    *(struct.error, tokenize.TokenError, zlib.error, zipfile.BadZipFile),
)
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
    calls categorical, keep their cells to the letter. With `fields` every cell of a CSV file is
    read on its own; without, as what all cells of its column are. Data rows are counted from 1,
    after the header and without blank lines. Raises `InvalidInputError` if the file is missing,
    empty, damaged or of another kind, and for what `as_table` refuses.
    """
    path = Path(path)
    call = call or f"read_table({str(path)!r})"
    kind = source_kind(path, call)
    with read_errors(call):
        if kind == "csv":
            content = _read_csv(path, call, fields, kinds)
        else:
            content = (read_parquet if kind == "parquet" else read_numpy)(path, call)
    return as_table(content, call=call, fields=fields, kinds=kinds, min_rows=min_rows)


def source_kind(path: Path, call: str) -> str:
    """What a table is stored as: "csv", "parquet", also of a folder, or "numpy"."""
    if not path.exists():
        raise problem(call, "a file or folder", f"{str(path)!r}, which does not exist")
    if path.is_dir():
        return "parquet"
    for kind, endings in _ENDINGS.items():
        if path.name.lower().endswith(endings):
            return kind
    raise problem(call, _KNOWN, f"{path.name!r}", "convert the file to CSV or Parquet")


def read_numpy(path: Path, call: str, *, mapped: bool = False) -> np.ndarray:
    """The array of an NPY file, or the one that is meant in an NPZ archive.

    If `mapped`, that of an NPY file stays on disk until its cells are used.
    """
    try:
        # Without pickles, which could run code.
        content = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        with content:
            array, names = _pick(content), list(content.files)
    except _DAMAGE as error:
        got = f"{path.name!r} ({error!s:.200})"
        raise problem(call, "a NumPy file of numbers", got) from error
    if array is None:
        got = f"{path.name!r} with the arrays {', '.join(names) or '(none)'}"
        raise problem(call, "one array X, or a single 2-D array", got, "numpy.savez(path, X=X)")
    return array


def _read_csv(
    path: Path, call: str, fields: tuple[Field, ...] | None, kinds: Mapping[str, str] | None
) -> Any:
    """The Arrow table of one CSV file, for training or, by `fields`, for scoring."""
    import pyarrow as pa

    if fields is None:
        return read_csv(path, call, kinds=kinds)
    return code_numbers(pa.concat_tables(csv_tables(path, call, fields=fields)), fields)


def _pick(archive: Any) -> np.ndarray | None:
    """The array X of an NPZ archive, or its only array if that is 2-D."""
    if "X" in archive.files:
        return archive["X"]
    arrays = [archive[name] for name in archive.files[:2]]
    return arrays[0] if len(arrays) == 1 and arrays[0].ndim == 2 else None
