"""The writer of batches: what is written is read, types are fixed, and failure leaves no file."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from harmonium.data import ArrayWriter, TableWriter, read_table, write_columns
from harmonium.errors import InvalidInputError

BATCHES = [
    {"score": np.array([0.5, 2.0]), "flag": [1, 0], "reason": ["a, b", None]},
    {"flag": pa.array([1]), "reason": np.array(['"x"']), "score": np.array([3], np.int32)},
    {"score": [], "flag": [], "reason": []},
]
WHOLE = {"score": [0.5, 2.0, 3.0], "flag": [1, 0, 1], "reason": ["a, b", None, '"x"']}
ENDINGS = pytest.mark.parametrize("suffix", [".csv", ".parquet"])


@ENDINGS
def test_batches_are_one_table(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    with TableWriter(path) as writer:
        for batch in BATCHES:
            writer.write(batch)
        assert not path.exists()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    if suffix == ".parquet":
        table = pyarrow.parquet.read_table(path)
        assert table.to_pydict() == WHOLE
        assert table.schema.types == [pa.float64(), pa.int64(), pa.string()]
    else:
        lines = path.read_text().splitlines()
        assert lines == ['"score","flag","reason"', '0.5,1,"a, b"', "2,0,", '3,1,"""x"""']
    write_columns(tmp_path / f"at_once{suffix}", {"a": [1, 2]})
    np.testing.assert_array_equal(read_table(tmp_path / f"at_once{suffix}").values, [[1], [2]])


@ENDINGS
def test_stated_types_hold_from_the_first_batch(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    types = {"number": pa.float64(), "word": pa.string()}
    with TableWriter(path, types=types) as writer:
        writer.write({"number": [1, 2], "word": [None, None], "own": [1, 2]})
        writer.write({"number": [0.5, None], "word": ["x", "y"], "own": [3, 4]})
    table = read_table(path)
    np.testing.assert_array_equal(table.values[:, 0], [1, 2, 0.5, np.nan])
    assert table.fields[1].categories == ("x", "y")


BAD_BATCHES = {
    "fractions": (
        {"a": [0.5]},
        "cells of type int64 in column 'a', as in the first batch; got double",
    ),
    "words": ({"a": ["x"]}, "Try: state a type for all batches, types={'a': ...}"),
    "other column": ({"b": [1]}, "expected the columns 'a' in every batch; got 'b'"),
    "more columns": ({"a": [1], "b": [1]}, "expected the columns 'a' in every batch; got 'a', 'b'"),
}


def write(path, *batches, error=None, **options):
    with TableWriter(path, **options) as writer:
        for batch in batches:
            writer.write(batch)
        if error is not None:
            raise error


@ENDINGS
@pytest.mark.parametrize(("batch", "words"), BAD_BATCHES.values(), ids=BAD_BATCHES.keys())
def test_batches_that_do_not_fit_leave_the_old_file(tmp_path, suffix, batch, words):
    path = tmp_path / f"t{suffix}"
    write_columns(path, {"a": [7]})
    with pytest.raises(InvalidInputError, match=f"^score: .*{re.escape(words)}"):
        write(path, {"a": [1]}, batch, call="score")
    assert read_table(path).values == [[7]]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@ENDINGS
@pytest.mark.parametrize("error", [ValueError(), OSError(), KeyboardInterrupt()])
def test_an_exception_goes_on_and_leaves_no_file(tmp_path, suffix, error):
    with pytest.raises(type(error)) as caught:
        write(tmp_path / f"t{suffix}", {"a": [1]}, error=error)
    assert caught.value is error
    assert not list(tmp_path.iterdir())


REFUSED = {
    "a type that is not known": ("t.csv", [{"a": [None]}, {"a": ["x"]}], "cells of type null in"),
    "lengths": ("t.csv", [{"a": [1], "b": [1, 2]}], "columns of one length; got {'a': 1, 'b': 2}"),
    "nothing": ("t.csv", [], "expected at least one batch of rows; got none"),
    "ending": ("t.npy", [], "a file ending in .csv, .parquet or .arrow; got 't.npy'"),
    "folder": ("absent/t.csv", [], "no such file or directory. Try: create the folder"),
}


@pytest.mark.parametrize(("name", "batches", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals_leave_no_file(tmp_path, name, batches, words):
    with pytest.raises(InvalidInputError, match=re.escape(words)):
        write(tmp_path / name, *batches)
    assert not list(tmp_path.iterdir())


def test_rows_are_written_inside_a_with_block(tmp_path):
    with pytest.raises(InvalidInputError, match="inside a with block"):
        TableWriter(tmp_path / "t.csv").write({"a": [1]})


def test_arrays_grow_by_batches(tmp_path):
    path = tmp_path / "a.npy"
    rows = np.arange(30.0).reshape(10, 3)
    with ArrayWriter(path) as writer:
        for start in range(0, 10, 4):
            writer.write(rows[start : start + 4])
        assert not path.exists()
    np.testing.assert_array_equal(np.load(path), rows)
    np.testing.assert_array_equal(np.load(path, mmap_mode="r"), rows)
    np.testing.assert_array_equal(read_table(path).values, rows)


def test_arrays_that_fail_leave_no_file(tmp_path):
    path = tmp_path / "a.npy"

    def write_two_widths():
        with ArrayWriter(path) as writer:
            writer.write(np.zeros((2, 3)))
            writer.write(np.zeros((2, 2)))

    with pytest.raises(InvalidInputError, match=r"rows of 3 columns; got shape \(2, 2\)"):
        write_two_widths()
    with pytest.raises(InvalidInputError, match="at least one batch"), ArrayWriter(path):
        pass
    with (
        pytest.raises(InvalidInputError, match="can be written"),
        ArrayWriter(tmp_path / "no" / "a.npy"),
    ):
        pass
    assert not list(tmp_path.iterdir())
