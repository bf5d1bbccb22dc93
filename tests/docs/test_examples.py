"""The scripts of examples/ run in their small form, and what they print is true."""

import re
import runpy
import sys

import jax
import pytest
from docs.pages import ROOT

EXAMPLES = ROOT / "examples"
MOST_LINES = 40


def numbers(text):
    return [float(found) for found in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", text)]


@pytest.fixture
def printed(monkeypatch, tmp_path, capfd, unannotated):
    """Runs a script by its name, in a folder of its own, and returns what it prints."""

    def run(name):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("MPLBACKEND", "agg")
        monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
        monkeypatch.setattr(sys, "argv", [name, "--small"])
        with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
            runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capfd.readouterr().out

    return run


def test_a_csv_becomes_a_run_folder_with_a_report(printed, tmp_path):
    assert "wine-run/report.html" in printed("csv_to_report")
    assert "<html" in (tmp_path / "wine-run" / "report.html").read_text(encoding="utf-8")


def test_planted_errors_are_found_and_blamed(printed):
    lines = [line.split() for line in printed("anomalies_in_pandas").splitlines()[1:]]
    blamed = {int(line[0]): line[2] for line in lines}
    assert {10: "alcohol", 50: "proline", 90: "ash"}.items() <= blamed.items()


def test_pooled_coefficients_are_near_those_of_all_cells(printed):
    for line in printed("multiple_imputation").splitlines()[1:]:
        whole, pooled, error = numbers(line.split(None, 1)[1])[:3]
        assert abs(whole - pooled) < 3 * error


def test_conditions_hold(printed):
    text = printed("conditional_samples")
    rows = [line for line in text.splitlines() if line.endswith(" virginica")]
    assert len(rows) == 5
    assert all(float(line.split()[2]) >= 6.0 for line in rows)
    assert "['setosa', 'versicolor']" in text
    assert "{'setosa': 30, 'versicolor': 30, 'virginica': 30}" in text


def test_the_density_is_above_the_kernel_density(printed):
    lines = printed("compare_densities").splitlines()
    scores = {line[:17].strip(): numbers(line[17:])[0] for line in lines if "nats" in line}
    assert scores["harmonium"] > scores["kernel density"]


def test_an_own_feature_map_is_trained(printed):
    stages = dict(re.findall(r"^([a-z ]+): (-?\d+\.\d+) nats", printed("own_feature_map"), re.M))
    assert float(stages["residual"]) > float(stages["base"])


def test_the_interval_of_log_z_holds_the_exact_value(printed):
    found = re.findall(r"\[(.+), (.+)\], exactly (.+); trusted", printed("own_log_partition"))
    assert found
    assert all(
        float(low) - 0.001 <= float(exact) <= float(high) + 0.001 for low, high, exact in found
    )


def test_a_failing_sensor_is_in_the_log_of_its_night(printed, tmp_path):
    assert "3 of 3 tables, 2 of them kept from before" in printed("nightly_scoring")
    alarms = [line.split(",") for line in (tmp_path / "alarms.csv").read_text().splitlines()[1:]]
    assert {("night=2", "4", "magnesium"), ("night=2", "18", "magnesium")} <= {
        (night, row, why.split()[0]) for night, row, _, why in alarms
    }


def test_digits_become_a_picture(printed, tmp_path):
    printed("digits_images")
    assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")


def test_other_digits_are_odd(printed, tmp_path):
    zeros, others, _ = printed("one_class_images").splitlines()
    # 28 further zeros: 0.1, and five standard errors.
    assert numbers(zeros)[1] < 0.1 + 5 * 0.06 and numbers(others)[1] > 0.9
    assert (tmp_path / "odd.png").read_bytes().startswith(b"\x89PNG")


def test_only_the_drifted_table_has_drifted(printed):
    found = re.findall(r"^(\w+): whole rows p = (\S+);.*column '(.+)'", printed("drift"), re.M)
    p_values = {name: float(p_value) for name, p_value, _ in found}
    assert p_values["later"] > 0.01 and p_values["drifted"] < 0.001
    assert found[1][2] == "mean texture"


@pytest.mark.slow
def test_contrastive_divergence_gains_on_its_start(printed):
    start, trained = numbers_of("nats", printed("contrastive_divergence"))
    assert trained > start + 0.05


@pytest.mark.slow
def test_persistent_chains_gain_on_their_start(printed):
    start, trained = numbers_of("nats", printed("persistent_chains"))
    assert trained > start + 0.05


@pytest.mark.slow
def test_short_run_draws_come_near_to_the_rows(printed):
    before, after = numbers_of("nearest", printed("short_run"))
    assert after < before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["exact", "sliced"])
def test_score_matching_lowers_its_loss(name, printed):
    text = printed("score_matching") if name == "exact" else printed("sliced_score_matching")
    first, last = numbers(text.splitlines()[0])
    assert last < first - 0.5
    assert "log Z is" in text and "NOT" not in text


@pytest.mark.slow
def test_noise_contrastive_estimation_learns_log_z(printed):
    text = printed("noise_contrastive")
    before, after = numbers(text.splitlines()[0])
    learned, found = (numbers(line)[-1] for line in text.splitlines()[1:])
    # The running value averages over some 20 batches of noise.
    assert after > before and abs(learned - found) < 0.1


@pytest.mark.slow
def test_flow_contrastive_estimation_learns_log_z(printed):
    learned, found = numbers(printed("flow_contrastive"))
    assert abs(learned - found) < 0.3


def numbers_of(word, text):
    """The last number before a word, of every line that has it."""
    return [numbers(line.split(word)[0])[-1] for line in text.splitlines() if word in line]


def test_scripts_are_short_and_are_all_run():
    scripts = {path.stem: path for path in EXAMPLES.glob("*.py")}
    run = re.findall(
        r'printed\("(\w+)"\)', (ROOT / "tests" / "docs" / "test_examples.py").read_text()
    )
    assert set(run) == set(scripts)
    lengths = {name: len(path.read_text().splitlines()) for name, path in scripts.items()}
    assert [name for name, length in lengths.items() if length > MOST_LINES] == []
