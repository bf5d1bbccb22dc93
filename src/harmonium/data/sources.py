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
from harmonium.data.npy import load_plain, refuse_objects
from harmonium.data.problems import problem
from harmonium.errors import Message

# Path itself cannot be subclassed before Python 3.12.
if sys.platform == "win32":
    from pathlib import WindowsPath as _SystemPath
else:
    from pathlib import PosixPath as _SystemPath

_ENDINGS = {
    "csv": (".csv", ".csv.gz", ".tsv", ".tsv.gz"),
    "parquet": (".parquet",),
    "arrow": (".arrow", ".arrows", ".feather", ".ipc"),
    "numpy": (".npy", ".npz"),
    "json": (".json", ".jsonl", ".ndjson"),
    "excel": (".xlsx", ".xlsm"),
}
_KINDS = {ending: kind for kind, endings in _ENDINGS.items() for ending in endings}
_KNOWN = (
    ".csv, .tsv (also with .gz), .parquet, .arrow, .npy, .npz, .json, .jsonl or .xlsx, "
    "or a folder of .parquet files"
)
# All that NumPy and the readers of archives raise at damage, sizes beyond all memory among it.
_DAMAGE = (
    *(ValueError, EOFError, LookupError, RuntimeError, MemoryError, SyntaxError),
    *(struct.error, tokenize.TokenError, zlib.error, zipfile.BadZipFile),
)

_ONE_ARRAY = Message("numpy.savez(path, X=X)", "an archive whose array is called X")


class TableFile(_SystemPath):
    """The path of a table, with what is stated of how its text is written, and the name that
    messages have for it, if that is not the path.
    """

    dialect = Dialect()
    title = ""

    def __reduce__(self):
        """To another process, with all that is stated."""
        return TableFile.of, (str(self), self.dialect, self.title)

    @staticmethod
    def of(
        path: str | os.PathLike[str], dialect: Dialect | None = None, title: str = ""
    ) -> "TableFile":
        """A path with this dialect and title; without both it keeps what it had before."""
        if dialect is None and not title and isinstance(path, TableFile):
            return path
        file = TableFile(path)
        file.dialect, file.title = dialect or Dialect(), title
        return file


def title_of(path: str | os.PathLike[str]) -> str:
    """What messages call the table at a path."""
    return (path.title if isinstance(path, TableFile) else "") or str(path)


def ending_of(name: str) -> str | None:
    """The ending of a name by which it is that of a table; None if it is not."""
    return next((ending for ending in _KINDS if name.lower().endswith(ending)), None)


def source_kind(path: Path, call: str) -> str:
    """What a table is stored as, a key of `_ENDINGS`; a folder is one of Parquet files."""
    if not path.exists():
        raise problem(call, "a file or folder", f"{str(path)!r}, which does not exist")
    ending = ending_of(path.name)
    if ending is None and not path.is_dir():
        raise problem(call, _KNOWN, f"{path.name!r}", "convert the file to CSV or Parquet")
    kind = "parquet" if ending is None or path.is_dir() else _KINDS[ending]
    if kind != "csv" and isinstance(path, TableFile) and path.dialect.missing:
        raise problem(call, "CSV where codes of missing cells are stated", f"a file of kind {kind}")
    return kind


def read_numpy(path: Path, call: str, *, mapped: bool = False) -> np.ndarray:
    """The array of an NPY file, or the one that is meant in an NPZ archive.

    If `mapped`, that of an NPY file stays on disk until its cells are used.
    """
    try:
        content = load_plain(path, mapped=mapped)
        if isinstance(content, np.ndarray):
            return content
        with content:
            array, names = _pick(content), list(content.files)
    except _DAMAGE as error:
        got = f"{path.name!r} ({error!s:.200})"
        raise problem(call, "a NumPy file of numbers", got) from error
    if array is None:
        got = f"{path.name!r} with the arrays {', '.join(names) or '(none)'}"
        raise problem(call, "one array X, or a single 2-D array", got, _ONE_ARRAY)
    return array


def _pick(archive: Any) -> np.ndarray | None:
    """The array X of an NPZ archive, or its only array if that is 2-D."""
    if "X" in archive.files:
        return _member(archive, "X")
    arrays = [_member(archive, name) for name in archive.files[:2]]
    return arrays[0] if len(arrays) == 1 and arrays[0].ndim == 2 else None


def _member(archive: Any, name: str) -> np.ndarray:
    with archive.zip.open(f"{name}.npy") as file:
        refuse_objects(file)
    return archive[name]
