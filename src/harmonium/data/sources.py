"""Where a table is stored: a path, how its text is written, and what the name says of its kind."""

import os
import struct
import sys
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from harmonium.data.dialects import Dialect
from harmonium.data.problems import problem

# Path itself cannot be subclassed before Python 3.12.
if sys.platform == "win32":
    from pathlib import WindowsPath as _SystemPath
else:
    from pathlib import PosixPath as _SystemPath

_ENDINGS = {
    "csv": (".csv", ".csv.gz", ".tsv", ".tsv.gz"),
    "parquet": (".parquet",),
    "numpy": (".npy", ".npz"),
    "json": (".json", ".jsonl", ".ndjson"),
    "excel": (".xlsx", ".xlsm"),
}
_KNOWN = (
    ".csv, .tsv (also with .gz), .parquet, .npy, .npz, .json, .jsonl or .xlsx, "
    "or a folder of .parquet files"
)
# All that NumPy and the readers of archives raise at damage, sizes beyond all memory among it.
_DAMAGE = (
    *(ValueError, EOFError, LookupError, RuntimeError, MemoryError, SyntaxError),
    *(struct.error, tokenize.TokenError, zlib.error, zipfile.BadZipFile),
)


class TableFile(_SystemPath):
    """The path of a table, with what is stated of how its text is written."""

    dialect = Dialect()

    @staticmethod
    def of(path: str | os.PathLike[str], dialect: Dialect | None = None) -> "TableFile":
        """A path with this dialect; without one it keeps what was stated of it before."""
        if dialect is None and isinstance(path, TableFile):
            return path
        file = TableFile(path)
        file.dialect = dialect or Dialect()
        return file


def source_kind(path: Path, call: str) -> str:
    """What a table is stored as: "csv", "parquet", also of a folder, "numpy", "json" or "excel"."""
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


def _pick(archive: Any) -> np.ndarray | None:
    """The array X of an NPZ archive, or its only array if that is 2-D."""
    if "X" in archive.files:
        return archive["X"]
    arrays = [archive[name] for name in archive.files[:2]]
    return arrays[0] if len(arrays) == 1 and arrays[0].ndim == 2 else None
