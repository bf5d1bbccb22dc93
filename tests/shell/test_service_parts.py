"""Kind of truth: shell. The parts of a service by themselves: lanes, readers, counts."""

import asyncio
import contextlib
import threading

import numpy as np
import pyarrow as pa
import pytest
from shell.serving import mixed_table, plain_rows, stream

from harmonium.data import as_table
from harmonium.errors import InvalidInputError
from harmonium.service.arrow import read_stream, write_stream
from harmonium.service.cells import RowReader, filled_rows
from harmonium.service.counters import Counters, shared_cells
from harmonium.service.lanes import ROWS_AT_ONCE, Lane
from harmonium.service.problems import ProblemError

TABLE = mixed_table(60)
FIELDS = as_table(TABLE, call="fit", kinds={"id": "identifier"}).fields


class Recorder:
    """A function of rows that waits to be let go, and remembers how many rows it got at a time."""

    def __init__(self):
        self.lengths, self.go = [], threading.Event()

    def __call__(self, rows):
        self.go.wait(10)
        self.lengths.append(len(rows))
        return rows[:, 0] * 2


def asked_together(lengths, *, joint):
    """The answers to requests of so many rows, which wait while a first one runs."""

    async def ask():
        lane, call = Lane("lane", 100), Recorder()
        rows = [np.arange(n, dtype=float)[:, None] + 1000 * i for i, n in enumerate(lengths)]
        asked = [asyncio.create_task(lane.answer(call, rows[0], joint=joint))]
        while not lane.n_calls:
            await asyncio.sleep(0.01)
        asked += [asyncio.create_task(lane.answer(call, own, joint=joint)) for own in rows[1:]]
        await asyncio.sleep(0.05)
        call.go.set()
        found = await asyncio.gather(*asked)
        lane.close()
        for own, answer in zip(rows, found, strict=True):
            np.testing.assert_array_equal(answer, own[:, 0] * 2)
        return call.lengths

    return asyncio.run(ask())


def test_rows_that_wait_together_make_one_call():
    assert asked_together([1, 2, 3, 4], joint=True) == [1, 9]
    assert asked_together([1, 2, 3], joint=False) == [1, 2, 3]


def test_long_requests_do_not_keep_short_ones_waiting():
    """The long one is cut; the short one comes after its first part, and not after the last."""
    n = ROWS_AT_ONCE
    assert asked_together([1, 3 * n, 2], joint=True) == [1, n, n, n, 2]


def test_a_lane_refuses_what_it_cannot_hold_and_drops_what_nobody_waits_for():
    async def ask():
        lane, call = Lane("lane", 2), Recorder()
        rows = np.zeros((1, 1))
        first = asyncio.create_task(lane.answer(call, rows))
        while not lane.n_calls:
            await asyncio.sleep(0.01)
        waiting = [asyncio.create_task(lane.answer(call, rows)) for _ in range(2)]
        await asyncio.sleep(0.01)
        with pytest.raises(ProblemError, match="too many requests wait") as refused:
            await lane.answer(call, rows)
        waiting[0].cancel()
        await asyncio.sleep(0.01)
        call.go.set()
        await asyncio.gather(first, waiting[1])
        lane.close()
        return refused.value.status, call.lengths

    assert asyncio.run(ask()) == (503, [1, 1])


def test_an_error_ends_its_own_requests_alone():
    async def ask():
        lane = Lane("lane", 10)
        with pytest.raises(ZeroDivisionError):
            await lane.answer(lambda rows: 1 / 0, np.zeros((1, 1)))
        assert await lane.answer(len, np.zeros((3, 1))) == 3
        lane.close()

    asyncio.run(ask())


def test_rows_are_read_as_tables_are():
    read, notes = RowReader(FIELDS, "POST /score").read(plain_rows(TABLE))
    expected = as_table(TABLE, call="score", fields=FIELDS)
    np.testing.assert_array_equal(read.values[:, 1:], expected.values[:, 1:])
    assert notes == [] and read.names == expected.names


@pytest.mark.parametrize("cell", ["6.5", 6, 2**70, None])
def test_cells_that_need_reading_are_read_alike(cell):
    row = plain_rows(TABLE)[0] | {"weight": cell}
    read, _ = RowReader(FIELDS, "POST /score").read([row, plain_rows(TABLE)[1]])
    np.testing.assert_equal(read.values[0, 2], np.nan if cell is None else float(cell))


def test_errors_say_to_programs_where():
    rows = plain_rows(TABLE)
    rows[4]["day"] = "soon"
    with pytest.raises(InvalidInputError) as found:
        RowReader(FIELDS, "POST /score").read(rows)
    assert (found.value.column, found.value.row) == ("day", 5)
    table = TABLE.set_column(1, "size", pa.array([1.0, np.inf, *[2.0] * 58]))
    with pytest.raises(InvalidInputError) as found:
        as_table(table, call="score", fields=FIELDS)
    assert (found.value.column, found.value.row) == ("size", 2)


def test_only_missing_cells_are_filled():
    values = as_table(TABLE, call="fit", fields=FIELDS).values.copy()
    values[:, 2] = 1.5
    own = [{"size": 0.123456789, "weight": None, "more": 1}]
    assert filled_rows(own, values[:1], FIELDS) == [own[0] | {"weight": 1.5}]


def test_streams_come_back():
    body = write_stream({"a": np.arange(3.0)}, {"harmonium": b"{}"})
    assert read_stream(body, 3).column("a").to_pylist() == [0.0, 1.0, 2.0]
    with pytest.raises(ProblemError, match="at most 2 rows"):
        read_stream(body, 2)


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
@pytest.mark.parametrize("column", [[1.0] * 1000, pa.array(["a", "b"] * 500).dictionary_encode()])
def test_compressed_streams_are_refused(codec, column):
    body = stream(pa.table({"a": column}), compression=codec)["content"]
    with pytest.raises(ProblemError, match="without compression"):
        read_stream(body, 2000)


def test_damaged_streams_are_refused():
    whole = stream(TABLE)["content"]
    rng = np.random.default_rng(0)
    for _ in range(300):
        body = bytearray(whole)
        for at in rng.integers(0, len(body), 4):
            body[at] = rng.integers(256)
        # Some damage does not show; nothing but a problem is ever raised.
        with contextlib.suppress(ProblemError):
            read_stream(bytes(body[: rng.integers(1, len(body) + 1)]), 100)


def test_counts_of_all_processes_are_summed():
    cells = shared_cells()
    counters = Counters(cells)
    counters.count("score", 200, 0.02)
    counters.count("score", 200, 20.0)
    counters.count("favicon.ico", 404, 0.001)
    counters.count_rows("score", 7)
    text = Counters(cells).text().splitlines()
    assert 'harmonium_requests_total{endpoint="score",status="200"} 2' in text
    assert 'harmonium_requests_total{endpoint="other",status="404"} 1' in text
    assert 'harmonium_request_seconds_bucket{endpoint="score",le="0.025"} 1' in text
    assert 'harmonium_request_seconds_bucket{endpoint="score",le="+Inf"} 2' in text
    assert 'harmonium_request_seconds_count{endpoint="score"} 2' in text
    assert 'harmonium_rows_total{endpoint="score"} 7' in text
