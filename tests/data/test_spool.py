"""Kind of truth: a stream is the table that its bytes are as a file, in memory that its length does
not change."""

import io
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest

from harmonium.data import TableWriter, column_names, read_batches, read_cells, read_table, spooled
from harmonium.data.csv_blocks import BLOCK_BYTES
from harmonium.data.samples import sample_rows
from harmonium.errors import InvalidInputError

# Some rows of a table, which are repeated.
PART, N_IN_PART = b"".join(b"%d,%d\n" % (row % 1009, row % 7) for row in range(10_000)), 10_000


class Repeated(io.RawIOBase):
    """A CSV table that is made while it is read, a part at a time."""

    def __init__(self, n_parts):
        self._parts = iter([b"a,b\n"] + [PART] * n_parts)
        self._held = b""

    def readable(self):
        return True

    def readinto(self, buffer):
        self._held = self._held or next(self._parts, b"")
        part, self._held = self._held[: len(buffer)], self._held[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


def test_a_long_stream_takes_no_more_memory_than_blocks():
    n_parts = 150
    fields = read_table_of(b"a,b\n" + PART).fields
    most, n_rows, total = 0, 0, 0.0
    before = pa.total_allocated_bytes()
    with spooled(io.BufferedReader(Repeated(n_parts), 1 << 18), "stream") as table:
        assert table.stat().st_size > 3 * BLOCK_BYTES
        batches = read_batches(table, fields=fields, size=N_IN_PART)
        for batch in batches:
            if not n_rows:  # What looks for the encoding takes a fixed 64 MB, and is done.
                tracemalloc.start()
            n_rows, total = n_rows + batch.n_rows, total + batch.values.sum()
            most = max(most, pa.total_allocated_bytes() - before)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert n_rows == n_parts * N_IN_PART
    assert total == n_parts * sum(row % 1009 + row % 7 for row in range(N_IN_PART))
    # As float64 the table would take 16 MB, and as texts of Arrow more.
    assert peak + most < 16 * n_rows, (peak, most)
    assert not table.exists()


def read_table_of(data):
    with spooled(io.BytesIO(data), "stream") as table:
        return read_table(table)


@pytest.fixture(scope="module")
def arrow():
    """Batches with dictionaries that differ, holes, and a name that is no column of a model."""
    parts = [
        pa.table(
            {
                "c": pa.array([letters[i % len(letters)] for i in range(n)]).dictionary_encode(),
                "x": pa.array([None if i % 9 == 4 else i / 2 for i in range(n)], pa.float64()),
            }
        )
        for n, letters in ((50, "abc"), (30, "bd"), (70, "a"))
    ]
    out = io.BytesIO()
    with pa.ipc.new_stream(out, parts[0].schema) as sink:
        for part in parts:
            sink.write_table(part)
    return out.getvalue(), pa.concat_tables(parts)


def test_arrow_streams_and_files_are_read_whole_and_in_parts(arrow, tmp_path):
    data, whole = arrow
    path = tmp_path / "table.arrow"
    with TableWriter(path) as writer:
        for part in whole.to_batches():
            writer.write(dict(zip(part.schema.names, part.columns, strict=True)))
    with spooled(io.BytesIO(data), "stream") as stream:
        for file in (stream, path):
            table = read_table(file)
            np.testing.assert_array_equal(table.values[:, 1], whole["x"].to_numpy())
            letters = [table.fields[0].categories[int(code)] for code in table.values[:, 0]]
            assert letters == whole["c"].to_pylist()
            batches = list(read_batches(file, fields=table.fields, size=40))
            assert [batch.n_rows for batch in batches] == [40, 40, 40, 30]
            values = np.concatenate([batch.values for batch in batches])
            np.testing.assert_array_equal(values, table.values)
            cells = read_cells(file, fields=table.fields, size=40)
            assert [cell for part in cells for cell in part["c"].to_pylist()] == letters
            assert column_names(file) == ["c", "x"]
            assert sample_rows(file, 20, seed=0).n_rows == 150


def test_damage_ends_in_words(arrow):
    data, _ = arrow
    # Unknown columns, and lengths that the file does not have.
    for damaged in (data[:-400], data[:100], data[:4] + b"junk" * 50, b"\xff\xff\xff\xff"):
        with pytest.raises(InvalidInputError, match=r"stream|Arrow"):
            read_table_of(damaged)
    with pytest.raises(InvalidInputError, match="got nothing"):
        read_table_of(b"")
