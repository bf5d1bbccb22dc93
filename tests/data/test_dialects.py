"""Files written in other ways give the values of the ordinary file. Kind of truth: equality."""

import gzip
import json
import re
import sys

import numpy as np
import pytest

from harmonium.data import (
    Dialect,
    Field,
    TableFile,
    read_batches,
    read_cells,
    read_table,
    sample_rows,
)
from harmonium.errors import HarmoniumWarning, InvalidInputError

RNG = np.random.default_rng(0)
WORDS = ["Größe", "Maß"] * 20
ROWS = [
    (f"{x:.2f}", f"{1000 * x:.1f}", word)
    for x, word in zip(RNG.normal(size=40), WORDS, strict=True)
]
PLAIN = "\n".join(["x,y,wörd", *map(",".join, ROWS), ""])
GERMAN = "\n".join(["x;y;wörd", *(";".join(row).replace(".", ",") for row in ROWS), ""])
TABBED = PLAIN.replace(",", "\t")

WRITTEN = {
    "plain": (PLAIN, "utf-8", ".csv", None),
    "byte order mark": (PLAIN, "utf-8-sig", ".csv", None),
    "semicolons": (GERMAN, "utf-8", ".csv", "semicolons and numbers have decimal commas"),
    "tabs": (TABBED, "utf-8", ".csv", "cells are separated by tabs."),
    "tsv": (TABBED, "utf-8", ".tsv", "cells are separated by tabs."),
    "bars": (PLAIN.replace(",", "|"), "utf-8", ".csv", "cells are separated by vertical bars."),
    "latin-1": (GERMAN, "latin-1", ".csv", "semicolons, numbers have decimal commas and the enc"),
    "utf-16": (TABBED, "utf-16", ".csv", "separated by tabs and the encoding is utf-16."),
    "utf-16 without mark": (PLAIN, "utf-16-be", ".csv", "the encoding is utf-16-be."),
    "quoted": (GERMAN.replace("Maß", '"Maß"'), "utf-8", ".csv", "semicolons"),
    "windows": (GERMAN.replace("\n", "\r\n"), "utf-8", ".csv", "semicolons"),
}


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return read_table(write(tmp_path_factory.mktemp("plain") / "t.csv", PLAIN))


def assert_equal(table, other):
    assert table.fields == other.fields
    np.testing.assert_array_equal(table.values, other.values)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", WRITTEN)
def test_a_file_tells_how_it_is_written(name, packed, plain, tmp_path, recwarn):
    text, encoding, ending, words = WRITTEN[name]
    path = write(tmp_path / f"t{ending}", text, encoding)
    if packed:
        path = path.rename(f"{path}.gz")
        path.write_bytes(gzip.compress(path.read_bytes()))
    table = read_table(path)
    told = [str(w.message) for w in recwarn if "read" in str(w.message)]
    assert len(told) == (words is not None) and all(words in line for line in told)
    assert_equal(table, plain)
    batches = list(read_batches(path, fields=plain.fields, size=7))
    np.testing.assert_array_equal(np.concatenate([own.values for own in batches]), plain.values)


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_stated_is_taken_in_silence(name, plain, tmp_path, recwarn):
    text, encoding, ending, _ = WRITTEN[name]
    path = write(tmp_path / f"t{ending}", text, encoding)
    separator = next(sign for sign in ";\t|," if sign in text)
    separator = "tab" if separator == "\t" else separator
    dialect = Dialect(separator, "," if separator == ";" else ".", encoding)
    assert_equal(read_table(TableFile.of(path, dialect)), plain)
    assert not len(recwarn)


def test_long_files_in_another_encoding(tmp_path):
    n = 300_000  # some blocks of Arrow's
    text = "a;ä\n" + "".join(f"{i},5;ö\n" for i in range(n))
    path = write(tmp_path / "t.csv", text, "utf-16")
    with pytest.warns(HarmoniumWarning, match="utf-16"):
        found = sample_rows(path, 1000, seed=0)
    assert found.n_rows == n
    np.testing.assert_array_equal(found.table.values[:, 0], found.numbers - 0.5)


OPEN = {
    "thousands or decimals": ("a;b\n1,234;2\n1,500;3\n", "Dialect(decimal="),
    "both decimal signs": ("a;b\n1,5;2\n1.5;3\n", "'1.5' and '1,5'"),
    "two separators": ("a;b,c\nx;y,z\n", "commas or semicolons in the first line 'a;b,c'"),
}


@pytest.mark.parametrize(("text", "words"), OPEN.values(), ids=OPEN.keys())
def test_what_cannot_be_decided_is_refused_until_it_is_stated(text, words, tmp_path):
    path = write(tmp_path / "t.csv", text)
    with pytest.raises(InvalidInputError, match=re.escape(words)):
        read_table(path)
    table = read_table(TableFile.of(path, Dialect(";", ",")), kinds={"a": "categorical"})
    assert table.n_columns == 2


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a;b\n1,5;1.234,5\n2,25;1.000\n", [[1.5, 1234.5], [2.25, 1000]]),
        ("a;b\n1,234;0,5\n5,678;1\n", [[1.234, 0.5], [5.678, 1]]),
        ("1,5;2\n3,25;4\n", [[1.5, 2], [3.25, 4]]),  # without header
        ('a,b\n"1,234",2.5\n"5,678",3\n', [[1234, 2.5], [5678, 3]]),
        ("a\tb\n1.5\t2\n3\t4\n", [[1.5, 2], [3, 4]]),
        ("a;b\n1;\n;2,5\n", [[1, np.nan], [np.nan, 2.5]]),
    ],
)
@pytest.mark.filterwarnings("ignore::harmonium.errors.HarmoniumWarning")
def test_numbers_with_commas(text, values, tmp_path):
    path = write(tmp_path / "t.csv", text)
    table = read_table(path)
    np.testing.assert_array_equal(table.values, values)
    again = read_table(path, fields=table.fields)
    np.testing.assert_array_equal(again.values, values)


def test_categories_keep_their_commas(tmp_path):
    path = write(tmp_path / "t.csv", "size;x\n1,5;0,5\n2,5;1\n1,5;2,5\n")
    with pytest.warns(HarmoniumWarning, match="decimal commas"):
        table = read_table(path, kinds={"size": "categorical"})
    with pytest.warns(HarmoniumWarning, match="decimal commas"):
        again = read_table(path, fields=table.fields)
    assert table.fields[0].categories == ("1,5", "2,5")
    np.testing.assert_array_equal(again.values, table.values)


@pytest.mark.filterwarnings("ignore::harmonium.errors.HarmoniumWarning")
@pytest.mark.parametrize("text", ["a;b\n1,5;2\n1,5;2;3\n", "a|b,c\nx,1\ny,2,3\n"])
def test_a_ragged_row_is_named_whatever_separates_cells(text, tmp_path):
    path = write(tmp_path / "t.csv", text)
    with pytest.raises(InvalidInputError, match="expected 2 cells in every row; got 3 cells in da"):
        read_table(path)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"separator": ";;"}, "a separator of one ASCII character"),
        ({"decimal": "#"}, "a decimal sign among"),
        ({"separator": ",", "decimal": ","}, "a decimal sign that separates no cells"),
        ({"encoding": "odd"}, "an encoding, such as"),
    ],
)
def test_dialects_that_are_none(settings, words):
    with pytest.raises(InvalidInputError, match=words):
        Dialect(**settings)


RECORDS = [{"x": 0.5, "n": 3, "color": "red"}, {"x": None, "color": "blue"}] * 12


@pytest.mark.parametrize("ending", [".json", ".jsonl"])
def test_json_records(ending, tmp_path):
    text = json.dumps(RECORDS) if ending == ".json" else "\n".join(map(json.dumps, RECORDS))
    path = write(tmp_path / f"t{ending}", text)
    table = read_table(path)
    assert table.names == ("x", "n", "color")
    np.testing.assert_array_equal(table.values[:2], [[0.5, 3, 1], [np.nan, np.nan, 0]])
    assert_equal(sample_rows(path, 100, seed=0).table, table)
    batches = list(read_batches(path, fields=table.fields, size=7))
    assert [batch.n_rows for batch in batches] == [7, 7, 7, 3]
    np.testing.assert_array_equal(np.concatenate([b.values for b in batches]), table.values)


@pytest.mark.parametrize("text", ["", "[]", "[1, 2]", '[{"a": 1},', '{"a": 1} x', "a,b\n1,2\n"])
def test_refused_json(text, tmp_path):
    with pytest.raises(InvalidInputError, match="expected (JSON records|a table)"):
        read_table(write(tmp_path / "t.json", text))


@pytest.mark.filterwarnings("ignore:.*read as minutes")
def test_the_first_sheet_of_a_workbook(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    import datetime

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append([])
    sheet.append(["x", "color", "day", "time"])
    sheet.append([0.5, "red", datetime.datetime(2020, 1, 2), datetime.time(10, 30)])
    sheet.append(["#N/A", " ", None, datetime.time(0)])
    sheet.append([2, "blue", datetime.datetime(2020, 1, 3), None])
    book.create_sheet("notes")
    book.save(tmp_path / "t.xlsx")
    with pytest.warns(HarmoniumWarning, match="of 2 sheets the first, 'Sheet', is read"):
        table = read_table(tmp_path / "t.xlsx")
    day = 18263 * 86_400
    expected = [[0.5, 1, day, 630], [np.nan, np.nan, np.nan, 0], [2, 0, day + 86_400, np.nan]]
    np.testing.assert_array_equal(table.values, expected)
    assert table.fields[2].dtype == "Date"
    write(tmp_path / "no.xlsx", PLAIN)
    with pytest.raises(InvalidInputError, match="expected an Excel workbook"):
        read_table(tmp_path / "no.xlsx")


def test_without_the_extra_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(InvalidInputError, match=re.escape("pip install 'harmonium[excel]'")):
        read_table(write(tmp_path / "t.xlsx", ""))


CODED = "x;y\n" + "1,5;k.A.\n2,5;3\n ? ;-999\n4,25;7\n" * 3


@pytest.mark.parametrize("codes", [("?", "k.A.", "-999"), [" ? ", "k.A.", "-999"]])
def test_stated_codes_are_missing_cells(codes, tmp_path):
    file = TableFile.of(write(tmp_path / "t.csv", CODED), Dialect(";", ",", "utf-8", codes))
    found = read_table(file)
    expected = [[1.5, np.nan], [2.5, 3], [np.nan, np.nan], [4.25, 7]] * 3
    np.testing.assert_array_equal(found.values, expected)
    again = np.concatenate([part.values for part in read_batches(file, fields=found.fields)])
    np.testing.assert_array_equal(again, expected)


def test_the_codes_of_a_file_hold_for_later_ones(tmp_path):
    first = write(tmp_path / "first.csv", "size;n\n" + "1,5;3\nk.A.;4\n2,5;-999\n" * 4)
    fields = read_table(TableFile.of(first, Dialect(missing=("k.A.", "-999")))).fields
    assert all(field.missing == ("k.A.", "-999") for field in fields)
    assert [Field.from_config(field.to_config()) for field in fields] == list(fields)
    later = write(tmp_path / "later.csv", "note;size;n\na;-999;7\nk.A.;0,5;k.A.\n")
    expected = [[np.nan, 7], [0.5, np.nan]]
    np.testing.assert_array_equal(read_table(later, fields=fields).values, expected)
    np.testing.assert_array_equal(next(read_batches(later, fields=fields)).values, expected)
    # Cells that are shown are read alike.
    (cells,) = read_cells(later, fields=fields)
    assert cells["size"].to_pylist() == [None, 0.5] and cells["n"].to_pylist() == [7, None]


def test_one_code_may_be_stated_without_a_list():
    assert Dialect(missing="?").missing == ("?",)


def test_codes_are_refused_where_they_would_not_be_read(tmp_path):
    np.save(tmp_path / "t.npy", np.zeros((3, 2)))
    words = "expected CSV where codes of missing cells are stated; got a file of kind numpy."
    with pytest.raises(InvalidInputError, match=words):
        read_table(TableFile.of(tmp_path / "t.npy", Dialect(missing=("?",))))


def test_an_unknown_code_is_shown_as_it_stands_in_the_file(tmp_path):
    file = TableFile.of(write(tmp_path / "t.csv", CODED), Dialect(";", ",", "utf-8", ("?",)))
    with pytest.raises(InvalidInputError, match=re.escape("got text 'k.A.' in column 'y'")):
        read_table(file)


def test_amounts_with_points_among_decimal_commas_are_left_out_with_the_reason(tmp_path):
    rows = [f"{i},5;${1000 + 7 * i:,}.25" for i in range(40)]
    file = write(tmp_path / "t.csv", "\n".join(["x;price", *rows, ""]))
    with pytest.warns(HarmoniumWarning) as caught:
        assert read_table(file).fields[1].kind == "identifier"
    told = " ".join(str(warning.message) for warning in caught)
    assert "(its amounts have decimal points, other columns decimal commas)" in told
