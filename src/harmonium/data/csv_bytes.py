"""The bytes of a CSV file, unpacked, as UTF-8, and checked as they pass."""

import codecs
import gzip
import io
import zlib
from pathlib import Path
from typing import Any

from harmonium.data.problems import problem
from harmonium.errors import Message, message

# Of a first line: a packed file can hold one that no memory does.
_MOST_CHARACTERS = 1 << 24
_GZIP = b"\x1f\x8b"
# Of a file whose first lines are looked at, and of one whose encoding is sought.
_SNIFFED_BYTES, _SCANNED_BYTES = 1 << 18, 1 << 26
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Windows has letters where Latin-1 has control characters, and is Latin-1 otherwise.
_WESTERN = "cp1252"
HINT = message(
    "save the file as CSV in UTF-8, or state its encoding: {}",
    Message('Dialect(encoding="latin-1")', "--encoding latin-1"),
)


class CheckedBytes(io.RawIOBase):
    """A CSV file, packed or not and of any encoding, as UTF-8 text that ends in a newline.

    Reading raises `InvalidInputError` for a damaged gzip file, bytes that are not of the encoding,
    and binary data.
    """

    def __init__(self, path: Path, call: str, encoding: str = "utf-8"):
        self._call = call
        self._file = _unpacked(path)
        self._encoding = encoding
        self._is_utf8 = codecs.lookup(encoding).name == "utf-8"
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._n_bytes = 0
        self._last = b"\n"
        self._waiting = b""
        self._at_end = False

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """The next `size` bytes, fewer at the end; all if negative."""
        while not self._at_end and (size < 0 or len(self._waiting) < size):
            self._waiting += self._next(size if size < 0 else size - len(self._waiting))
        cut = len(self._waiting) if size < 0 else size
        data, self._waiting = self._waiting[:cut], self._waiting[cut:]
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

    def _next(self, size: int) -> bytes:
        """About `size` more bytes of UTF-8, checked; a newline ends the last."""
        data = _read(self._file, size, self._call)
        self._at_end = size < 0 or len(data) < size
        text = self._decoded(data)
        if not self._is_utf8:
            data = text.encode()
        if b"\0" in data:
            raise problem(self._call, "CSV text", "binary data", HINT)
        self._last = data[-1:] or self._last
        if self._at_end and self._last != b"\n":
            return data + b"\n"
        return data

    def _decoded(self, data: bytes) -> str:
        """The text of these bytes, which go on with those before."""
        n_pending = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(data, self._at_end)
        except UnicodeError as error:
            start = getattr(error, "start", 0)
            name = "UTF-8" if self._is_utf8 else self._encoding
            place = self._n_bytes - n_pending + start + 1
            got = f"bytes that are not {name} (first at byte {place})"
            raise problem(self._call, "CSV text", got, HINT) from error
        self._n_bytes += len(data)
        return text


def find_encoding(path: Path, call: str) -> str:
    """The encoding of a file: by its mark, its zeros, or by what its bytes can be.

    Text is Western (a kind of Latin-1) where it is not UTF-8 and has no letter of more than one
    byte that UTF-8 allows: a few damaged bytes of UTF-8 stay an error where they are read.
    """
    with _unpacked(path) as file:
        data = _read(file, _SCANNED_BYTES, call)
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return encoding
    if wide := _wide_encoding(data[:_SNIFFED_BYTES]):
        return wide
    if data.isascii():
        return "utf-8"
    found = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(data)
    foreign = sum(not char.isascii() for char in found)
    escaped = sum("\udc80" <= char <= "\udcff" for char in found)
    if not escaped or escaped < foreign or b"\0" in data or not _is_western(data):
        return "utf-8"
    return _WESTERN


def beginning(path: Path, encoding: str, call: str) -> str:
    """The first whole lines of a file, as text."""
    with io.BufferedReader(CheckedBytes(path, call, encoding)) as file:
        text = file.read(_SNIFFED_BYTES).decode("utf-8", "ignore").removeprefix("\ufeff")
    whole, newline, _ = text.rpartition("\n")
    return whole + newline or text


def first_line(path: Path, encoding: str, call: str) -> str:
    """The first line of a CSV file that is not empty; `InvalidInputError` if all are blank."""
    raw = io.BufferedReader(CheckedBytes(path, call, encoding))
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


def _unpacked(path: Path) -> io.BufferedReader:
    with path.open("rb") as file:
        packed = file.read(len(_GZIP)) == _GZIP
    return io.BufferedReader(gzip.GzipFile(path) if packed else io.FileIO(path))


def _read(file: io.BufferedReader, size: int, call: str) -> bytes:
    try:
        return file.read(size)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise problem(call, "a gzip file", f"a damaged one ({error})") from error


def _wide_encoding(data: bytes) -> str:
    """The UTF-16 without mark of text in which every other byte is zero; empty if it is other."""
    evens, odds = data[::2], data[1::2]
    most = 0.7 * len(odds)
    if odds.count(0) > most and not evens.count(0):
        return "utf-16-le"
    if evens.count(0) > most and not odds.count(0):
        return "utf-16-be"
    return ""


def _is_western(data: bytes) -> bool:
    try:
        data.decode(_WESTERN)
    except UnicodeDecodeError:
        return False
    return True
