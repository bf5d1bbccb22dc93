"""Arrow's reader of CSV files, whose thread ends before the process does."""

import re
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harmonium.data.csv_bytes import CheckedBytes
from harmonium.data.dialects import Known
from harmonium.data.problems import problem
from harmonium.errors import InvalidInputError

# A row must fit in a block. Arrow reads some forty of them ahead.
BLOCK_BYTES = 1 << 21
# For the thread to finish a block.
_MOST_SECONDS = 10.0


class CSVReader:
    """The columns `wanted` of a CSV file as text, or all, as Arrow thinks fit, if it is None.

    A context manager. `bare` names the columns of a file without header. Raises
    `InvalidInputError`, also while it is read, for bytes that are no such text, and for rows of
    another length.

    Arrow reads ahead in a thread, which calls Python to read and to free what it has read, and does
    not wait for it when its own reader ends. If the interpreter ends first, the process is aborted.
    So this reader waits: at the end of the block, of the reader itself, or of the process,
    whichever comes first.
    """

    def __init__(
        self,
        path: Path,
        dialect: Known,
        call: str,
        *,
        bare: list[str] | None = None,
        wanted: list[str] | None = None,
    ):
        self._call, self._has_header = call, bare is None
        self._errors: list[Exception] = []
        self._reader: list[Any] = []
        lent: list[weakref.ref[Any]] = []
        self._end = weakref.finalize(self, _end, self._reader, lent)
        source = CheckedBytes(path, call, dialect.encoding)
        with self._refusals():
            # Nothing here may hold the feed: its end says that Arrow's thread is done with it.
            self._reader.append(_open(_Feed(source, self._errors, lent), dialect, bare, wanted))
            self.names: list[str] = self._reader[0].schema.names

    def __enter__(self) -> "CSVReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def tables(self) -> Iterator[Any]:
        """The rows, in Arrow tables of some each."""
        import pyarrow as pa

        while True:
            with self._refusals():
                try:
                    batch = self._reader[0].read_next_batch()
                except StopIteration:
                    batch = None
            if batch is None:
                return
            yield pa.Table.from_batches([batch])

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """What the bytes are refused for, or else Arrow's complaint in our words."""
        import pyarrow as pa

        try:
            yield
        except pa.ArrowInvalid as error:
            raise self._errors[0] if self._errors else self._problem(str(error)) from error
        if self._errors:
            raise self._errors[0]

    def _problem(self, message: str) -> InvalidInputError:
        """Arrow counts the header as row 1."""
        ragged = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", message)
        if ragged is None:
            return problem(self._call, "a CSV table", message.rstrip("."))
        row, expected, got = (int(group) for group in ragged.groups())
        place = f"data row {row - self._has_header}"
        hint = "quote cells that hold separators, and complete short rows"
        return problem(
            self._call, f"{expected} cells in every row", f"{got} cells in {place}", hint
        )


class _Feed:
    """The file that Arrow's thread reads; `lent` refers to it and to the blocks that it has given.

    It never raises, because a traceback would keep it alive.
    """

    closed = False

    def __init__(
        self, source: CheckedBytes, errors: list[Exception], lent: list["weakref.ref[Any]"]
    ):
        self._source, self._errors, self._lent = source, errors, lent
        lent.append(weakref.ref(self))

    def read(self, size: int = -1) -> "_Block":
        """The next bytes; none after an error, which is kept."""
        block = _Block()
        try:
            if not self._errors:
                block.extend(self._source.read(size))
        except Exception as error:
            self._errors.append(error.with_traceback(None))
        self._lent[:] = [ref for ref in self._lent if ref() is not None]
        self._lent.append(weakref.ref(block))
        return block

    def close(self) -> None:
        """Close the file beneath."""
        self._source.close()

    def __del__(self):
        self._source.close()


class _Block(bytearray):
    """Bytes that can be referred to weakly."""


def _end(reader: list[Any], lent: list["weakref.ref[Any]"]) -> None:
    """End Arrow's reader, and wait until its thread has given back what it was lent."""
    reader.clear()
    deadline = time.monotonic() + _MOST_SECONDS
    while any(ref() is not None for ref in lent) and time.monotonic() < deadline:
        time.sleep(0.001)
    # The thread may be on its way out of the last call.
    time.sleep(0.001)


def _open(feed: _Feed, dialect: Known, bare: list[str] | None, wanted: list[str] | None) -> Any:
    import pyarrow as pa
    import pyarrow.csv

    file = pa.PythonFile(feed, mode="r")
    del feed
    types = dict.fromkeys(wanted or (), pa.string())
    return pyarrow.csv.open_csv(
        file,
        read_options=pyarrow.csv.ReadOptions(
            use_threads=False, block_size=BLOCK_BYTES, column_names=bare
        ),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=dialect.separator, newlines_in_values=True
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            strings_can_be_null=True, column_types=types, include_columns=wanted
        ),
    )
