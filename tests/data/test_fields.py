"""Fields: what a training column is taken for, what may be stated, and which states are refused."""

import datetime
import decimal
import json
import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from harmonium.data import Field, Table, as_table
from harmonium.errors import InvalidInputError

CALL = "Estimator.fit(X)"
NAN = float("nan")
FRAMES = [pd.DataFrame, pl.DataFrame, pa.table]


def one(cells, kind=None, **settings):
    """The field and the values of one column of a pandas frame."""
    kinds = None if kind is None else {"a": kind}
    table = as_table(pd.DataFrame({"a": cells}, **settings), call=CALL, kinds=kinds)
    return table.fields[0], table.values[:, 0]


@pytest.mark.parametrize("frame", FRAMES)
def test_every_form_is_found(frame):
    table = as_table(
        frame(
            {
                "number": [0.5, 1.0, 2.0],
                "integer": [3, 1, 2],
                "boolean": [True, False, True],
                "text": ["b", "a", "b"],
                "numeric text": ["1", " 2.5 ", "-3e2"],
                "moment": [datetime.datetime(1970, 1, 2, 0, 0, second) for second in (0, 1, 2)],
            }
        ),
        call=CALL,
    )
    assert [(field.form, field.kind, field.categories) for field in table.fields] == [
        ("number", "auto", ()),
        ("integer", "auto", ()),
        ("boolean", "auto", ()),
        ("text", "categorical", ("a", "b")),
        ("number", "auto", ()),
        ("datetime", "auto", ()),
    ]
    expected = [
        [0.5, 3, 1, 1, 1, 86_400],
        [1, 1, 0, 0, 2.5, 86_401],
        [2, 2, 1, 1, -300, 86_402],
    ]
    np.testing.assert_array_equal(table.values, expected)


MISSING = {
    "None in lists": [[1, None], [None, 2]],
    "NaN in an array": np.array([[1, NAN], [NAN, 2]]),
    "objects": np.array([[1, pd.NA], [pd.NaT, 2]], dtype=object),
    "mixed objects": np.array([["1", None], [NAN, 2]], dtype=object),
    "masked": np.ma.array([[1, 9], [9, 2]], mask=[[0, 1], [1, 0]]),
    "masked text": np.ma.array([["1", "9"], ["9", "2"]], mask=[[0, 1], [1, 0]]),
    "NA of pandas": pd.DataFrame({"a": pd.array([1, None], "Int64"), "b": [None, 2]}),
    "pandas text": pd.DataFrame({"a": ["1", None], "b": [NAN, "2"]}),
    "null of polars": pl.DataFrame({"a": [1, None], "b": [None, "2"]}),
    "NaN of polars": pl.DataFrame({"a": [1.0, NAN], "b": [NAN, 2.0]}),
    "null of pyarrow": pa.table({"a": [1, None], "b": [None, 2.0]}),
    "missing categories": pa.table(
        {
            "a": pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array([1.0, NAN])),
            "b": pa.DictionaryArray.from_arrays(pa.array([1, 0]), pa.array([2, None])),
        }
    ),
    "categories": pd.DataFrame(
        {"a": pd.Categorical(["1", None]), "b": pd.Categorical([None, 2], categories=[7, 2])}
    ),
}


@pytest.mark.parametrize("X", MISSING.values(), ids=MISSING.keys())
def test_a_missing_cell_is_nan_however_it_is_spelled(X):
    np.testing.assert_array_equal(as_table(X, call=CALL).values, [[1, NAN], [NAN, 2]])


@pytest.mark.parametrize("frame", FRAMES)
def test_missing_cells_of_every_form(frame):
    table = as_table(
        frame(
            {
                "text": ["b", None],
                "boolean": [None, True],
                "day": [datetime.date(1970, 1, 3), None],
                "nothing": [None, None],
            }
        ),
        call=CALL,
    )
    assert [field.form for field in table.fields] == ["text", "boolean", "datetime", "number"]
    np.testing.assert_array_equal(table.values, [[0, NAN, 172_800, NAN], [NAN, 1, NAN, NAN]])


def test_no_word_stands_for_a_missing_cell():
    field, values = one(["NA", "", "null", "x"])
    assert field.categories == ("", "NA", "null", "x")
    np.testing.assert_array_equal(values, [1, 0, 2, 3])


@pytest.mark.parametrize(
    ("cells", "form", "values"),
    [
        ([decimal.Decimal("0.5"), decimal.Decimal(2)], "number", [0.5, 2]),
        ([2**70, 1], "number", [2.0**70, 1]),
        ([True, False], "boolean", [1, 0]),
        ([1, 2.5], "number", [1, 2.5]),
        ([1, "x", "y", None, 2.0, "z"], "text", [0, 2, 3, NAN, 1, 4]),
        ([datetime.date(1970, 1, 2), None], "datetime", [86_400, NAN]),
    ],
)
def test_objects_are_what_their_cells_are(cells, form, values):
    table = as_table(np.array(cells, dtype=object)[:, None], call=CALL)
    assert table.fields[0].form == form
    assert table.fields[0].dtype == ""
    np.testing.assert_array_equal(table.values[:, 0], values)


def test_half_numbers_are_damaged_numbers_and_fewer_are_categories():
    words = "text 'low' in column 'a', data row 3. Try: correct this cell; replace it by None if "
    with pytest.raises(InvalidInputError, match=re.escape(words)) as caught:
        one([None, "1", "low", "2", "high"])
    assert "kinds={'a': 'categorical'}" in str(caught.value)
    field, _ = one([None, "1", "low", "high", "2", "mid"])
    assert field.categories == ("1", "2", "high", "low", "mid")


def test_words_for_infinity_are_no_numbers():
    assert one(["inf", "nan", "1e999"])[0].categories == ("1e999", "inf", "nan")


def names_and_repeats(distinct, n):
    return [f"name {i}" for i in range(distinct)] + ["name 0"] * (n - distinct)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (names_and_repeats(20, 20), "identifier"),
        ([*names_and_repeats(20, 20), None, None, None], "identifier"),
        (names_and_repeats(19, 19), "categorical"),
        ([*names_and_repeats(19, 19), None], "categorical"),
        (names_and_repeats(18, 20), "categorical"),
        (names_and_repeats(19, 20), "identifier"),
        (names_and_repeats(90, 100), "categorical"),
        (names_and_repeats(91, 100), "identifier"),
    ],
)
def test_an_identifier_is_text_that_names_its_rows(cells, kind):
    field, values = one(cells)
    assert field.kind == kind
    missing = [cell is None for cell in cells]
    np.testing.assert_array_equal(np.isnan(values), missing)
    if kind == "identifier":
        np.testing.assert_array_equal(values, np.where(missing, NAN, 0.0))


OVERRIDES = {
    "identifier to categorical": (names_and_repeats(25, 25), "categorical", "text", 25),
    "text to identifier": (["x", "y", "x"], "identifier", "text", 0),
    "number to identifier": ([1, 2, 3], "identifier", "integer", 0),
    "date to identifier": ([datetime.datetime(2020, 1, 1)], "identifier", "datetime", 0),
    "date to continuous": ([datetime.datetime(2020, 1, 1)], "continuous", "datetime", 0),
    "integer to continuous": ([1, 2, 3], "continuous", "integer", 0),
    "number to integer": ([1.0, 2.0, NAN], "integer", "number", 0),
    "boolean to categorical": ([True, False], "categorical", "boolean", 2),
    "numeric text to integer": (["1", "2"], "integer", "number", 0),
    "numeric text to categorical": (["01", "1"], "categorical", "text", 2),
    "half-numeric text to categorical": (["1", "x"], "categorical", "text", 2),
}


@pytest.mark.parametrize(
    ("cells", "kind", "form", "n_categories"), OVERRIDES.values(), ids=OVERRIDES.keys()
)
def test_stated_kinds_go_first(cells, kind, form, n_categories):
    field, _ = one(cells, kind)
    assert (field.kind, field.form, len(field.categories)) == (kind, form, n_categories)


def test_stating_auto_states_nothing():
    for cells in (["x", "y"], [1, 2], names_and_repeats(25, 25)):
        assert one(cells, "auto")[0] == one(cells)[0]


def test_numbers_stated_categorical_are_coded_by_their_text():
    field, values = one([10.0, 2.0, NAN, 2.5, 0.1 + 0.2], "categorical")
    assert field.categories == ("0.30000000000000004", "10", "2", "2.5")
    np.testing.assert_array_equal(values, [1, 2, NAN, 3, 0])


def test_arrays_take_kinds_by_position():
    table = as_table([[3, 0.5], [1, 1.5]], call=CALL, kinds={"x1": "categorical"})
    assert table.fields == (
        Field("x1", "number", "categorical", ("1", "3")),
        Field("x2", "number"),
    )
    np.testing.assert_array_equal(table.values, [[1, 0.5], [0, 1.5]])


def test_kinds_of_a_table_code_it_anew():
    table = Table(np.array([[3.0, 0.5], [NAN, 1.5]]), ("a", "b"))
    found = as_table(table, call=CALL, kinds={"a": "categorical"})
    assert found.fields[0] == Field("a", "number", "categorical", ("3",))
    np.testing.assert_array_equal(found.values, [[0, 0.5], [NAN, 1.5]])


DAY = datetime.datetime(2020, 1, 1)
REFUSED = {
    "unknown column": ([1], {"b": "integer"}, "got kinds for 'b' (the table has 'a')"),
    "unknown kind": ([1], {"a": "ordinal"}, "got 'ordinal' for column 'a'"),
    "no mapping": ([1], ["a"], "expected kinds by column name; got a list"),
    "text, continuous": (["x", "y"], {"a": "continuous"}, "text 'x' in column 'a', data row 1"),
    "text, integer": (["1", None, "y"], {"a": "integer"}, "text 'y' in column 'a', data row 3"),
    "fraction": ([1, NAN, 2.5], {"a": "integer"}, "got 2.5 in column 'a', data row 3"),
    "fraction as text": (["1", "2.5"], {"a": "integer"}, "got 2.5 in column 'a', data row 2"),
    "date": ([DAY], {"a": "categorical"}, "got column 'a' of type Datetime("),
    "no cells": ([None], {"a": "categorical"}, "1 to 10000 categories in column 'a'; got 0"),
    "infinite": ([np.inf], {"a": "categorical"}, "inf (an infinite value) in column 'a'"),
    "too many": (
        [f"{i} of few" for i in range(10_001)] * 2,
        None,
        "got 10001 distinct cells. Try: kinds={'a': 'identifier'}",
    ),
}


@pytest.mark.parametrize(("cells", "kinds", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_kinds(cells, kinds, words):
    with pytest.raises(InvalidInputError, match=re.escape(words)) as caught:
        as_table(pd.DataFrame({"a": cells}), call=CALL, kinds=kinds)
    assert str(caught.value).startswith(f"{CALL}: expected ")


def test_ten_thousand_categories_are_not_too_many():
    field, values = one([f"{i:05d} of few" for i in range(10_000)] * 2)
    assert len(field.categories) == 10_000
    np.testing.assert_array_equal(values, np.tile(np.arange(10_000), 2))


def test_a_table_needs_one_field_per_column_of_the_same_name():
    for fields in ((Field("a"),), (Field("a"), Field("c"))):
        with pytest.raises(InvalidInputError, match="one field per column, of the same name"):
            Table(np.ones((1, 2)), ("a", "b"), fields)
    assert Table(np.ones((1, 1)), ("a",)).fields == (Field("a"),)


STATES = [
    Field("a"),
    Field("", "integer", "continuous", dtype="UInt8"),
    Field("a", "text", "categorical", ("", "x", "ä"), "String"),
    Field("a", "number", "categorical", ("-1.5", "2"), "Float32"),
    Field("a", "text", "identifier", dtype="Categorical"),
    Field("a", "datetime", dtype="Datetime(time_unit='ns', time_zone='Europe/Berlin')"),
    Field("a", "datetime", dtype="Datetime(time_unit='s', time_zone=None)"),
]


@pytest.mark.parametrize("field", STATES)
def test_a_field_survives_json(field):
    assert Field.from_config(json.loads(json.dumps(field.to_config()))) == field


@pytest.mark.parametrize("X", MISSING.values(), ids=MISSING.keys())
def test_every_inferred_field_is_a_state(X):
    for field in as_table(X, call=CALL).fields:
        assert Field.from_config(field.to_config()) == field


TEXT = Field("a", "text", "categorical", ("x", "y"))
HOSTILE = {
    "no mapping": (TEXT, None, "field with the keys"),
    "extra key": (TEXT, {"extra": 1}, "field with the keys"),
    "form": (TEXT, {"form": "blob"}, "a form among"),
    "form of a list": (TEXT, {"form": ["text"]}, "a form among"),
    "kind": (TEXT, {"kind": "ordinal"}, "a kind among"),
    "kind of a number": (TEXT, {"kind": 1}, "a kind among"),
    "name": (TEXT, {"name": 3}, "a name that is text; got 3"),
    "dtype": (TEXT, {"dtype": "Datetime('us')"}, "a known dtype"),
    "dtype of None": (TEXT, {"dtype": None}, "a known dtype"),
    "dtype with more": (
        TEXT,
        {"dtype": "Datetime(time_unit='us', time_zone='a b')"},
        "a known dtype",
    ),
    "numbers as categories": (TEXT, {"categories": [1, 2]}, "categories that are a list of texts"),
    "text as categories": (TEXT, {"categories": "xy"}, "categories that are a list of texts"),
    "repeated": (TEXT, {"categories": ["x", "x"]}, "sorted, distinct categories"),
    "unsorted": (TEXT, {"categories": ["y", "x"]}, "sorted, distinct categories"),
    "none": (TEXT, {"categories": []}, "got 0 of kind 'categorical'"),
    "too many": (
        TEXT,
        {"categories": [f"{i:05d}" for i in range(10_001)]},
        "at most 10000 categories; got 10001",
    ),
    "categories of numbers": (Field("a"), {"categories": ["x"]}, "got 1 of kind 'auto'"),
    "text that is auto": (TEXT, {"kind": "auto", "categories": []}, "text of a kind among"),
    "dates that are categories": (TEXT, {"form": "datetime"}, "categories of dates"),
    "words for numbers": (TEXT, {"form": "integer"}, "categories that are numbers"),
    "infinite category": (TEXT, {"form": "number", "categories": ["inf"]}, "that are numbers"),
}


@pytest.mark.parametrize(("good", "change", "words"), HOSTILE.values(), ids=HOSTILE.keys())
def test_nonsense_is_no_field(good, change, words):
    config = None if change is None else good.to_config() | change
    with pytest.raises(InvalidInputError, match=re.escape(words)) as caught:
        Field.from_config(config)
    assert "Try: a state written by to_state()" in str(caught.value)
