"""`--ray`: a folder of Parquet scored by processes of Ray on this machine, which must not differ
from the command without it."""

import importlib.util

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shell.test_cli import QUICK, call

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="the package ray, of the extra harmonium[ray], is not installed",
)


@pytest.fixture(scope="module")
def fitted_run(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("runs")
    table = folder / "table.csv"
    np.savetxt(table, rows[:, :2], delimiter=",", header="a,b", comments="", fmt="%.6g")
    options = [*(word for word in QUICK if word != "--no-detector"), "--updates", "3"]
    assert call("fit", table, "-o", folder / "run", *options) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of several lengths, one without rows, with holes and with rows far out."""
    folder = tmp_path_factory.mktemp("new")
    rng = np.random.default_rng(4)
    for number, n in enumerate([40, 0, 300]):
        values = rng.normal(size=(n, 2))
        values[: n // 5] *= 20
        values[rng.random(values.shape) < 0.1] = np.nan
        table = pa.table({"b": values[:, 1], "a": values[:, 0]})
        pq.write_table(table, folder / f"part-{number}.parquet", row_group_size=100)
    return folder


@pytest.fixture
def no_ray(monkeypatch):
    monkeypatch.setattr("harmonium.cli.cluster.importlib.util.find_spec", lambda _: None)


@pytest.fixture
def some_ray(monkeypatch):
    monkeypatch.setattr("harmonium.cli.scoring.require_ray", lambda: None)


def test_without_ray_it_is_said_how_to_install_it(no_ray, fitted_run, folder, tmp_path, capsys):
    for command in ("score", "detect"):
        assert call(command, fitted_run, folder, "--ray", "-o", tmp_path / "out") == 2
        assert "pip install 'harmonium[ray]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_only_folders_of_results_are_written(some_ray, fitted_run, folder, tmp_path, capsys):
    file = folder / "part-0.parquet"
    foreign, old = tmp_path / "foreign", tmp_path / "old"
    foreign.mkdir()
    (foreign / "notes.txt").write_text("keep me")
    old.mkdir()
    (old / "part-0.parquet").write_text("keep me")
    for data, options, words in (
        (file, ("-o", tmp_path / "out"), "expected a folder of tables"),
        (folder, (), "got no -o"),
        (folder, ("-o", file), "expected a folder of tables"),
        (folder, ("-o", folder, "--overwrite"), "apart from that of the rows"),
        (folder, ("-o", foreign, "--overwrite"), "other files, such as notes.txt"),
        (folder, ("-o", old), "other files, such as part-0.parquet"),
    ):
        assert call("detect", fitted_run, data, "--ray", *options) == 2
        assert words in capsys.readouterr().err
    assert (old / "part-0.parquet").read_text() == "keep me"


def read(path):
    """The columns of a file."""
    whole = pq.read_table(path)
    return {name: whole[name].to_numpy(zero_copy_only=False) for name in whole.column_names}


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [("score",), ("detect", "--explain", 1, "--fdr", 0.4)], ids=["score", "detect"]
)
def test_the_rows_are_those_of_the_command_without_ray(command, fitted_run, folder, tmp_path):
    name, *options = command
    here, there = tmp_path / "here", tmp_path / "there"
    assert call(name, fitted_run, folder, *options, "-o", here) == 0
    assert call(name, fitted_run, folder, *options, "-o", there, "--ray") == 0
    for file in ("part-0.parquet", "part-2.parquet"):
        expected, found = read(here / file), read(there / file)
        assert list(found) == list(expected)
        for column, cells in found.items():
            np.testing.assert_array_equal(cells, expected[column], err_msg=column)
        if name == "detect":
            assert found["flagged"].sum() > 0
    assert not list(there.glob("part-1*"))


@needs_ray
@pytest.mark.slow
def test_a_damaged_file_ends_in_words(fitted_run, tmp_path, capsys):
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    pq.write_table(pa.table({"a": [1.0, np.inf], "b": [2.0, 3.0]}), data / "1.parquet")
    assert call("score", fitted_run, data, "-o", out, "--ray") == 1
    told = capsys.readouterr().err
    assert "1.parquet: expected finite numbers" in told and "Traceback" not in told
    assert not list(out.glob("*.parquet"))
