"""Kinds of truth: equality with what is read at once, the law of the sample, bounded memory."""

import contextlib
import gzip
import re
import subprocess
import sys
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from harmonium.data import (
    Field,
    column_names,
    csv_blocks,
    csv_bytes,
    number_fields,
    read_batches,
    read_cells,
    read_named_batches,
    read_table,
    sample_rows,
    write_columns,
)
from harmonium.data.csv_blocks import BLOCK_BYTES
from harmonium.errors import HarmoniumWarning, InvalidInputError

NUMBERS = number_fields(("a", "b"))
COLORS = Field("color", "text", "categorical", ("blue", "red"))
ZIP = Field("zip", "text", "categorical", ("007", "7", "7.0"))
SIZES = (Field("size", "integer", "categorical", ("1", "2")), Field("b"))
DATED = (Field("day", "datetime", dtype="Date"), Field("b"))
CSV = {
    "numbers": ("a,b\n1,2\n3,4.5\n-1e3,.5\n", NUMBERS),
    "one row": ("a,b\n1,2\n", NUMBERS),
    "no header": ("1,2\n3,4\n5,6.5\n", NUMBERS),
    "integers, then fractions": ("a,b\n1,2\n2,3\n0.5,4\n,5\n", NUMBERS),
    "a batch of nulls": ("a,b\n1,2\n,3\n,4\nNA,5\nnan,6\n7,\n", NUMBERS),
    "spaces": ("a,b\n 1,2\n2 , \n  ,4\n", NUMBERS),
    "spelled otherwise": ("a,b\n+4,1_000\n1,2\nNAN,0x1F\n,3\n", NUMBERS),
    "truth values among numbers": ("a,b\ntrue,1\n2,FALSE\n0,5\n", NUMBERS),
    "large integers": ("a,b\n9007199254740993,1\n99999999999999999999,2\n", NUMBERS),
    "quoted newlines": (
        'color,b\n"red\nor ""so""",1\nblue,2\n"\n",3\nred,4\n',
        (COLORS, Field("b")),
    ),
    "a stray quote": ('color,b\n5" red,1\nblue,2\nred,3\n', (COLORS, Field("b"))),
    "unseen categories": ("color,b\ngreen,1\nblue,2\n,3\n1.5,4\n", (COLORS, Field("b"))),
    "letters": ("zip,b\n7,1\n7.0,2\n007,3\n2020-01-01,4\ntrue,5\n", (ZIP, Field("b"))),
    "numbers as categories": ("size,b\n1,1\n2.0,2\nx,3\n01,4\n,5\ninf,6\n", SIZES),
    "dates": ("day,b\n2020-07-01,1\n,2\n2020-07-01T10:00:00.25Z,3\n2020-07-01 10:00,4\n", DATED),
    "an identifier": ("a,b\n1,2\nx,3\n,4\n", (Field("a", "integer", "identifier"), Field("b"))),
    "an absent identifier": ("b\n1\n2\n", (Field("a", "text", "identifier"), Field("b"))),
    "other columns": ("note,b,x,a\nhello,1,,2\n1,3,y,4\n", NUMBERS),
    "blank lines": ("\na,b\n\n1,2\n\n\n3,4\n\n", NUMBERS),
}


def assert_same(batches, whole, size, files=None):
    """The batches are the whole table in parts of `size` rows, file by file where `files` has the
    rows of each."""
    batches = list(batches)
    values = np.concatenate([batch.values for batch in batches])
    np.testing.assert_array_equal(values, whole.values)
    assert {batch.fields for batch in batches} == {whole.fields}
    parts = [min(size, n - start) for n in files or [whole.n_rows] for start in range(0, n, size)]
    assert [batch.n_rows for batch in batches] == parts


@pytest.mark.filterwarnings("ignore:.*no header found")
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize(("text", "fields"), CSV.values(), ids=CSV.keys())
def test_batches_of_csv_are_the_whole(tmp_path, text, fields, size):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    whole = read_table(path, fields=fields)
    assert_same(read_batches(path, fields=fields, size=size), whole, size)


def test_what_cells_of_csv_are_does_not_depend_on_the_others(tmp_path):
    for name, values in (
        ("spelled otherwise", [[4, 1000], [1, 2], [np.nan, 31], [np.nan, 3]]),
        ("truth values among numbers", [[1, 1], [2, 0], [0, 5]]),
        ("numbers as categories", [[0, 1], [1, 2], [-1, 3], [0, 4], [np.nan, 5], [-1, 6]]),
    ):
        text, fields = CSV[name]
        (tmp_path / "t.csv").write_text(text)
        np.testing.assert_array_equal(read_table(tmp_path / "t.csv", fields=fields).values, values)


def test_times_are_the_same_at_training_and_at_scoring(tmp_path):
    cells = [f"2020-07-01 10:00:{i % 60:02d}.{7919 * i % 10**6:06d}" for i in range(1000)]
    (tmp_path / "t.csv").write_text("\n".join(["when,b", *(f"{cell},1" for cell in cells)]))
    table = read_table(tmp_path / "t.csv")  # as nanoseconds, by Arrow
    again = read_table(tmp_path / "t.csv", fields=table.fields)
    np.testing.assert_array_equal(again.values, table.values)


def test_blocks_of_csv_are_joined(tmp_path):
    # Quoted newlines and a first fraction far beyond the first block.
    lines = [f'"red\n{i % 3}",{i}' for i in range(BLOCK_BYTES // 4)] + ["blue,0.5"]
    (tmp_path / "t.csv").write_text("\n".join(["color,b", *lines]))
    fields = (Field("color", "text", "categorical", ("blue", "red\n1")), Field("b"))
    whole = read_table(tmp_path / "t.csv", fields=fields)
    assert whole.n_rows == len(lines)
    np.testing.assert_array_equal(whole.values[-2:], [[1, len(lines) - 2], [0, 0.5]])
    assert_same(read_batches(tmp_path / "t.csv", fields=fields, size=100_000), whole, 100_000)


@pytest.mark.filterwarnings("ignore::harmonium.errors.HarmoniumWarning")
@pytest.mark.parametrize("size", [24, 40, 64])
@pytest.mark.parametrize(("text", "fields"), CSV.values(), ids=CSV.keys())
def test_rows_are_whole_wherever_blocks_end(tmp_path, monkeypatch, text, fields, size):
    (tmp_path / "t.csv").write_text(text)
    whole = read_table(tmp_path / "t.csv", fields=fields)
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", size)
    assert_same(read_batches(tmp_path / "t.csv", fields=fields), whole, 1000)


def test_a_row_longer_than_a_block_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 64)
    (tmp_path / "t.csv").write_text('color,b\nred,1\n"blue,2\n' + "red,3\n" * 50)
    with pytest.raises(InvalidInputError, match="rows of at most 64 bytes; got a longer one, from"):
        list(read_batches(tmp_path / "t.csv", fields=(COLORS, Field("b"))))


@pytest.mark.parametrize("text", ["a,b\n1,2,3\n", "a,b\n1,2\n1,2,3\n", "a,b\n1,2\n"])
def test_files_are_read_by_the_thread_of_the_caller(tmp_path, monkeypatch, text):
    """A thread that calls Python and outlives the interpreter aborts the process."""
    threads = set()

    def read(self, size=-1, read=csv_bytes.CheckedBytes.read):
        threads.add(threading.get_ident())
        return read(self, size)

    monkeypatch.setattr(csv_bytes.CheckedBytes, "read", read)
    (tmp_path / "t.csv").write_text(text + "1,2\n" * 10**6)
    with contextlib.suppress(InvalidInputError):
        sample_rows(tmp_path / "t.csv", 10, seed=0)
    assert threads == {threading.get_ident()}


COLUMNS = {
    "x": pa.array([1, None, 3, 4, 5], pa.int32()),
    "color": pa.array(["red", None, "green", "blue", "red"]),
    "category": pa.array(["b", None, "a", "c", "b"]).dictionary_encode(),
    "flag": pa.array([True, None, False, True, True]),
    "when": pa.array([0, None, 10**9 + 1, 2, 3], pa.timestamp("ns", "UTC")),
    "part.of": pa.array([0.1, None, 0.3, 0.4, 0.5]),
    "empty": pa.nulls(5),
    "lists": pa.array([[1], [2], [3], [4], [5]]),
}
KEPT = [name for name in COLUMNS if name != "lists"]


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_batches_of_parquet_are_the_whole(tmp_path, size):
    table = pa.table(COLUMNS)
    fields = read_table(write(tmp_path / "train.parquet", table.select(KEPT))).fields
    path = write(tmp_path / "t.parquet", table, row_group_size=2)
    whole = read_table(path, fields=fields)
    assert_same(read_batches(path, fields=fields, size=size), whole, size)


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_batches_of_a_folder_are_the_whole(tmp_path, size):
    write(tmp_path / "1.parquet", pa.table({"a": [1, 2, None], "b": pa.nulls(3)}))
    write(tmp_path / "2.parquet", pa.table({"b": [0.5, 1.5], "a": [2.5, None]}))
    write(tmp_path / "3.parquet", pa.table({"a": pa.nulls(1), "b": [2]}))
    whole = read_table(tmp_path, fields=NUMBERS)
    np.testing.assert_array_equal(whole.values[2:5], [[np.nan] * 2, [2.5, 0.5], [np.nan, 1.5]])
    batches = read_batches(tmp_path, fields=NUMBERS, size=size)
    assert_same(batches, whole, size, files=(3, 2, 1))


ARRAYS = {
    "floats": np.array([[1.5, np.nan], [3, 4], [5, 6]]),
    "columns first": np.asfortranarray(np.arange(10.0).reshape(5, 2)),
    "integers": np.arange(10).reshape(5, 2),
    "truth values": np.array([[True, False], [False, False]]),
    "texts": np.array([["1", "2.5"], ["3", "4"]]),
}


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS.keys())
def test_batches_of_arrays_are_the_whole(tmp_path, array, suffix):
    path = tmp_path / f"t{suffix}"
    np.save(path, array) if suffix == ".npy" else np.savez(path, X=array)
    whole = read_table(path, fields=NUMBERS)
    for size in (1, 2, 1000):
        assert_same(read_batches(path, fields=NUMBERS, size=size), whole, size)
    assert next(read_batches(path, fields=NUMBERS)).values.flags.writeable


BAD_CSV = {
    "text": (b"a,b\n1,2\n2,3\n3,high\n", "text 'high' in column 'b', data row 3"),
    "infinite": (b"a,b\n1,2\n2,3\n3,-inf\n", "inf (an infinite value) in column 'b', data row 3"),
    "too large": (b"a,b\n1,2\n2,3\n3,4\n5,1e101\n", "beyond 1e+100 in column 'b', data row 4"),
    "no date": (b"a,day\n1,\n2,2020-01-01\n3,1611010000000\n", "column 'day', data row 3"),
    "long row": (
        b"a,b\n1,2\n\n1,2,3\n",
        "expected 2 cells in every row; got 3 cells in data row 2",
    ),
    "long row, no header": (b"1,2\n3,4\n1,2,3\n", "got 3 cells in data row 3"),
    "header only": (b"a,b\n", "0 sample(s) (shape=(0, 2)) while a minimum of 1 is required"),
    "empty": (b"\n \n", "got an empty file"),
    "column": (b"a,c\n1,2\n", "a table without 'b' (it has 'a', 'c')"),
    "same names": (b"a,b,b\n1,2,3\n", "got 'b' repeated"),
    "zero bytes": (b"a,b\n1,\0\n", "expected CSV text; got binary data"),
    "latin-1": (b"a,b\n" + b"1,2\n" * 500 + b"\xf6,1\n", "text 'ö' in column 'a', data row 501"),
    "UTF-8, and not": ("a,ö\n".encode() + b"1,2\n" * 500 + b"\xf6,1\n", "(first at byte 2006)"),
    "cut off": ("a,b\n1,ö".encode()[:-1], "(first at byte 7)"),
    "damaged gzip": (gzip.compress(b"a,b\n1,2\n")[:-9], "expected a gzip file; got a damaged one"),
}


@pytest.mark.filterwarnings("ignore:.*no header found")
@pytest.mark.parametrize(("content", "words"), BAD_CSV.values(), ids=BAD_CSV.keys())
def test_errors_name_the_row_of_the_file(tmp_path, content, words):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    fields = NUMBERS if b"day" not in content else (Field("a"), Field("day", "datetime"))
    for read in (
        lambda: read_table(path, fields=fields, call="score"),
        lambda: list(read_batches(path, fields=fields, call="score", size=1)),
    ):
        with pytest.raises(InvalidInputError, match=re.escape(words)) as caught:
            read()
        assert str(caught.value).startswith("score: expected ")


def test_other_errors_are_those_of_the_whole(tmp_path):
    write(tmp_path / "t.parquet", pa.table({"a": [1.0, 2.0], "b": ["3", "high"]}))
    np.save(tmp_path / "flat.npy", np.ones(3))
    np.save(tmp_path / "none.npy", np.ones((0, 2)))
    np.save(tmp_path / "large.npy", np.array([[1, 2], [3, np.inf]]))
    np.save(tmp_path / "objects.npy", np.array([[1, {}]], dtype=object), allow_pickle=True)
    (tmp_path / "bad.parquet").write_text("a,b\n")
    (tmp_path / "folder").mkdir()
    for name, words in (
        ("t.parquet", "text 'high' in column 'b', data row 2"),
        ("flat.npy", "1-D data (3,)"),
        ("none.npy", "0 sample(s) (shape=(0, 2))"),
        ("large.npy", "in column 'b', data row 2"),
        ("objects.npy", "expected a NumPy file of numbers"),
        ("bad.parquet", "expected a Parquet file; got 'bad.parquet'"),
        ("absent.csv", "which does not exist"),
        ("folder", "which holds none"),
    ):
        for read in (
            read_table,
            lambda path, fields: list(read_batches(path, fields=fields, size=1)),
        ):
            with pytest.raises(InvalidInputError, match=re.escape(words)):
                read(tmp_path / name, fields=NUMBERS)


def test_a_file_that_cannot_be_used_is_refused_at_once(tmp_path):
    (tmp_path / "t.csv").write_text("a,c\n1,2\n")
    with pytest.raises(InvalidInputError, match="a table without 'b'"):
        read_batches(tmp_path / "t.csv", fields=NUMBERS)
    with pytest.raises(InvalidInputError, match="at least 1 row; got 0"):
        read_batches(tmp_path / "t.csv", fields=NUMBERS, size=0)


PEAKS = """
import sys, tracemalloc
import pyarrow as pa
from harmonium.data import csv_blocks, number_fields, read_batches, sample_rows

csv_blocks.BLOCK_BYTES = 1 << 16  # so that those read ahead are few against the file
path = sys.argv[1]
tracemalloc.start()
n_rows = sum(b.n_rows for b in read_batches(path, fields=number_fields(("a", "b")), size=10_000))
assert sample_rows(path, 1000, seed=0).n_rows == n_rows
print(pa.default_memory_pool().max_memory(), tracemalloc.get_traced_memory()[1])
"""


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy"])
def test_memory_does_not_grow_with_the_rows(tmp_path, suffix):
    peaks = []
    for n_rows in (200_000, 600_000):
        path = tmp_path / f"{n_rows}{suffix}"
        values = np.random.default_rng(0).normal(size=(n_rows, 2))
        columns = {"a": values[:, 0], "b": values[:, 1]}
        if suffix == ".npy":
            np.save(path, values)
        elif suffix == ".csv":
            write_columns(path, columns)
        else:  # a single row group, as other writers may make it
            write(path, pa.table(columns), row_group_size=n_rows)
        command = [sys.executable, "-c", PEAKS, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append([int(count) for count in done.stdout.split()])
    # Arrow's memory and Python's; the 400 000 rows more would be 6.4 MB in either.
    assert np.all(np.diff(peaks, axis=0) < 2 * 2**20), peaks


def write(path, table, **options):
    pyarrow.parquet.write_table(table, path, **options)
    return path


NAMED = (Field("name", "text", "identifier"), Field("number", "integer", "identifier"), Field("b"))


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_identifiers_come_along_as_they_stand_in_the_file(ending, tmp_path):
    path = tmp_path / f"table{ending}"
    names = ["007", "é, so", "x", "y", "z"]
    columns = {"b": [1.0, 2.0, 3.0, 4.0, 5.0], "other": names[::-1], "name": names}
    write_columns(path, columns)
    batches = list(read_named_batches(path, fields=NAMED, size=2))
    assert [list(cells) for _, cells in batches] == [["name"]] * 3
    assert [text for _, cells in batches for text in cells["name"].to_pylist()] == names
    whole = read_table(path, fields=NAMED)
    assert_same((table for table, _ in batches), whole, 2)


def test_identifiers_of_an_array_go_by_position(tmp_path):
    path = tmp_path / "table.npy"
    np.save(path, np.arange(9.0).reshape(3, 3))
    ((_, cells),) = read_named_batches(path, fields=NAMED)
    assert {name: array.to_pylist() for name, array in cells.items()} == {
        "name": [0, 3, 6],
        "number": [1, 4, 7],
    }


@pytest.mark.parametrize("kind", ["csv", "parquet", "npy"])
def test_cells_stand_beside_the_rows_of_the_same_batches(kind, tmp_path):
    rng = np.random.default_rng(0)
    values = np.round(rng.normal(size=(25, 2)), 3)
    fields = number_fields(["a", "b"])
    path = tmp_path / f"rows.{kind}"
    if kind == "npy":
        np.save(path, values)
    else:
        notes = [f"note {i}" if i % 5 else "" for i in range(25)]
        write_columns(path, {"extra": notes, "b": values[:, 1], "a": values[:, 0]})
    expected = ["a", "b"] if kind == "npy" else ["extra", "b", "a"]
    assert column_names(path, fields=fields) == expected
    batches = list(read_batches(path, fields=fields, size=10))
    cells = list(read_cells(path, fields=fields, size=10))
    assert [batch.n_rows for batch in batches] == [len(own["a"]) for own in cells]
    for batch, own in zip(batches, cells, strict=True):
        assert list(own) == expected
        np.testing.assert_array_equal(batch.values[:, 0], own["a"].to_numpy())
        np.testing.assert_array_equal(batch.values[:, 1], own["b"].to_numpy())


def test_cells_of_a_file_without_header_have_the_names_of_training(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("1,2\n3,4\n")
    fields = number_fields(["first", "second"])
    with pytest.warns(HarmoniumWarning, match="no header"):
        (cells,) = list(read_cells(path, fields=fields))
    with pytest.warns(HarmoniumWarning, match="no header"):
        names = column_names(path, fields=fields)
    assert names == ["first", "second"]
    assert cells["second"].to_pylist() == [2, 4]
