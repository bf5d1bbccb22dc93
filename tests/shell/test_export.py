"""Kind of truth: the estimator itself. Exported folders beside the models that they are made of."""

import json
import subprocess
import sys
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pandas as pd
import pytest
from shell.conftest import as_users_run_it
from shell.test_cli import call

from harmonium import AnomalyDetector, DensityEstimator
from harmonium.artifact import StoredDensity, StoredDetector
from harmonium.data import as_table
from harmonium.errors import ExportError, InvalidInputError
from harmonium.export import export_fitted
from harmonium.export.scorers import in_double

# Of scores by harmonium, which computes in single precision, and of those in double precision.
SINGLE, DOUBLE = 2e-5, 1e-10


def mixed_table(n: int = 150) -> pd.DataFrame:
    """Numbers with a value that many rows share, whole numbers, categories, a constant, holes."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=n)
    table = pd.DataFrame(
        {
            "first": first,
            "second": first**2 + 0.3 * rng.normal(size=n),
            "often zero": np.where(rng.random(n) < 0.3, 0.0, rng.exponential(size=n)),
            "count": rng.poisson(4.0, n).astype(float),
            "constant": 4.0,
            "label": rng.choice(["u", "v, w", "x"], n),
        }
    )
    table.loc[3:6, "second"] = np.nan
    table.loc[5:8, "label"] = None
    return table


@pytest.fixture(scope="module")
def mixed():
    with as_users_run_it(), pytest.warns(UserWarning, match="constant"):
        return DensityEstimator(effort="quick").fit(mixed_table())


@pytest.fixture(scope="module")
def detector():
    with as_users_run_it(), pytest.warns(UserWarning, match="constant"):
        return AnomalyDetector().fit(mixed_table())


@pytest.fixture(scope="module")
def exported(mixed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports") / "mixed"
    with as_users_run_it():
        mixed.export(folder, ["onnx"])
    return folder


def run_onnx(path, values):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"values": values})[0]


def run_stablehlo(path, values):
    with jax.enable_x64(True):
        return np.asarray(jax.export.deserialize(bytearray(path.read_bytes())).call(values))


def run_parts(folder, values, kind="onnx"):
    """Scores of coded rows by the parts of an export."""
    run = {"onnx": run_onnx, "stablehlo": run_stablehlo}[kind]
    described = json.loads((folder / "columns.json").read_text())
    found = np.full(len(values), np.nan)
    for part in described["parts"]:
        left = np.isnan(found)
        if left.any():
            found[left] = run(folder / f"{part['file']}.{kind}", values[left])
    return found


def in_double_precision(density, values):
    with jax.enable_x64(True):
        return replace(density, model=in_double(density.model)).log_density(values)


def coded(estimator, table):
    fields = estimator.density_.columns.fields
    return as_table(table, call="coded", fields=fields).values


def test_rows_with_categories_holes_and_common_values_agree(mixed, exported):
    values = coded(mixed, mixed_table()[:24])
    values[20, -1] = -1  # a category that training has not seen
    values[21, 4] = 5.0  # a constant that is none
    values[22, 0] = 1e30  # far out
    found = run_parts(exported, values)
    np.testing.assert_allclose(found, in_double_precision(mixed.density_, values), rtol=DOUBLE)
    np.testing.assert_allclose(found, mixed.density_.log_density(values), rtol=SINGLE, atol=SINGLE)


@pytest.fixture(scope="module")
def trained(rows):
    """A density with a trained energy, of rows that are points."""
    estimator = DensityEstimator(
        *(8, "mlp"),
        width=8,
        base="gaussian",
        marginals="affine",
        n_updates=40,
        learning_rate=0.1,
        kinds={"x1": "continuous", "x2": "continuous"},
    )
    with as_users_run_it():
        return estimator.fit(rows[:, :2])


@pytest.mark.parametrize("kind", ["onnx", "stablehlo"])
def test_points_under_a_trained_energy_agree(trained, rows, tmp_path, kind):
    assert trained.density_.has_residual
    trained.export(tmp_path / "trained", [kind])
    values = np.array(rows[:20, :2])
    values[18:] = [[1e6, -1e6], [8.0, 0.0]]
    found = run_parts(tmp_path / "trained", values, kind)
    double = in_double_precision(trained.density_, values)
    np.testing.assert_allclose(found, double, rtol=DOUBLE, atol=DOUBLE)
    np.testing.assert_allclose(found, trained.score_samples(values), rtol=SINGLE, atol=SINGLE)


@pytest.mark.parametrize("kind", ["onnx", "stablehlo"])
def test_rows_with_a_residual_energy_agree(fitted, tmp_path, kind):
    fitted.export(tmp_path / "residual", [kind])
    values = np.array(coded(fitted, np.asarray([[0.1, 0.4, 2.0, 4.0], [1.0, 1.0, 3.0, 4.0]])))
    values = np.concatenate([values, np.where([[0, 1, 0, 0]], np.nan, values)])
    assert fitted.density_.has_residual
    found = run_parts(tmp_path / "residual", values, kind)
    np.testing.assert_allclose(found, in_double_precision(fitted.density_, values), atol=1e-9)
    np.testing.assert_allclose(found, fitted.score_samples(values), atol=SINGLE)


def test_a_detector_agrees_on_complete_rows_and_says_nan_of_others(detector, tmp_path):
    found = detector.export(tmp_path / "detector", ["onnx"])
    assert any("missing cells" in sentence for sentence in found.not_exported)
    own = detector.detector_
    values = as_table(mixed_table()[:40], call="", fields=own.columns.fields).values
    values[20, 4] = 5.0
    scores = run_parts(tmp_path / "detector", values)
    complete = ~np.isnan(values).any(axis=1)
    assert np.array_equal(np.isnan(scores), ~complete)
    with jax.enable_x64(True):
        double = replace(
            own, spaces=tuple(replace(s, mixtures=in_double(s.mixtures)) for s in own.spaces)
        )
        wanted = double.scores(values[complete])
    np.testing.assert_allclose(scores[complete], wanted, rtol=DOUBLE, atol=DOUBLE)
    single = own.scores(values[complete])
    np.testing.assert_allclose(scores[complete], single, rtol=SINGLE, atol=SINGLE)
    described = json.loads((tmp_path / "detector" / "columns.json").read_text())
    assert described["calibration"] == own.calibration.tolist()
    assert described["offset"] == detector.offset_


ISOLATED = "import sys, runpy; sys.modules['harmonium'] = None; sys.argv = sys.argv[1:]; "
ISOLATED += "runpy.run_path(sys.argv[0], run_name='__main__')"


def run_script(folder, table, kind):
    """What score.py prints where no harmonium can be imported."""
    return subprocess.run(
        [sys.executable, "-c", ISOLATED, folder / "score.py", table, kind],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )


def test_the_script_scores_a_csv_without_harmonium(mixed, exported, tmp_path):
    table = mixed_table()[:30]
    table.assign(label=table["label"].fillna("NA")).to_csv(tmp_path / "t.csv", index=False)
    done = run_script(exported, tmp_path / "t.csv", "onnx")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    head, *lines = done.stdout.splitlines()
    assert head == "score"
    np.testing.assert_allclose([float(n) for n in lines], mixed.score_samples(table), atol=SINGLE)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"count": "many"}, "row 3, column 'count': expected a number, got 'many'"),
        ({"count": "1e200"}, "row 3, column 'count': expected a finite number"),
        (None, "there is no column 'count'"),
    ],
)
def test_the_script_names_a_cell_that_it_cannot_take(exported, tmp_path, change, said):
    table = mixed_table()[:4].astype(object)
    if change is None:
        table = table.drop(columns="count")
    else:
        table.loc[2, "count"] = change["count"]
    table.to_csv(tmp_path / "t.csv", index=False)
    done = run_script(exported, tmp_path / "t.csv", "onnx")
    assert done.returncode != 0 and said in done.stderr
    assert len(done.stderr.splitlines()) == 1 and done.stdout == ""


def test_the_script_names_a_path_where_there_is_no_table(exported, tmp_path):
    for path, said in ((tmp_path / "none.csv", "No such file"), (tmp_path, "directory")):
        done = run_script(exported, path, "onnx")
        assert done.returncode == 1 and f"error: {path}: " in done.stderr and said in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_the_script_scores_by_stablehlo_what_it_scores_by_onnx(trained, tmp_path, rows):
    trained.export(tmp_path / "points")
    names = {path.name for path in (tmp_path / "points").iterdir()}
    programs = {f"{part}.{kind}" for part in ("scorer", "boxes") for kind in ("onnx", "stablehlo")}
    assert names == programs | {"columns.json", "score.py", "README.md"}
    np.savetxt(tmp_path / "t.csv", rows[:5, :2], delimiter=",", header="x1,x2", comments="")
    both = [run_script(tmp_path / "points", tmp_path / "t.csv", k) for k in ("onnx", "stablehlo")]
    one, other = ([float(n) for n in done.stdout.splitlines()[1:]] for done in both)
    assert len(one) == 5
    np.testing.assert_allclose(one, other, rtol=1e-11)


class Sorted(eqx.Module):
    """A feature map with an operation that no rule is there for."""

    def __call__(self, x):
        return jnp.sort(x)


def test_an_operation_without_counterpart_leaves_nothing(fitted, tmp_path):
    density = fitted.density_
    model = eqx.tree_at(
        lambda m: (m.feature_map, m.weights),
        density.model,
        (Sorted(), density.model.weights[:, : density.model.n_visible]),
    )
    stored = StoredDensity(replace(density, model=model), fitted.settings_, "array", {})
    with pytest.raises(ExportError, match="'sort'"):
        export_fitted(stored, tmp_path / "own", ["onnx"])
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_refused_in_one_line_and_leaves_nothing(
    detector, tmp_path, monkeypatch, capsys
):
    stored = StoredDetector(detector.detector_, detector.settings_, detector.offset_, {})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    before = sorted(tmp_path.rglob("*"))
    for folder, formats, said in (
        (tmp_path / "mine", ["onnx"], "is no export"),
        (tmp_path / "mine" / "letter.txt", ["onnx"], "is no export"),
        (tmp_path / "none" / "e", ["onnx"], "does not exist"),
        (tmp_path / "e", ["pickle"], "formats among"),
        (tmp_path / "e", [], "formats among"),
    ):
        with pytest.raises(InvalidInputError, match=said) as error:
            export_fitted(stored, folder, formats)
        assert len(str(error.value).splitlines()) == 1
    monkeypatch.setitem(sys.modules, "onnx", None)
    detector.save(tmp_path / "d.safetensors")
    assert call("export", tmp_path / "d.safetensors", "-o", tmp_path / "e") == 2
    assert "pip install 'harmonium[export]'" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "d.safetensors"])


def test_the_command_says_what_it_wrote_and_replaces_only_if_told_to(detector, tmp_path, capsys):
    detector.save(tmp_path / "d.safetensors")
    command = ("export", tmp_path / "d.safetensors", "-o", tmp_path / "e", "--format", "onnx")
    assert call(*command, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "e").iterdir()}
    assert told["files"] == sizes and told["not_exported"]
    assert call(*command) == 2
    told = capsys.readouterr().err
    assert "exists already" in told and "--overwrite" in told and "=True" not in told
    assert call(*command, "--overwrite") == 0
    assert {path.name for path in tmp_path.iterdir()} == {"d.safetensors", "e"}
