"""Kinds of truth: equality with what is read at once, and the law of the sample."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from scipy import stats

from harmonium.data import read_batches, read_table, sample_rows, write_columns
from harmonium.errors import InvalidInputError

CSV = {
    "numbers": "a,b\n1,2.5\n2,3\n,4\n",
    "no header": "1,2\n3,4.5\n",
    "spaces": "a,b,c\n 1, 2.5, true\n2,3 ,\n3,NA, false\n",
    "truth values": "a,b\ntrue,1\nFalse,0\n0,true\n",
    "dates": "a,b,c\n2020-01-01,2020-01-01,2020-01-01\n,2020-01-01 10:00,2020-01-01 10:00:00.5\n",
    "zones": "a,b\n2020-01-01 10:00Z,2020-01-01 10:00:00.5Z\n2020-01-01 10:00+02:00,\n",
    "mixed zones": "a,b\n2020-01-01 10:00Z,1\n2020-01-01,2\n",
    "text": 'a,b\nred,1\n"bl\nue",2\n"say ""x"", y",3\n,4\n" ",5\n',
    "numbers as text": "a,b,c\n+4,1_000, \n1,2,7\n 5,3,8\n",
    "numbers among text": "a,b\n1,x\nred,2\nblue,3.5\ngreen,y\n,z\n",
    "all missing": "a,b\n,1\nNA,2\n",
    "hexadecimal": "a,b\n0x10,1\n2,2\n",
    "large integers": "a,b\n99999999999999999999,9007199254740993\n1,2\n",
    "blank lines": "\na,b\n\n1,2\n\n",
    "names of rows": "id,b\n" + "".join(f"row {i},{i % 3}\n" for i in range(30)),
}


@pytest.mark.filterwarnings("ignore:.*no header found")
@pytest.mark.parametrize("text", CSV.values(), ids=CSV.keys())
def test_a_file_that_is_small_enough_is_kept_whole(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    assert_whole(tmp_path / "t.csv")


def test_stated_kinds_hold(tmp_path):
    (tmp_path / "t.csv").write_text("zip,id,b\n007,1,+1\n7,x,2\n")
    kinds = {"zip": "categorical", "id": "identifier", "b": "continuous"}
    assert_whole(tmp_path / "t.csv", kinds=kinds)
    assert kinds == {"zip": "categorical", "id": "identifier", "b": "continuous"}


def test_parquet_folders_and_arrays_are_kept_whole(tmp_path):
    columns = {
        "x": pa.array([1, None], pa.int32()),
        "color": pa.array(["red", "  "]),
        "category": pa.array(["b", None]).dictionary_encode(),
        "numbers": pa.array(["1", "2.5"]),
        "when": pa.array([0, None], pa.timestamp("ns", "UTC")),
    }
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "1.parquet")
    assert_whole(tmp_path / "1.parquet")
    columns["x"] = pa.array([0.5, None])
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "2.parquet")
    assert_whole(tmp_path)
    np.save(tmp_path / "t.npy", np.arange(6).reshape(3, 2))
    assert_whole(tmp_path / "t.npy", kinds={"x2": "categorical"})


def assert_whole(path, **kinds):
    """A sample of more rows than there are is the table."""
    whole = read_table(path, **kinds)
    found, n_rows, _ = sample_rows(path, 1000, seed=0, **kinds)
    assert n_rows == whole.n_rows
    assert found.fields == whole.fields
    np.testing.assert_array_equal(found.values, whole.values)


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """Files of the numbers 0 to 199 999 in a column, beside another of text."""
    folder = tmp_path_factory.mktemp("counted")
    numbers = np.arange(200_000)
    columns = {"a": numbers, "b": np.where(numbers % 2, "odd", "even")}
    for name in ("t.csv", "t.parquet"):
        write_columns(folder / name, columns)
    np.save(folder / "t.npy", numbers[:, None])
    return folder


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.npy"])
def test_a_sample_is_uniform_and_in_order(counted, name):
    kinds = None if name == "t.npy" else {"a": "integer"}  # and not the names of rows
    found, n_rows, _ = sample_rows(counted / name, 20_000, seed=1, kinds=kinds)
    assert n_rows == 200_000 and found.n_rows == 20_000
    rows = found.values[:, 0]
    assert np.all(np.diff(rows) > 0)
    if name != "t.npy":
        np.testing.assert_array_equal(found.values[:, 1], rows % 2)
    for n_bins in (10, 1000):  # parts of the file, then places within them
        counts = np.bincount((rows * n_bins // 200_000).astype(int), minlength=n_bins)
        # Drawn without replacement, counts vary less than those of a multinomial: by 1 - 0.1.
        distance = np.sum((counts - 20_000 / n_bins) ** 2) / (20_000 / n_bins) / 0.9
        assert abs(stats.norm.ppf(stats.chi2.cdf(distance, n_bins - 1))) < 5


def test_every_pair_of_rows_is_equally_likely(tmp_path):
    write_columns(tmp_path / "t.parquet", {"a": np.arange(6)})
    n_samples = 1500
    counts = np.zeros((6, 6))
    for seed in range(n_samples):
        first, second = (
            sample_rows(tmp_path / "t.parquet", 2, seed=seed)[0].values[:, 0].astype(int)
        )
        counts[first, second] += 1
    pairs = counts[np.triu_indices(6, 1)]
    assert pairs.sum() == n_samples
    distance = np.sum((pairs - n_samples / 15) ** 2) / (n_samples / 15)
    assert abs(stats.norm.ppf(stats.chi2.cdf(distance, 14))) < 5


def test_a_sample_depends_on_the_seed_alone(counted):
    kinds = {"a": "integer"}
    by_file = [
        sample_rows(counted / name, 50, seed=3, kinds=kinds)[0].values
        for name in ("t.csv", "t.parquet")
    ]
    np.testing.assert_array_equal(*by_file)
    other = sample_rows(counted / "t.csv", 50, seed=4, kinds=kinds)[0].values
    assert not np.array_equal(by_file[0], other)


LATE = 150_000  # a row far beyond the first blocks


def late(path, cells, odd):
    """A CSV file with these cells in turn, and an odd one late in the file."""
    lines = [f"{cells[i % len(cells)]},{i}" for i in range(200_000)]
    lines[LATE - 1] = f"{odd},{LATE - 1}"
    path.write_text("\n".join(["a,b", *lines, ""]))
    return path


@pytest.mark.parametrize(
    ("cells", "odd", "form"),
    [
        (["1", "2"], "0.5", "number"),
        (["0", "1"], "true", "boolean"),
        (["", ""], "7", "integer"),
        (["2020-01-01", "2020-01-02"], "2020-01-01 10:00:00.5", "datetime"),
        (["1", "red", "blue"], "green", "text"),
        (["true", "false"], "unknown", "text"),
        (["", ""], "red", "text"),
    ],
)
def test_types_are_those_of_the_whole_file(tmp_path, cells, odd, form):
    path = late(tmp_path / "t.csv", cells, odd)
    found = sample_rows(path, 20, seed=0, kinds={"b": "integer"})[0]
    assert LATE - 1 not in found.values[:, 1]
    assert found.fields[0].form == form
    assert sum(batch.n_rows for batch in read_batches(path, fields=found.fields)) == 200_000


def test_text_that_is_like_numbers_by_chance_is_text(tmp_path):
    # A third of the cells are numbers, but all of the sample may be.
    path = late(tmp_path / "t.csv", ["1", "red", "blue"], "green")
    fields = {sample_rows(path, 1, seed=seed)[0].fields[0] for seed in range(6)}
    assert {field.form for field in fields} == {"text"}
    assert {field.categories for field in fields} >= {("1",)}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_damaged_numbers_are_named_wherever_they_are(tmp_path, suffix):
    path = late(tmp_path / "t.csv", ["1", "2.5"], "high")
    if suffix == ".parquet":
        cells = ["1", "2.5"] * 100_000
        cells[LATE - 1] = "high"
        path = tmp_path / "t.parquet"
        write_columns(path, {"a": cells})
    words = re.escape(f"expected numbers; got text 'high' in column 'a', data row {LATE}. Try:")
    for read in (
        lambda: read_table(path, call="fit"),
        lambda: sample_rows(path, 9, seed=0, call="fit"),
    ):
        with pytest.raises(InvalidInputError, match=f"^fit: {words}"):
            read()


def test_errors_in_the_sample_name_the_row_of_the_file(counted):
    with pytest.raises(InvalidInputError, match="data row") as caught:
        sample_rows(counted / "t.parquet", 9, seed=0, kinds={"b": "continuous"})
    assert "text 'even' in column 'b', data row 1." in str(caught.value)
    values = np.full((1000, 1), np.inf)
    np.save(counted / "inf.npy", values)
    with pytest.raises(InvalidInputError, match=r"data row [1-9]\d+ \(5 such in 5 rows\)"):
        sample_rows(counted / "inf.npy", 5, seed=0)


def test_refused_samples(tmp_path):
    (tmp_path / "t.csv").write_text("a,a\n1,2\n")
    (tmp_path / "header.csv").write_text("a,b\n")
    np.save(tmp_path / "flat.npy", np.ones(3))
    np.save(tmp_path / "number.npy", np.ones(()))
    with (tmp_path / "endless.npy").open("wb") as file:
        # Rows without columns take no bytes, so that the file is as long as it should be.
        header = {"descr": "<f8", "fortran_order": False, "shape": (99_999_999_999, 0)}
        np.lib.format.write_array_header_1_0(file, header)
    for name, n, kinds, words in (
        ("t.csv", 0, None, "a sample of at least 1 row; got n=0"),
        ("t.csv", 1, None, "got 'a' repeated"),
        ("header.csv", 1, {"c": "integer"}, "got kinds for 'c'"),
        ("header.csv", 1, None, "0 sample(s) (shape=(0, 2))"),
        ("flat.npy", 1, None, "1-D data (3,)"),
        ("number.npy", 1, None, "expected a 2-D table (rows, columns)"),
        ("endless.npy", 1, None, "0 feature(s) (shape=(99999999999, 0))"),
        ("absent.csv", 1, None, "which does not exist"),
    ):
        with pytest.raises(InvalidInputError, match=re.escape(words)):
            sample_rows(tmp_path / name, n, seed=0, kinds=kinds)
