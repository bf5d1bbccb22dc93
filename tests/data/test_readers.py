"""Readers and writers: round trips, header detection, and the words of every refusal."""

import gzip
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from harmonium.data import Field, number_fields, read_table, sample_rows, write_table
from harmonium.errors import InvalidInputError

INTEGER = Field("a", "integer")
INTEGER_AND_NUMBER = [INTEGER, Field("b")]
VALUES = np.array([[1.0, 0.1 + 0.2], [-2.0, 1e50], [3.0, 5e-324]])


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy"])
def test_what_is_written_is_read(tmp_path, suffix):
    path = tmp_path / f"table{suffix}"
    write_table(path, VALUES, number_fields(("a", "b, c")))
    table = read_table(path)
    np.testing.assert_array_equal(table.values, VALUES)
    assert table.names == (("x1", "x2") if suffix == ".npy" else ("a", "b, c"))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_integer_columns_are_written_as_integers(tmp_path):
    write_table(tmp_path / "t.csv", VALUES[:, [0, 0]], INTEGER_AND_NUMBER)
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[2] == "-2,-2"  # Arrow writes whole floats without a point
    write_table(tmp_path / "t.parquet", VALUES, INTEGER_AND_NUMBER)
    schema = pyarrow.parquet.read_schema(tmp_path / "t.parquet")
    assert schema.types == [pa.int64(), pa.float64()]
    write_table(tmp_path / "t.npy", VALUES[:, :1], [INTEGER])
    assert np.load(tmp_path / "t.npy").dtype == np.int64


def test_large_integers_keep_their_digits(tmp_path):
    write_table(tmp_path / "t.csv", np.array([[123456789012345.0]]), [INTEGER])
    assert (tmp_path / "t.csv").read_text().splitlines()[1] == "123456789012345"


def test_writing_replaces_the_old_file_or_leaves_it(tmp_path):
    path = tmp_path / "t.csv"
    write_table(path, np.array([[1.0]]), number_fields(("a",)))
    with pytest.raises(InvalidInputError, match=r"a category from 0 to 0, or -1; got 1\.0"):
        write_table(path, np.array([[1.0]]), [Field("a", "text", "categorical", ("x",))])
    assert read_table(path).values == [[1.0]]
    write_table(path, np.array([[2.0]]), number_fields(("a",)))
    assert read_table(path).values == [[2.0]]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("t.xlsx", "expected a file ending in .csv, .parquet, .arrow or .npy; got 't.xlsx'"),
        ("absent/t.csv", "no such file or directory. Try: create the folder"),
        ("absent/t.npy", "no such file or directory. Try: create the folder"),
        ("absent/t.parquet", "no such file or directory. Try: create the folder"),
        ("file.csv/t.csv", "not a directory"),
        ("folder.csv", "is a directory"),
    ],
)
def test_refused_places_to_write(tmp_path, name, words):
    (tmp_path / "file.csv").write_text("1\n")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InvalidInputError, match=re.escape(words)):
        write_table(tmp_path / name, VALUES, number_fields(("a", "b")))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file.csv", "folder.csv"]


CSV = {
    "header": (b"a,b\n1,2\n3,4\n", ("a", "b"), [[1, 2], [3, 4]]),
    "no header": (b"1,2\n3,4.5\n", ("x1", "x2"), [[1, 2], [3, 4.5]]),
    "no last newline": (b"a,b\n1,2", ("a", "b"), [[1, 2]]),
    "windows": (b"a,b\r\n1,2\r\n", ("a", "b"), [[1, 2]]),
    "byte order mark": (b"\xef\xbb\xbf1,2\n3,4\n", ("x1", "x2"), [[1, 2], [3, 4]]),
    "byte order mark and header": (b"\xef\xbb\xbfa,b\n1,2\n", ("a", "b"), [[1, 2]]),
    "quoted header": (b'"a, b","c"\n1,2\n', ("a, b", "c"), [[1, 2]]),
    "years as names": (b"id,2020\n1,2\n", ("id", "2020"), [[1, 2]]),
    "blank lines": (b"\na,b\n\n1,2\n\n", ("a", "b"), [[1, 2]]),
    "exponents": (b"1e3,-2\n+4,.5\n", ("x1", "x2"), [[1000, -2], [4, 0.5]]),
    "booleans": (b"a,b\ntrue,1\nfalse,2\n", ("a", "b"), [[1, 1], [0, 2]]),
    "gzip": (gzip.compress(b"a,b\n1,2\n"), ("a", "b"), [[1, 2]]),
    "missing": (b"a,b,c\n1,2,\nNA, ,\n", ("a", "b", "c"), [[1, 2, np.nan], [np.nan] * 3]),
    "missing, no header": (b"1,,3\n4,5,6\n", ("x1", "x2", "x3"), [[1, np.nan, 3], [4, 5, 6]]),
    "one column": (b"a\n1\n2\n", ("a",), [[1], [2]]),
    # The type of a column follows from all its rows, however late the first fraction comes.
    "late fraction": (
        b"a\n" + b"1\n" * 600_000 + b"0.5\n",
        ("a",),
        np.append(np.ones(600_000), 0.5)[:, None],
    ),
}


@pytest.mark.parametrize(("content", "names", "values"), CSV.values(), ids=CSV.keys())
def test_csv(tmp_path, content, names, values):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    table = read_table(path)
    assert table.names == names
    np.testing.assert_array_equal(table.values, values)


def test_csv_by_name_and_by_position(tmp_path):
    named, bare = tmp_path / "named.csv", tmp_path / "bare.csv.gz"
    named.write_text("b,note,a\n1,hello,2\n")
    bare.write_bytes(gzip.compress(b"1,2\n3,4\n"))
    np.testing.assert_array_equal(
        read_table(named, fields=number_fields(("a", "b"))).values, [[2, 1]]
    )
    table = read_table(bare, fields=number_fields(("a", "b")))
    assert table.names == ("a", "b")
    np.testing.assert_array_equal(table.values, [[1, 2], [3, 4]])


BAD_CSV = {
    "empty": (b"", "got an empty file"),
    "blank": (b"\n \n", "got an empty file"),
    "header only": (b"a,b\n", "0 sample(s) (shape=(0, 2)) while a minimum of 1 is required"),
    "long row": (b"a,b\n1,2\n1,2,3\n", "expected 2 cells in every row; got 3 cells in data row 2"),
    "short row": (b"1,2\n3,4\n5\n", "expected 2 cells in every row; got 1 cells in data row 3"),
    "half text": (b"a,b\n1,2\n3,high\n", "text 'high' in column 'b', data row 2"),
    "half text, no header": (b"1,2\n3,high\n", "text 'high' in column 'x2', data row 2"),
    "text beside a gap": (b"a,b\n1,NA\n3,high\n4,2\n", "text 'high' in column 'b', data row 2"),
    "late text": (b"a\n" + b"1\n" * 600_000 + b"x\n", "text 'x' in column 'a', data row 600001"),
    "infinite": (b"a\n1\ninf\n", "inf (an infinite value) in column 'a', data row 2"),
    "same names": (b"a,a\n1,2\n", "got 'a' repeated"),
    "zero bytes": (b"a,b\n1,\0\n", "expected CSV text; got binary data"),
    "rubbish": (bytes(range(128, 256)), "bytes that are not UTF-8 (first at byte 1)"),
    "UTF-8 and not": ("größe\nß\n".encode() + b"\xf6\n", "save the file as CSV in UTF-8"),
    "damaged gzip": (gzip.compress(b"a,b\n1,2\n")[:-9], "expected a gzip file; got a damaged one"),
}


@pytest.mark.parametrize(("content", "words"), BAD_CSV.values(), ids=BAD_CSV.keys())
def test_refused_csv(tmp_path, content, words):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=re.escape(words)) as caught:
        read_table(path)
    assert str(caught.value).startswith(f"read_table({str(path)!r}): expected ")


def test_the_caller_words_the_call(tmp_path):
    with pytest.raises(InvalidInputError, match=r"^harmonium fit: expected a file or folder; got"):
        read_table(tmp_path / "absent.csv", call="harmonium fit")


def test_folder_of_parquet(tmp_path):
    write_table(tmp_path / "2.parquet", np.array([[4.5, 3.0]]), number_fields(("b", "a")))
    write_table(tmp_path / "1.parquet", np.array([[1.0, 2.0]]), [INTEGER, Field("b", "integer")])
    table = read_table(tmp_path)
    assert table.names == ("a", "b")
    np.testing.assert_array_equal(table.values, [[1, 2], [3, 4.5]])


def test_folders_named_like_partitions_add_no_columns(tmp_path):
    folder = tmp_path / "year=2020"
    folder.mkdir()
    write_table(folder / "t.parquet", np.array([[1.0]]), number_fields(("a",)))
    assert read_table(folder / "t.parquet").names == ("a",)


@pytest.mark.parametrize("arrays", [{"X": VALUES, "y": np.ones(3)}, {"other": VALUES}])
def test_npz_with_a_clear_choice(tmp_path, arrays):
    np.savez(tmp_path / "t.npz", **arrays)
    np.testing.assert_array_equal(read_table(tmp_path / "t.npz").values, VALUES)


def _two_schemas(folder):
    write_table(folder / "1.parquet", np.ones((1, 1)), number_fields(("a",)))
    write_table(folder / "2.parquet", np.ones((1, 1)), number_fields(("b",)))


def _two_types(folder):
    write_table(folder / "1.parquet", np.ones((1, 1)), number_fields(("a",)))
    pyarrow.parquet.write_table(pa.table({"a": ["x"]}), folder / "2.parquet")


def _object_npy(folder):
    np.save(folder / "t.npy", np.array([[1, {}]], dtype=object), allow_pickle=True)


BAD_FILES = {
    "missing": (lambda f: None, "t.csv", "which does not exist"),
    "no parquet": (lambda f: (f / "t").mkdir(), "t", "which holds none"),
    "other schema": (_two_schemas, "", "got other columns in '2.parquet' than in '1.parquet'"),
    "other types": (_two_types, "", "expected the same types in every file"),
    "extension": (lambda f: (f / "t.odt").write_text("1"), "t.odt", "got 't.odt'. Try: convert"),
    "no parquet file": (
        lambda f: (f / "t.parquet").write_text("a,b\n1,2\n"),
        "t.parquet",
        "expected a Parquet file; got 't.parquet', which cannot be read",
    ),
    "empty parquet": (lambda f: (f / "t.parquet").touch(), "t.parquet", "got an empty file"),
    "empty npy": (lambda f: (f / "t.npy").touch(), "t.npy", "'t.npy'"),
    "npy rubbish": (lambda f: (f / "t.npy").write_text("1"), "t.npy", "expected a NumPy file"),
    "npz rubbish": (
        lambda f: (f / "t.npz").write_bytes(b"PK\x03\x04 no"),
        "t.npz",
        "expected a NumPy file of numbers; got 't.npz'",
    ),
    "pickle": (_object_npy, "t.npy", "expected a NumPy file of numbers"),
    "1-D": (lambda f: np.save(f / "t.npy", np.ones(3)), "t.npy", "Reshape your data"),
    "two arrays": (
        lambda f: np.savez(f / "t.npz", a=VALUES, b=VALUES),
        "t.npz",
        "expected one array X, or a single 2-D array; got 't.npz' with the arrays a, b",
    ),
    "no archive": (
        lambda f: np.savez(f / "t.npz", a=np.ones(3)),
        "t.npz",
        "got 't.npz' with the arrays a. Try: numpy.savez(path, X=X)",
    ),
}


@pytest.mark.parametrize(("make", "name", "words"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_refused_files(tmp_path, make, name, words):
    make(tmp_path)
    with pytest.raises(InvalidInputError, match=re.escape(words)):
        read_table(tmp_path / name)


MIXED = """id,when,day,flag,color,size,note
a1,2020-07-01T12:00:00+02:00,2020-07-01,true,red,1,
a2,,2020-07-02,,blue,,\x20\x20
a3,2020-07-01 10:00:01Z,,false,red,3,
"""
MIXED_VALUES = [
    [0, 1593597600, 1593561600, 1, 1, 1, np.nan],
    [0, np.nan, 1593648000, np.nan, 0, np.nan, np.nan],
    [0, 1593597601, np.nan, 0, 1, 3, np.nan],
]


def mixed(tmp_path):
    (tmp_path / "mixed.csv").write_text(MIXED)
    return read_table(tmp_path / "mixed.csv", kinds={"id": "identifier"})


def test_a_mixed_csv_arrives_typed(tmp_path):
    table = mixed(tmp_path)
    assert [(field.form, field.kind) for field in table.fields] == [
        ("text", "identifier"),
        ("datetime", "auto"),
        ("datetime", "auto"),
        ("boolean", "auto"),
        ("text", "categorical"),
        ("integer", "auto"),
        ("number", "auto"),
    ]
    np.testing.assert_array_equal(table.values, MIXED_VALUES)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_mixed_columns_are_written_decoded(tmp_path, suffix):
    table = mixed(tmp_path)
    write_table(tmp_path / f"t{suffix}", table.values, table.fields)
    again = read_table(tmp_path / f"t{suffix}", fields=table.fields)
    expected = np.array(MIXED_VALUES)
    expected[:, 0] = np.nan  # an identifier is not kept
    np.testing.assert_array_equal(again.values, expected)
    if suffix == ".csv":
        row = (tmp_path / "t.csv").read_text().splitlines()[1]
        assert row == ',2020-07-01 10:00:00Z,2020-07-01,true,"red",1,'


def test_categories_are_written_as_words(tmp_path):
    field = Field("a", "text", "categorical", ("x", "y"), "Categorical")
    write_table(tmp_path / "t.csv", np.array([[1.0], [-1.0], [0.0]]), [field])
    assert (tmp_path / "t.csv").read_text().splitlines() == ['"a"', '"y"', "", '"x"']


def test_categories_keep_their_letters(tmp_path):
    (tmp_path / "t.csv").write_text("zip,b\n007,1\n7,2\n7.0,3\n")
    table = read_table(tmp_path / "t.csv", kinds={"zip": "categorical"})
    assert table.fields[0].categories == ("007", "7", "7.0")
    # Without text beside them, these would be read as numbers and as dates.
    (tmp_path / "new.csv").write_text("zip,b\n7.0,1\n007,2\n2020-01-01,3\n")
    new = read_table(tmp_path / "new.csv", fields=table.fields)
    np.testing.assert_array_equal(new.values[:, 0], [2, 0, -1])
    (tmp_path / "bare.csv").write_text("7,1\n007,2\n")
    bare = read_table(tmp_path / "bare.csv", fields=table.fields)
    np.testing.assert_array_equal(bare.values, [[1, 1], [0, 2]])


def test_a_file_without_header_needs_as_many_columns(tmp_path):
    (tmp_path / "t.csv").write_text("1,2\n3,4\n")
    words = "expected 3 columns, as in training; got 2 (X has 2 features"
    with pytest.raises(InvalidInputError, match=re.escape(words)):
        read_table(tmp_path / "t.csv", fields=number_fields(("a", "b", "c")))


def test_one_odd_cell_is_named_at_scoring(tmp_path):
    table = mixed(tmp_path)
    lines = MIXED.splitlines()
    for old, new, words in (
        ("2020-07-02", "tomorrow", "dates such as 2020-12-31; got text 'tomorrow' in column 'day'"),
        (",3,", ",three,", "numbers; got text 'three' in column 'size', data row 3"),
    ):
        (tmp_path / "odd.csv").write_text("\n".join(line.replace(old, new) for line in lines))
        with pytest.raises(InvalidInputError, match=re.escape(words)):
            read_table(tmp_path / "odd.csv", fields=table.fields)


def test_npy_holds_numbers_alone(tmp_path):
    words = "expected columns of numbers alone; got text, dates or identifiers in 'a', 'd'"
    fields = [
        Field("a", "text", "categorical", ("x",)),
        Field("b", "boolean"),
        Field("d", "datetime"),
    ]
    with pytest.raises(InvalidInputError, match=re.escape(words)):
        write_table(tmp_path / "t.npy", np.zeros((1, 3)), fields)
    write_table(tmp_path / "t.npy", np.array([[1.0], [np.nan]]), [Field("b", "boolean")])
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy"), [[1.0], [np.nan]])


@pytest.mark.parametrize("spoiled", [b"color", b"green"])
def test_parquet_whose_texts_are_no_text(spoiled, tmp_path):
    """Arrow takes UTF-8 on trust; a flipped bit in a name or a cell must not surface later."""
    path = tmp_path / "t.parquet"
    content = pa.table({"color": ["green", "red"] * 9, "size": list(range(18))})
    pyarrow.parquet.write_table(content, path, compression="none", store_schema=False)
    path.write_bytes(path.read_bytes().replace(spoiled, b"\xe3" + spoiled[1:]))
    for read in (read_table, lambda p: sample_rows(p, 4, seed=0)):
        with pytest.raises(InvalidInputError, match=r"a Parquet file; got 't\.parquet'"):
            read(path)
