"""`harmonium features`: what `transform` says of every row, in any kind of table."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import as_users_run_it, with_residual

import harmonium as hm
from harmonium.cli import streaming
from harmonium.cli.app import run
from harmonium.estimators import DensityEstimator

N_UNITS = 3


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        run([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


def untrained(hidden_units) -> DensityEstimator:
    """A density with weights, made without training."""
    values = np.random.default_rng(0).normal(size=(400, 2))
    estimator = DensityEstimator(
        N_UNITS, "identity", hidden_units=hidden_units, effort="quick", base="gaussian"
    ).fit(values)
    estimator.density_ = with_residual(estimator.density_)
    return estimator


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "model.safetensors"
    with as_users_run_it():
        untrained("bernoulli").save(path)
    return path


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("x1,x2\n" + "".join(f"{i / 7},{-i / 5}\n" for i in range(10)))
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy"])
def test_features_are_those_of_transform(suffix, model, table, tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "BATCH_ROWS", 4)
    out = tmp_path / f"features{suffix}"
    assert call("features", model, table, "-o", out) == 0
    expected = hm.load(model).transform(np.loadtxt(table, delimiter=",", skiprows=1))
    if suffix == ".npy":
        found = np.load(out)
    elif suffix == ".csv":
        assert out.read_text().splitlines()[0] == '"unit_0","unit_1","unit_2"'
        found = np.loadtxt(out, delimiter=",", skiprows=1)
    else:
        found = np.column_stack([column.to_numpy() for column in pq.read_table(out).columns])
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.all((found > 0) & (found < 1))


def test_features_on_standard_output(model, table, capsys):
    assert call("features", model, table) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "unit_0,unit_1,unit_2" and len(lines) == 11
    assert call("features", model, table, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["rows"], answer["units"]) == (10, 3)
    np.testing.assert_allclose(answer["features"]["unit_1"][3], float(lines[4].split(",")[1]))


def test_features_of_spins_are_probabilities(table, tmp_path):
    estimator = untrained("spin")
    (columns,) = streaming.feature_batches(estimator.density_, table)
    values = np.loadtxt(table, delimiter=",", skiprows=1)
    np.testing.assert_allclose(
        np.column_stack(list(columns.values())), (1 + estimator.transform(values)) / 2
    )


def test_wrong_requests_end_in_words(model, table, tmp_path, capsys):
    assert call("features", model, table, "-o", tmp_path / "features.txt") == 2
    assert ".csv, .parquet, .arrow, .npy" in capsys.readouterr().err
    assert call("features", model, table, "-o", table) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert call("features", tmp_path, table) == 2
    assert "model.safetensors" in capsys.readouterr().err
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    assert call("features", model, other, "-o", tmp_path / "features.npy") == 2
    assert "without 'x1', 'x2'" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"table.csv", "other.csv"}
