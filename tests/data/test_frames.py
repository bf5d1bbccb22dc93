"""The way back: values decoded to the columns that a frame had, for every library."""

import datetime
import re
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from harmonium.data import Field, Table, as_table, container_of, decode_columns, to_frame
from harmonium.errors import InvalidInputError

CALL = "Estimator.fit(X)"
NAN = float("nan")
MOMENT = datetime.datetime(2020, 7, 1, 12, 30, 15, 123456)
PANDAS = pd.DataFrame(
    {
        "integer": [3, -1, 2**50],
        "byte": np.array([0, 255, 7], dtype=np.uint8),
        "number": [0.1 + 0.2, NAN, -2.5],
        "single": np.array([0.1, NAN, 2], dtype=np.float32),
        "boolean": [True, False, True],
        "text": ["b", None, "a"],
        "category": pd.Categorical(["v", "u", None]),
        "moment": pd.to_datetime([MOMENT, None, datetime.datetime(1900, 1, 1)]),
        "zoned": pd.Series(pd.to_datetime([MOMENT, None, MOMENT])).dt.tz_localize("Asia/Tokyo"),
        "precise": pd.Series(pd.to_datetime([MOMENT, None, MOMENT])).dt.as_unit("ns"),
        "day": [datetime.date(2020, 2, 29), None, datetime.date(1, 1, 1)],
    }
)
POLARS = pl.from_pandas(PANDAS.astype({"category": str})).with_columns(
    pl.col("category").cast(pl.Categorical),
    pl.Series("gaps", [1, None, 3], dtype=pl.Int16),
    pl.Series("maybe", [True, None, False]),
    pl.Series("milli", [MOMENT, None, MOMENT], dtype=pl.Datetime("ms", "UTC")),
)
ARROW = pa.table(
    {
        "gaps": pa.array([1, None, 3], pa.uint32()),
        "maybe": pa.array([True, None, False]),
        "single": pa.array([0.5, None, 1.5], pa.float32()),
        "text": pa.array(["b", None, "a"]),
        "category": pa.array(["b", None, "a"]).dictionary_encode(),
        "day": pa.array([datetime.date(2020, 2, 29), None, datetime.date(1, 1, 1)]),
        "seconds": pa.array(
            [MOMENT.replace(microsecond=0), None, MOMENT.replace(year=1, microsecond=0)],
            pa.timestamp("s"),
        ),
        "zoned": pa.array([MOMENT, None, MOMENT], pa.timestamp("us", "+02:00")),
    }
)


@pytest.mark.parametrize("X", [PANDAS, POLARS, ARROW], ids=["pandas", "polars", "pyarrow"])
def test_a_frame_comes_back_as_it_was(X):
    table = as_table(X, call=CALL)
    again = to_frame(table.values, table.fields, container_of(X))
    assert type(again) is type(X)
    if isinstance(X, pd.DataFrame):
        pd.testing.assert_frame_equal(again, X, check_categorical=False)
    elif isinstance(X, pl.DataFrame):
        assert again.schema == X.schema
        assert again.to_dicts() == X.to_dicts()
    else:
        assert again.schema == X.schema
        assert again.to_pylist() == X.to_pylist()
    for field in table.fields:
        assert Field.from_config(field.to_config()) == field
    # And the table of that frame is the table once more.
    coded = as_table(again, call=CALL, fields=table.fields)
    np.testing.assert_array_equal(coded.values, table.values)


def test_values_of_one_library_as_a_frame_of_another():
    table = as_table(ARROW, call=CALL)
    frame = to_frame(table.values, table.fields, "pandas")
    # As pandas would read them: whole numbers with gaps are floats.
    assert frame["gaps"].dtype == np.float64
    np.testing.assert_array_equal(frame["gaps"], [1, NAN, 3])
    assert frame["maybe"].tolist() == [True, None, False]
    assert isinstance(frame["category"].dtype, pd.CategoricalDtype)
    other = to_frame(table.values, table.fields, "polars")
    assert other.schema["gaps"] == pl.UInt32
    assert other["gaps"].to_list() == [1, None, 3]


def test_categories_of_numbers_come_back_as_numbers():
    X = pl.DataFrame({"i": [3, 1, None], "f": [0.5, 2.0, None], "b": [True, None, False]})
    table = as_table(X, call=CALL, kinds=dict.fromkeys("ifb", "categorical"))
    np.testing.assert_array_equal(table.values[0], [1, 0, 1])
    again = to_frame(table.values, table.fields, "polars")
    assert again.schema == X.schema
    assert again.to_dicts() == X.to_dicts()


def test_an_enumeration_comes_back_as_categories():
    X = pl.DataFrame({"a": pl.Series(["y", None, "x"], dtype=pl.Enum(["z", "y", "x"]))})
    table = as_table(X, call=CALL)
    # A category that no row has is not one that training has seen.
    assert table.fields == (Field("a", "text", "categorical", ("x", "y"), "Enum"),)
    again = to_frame(table.values, table.fields, "polars")
    assert again.schema["a"] == pl.Categorical
    assert again["a"].to_list() == ["y", None, "x"]


def test_numeric_text_comes_back_as_numbers():
    table = as_table(pd.DataFrame({"a": ["1", None, "2.5"]}), call=CALL)
    np.testing.assert_array_equal(
        to_frame(table.values, table.fields, "pandas")["a"], [1, NAN, 2.5]
    )


def decoded(values, field):
    column = decode_columns(np.array(values, dtype=float)[:, None], [field])[field.name]
    return column.type, column.to_pylist()


def test_unknown_and_missing_categories_are_missing():
    field = Field("a", "text", "categorical", ("x", "y"))
    assert decoded([1, -1, NAN, 0], field) == (pa.string(), ["y", None, None, "x"])


def test_identifiers_are_missing_and_keep_their_type():
    assert decoded([0, NAN], Field("a", "text", "identifier")) == (pa.string(), [None, None])
    integer = Field("a", "integer", "identifier", dtype="Int32")
    assert decoded([0, NAN], integer) == (pa.int32(), [None, None])


def test_values_that_the_type_cannot_hold_keep_their_value():
    assert decoded([1, 300], Field("a", "integer", dtype="UInt8")) == (pa.int64(), [1, 300])
    assert decoded([1, -1], Field("a", "integer", dtype="UInt64")) == (pa.int64(), [1, -1])
    assert decoded([1, 2.5], Field("a", "integer", dtype="Int64")) == (pa.float64(), [1, 2.5])
    assert decoded([1e30, NAN], Field("a", "integer")) == (pa.float64(), [1e30, None])
    assert decoded([1, 0.25], Field("a", "boolean")) == (pa.float64(), [1, 0.25])


def test_fields_without_a_type_have_that_of_their_form():
    assert decoded([1, NAN], Field("a", "integer"))[0] == pa.int64()
    assert decoded([1, NAN], Field("a", "boolean")) == (pa.bool_(), [True, None])
    assert decoded([1, NAN], Field("a"))[0] == pa.float64()
    assert decoded([1, NAN], Field("a", "datetime"))[0] == pa.timestamp("us")


def test_moments_beyond_all_calendars_are_their_ends():
    last = datetime.date(9999, 12, 31)
    assert decoded([1e30, -1e30], Field("a", "datetime", dtype="Date"))[1] == [
        last,
        datetime.date(1, 1, 1),
    ]
    precise = Field("a", "datetime", dtype="Datetime(time_unit='ns', time_zone=None)")
    frame = to_frame(np.array([[1e30], [-1e30]]), [precise], "pandas")
    assert frame["a"].dt.year.tolist() == [2262, 1677]


@pytest.mark.parametrize("code", [2, 0.5, -2, np.inf])
def test_codes_that_are_none(code):
    field = Field("a", "text", "categorical", ("x", "y"))
    words = f"a category from 0 to 1, or -1; got {float(code)!r} in column 'a', row 2"
    with pytest.raises(InvalidInputError, match=re.escape(words)):
        decode_columns(np.array([[0.0], [code]]), [field])


@pytest.mark.parametrize("values", [np.ones((2, 2)), np.ones(2)])
def test_one_column_per_field(values):
    with pytest.raises(InvalidInputError, match=re.escape("values of shape (rows, 1)")):
        decode_columns(values, [Field("a")])


def test_a_library_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(
        InvalidInputError, match="got polars, which is not installed. Try: pip inst"
    ):
        to_frame(np.ones((1, 1)), [Field("a")], "polars")


def test_a_container_that_is_unknown():
    with pytest.raises(InvalidInputError, match="a container among .*; got 'array'"):
        to_frame(np.ones((1, 1)), [Field("a")], "array")


def test_a_time_zone_that_is_unknown():
    field = Field("a", "datetime", dtype="Datetime(time_unit='us', time_zone='Mars/Olympus')")
    with pytest.raises(InvalidInputError, match="got 'Mars/Olympus' in column 'a'"):
        to_frame(np.ones((1, 1)), [field], "pandas")


@pytest.mark.parametrize(
    ("X", "container"),
    [
        (PANDAS, "pandas"),
        (POLARS, "polars"),
        (ARROW, "pyarrow"),
        (np.ones((1, 1)), "array"),
        ([[1]], "array"),
        (Table(np.ones((1, 1)), ("a",)), "array"),
    ],
)
def test_containers(X, container):
    assert container_of(X) == container


def test_pandas_columns_in_several_pieces():
    """As `pd.concat` leaves text, and categories where those differ."""
    first = pd.DataFrame({"x": [1.0, 2.0], "c": pd.Categorical(["a", "b"]), "t": ["u", None]})
    second = pd.DataFrame({"x": [3.0], "c": pd.Categorical(["z"]), "t": ["v"]})
    table = as_table(pd.concat([first, second]), call=CALL)
    assert [field.categories for field in table.fields] == [(), ("a", "b", "z"), ("u", "v")]
    np.testing.assert_array_equal(table.values, [[1, 0, 0], [2, 1, NAN], [3, 2, 1]])
