"""The bytes of a CSV file, unpacked and checked as they pass."""

import codecs
import gzip
import io
import zlib
from pathlib import Path
from typing import Any

from harmonium.data.problems import problem

# Of a first line: a packed file can hold one that no memory does.
_MOST_CHARACTERS = 1 << 24
_GZIP = b"\x1f\x8b"


class CheckedBytes(io.RawIOBase):
    """A CSV file, packed or not, that ends in a newline and holds UTF-8 text alone.

    Reading raises `InvalidInputError` for a damaged gzip file, other encodings and binary data.
    """

    def __init__(self, path: Path, call: str):
        self._call = call
        with path.open("rb") as file:
            packed = file.read(len(_GZIP)) == _GZIP
        opened = gzip.GzipFile(path) if packed else io.FileIO(path)
        self._file = io.BufferedReader(opened)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._n_bytes = 0
        self._last = b"\n"

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """The next `size` bytes, fewer at the end; all if negative."""
        try:
            data = self._file.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise problem(self._call, "a gzip file", f"a damaged one ({error})") from error
        at_end = size < 0 or len(data) < size
        self._check(data, at_end)
        self._last = data[-1:] or self._last
        if at_end and self._last != b"\n":
            self._last = b"\n"
            return data + b"\n"
        return data

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer, and tell how many bytes there were."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the file beneath too."""
        self._file.close()
        super().close()

    def _check(self, data: bytes, at_end: bool) -> None:
        """Raise unless these bytes go on with UTF-8 text."""
        hint = "save the file as CSV in UTF-8"
        n_pending = len(self._decoder.getstate()[0])
        try:
            self._decoder.decode(data, at_end)
        except UnicodeDecodeError as error:
            place = self._n_bytes - n_pending + error.start + 1
            got = f"bytes that are not UTF-8 (first at byte {place})"
            raise problem(self._call, "CSV text", got, hint) from error
        if b"\0" in data:
            raise problem(self._call, "CSV text", "binary data", hint)
        self._n_bytes += len(data)


def first_line(path: Path, call: str) -> str:
    """The first line of a CSV file that is not empty; `InvalidInputError` if all are blank."""
    raw = io.BufferedReader(CheckedBytes(path, call))
    with io.TextIOWrapper(raw, encoding="utf-8-sig") as lines:
        line = "\n"
        while line == "\n":
            line = lines.readline(_MOST_CHARACTERS)
        if len(line) == _MOST_CHARACTERS:
            got = f"one of {_MOST_CHARACTERS} characters or more"
            raise problem(call, "a first line that holds the names of columns", got)
        if not line.strip() and not any(later.strip() for later in lines):
            raise problem(call, "a table", "an empty file")
    return line.rstrip("\n")
