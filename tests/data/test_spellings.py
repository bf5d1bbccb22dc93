"""Dates, times and amounts as people write them. Kind of truth: equality with what is typed."""

import datetime
import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from harmonium.data import Columns, Field, as_table, read_batches, read_table, sample_rows
from harmonium.data.frames import decode_columns
from harmonium.data.spellings import write_clock
from harmonium.errors import HarmoniumWarning, InvalidInputError

NAN = float("nan")
DAYS = [datetime.date(2020, 1, 1) + datetime.timedelta(29 * i) for i in range(30)]
SECONDS = [day.toordinal() * 86_400 - 719_163 * 86_400 for day in DAYS]


def noted(cells, **kinds):
    """The field, the values and the warnings of one column of text."""
    frame = pd.DataFrame(
        {"a": cells, "b": [0.5, 1.5] * (len(cells) // 2) + [0.5] * (len(cells) % 2)}
    )
    import warnings

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = as_table(frame, call="fit", kinds=kinds or None)
    return table.fields[0], table.values[:, 0], " ".join(str(own.message) for own in caught)


FORMATS = {
    "%Y-%m-%d": "",
    "%Y/%m/%d": "",
    "%d.%m.%Y": "",
    "%d %b %Y": "",
    "%B %d, %Y": "",
    "%d-%b-%Y": "",
    "%m/%d/%Y": "month first",
    "%d/%m/%Y": "day first",
    "%d-%m-%Y": "day first",
    "%m/%d/%y": "month first",
}


@pytest.mark.parametrize(("form", "spelling"), FORMATS.items())
def test_dates(form, spelling):
    field, values, told = noted([day.strftime(form) for day in DAYS])
    assert (field.form, field.dtype, field.spelling) == ("datetime", "Date", spelling)
    np.testing.assert_array_equal(values, SECONDS)
    assert (f"is read as dates, {spelling}" in told) == bool(spelling)
    # What is written back is ISO, which every column of dates takes.
    again = as_table(pd.DataFrame({"a": ["2020-12-31"]}), call="score", fields=(field,))
    assert again.values == [[18627 * 86_400]]


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("31.12.2020 14:30", 14.5),
        ("2020-12-31T14:30Z", 14.5),
        ("Dec 31, 2020 2:30 PM", 14.5),
        ("31.12.2020 12:15 am", 0.25),
        ("31 Dec 2020 16:30+02:00", 14.5),
    ],
)
def test_dates_with_times(text, hour):
    field, values, _ = noted([text, "2020-12-31"])
    np.testing.assert_array_equal(values, [18627 * 86_400 + hour * 3600, 18627 * 86_400])
    assert field.dtype.startswith("Datetime")


def test_other_cells_decide_the_order_or_it_is_said_to_be_a_guess():
    field, values, told = noted(["01/02/2020", "31/01/2020"])
    assert field.spelling == "day first" and "confirms" not in told
    assert values[0] == datetime.datetime(2020, 2, 1, tzinfo=datetime.UTC).timestamp()
    field, values, told = noted(["01/02/2020", "03/04/2020"])
    assert field.spelling == "month first" and "which no cell confirms" in told
    assert values[0] == datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC).timestamp()
    # The order of training holds at scoring, where cells alone would not tell.
    day_first = Field("a", "datetime", dtype="Date", spelling="day first")
    again = as_table(pd.DataFrame({"a": ["03/04/2020"]}), call="score", fields=(day_first,))
    assert again.values == datetime.datetime(2020, 4, 3, tzinfo=datetime.UTC).timestamp()
    with pytest.raises(InvalidInputError, match="expected datetimes, day first; got text '12/31"):
        as_table(pd.DataFrame({"a": ["12/31/2020"]}), call="score", fields=(day_first,))


def test_dates_that_contradict_each_other_stay_text_with_the_reason():
    field, _, told = noted(["31/01/2020", "01/31/2020", "31/03/2020"] * 2)
    assert field.kind == "categorical"
    assert "stays text: not all of it is dates: '01/31/2020' in data row 2" in told


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["00:00", "14:30", "9:05"], [0, 870, 545]),
        (["00:00:30", "14:30:15", "23:59:59"], [0.5, 870.25, 1439 + 59 / 60]),
        (["12:05 AM", "12:05 pm", "1:00 p.m."], [5, 725, 780]),
    ],
)
def test_times_of_day_are_minutes(cells, values):
    field, found, told = noted(cells)
    assert (field.form, field.spelling) == ("number", "clock")
    np.testing.assert_allclose(found, values, rtol=1e-15)
    assert "minutes since midnight" in told
    # And so they are where a table has a type for them, and where they were written as numbers.
    for again in ([cells[0]], [values[0]], [str(values[0])]):
        scored = as_table(pd.DataFrame({"a": again}), call="score", fields=(field,))
        assert scored.values == [[values[0]]]


def test_times_of_day_are_written_as_such():
    field, values, _ = noted(["09:30", "24:00", "00:00:15.5", None, "1:05 pm"])
    cells = decode_columns(values[:, None], (field,))["a"].to_pylist()
    assert cells == ["09:30", "24:00", "00:00:15.5", None, "13:05"]
    minutes = np.append(np.random.default_rng(0).uniform(0, 1440, 200), [-3.0, 1441.0])
    again = as_table(pd.DataFrame({"a": write_clock(minutes)}), call="score", fields=(field,))
    # To a microsecond, and within the day.
    np.testing.assert_allclose(again.values[:, 0], np.clip(minutes, 0, 1440), atol=1e-6 / 60)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, pa.table])
def test_typed_times_of_day(frame):
    times = [datetime.time(14, 30), None, datetime.time(0, 0, 30)]
    table = as_table(frame({"a": times}), call="fit")
    np.testing.assert_array_equal(table.values[:, 0], [870, NAN, 0.5])


AMOUNTS = {
    "dollars": (["$37,500.00", "-$2", "$.5", "($3)"], "amount $", [37500, -2, 0.5, -3]),
    "euros": (["5 €", "1,234.5 €", "7", "8"], "amount €", [5, 1234.5, 7, 8]),
    "codes": (["EUR 5", "7 EUR", "EUR -1", "0"], "amount EUR", [5, 7, -1, 0]),
    "percent": (["12%", "3.5 %", "-1%", "0%"], "amount %", [12, 3.5, -1, 0]),
    "thousands": (["1,234", "12", "1'234'567", "-5"], "amount", [1234, 12, 1234567, -5]),
}


@pytest.mark.parametrize(("cells", "spelling", "values"), AMOUNTS.values(), ids=AMOUNTS.keys())
def test_amounts_are_numbers(cells, spelling, values):
    field, found, told = noted(cells)
    assert (field.form, field.spelling) == ("number", spelling)
    np.testing.assert_array_equal(found, values)
    assert f"{cells[0]!r} is {values[0]:g}" in told
    scored = as_table(pd.DataFrame({"a": [cells[0], "1"]}), call="score", fields=(field,))
    np.testing.assert_array_equal(scored.values[:, 0], [values[0], 1])
    with pytest.raises(InvalidInputError, match=f"numbers, {re.escape(spelling)}; got text '¥5'"):
        as_table(pd.DataFrame({"a": ["¥5"]}), call="score", fields=(field,))


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["$5", "€7", "$8", "€1"], "different signs: '$', '€'"),
        (["12%", "0.12", "11%", "9%", "8%"], "different signs: none, '%'"),
        (["$5", "$6", "unknown", "$7"], "not all of it is amounts: 'unknown' in data row 3"),
        (["14:30", "14:40", "late", "15:00"], "not all of it is times of day: 'late' in data row"),
    ],
)
def test_what_is_almost_a_number_stays_text_with_the_reason(cells, words):
    field, _, told = noted(cells)
    assert field.kind == "categorical" and words in told


@pytest.mark.parametrize(
    "cells", [["a-1", "b-2"], ["1.2.3", "1.2.4"], ["3:2:1:0", "x"], ["5 apples", "May"]]
)
def test_other_text_stays_as_it_is(cells):
    field, _, told = noted(cells)
    assert field.categories == tuple(sorted(cells)) and told == ""


def test_a_field_keeps_its_spelling():
    table = as_table(pd.DataFrame({"a": ["$5", "$6"], "b": ["31/1/2020", "1/2/2020"]}), call="fit")
    for field in table.fields:
        assert field.spelling and Field.from_config(field.to_config()) == field
    for form, spelling in (("number", "day first"), ("datetime", "clock"), ("text", "amount")):
        kind = "identifier" if form == "text" else "auto"
        config = Field("a", form, kind).to_config() | {"spelling": spelling}
        with pytest.raises(InvalidInputError, match="a spelling of a"):
            Field.from_config(config)


CSV = (
    'day,price,time,iso\n31/01/2020,$5,14:30,2020-01-01\n01/02/2020,"$1,000",0:10,\n,,,2020-01-03\n'
)


@pytest.mark.parametrize("n", [1, 2, 100])
@pytest.mark.filterwarnings("ignore::harmonium.errors.HarmoniumWarning")
def test_spellings_are_those_of_the_whole_file(n, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(CSV)
    whole, part = read_table(path), sample_rows(path, n, seed=0)
    spelled = [(f.form, f.spelling) for f in whole.fields]
    assert spelled == [
        ("datetime", "day first"),
        ("number", "amount $"),
        ("number", "clock"),
        ("datetime", ""),
    ]
    assert [(f.form, f.spelling) for f in part.table.fields] == spelled
    np.testing.assert_array_equal(part.table.values, whole.values[part.numbers - 1])
    batches = list(read_batches(path, fields=part.table.fields, size=1))
    np.testing.assert_array_equal(np.concatenate([b.values for b in batches]), whole.values)


ROW_NAMES = {
    "from 1": ("n", range(1, 31), "numbers the rows"),
    "from 0": ("n", range(30), "numbers the rows"),
    "named": ("order_id", range(70, 10, -2), "has another whole number in every row"),
    "R": ("rownames", range(70, 10, -2), "has another whole number in every row"),
    "numbered": ("Kunden-Nr", range(70, 10, -2), "has another whole number in every row"),
    "in German": ("Kundennummer", range(70, 10, -2), "has another whole number in every row"),
    "camels": ("PassengerId", range(70, 10, -2), "has another whole number in every row"),
}


@pytest.mark.parametrize(("name", "cells", "words"), ROW_NAMES.values(), ids=ROW_NAMES.keys())
def test_numbers_that_name_rows_are_left_out_unless_stated(name, cells, words):
    frame = pd.DataFrame({name: list(cells), "x": np.random.default_rng(0).normal(size=30)})
    with pytest.warns(HarmoniumWarning, match=f"left out: '{name}' {words}. To keep one: kinds="):
        table = as_table(frame, call="fit")
    assert table.fields[0].kind == "identifier"
    kept = as_table(frame, call="fit", kinds={name: "integer"})
    np.testing.assert_array_equal(kept.values[:, 0], list(cells))


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("year", range(1990, 2020)),
        ("id", [1, 2] * 15),
        ("valid", range(60, 0, -2)),
        ("number", [1, 2] * 15),
        ("n", range(5)),
    ],
)
def test_other_numbers_stay(name, cells, recwarn):
    table = as_table(pd.DataFrame({name: list(cells)}), call="fit")
    assert table.fields[0].kind == "auto" and not len(recwarn)


def test_a_stated_identifier_is_no_surprise(recwarn):
    frame = pd.DataFrame(
        {"id": range(30), "name": [f"n{i}" for i in range(30)], "x": [0.5, 1.0] * 15}
    )
    kinds = {"id": "identifier", "name": "identifier"}
    Columns.fit(as_table(frame, call="fit", kinds=kinds))
    assert not len(recwarn)


def test_cells_of_a_stated_identifier_may_be_of_any_type():
    table = pa.table({"tags": [["a"], ["b"]], "x": [1.0, 2.0]})
    found = as_table(table, call="fit", kinds={"tags": "identifier"})
    for own in (table, table.select(["x"])):
        scored = as_table(own, call="score", fields=found.fields)
        np.testing.assert_array_equal(scored.values[:, 1], [1, 2])


def test_other_columns_and_near_categories_are_named(recwarn):
    fields = (Field("sex", "text", "categorical", ("A12", "female", "male")), Field("x"))
    cells = ["MALE", "femal", " male", "A13", "other", "male"]
    frame = pd.DataFrame({"sex": cells, "x": 1.0, "extra": 2.0})
    as_table(frame, call="score", fields=fields)
    extra, near = sorted(str(own.message) for own in recwarn)[::-1]
    assert "columns that training did not have are ignored: 'extra'." in near + extra
    words = near if "categories" in near else extra
    for text, own in (("MALE", "male"), ("femal", "female"), (" male", "male")):
        assert f"{text!r} (nearest: {own!r})" in words
    assert "A13" not in words and "other" not in words


def test_a_fraction_among_whole_numbers_is_told(recwarn):
    years = as_table(pd.DataFrame({"year": [2007, 2008, 2009]}), call="fit")
    later = pd.DataFrame({"year": [2008.0, np.nan, 2008.5]})
    table = as_table(later, call="score", fields=years.fields)
    np.testing.assert_array_equal(table.values[:, 0], later["year"])
    (told,) = recwarn
    words = "score: column 'year' has 2008.5 in row 3; training had whole numbers alone."
    assert str(told.message) == words
    as_table(later[:2], call="score", fields=years.fields)
    assert len(recwarn) == 1


CODES = {
    "a size": ([170.5, 181.25, 165.0] * 10 + [-999.0] * 2, "-999"),
    "a survey": ([1, 2, 3, 4, 5] * 6 + [99] * 3, "99"),
    "a single cell": ([170.5, 181.25, 165.0] * 10 + [-999.0], ""),
    "among others": ([*range(0, 600, 10), 999, 999], ""),
    "temperatures": ([-9, -20, 14, 3] * 8, ""),
    "constant but for it": ([7] * 30 + [-9] * 3, ""),
}


@pytest.mark.parametrize(("cells", "code"), CODES.values(), ids=CODES.keys())
def test_a_number_far_from_all_others_may_be_a_code(cells, code, recwarn):
    table = as_table(pd.DataFrame({"a": cells}), call="fit")
    told = [str(warning.message) for warning in recwarn]
    words = f"fit: 'a' has {code} in {cells.count(float(code or 0))} rows, far from all other cells"
    hint = ". If it stands for a missing cell: replace it by NaN."
    assert told == ([words + hint] if code else [])
    np.testing.assert_array_equal(table.values[:, 0], cells)
    as_table(pd.DataFrame({"a": cells}), call="fit", kinds={"a": "continuous"})
    assert len(recwarn) == len(told)
