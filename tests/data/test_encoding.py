"""Coding by the fields of training: unseen categories, moments of every zone, other forms."""

import datetime
import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from harmonium.data import Field, Table, as_table
from harmonium.errors import InvalidInputError

CALL = "Estimator.score(X)"
NAN = float("nan")
FRAMES = [pd.DataFrame, pl.DataFrame, pa.table]
DAY = datetime.datetime(2020, 1, 1)


def scored(cells, field, frame=pd.DataFrame):
    """The values of one column by a field of training."""
    return as_table(frame({"a": cells}), call=CALL, fields=(field,)).values[:, 0]


CATEGORIES = Field("a", "text", "categorical", ("3", "b", "c"))


@pytest.mark.parametrize("frame", FRAMES)
def test_unseen_categories_are_minus_one(frame):
    found = scored(["c", None, "d", "b", "C", ""], CATEGORIES, frame)
    np.testing.assert_array_equal(found, [2, NAN, -1, 1, -1, -1])


def test_categories_of_numbers_are_met_by_number_and_by_text():
    field = Field("a", "number", "categorical", ("10", "2", "2.5"))
    np.testing.assert_array_equal(scored([2, 10], field), [1, 0])
    np.testing.assert_array_equal(scored([2.0, 2.5, NAN], field), [1, 2, NAN])
    np.testing.assert_array_equal(scored(["2", "10", "2.0"], field), [1, 0, -1])


def test_categories_from_numbers_and_from_other_columns():
    np.testing.assert_array_equal(scored([3, 4], CATEGORIES), [0, -1])
    np.testing.assert_array_equal(scored([3.0, NAN, 3.5, np.inf], CATEGORIES), [0, NAN, -1, -1])
    np.testing.assert_array_equal(scored(pd.Categorical(["c", "x"]), CATEGORIES), [2, -1])
    np.testing.assert_array_equal(scored(pd.Categorical([3, 4]), CATEGORIES), [0, -1])
    np.testing.assert_array_equal(scored([None, None], CATEGORIES), [NAN, NAN])
    array = as_table(np.array([["c"], ["3"]]), call=CALL, fields=(CATEGORIES,))
    np.testing.assert_array_equal(array.values, [[2], [0]])


def test_a_table_with_other_categories_is_coded_anew():
    own = Field("a", "text", "categorical", ("a", "c"))
    table = Table(np.array([[0.0], [1.0], [NAN], [-1.0]]), ("a",), (own,))
    found = as_table(table, call=CALL, fields=(CATEGORIES,))
    # What was unknown to the first coding is missing in the second.
    np.testing.assert_array_equal(found.values, [[-1], [2], [NAN], [NAN]])
    assert found.fields == (CATEGORIES,)


def test_a_table_of_numbers_is_coded_where_categories_were():
    table = Table(np.array([[3.0], [1.0], [NAN]]), ("a",))
    found = as_table(table, call=CALL, fields=(CATEGORIES,))
    np.testing.assert_array_equal(found.values, [[0], [-1], [NAN]])


def test_a_table_with_the_same_fields_is_taken_as_it_is():
    fields = (CATEGORIES, Field("b"))
    table = Table(np.array([[2.0, 0.5], [-1.0, 1.5]]), ("a", "b"), fields)
    assert as_table(table, call=CALL, fields=fields).values is table.values
    other = as_table(table, call=CALL, fields=(Field("b", "integer"), CATEGORIES))
    np.testing.assert_array_equal(other.values, [[0.5, 2], [1.5, -1]])


def test_an_identifier_may_be_absent_at_scoring():
    fields = (Field("id", "text", "identifier"), Field("b"))
    table = as_table(pd.DataFrame({"b": [1, 2]}), call=CALL, fields=fields)
    assert table.names == ("id", "b")
    np.testing.assert_array_equal(table.values, [[0, 1], [0, 2]])
    with_gap = as_table(pl.DataFrame({"b": [1, 2], "id": [None, 7]}), call=CALL, fields=fields)
    np.testing.assert_array_equal(with_gap.values, [[NAN, 1], [0, 2]])


def test_an_identifier_gives_no_cells_back():
    table = Table(np.zeros((2, 1)), ("a",), (Field("a", "text", "identifier"),))
    with pytest.raises(InvalidInputError, match="column 'a', whose content was dropped"):
        as_table(table, call=CALL, fields=(CATEGORIES,))


SECONDS = datetime.datetime(2020, 7, 1, 12, tzinfo=datetime.UTC).timestamp()
BERLIN = pd.Timestamp("2020-07-01 14:00", tz="Europe/Berlin")
MOMENTS = {
    "naive": pd.DataFrame({"a": [datetime.datetime(2020, 7, 1, 12)]}),
    "pandas, zone": pd.DataFrame({"a": [BERLIN]}),
    "pandas, nanoseconds": pd.DataFrame({"a": pd.Series([BERLIN]).dt.as_unit("ns")}),
    "pandas, objects": pd.DataFrame({"a": pd.Series([BERLIN], dtype=object)}),
    "polars, zone": pl.DataFrame({"a": [BERLIN.to_pydatetime()]}).with_columns(
        pl.col("a").dt.convert_time_zone("Asia/Tokyo")
    ),
    "pyarrow, seconds": pa.table({"a": pa.array([int(SECONDS)], pa.timestamp("s", "+02:00"))}),
    "array": np.array([["2020-07-01T12"]], dtype="M8[h]"),
    "text": pd.DataFrame({"a": ["2020-07-01T14:00:00+02:00"]}),
    "text without zone": pd.DataFrame({"a": [" 2020-07-01 12:00 "]}),
}


@pytest.mark.parametrize("X", MOMENTS.values(), ids=MOMENTS.keys())
def test_moments_are_seconds_whatever_their_zone(X):
    field = Field("a", "datetime")
    np.testing.assert_array_equal(as_table(X, call=CALL, fields=(field,)).values, [[SECONDS]])


def test_days_and_the_time_before_the_epoch():
    for X in (
        pl.DataFrame({"a": [datetime.date(1969, 12, 31)]}),
        pa.table({"a": pa.array([-86_400_000], pa.date64())}),
    ):
        table = as_table(X, call=CALL)
        assert table.fields[0] == Field("a", "datetime", dtype="Date")
        np.testing.assert_array_equal(table.values, [[-86_400]])


WRONG = {
    "text for numbers": (
        ["1", None, "x"],
        Field("a"),
        "numbers; got text 'x' in column 'a', data row 3",
    ),
    "text for integers": (["x"], Field("a", "integer"), "text 'x' in column 'a', data row 1"),
    "dates for numbers": ([DAY], Field("a"), "expected numbers; got column 'a' of type Datetime("),
    "numbers for dates": (
        [1, 2],
        Field("a", "datetime"),
        "expected dates; got column 'a' of type Int64",
    ),
    "text for dates": (
        ["2020-01-01", "1/2/2020"],
        Field("a", "datetime"),
        "expected dates such as 2020-12-31; got text '1/2/2020' in column 'a', data row 2",
    ),
    "dates for categories": ([DAY], CATEGORIES, "expected text or numbers; got column 'a'"),
}


@pytest.mark.parametrize(("cells", "field", "words"), WRONG.values(), ids=WRONG.keys())
def test_cells_of_another_form_than_in_training(cells, field, words):
    with pytest.raises(InvalidInputError, match=re.escape(words)):
        scored(cells, field)


def test_numeric_text_is_read_where_numbers_were():
    np.testing.assert_array_equal(scored(["1", None, "2.5"], Field("a")), [1, NAN, 2.5])
    np.testing.assert_array_equal(scored([True, False], Field("a", "integer")), [1, 0])
