"""Evaluation as users ask for it: intervals, diagnostics, verdicts, and warnings where log Z is not
to be trusted."""

import dataclasses
import json

import numpy as np
import pytest
from shell.conftest import make_rows

from harmonium.cli.app import run
from harmonium.errors import HarmoniumWarning
from harmonium.estimators import DensityEstimator
from harmonium.inference import evaluate_density
from harmonium.likelihood.result import Evidence, judge


def call(*arguments: object) -> int:
    """Run a command in this process; returns its exit code."""
    with pytest.raises(SystemExit) as stop:
        run([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def evaluation(fitted):
    return evaluate_density(fitted.density_, make_rows(80, seed=1), seed=0)


@pytest.mark.slow
def test_the_interval_joins_both_errors(fitted, evaluation):
    scores = fitted.score_samples(make_rows(80, seed=1))
    np.testing.assert_allclose(evaluation.log_density, scores)
    assert evaluation.log_likelihood == pytest.approx(scores.mean())
    sampling = scores.std(ddof=1) / np.sqrt(80)
    assert evaluation.sampling_error == pytest.approx(sampling)
    found = fitted.log_partition_
    # A log Z that is higher makes the likelihood lower.
    below = np.hypot(1.96 * sampling, found.high - found.value)
    above = np.hypot(1.96 * sampling, found.value - found.low)
    assert evaluation.low == pytest.approx(scores.mean() - below)
    assert evaluation.high == pytest.approx(scores.mean() + above)
    np.testing.assert_allclose(evaluation.row_low, scores - (found.high - found.value))
    np.testing.assert_allclose(evaluation.row_high, scores + (found.value - found.low))


def test_chains_are_compared_and_put_into_words(fitted, evaluation):
    assert evaluation.n_rows == 80
    assert evaluation.diagnostics.starts == ("these rows", "dispersed starts", "the base")
    assert evaluation.diagnostics.describe() in evaluation.verdict
    assert fitted.verdict_ in evaluation.verdict
    assert evaluation.trusted == fitted.density_.trusted


def test_a_fit_by_chains_records_them(fitted, rows):
    # Enough to gain, and enough rows to tell the gain from chance.
    enough = {"n_updates": 100, "validation_fraction": 0.3}
    parameters = {**fitted.get_params(), "objective": "likelihood", **enough}
    found = DensityEstimator(**parameters).fit(rows)
    assert found.kept_update_ > 0
    assert {"the data", "the base"} <= set(found.diagnostics_.starts)
    assert found.diagnostics_.describe() in found.verdict_
    assert all("running_ess" in record for record in found.history_)


def test_a_fit_without_chains_has_none_to_record(fitted):
    assert fitted.kept_update_ > 0 and fitted.diagnostics_ is None


def test_a_base_alone_needs_no_chains(rows):
    estimator = DensityEstimator(effort="quick", base="gaussian").fit(rows)
    assert estimator.diagnostics_ is None and estimator.history_ == ()
    found = evaluate_density(estimator.density_, make_rows(30, seed=3), seed=0)
    assert found.diagnostics is None and found.log_likelihood == found.base == found.gaussian
    assert found.verdict == estimator.verdict_


def untrusted(fitted):
    """The same estimator with a log Z that is known too badly."""
    log_partition = judge(Evidence("bar", 1.0, -1.0, 3.0, 1.0, 9.0, "made up"))
    other = type(fitted)(**fitted.get_params())
    density = dataclasses.replace(
        fitted.density_,
        log_partition=log_partition,
        training=log_partition.verdict,
        judgment=dataclasses.replace(fitted.density_.judgment, log_partition=False),
    )
    return other.adopt(density, fitted.settings_)


def test_a_log_density_that_cannot_be_backed_warns(fitted, rows):
    with pytest.warns(HarmoniumWarning, match="log Z of this model is not reliable.*ranking"):
        untrusted(fitted).score_samples(rows)


@pytest.fixture
def saved(fitted, tmp_path):
    """A model file and a table of other rows."""
    table = tmp_path / "test.csv"
    np.savetxt(table, make_rows(60, seed=2), delimiter=",", header="x1,x2,x3,x4", comments="")
    fitted.save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors", table


def test_the_command_prints_the_interval_and_the_verdict(saved, capsys):
    assert call("evaluate", *saved) == 0
    printed = capsys.readouterr().out
    for words in (
        "log-likelihood of 60 rows",
        "95 % interval [",
        "Gaussian fit",
        "base alone",
        "log Z",
        "chains",
    ):
        assert words in printed


def test_the_command_writes_rows_and_json(saved, tmp_path, capsys):
    out = tmp_path / "rows.csv"
    assert call("evaluate", *saved, "-o", out, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["rows"] == 60 and answer["low"] < answer["log_likelihood"] < answer["high"]
    assert answer["diagnostics"]["starts"][0] == "these rows"
    assert isinstance(answer["trusted"], bool) and "log Z" in answer["verdict"]
    written = np.genfromtxt(out, delimiter=",", names=True)
    assert np.mean(written["log_density"]) == pytest.approx(answer["log_likelihood"], abs=1e-6)
    assert np.all(written["low"] <= written["log_density"])
    # Nothing is overwritten unasked.
    assert call("evaluate", *saved, "-o", out) == 2
