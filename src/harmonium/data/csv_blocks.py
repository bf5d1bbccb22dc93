"""CSV text -> Arrow tables, block by block, in the thread of the caller.

Arrow has a reader of streams too. It reads ahead in threads that call Python, do not end with it,
and abort or block the process where they outlive the interpreter.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from harmonium.data.csv_bytes import CheckedBytes
from harmonium.data.dialects import Known
from harmonium.data.problems import problem
from harmonium.errors import InvalidInputError

# A row must fit in a block.
BLOCK_BYTES = 1 << 21
_MARK = b"\xef\xbb\xbf"


class CSVBlocks:
    """The rows of a CSV file as Arrow tables of text; `bare` names the columns of a file without
    header.

    Raises `InvalidInputError` for bytes that are no text, rows of another length, and rows that are
    longer than a block.
    """

    def __init__(self, path: Path, dialect: Known, call: str, bare: list[str] | None):
        self._path, self._dialect, self._call, self._bare = path, dialect, call, bare
        self.names: list[str] = bare or self._header()

    def tables(self, wanted: list[str]) -> Iterator[Any]:
        """The rows, of these columns, in tables of some each."""
        names, n_rows = self._bare, 0
        with CheckedBytes(self._path, self._call, self._dialect.encoding) as file:
            for block in self._blocks(file):
                table = self._parsed(block, names, wanted, n_rows)
                names, n_rows = self.names, n_rows + table.num_rows
                yield table

    def _header(self) -> list[str]:
        """The names of the columns, as Arrow finds them in the first block."""
        with CheckedBytes(self._path, self._call, self._dialect.encoding) as file:
            return self._parsed(next(self._blocks(file)), None, None, 0).schema.names

    def _blocks(self, file: CheckedBytes) -> Iterator[bytes]:
        """The bytes of whole rows."""
        held = file.read(BLOCK_BYTES).removeprefix(_MARK)
        while held:
            data = file.read(BLOCK_BYTES)
            end = _last_end(held, self._dialect.separator) if data else len(held)
            if end:
                yield held[:end]
            elif len(held) > 2 * BLOCK_BYTES:
                got = f"a longer one, from {held[:40].decode(errors='replace')!r} on"
                expected = f"rows of at most {BLOCK_BYTES} bytes"
                raise problem(self._call, expected, got, "close the quotes")
            held = held[end:] + data

    def _parsed(
        self, block: bytes, names: list[str] | None, wanted: list[str] | None, n_before: int
    ) -> Any:
        """The rows of a block that begins with a header if there are no names."""
        # A buffer of Arrow's own can be freed by any thread, without Python.
        buffer = pa.allocate_buffer(len(block))
        memoryview(buffer).cast("B")[:] = block
        try:
            return pyarrow.csv.read_csv(
                pa.BufferReader(buffer),
                # One thread: errors then know their row.
                read_options=pyarrow.csv.ReadOptions(
                    use_threads=False, block_size=len(block) + 1, column_names=names
                ),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=self._dialect.separator, newlines_in_values=True
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    strings_can_be_null=True,
                    column_types=dict.fromkeys(wanted or (), pa.string()),
                    include_columns=wanted,
                ),
            )
        except pa.ArrowInvalid as error:
            raise self._problem(str(error), n_before - (names is None)) from error

    def _problem(self, message: str, n_before: int) -> InvalidInputError:
        """Arrow's complaint in our words; it counts the header as a row."""
        ragged = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", message)
        if ragged is None:
            return problem(self._call, "a CSV table", message.rstrip("."))
        row, expected, got = (int(group) for group in ragged.groups())
        place = f"data row {row + n_before}"
        hint = "quote cells that hold separators, and complete short rows"
        return problem(
            self._call, f"{expected} cells in every row", f"{got} cells in {place}", hint
        )


def _last_end(data: bytes, separator: str) -> int:
    """Where the last whole row of bytes ends that begin with a row; 0 if there is none."""
    limit = len(data)
    for start, end in reversed(_quoted(data, separator)):
        if place := _last_newline(data, end, limit):
            return place
        limit = start
    return _last_newline(data, 0, limit)


def _quoted(data: bytes, separator: str) -> list[tuple[int, int]]:
    """Where cells in quotes begin and end; the last may be cut off.

    A quote that does not begin a cell is a letter as others.
    """
    if b'"' not in data:
        return []
    begins = rb"(?<![^\r\n" + re.escape(separator.encode()) + rb'])"'
    cell = re.compile(begins + rb'(?>[^"]*(?:""[^"]*)*)(?:"|\Z)')
    return [match.span() for match in cell.finditer(data)]


def _last_newline(data: bytes, start: int, end: int) -> int:
    """The place after the last newline between these places; 0 if there is none."""
    return max(data.rfind(sign, start, end) for sign in (b"\n", b"\r")) + 1
