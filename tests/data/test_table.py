"""as_table: what it accepts, and the words of every refusal."""

import datetime
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse

import harmonium.data
from harmonium.data import Table, as_table, number_fields
from harmonium.errors import InvalidInputError

CALL = "Estimator.fit(X)"
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "X",
    [
        [[1, 2.5], [3, 4]],
        np.array([[1, 2.5], [3, 4]], dtype=np.float32),
        np.array([[1, 2.5], [3, 4]], dtype=object),
        np.array([["1", "2.5"], ["3", "4"]]),
        pd.DataFrame([[1, 2.5], [3, 4]]),
    ],
    ids=["lists", "float32", "object", "numeric text", "frame without names"],
)
def test_unnamed_tables_are_numbered(X):
    table = as_table(X, call=CALL)
    np.testing.assert_array_equal(table.values, [[1, 2.5], [3, 4]])
    assert table.values.dtype == np.float64
    assert table.names == ("x1", "x2")
    assert (table.n_rows, table.n_columns) == (2, 2)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float16, bool])
def test_every_numeric_dtype_becomes_float64(dtype):
    table = as_table(np.array([[0, 1], [1, 0]], dtype=dtype), call=CALL)
    assert table.values.dtype == np.float64
    np.testing.assert_array_equal(table.values, [[0, 1], [1, 0]])


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, pa.table])
def test_frames_keep_names_and_booleans_become_numbers(frame):
    table = as_table(frame({"a": [1, 2], "b": [True, False], "c": [0.5, 1.5]}), call=CALL)
    assert table.names == ("a", "b", "c")
    np.testing.assert_array_equal(table.values, [[1, 1, 0.5], [2, 0, 1.5]])


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, pa.table])
def test_columns_are_selected_by_name_and_reordered(frame):
    X = frame({"extra": ["u", "v"], "b": [1, 2], "a": [3, 4]})
    table = as_table(X, call=CALL, fields=number_fields(("a", "b")))
    assert table.names == ("a", "b")
    np.testing.assert_array_equal(table.values, [[3, 1], [4, 2]])


def test_a_table_is_selected_by_name_too():
    table = Table(np.array([[1.0, 2.0]]), ("b", "a"))
    np.testing.assert_array_equal(
        as_table(table, call=CALL, fields=number_fields(("a", "b"))).values, [[2.0, 1.0]]
    )
    assert as_table(table, call=CALL).names == ("b", "a")


def test_an_array_takes_the_names_of_training():
    assert as_table([[1, 2]], call=CALL, fields=number_fields(("a", "b"))).names == ("a", "b")
    unnamed = as_table(pd.DataFrame([[1, 2]]), call=CALL, fields=number_fields(("a", "b")))
    assert unnamed.names == ("a", "b")


def test_the_input_is_left_as_it_was():
    X = np.array([[1, 2], [3, 4]], dtype=object)
    as_table(X, call=CALL)
    np.testing.assert_array_equal(X, np.array([[1, 2], [3, 4]], dtype=object))


REFUSED = {
    "text in a list": ([[1, 2], [3, "high"]], "text 'high' in column 'x2', data row 2"),
    "text in pandas": (
        pd.DataFrame({"a": [1, 2], "b": ["1", "?"]}),
        "text '?' in column 'b', data row 2",
    ),
    "text in polars": (pl.DataFrame({"b": ["1", "low"]}), "text 'low' in column 'b', data row 2"),
    "text in pyarrow": (pa.table({"b": ["1", "low"]}), "text 'low' in column 'b', data row 2"),
    "half-numeric category": (
        pd.DataFrame({"b": pd.Categorical(["1", "u"])}),
        "text 'u' in column 'b', data row 2",
    ),
    "long text is cut": ([["1"], ["x" * 80]], "text '" + "x" * 39 + "…' in column 'x1'"),
    "object": (np.array([[1, 2], [{}, 4]], dtype=object), "a dict in column 'x1', data row 2"),
    "inf": ([[1, 2], [3, -INF]], "inf (an infinite value) in column 'x2', data row 2"),
    "huge": ([[1, 2], [3, -1e101]], "a magnitude beyond 1e+100 in column 'x2', data row 2"),
    "bytes": (np.array([[b"1"]], dtype=object), "a bytes in column 'x1', data row 1"),
    "bytes in an array": (np.array([[b"1"]]), "column 'x1' of type |S1"),
    "duration": (pl.DataFrame({"d": [datetime.timedelta(1)]}), "column 'd' of type Duration"),
    "duration in an array": (np.array([[1]], dtype="m8[s]"), "column 'x1' of type timedelta64[s]"),
    "duration object": (
        np.array([[None], [datetime.timedelta(1)]], dtype=object),
        "a timedelta in column 'x1', data row 2",
    ),
    "struct": (pa.table({"d": [{"a": 1}]}), "column 'd' of type struct<a: int64>"),
    "lists": (pl.DataFrame({"k": [[1], [2]]}), "column 'k' of type List(Int64)"),
    "same name, pandas": (pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]), "got 'a' repeated"),
    "same name, pyarrow": (pa.table([[1], [2]], names=["a", "a"]), "got 'a' repeated"),
    "same name, table": (Table(np.ones((1, 2)), ("a", "a")), "got 'a' repeated"),
    "no rows": (np.empty((0, 3)), "0 sample(s) (shape=(0, 3)) while a minimum of 1 is required."),
    "no rows, frame": (
        pd.DataFrame({"a": []}),
        "0 sample(s) (shape=(0, 1)) while a minimum of 1 is required.",
    ),
    "no columns": (
        np.empty((12, 0)),
        "0 feature(s) (shape=(12, 0)) while a minimum of 1 is required.",
    ),
    "1-D": ([1.0, 2.0], "1-D data (2,). Try: Reshape your data"),
    "series": (pd.Series([1.0, 2.0]), "Reshape your data"),
    "3-D": (np.ones((2, 3, 4)), "3-D data (2, 3, 4). Try: X.reshape(len(X), -1)"),
    "scalar": (3.0, "expected a 2-D table (rows, columns); got a float"),
    "dict": ({"a": [1]}, "expected a 2-D table (rows, columns); got a dict"),
    "None for X": (None, "expected a 2-D table (rows, columns); got a NoneType"),
    "complex": (np.array([[1j]]), "Complex data not supported"),
    "complex object": (np.array([[1j]], dtype=object), "Complex data not supported"),
    "complex frame": (pd.DataFrame({"a": [1j]}), "Complex data not supported"),
    "sparse": (sparse.csr_matrix(np.eye(2)), "a sparse matrix. Try: X.toarray()"),
    "sparse array": (sparse.csr_array(np.eye(2)), "a sparse matrix. Try: X.toarray()"),
    "ragged": ([[1, 2], [3]], "expected rows of equal length"),
    "lazy": (pl.DataFrame({"a": [1]}).lazy(), "Try: X.collect()"),
}


@pytest.mark.parametrize(("X", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals_say_where_and_what(X, words):
    with pytest.raises(InvalidInputError, match=re.escape(words)) as caught:
        as_table(X, call=CALL)
    text = str(caught.value)
    assert text.startswith(f"{CALL}: expected ")
    assert "; got " in text


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (pd.DataFrame({"a": [1], "c": [2]}), "got a table without 'b', 'd' (it has 'a', 'c')"),
        (Table(np.ones((1, 1)), ("a",)), "got a table without 'b', 'd' (it has 'a')"),
        (
            [[1, 2]],
            "expected 3 columns, as in training; got 2 (X has 2 features, but Estimator is "
            "expecting 3 features as input)",
        ),
        (pd.DataFrame([[1, 2]]), "expected 3 columns, as in training; got 2"),
    ],
)
def test_other_columns_than_in_training(X, words):
    with pytest.raises(InvalidInputError, match=re.escape(words)):
        as_table(X, call=CALL, fields=number_fields(("a", "b", "d")))


@pytest.mark.parametrize("X", [[[1, 2]], Table(np.ones((1, 2)), ("a", "b"))])
def test_too_few_rows(X):
    words = r"1 sample\(s\) \(shape=\(1, 2\)\) while a minimum of 2 is required\."
    with pytest.raises(InvalidInputError, match=words):
        as_table(X, call=CALL, min_rows=2)


def test_python_objects_are_a_type_error_as_scikit_learn_demands():
    with pytest.raises(TypeError, match=r"argument must be .* string.* number"):
        as_table(np.array([[{"foo": "bar"}]], dtype=object), call=CALL)


def test_a_table_needs_one_name_per_column():
    with pytest.raises(InvalidInputError, match="one name per column"):
        Table(np.ones((2, 3)), ("a", "b"))


def test_importing_the_layer_loads_nothing_heavy():
    # A bare parent package stands in for harmonium, whose own imports are not in question here.
    folder = str(Path(harmonium.data.__file__).parents[1])
    code = (
        "import sys, types\n"
        "parent = sys.modules['harmonium'] = types.ModuleType('harmonium')\n"
        f"parent.__path__ = [{folder!r}]\n"
        "import harmonium.data\n"
        "heavy = ('jax', 'scipy.sparse', 'scipy.stats', 'pandas', 'polars')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
