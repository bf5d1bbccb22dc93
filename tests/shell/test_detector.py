"""The anomaly detector as users meet it: scikit-learn's contract, PyOD's signs, files and
decisions."""

import csv
import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from rewriting import rewrite
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from test_mixed_cli import mixed_rows

import harmonium as hm
from harmonium.cli.app import run
from harmonium.errors import ArtifactError, HarmoniumWarning
from harmonium.estimators import AnomalyDetector
from harmonium.inference import GroupCalibration, ImposedCalibration, SplitCalibration


# Of 300 rows, a tenth is so few that a training row is only flagged below all of them.
@parametrize_with_checks([AnomalyDetector(calibration_fraction=0.3)])
def test_scikit_learn_contract(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


def make_table(n, seed):
    """Two correlated columns, a bent one and a constant."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=n)
    second = first + 0.1 * rng.normal(size=n)
    third = first**2 + 0.2 * rng.normal(size=n)
    return np.stack([first, second, third, np.full(n, 2.0)], axis=1)


@pytest.fixture(scope="module")
def detector():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AnomalyDetector(calibration_fraction=0.3).fit(make_table(1000, 0))


@pytest.fixture(scope="module")
def normal():
    return make_table(400, 1)


@pytest.fixture(scope="module")
def odd(normal):
    """Rows whose second column has left the first."""
    rows = normal[:100].copy()
    rows[:, 1] += 2.5
    return rows


def test_odd_rows_score_lower_and_get_small_p_values(detector, normal, odd):
    assert np.median(detector.score_samples(odd)) < np.quantile(
        detector.score_samples(normal), 0.02
    )
    assert np.median(detector.p_values(odd)) <= 0.02
    assert np.mean(detector.predict(odd) == -1) > 0.8


def test_draws_that_fit_no_row_do_not_bury_what_is_seen(detector, normal):
    # A Gaussian fit knows nothing of the bend of the third column.
    slightly_odd = normal[:100] + np.array([0.0, 0.5, 0.0, 0.0])
    rows = np.concatenate([normal, slightly_odd])
    rows[:, 2] = np.nan
    is_odd = np.arange(len(rows)) >= len(normal)
    fitted = detector.detector_
    each = -np.stack([fitted.abnormality(points) for points in fitted.completions(rows)])
    plain = each.mean(axis=0)
    # All rows keep the rule of the constant column.
    scores = detector.score_samples(rows)
    assert np.all(scores >= plain - 1e-9) and np.all(scores <= each.max(axis=0) + 1e-9)
    assert roc_auc_score(is_odd, -scores) > roc_auc_score(is_odd, -plain) + 0.01
    # Fits with 4 seeds gave 0.97 each, and 0.69 to 0.75 for the plain mean.
    assert roc_auc_score(is_odd, -scores) > 0.9


def test_p_values_of_normal_rows_are_valid(detector, normal):
    p_values = detector.p_values(normal)
    n, m = 300, len(normal)
    for level in (0.05, 0.1, 0.3, 0.5):
        # Given the calibration rows the rate varies like a beta quantile; 5 standard errors.
        error = np.sqrt(level * (1 - level) * (1 / m + 1 / n))
        assert abs(np.mean(p_values <= level) - level) < 5 * error + 1 / n


def test_calibration_on_rows_of_ones_own_makes_their_p_values(normal):
    fitted = AnomalyDetector(0.1).fit(make_table(300, 2))
    assert "share of 0.1 of them is abnormal" in fitted.verdict_
    offset = fitted.offset_
    assert fitted.calibrate(normal) is fitted
    assert fitted.p_values(normal).min() == pytest.approx(2 / (len(normal) + 1))
    assert (
        f"{len(normal)} calibration rows" in fitted.verdict_ and "abnormal" not in fitted.verdict_
    )
    assert fitted.offset_ == offset  # a stated share keeps its decisions
    auto = AnomalyDetector().fit(make_table(300, 2)).calibrate(normal)
    assert np.mean(auto.predict(normal) == -1) == pytest.approx(0.05, abs=0.01)


def test_a_small_table_flags_the_share_that_normal_rows_have():
    rows = make_table(100, 2)
    fitted = AnomalyDetector().fit(rows)
    assert 1 <= np.sum(fitted.predict(rows) == -1) <= 15
    with pytest.warns(HarmoniumWarning, match="below all 10 calibration rows.*fewer than"):
        assert not fitted.select(np.concatenate([rows, rows[:1] + 50]), fdr=0.01).any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        # The tail is so flat that rounding takes what a vote adds.
        ({"quantiles": -1e30, "scale": 1e60}, "COLLAPSED"),
        ({"quantiles": -1e30, "scale": np.nan}, "NOT finite"),
    ],
)
def test_scores_that_cannot_be_used_are_told(change, words, detector, normal):
    broken = AnomalyDetector(**detector.get_params())
    surprise = detector.detector_.surprise
    change = {name: np.full_like(getattr(surprise, name), value) for name, value in change.items()}
    found = replace(detector.detector_, surprise=replace(surprise, **change))
    broken.adopt(found, detector.settings_, detector.offset_)
    with pytest.warns(HarmoniumWarning, match=words):
        broken.calibrate(normal)
    assert not broken.detector_.trusted and detector.detector_.trusted


def test_numbers_of_numpy_are_numbers(tmp_path):
    rows = make_table(100, 2)
    fitted = AnomalyDetector(
        np.float32(0.25), calibration_fraction=np.float64(0.2), random_state=np.int64(3)
    ).fit(rows)
    fitted.save(tmp_path / "detector.safetensors")
    loaded = hm.load(tmp_path / "detector.safetensors")
    np.testing.assert_array_equal(loaded.score_samples(rows), fitted.score_samples(rows))


@pytest.mark.parametrize(
    ("header", "arrays", "words"),
    [
        ({"offset": float("nan")}, {}, "finite numbers"),
        ({"spaces": []}, {}, "spaces: expected one or more"),
        ({"spaces": [{"n_mixtures": 0}]}, {}, "n_mixtures: expected a whole number from 1"),
        ({"spaces": [{"n_mixtures": 1}]}, {}, "do not match"),
        ({"completion": None}, {}, "damaged"),
        ({"trusted": None}, {}, "damaged"),
        ({"rules": None}, {}, "damaged"),
        ({"rules": {"first": 0.0, "further": 1.0}}, {}, "rules: expected surprises above 0"),
        ({"settings": {"score_kind": "odd"}}, {}, "damaged"),
        ({"settings": {"contamination": 0.9}}, {}, "damaged"),
        ({}, {"detector/calibration": np.zeros(0)}, "calibration"),
        ({}, {"detector/candidates": np.zeros((24, 2))}, "shape"),
        ({}, {"detector/normal_scores": np.zeros(0)}, "normal_scores: expected one or more"),
        ({}, {"detector/scale": np.zeros(20)}, "scale: expected positive"),
        ({}, {"detector/quantiles": np.zeros((201, 2))}, "shape"),
        ({}, {"detector/quantiles": -np.arange(201.0)[:, None] * np.ones(20)}, "sorted"),
        ({}, {"space0_kernels/rows": np.zeros((0, 3))}, "rows: expected one or more"),
        ({}, {"space1_kernels/rows": np.zeros((5, 2))}, "shape"),
        ({}, {"space0_mixture2/log_weights": np.zeros(0)}, "no components"),
        # Of 4 components and a wide one.
        ({}, {"space0_mixture0/log_weights": np.zeros(5)}, "do not add up to 1"),
        ({}, {"space0_mixture0/means": np.full((5, 3), np.nan)}, "finite"),
        ({}, {"space0_mixture0/inverses": np.tile(np.eye(3), (5, 1, 1))}, "not those of its"),
        ({}, {"space0_mixture3/factors": None}, "factors"),
    ],
)
def test_damaged_detectors_are_refused_in_words(header, arrays, words, detector, tmp_path):
    path = tmp_path / "detector.safetensors"
    detector.save(path)
    rewrite(path, header=header, arrays=arrays)
    with pytest.raises(ArtifactError, match=words):
        hm.load(path)


def test_a_detector_takes_no_own_parts(detector, tmp_path):
    detector.save(tmp_path / "detector.safetensors")
    with pytest.raises(ArtifactError, match="no parts of your own"):
        hm.load(tmp_path / "detector.safetensors", feature_map=hm.feature_maps.Identity(3))


def test_auto_contamination_flags_by_p_values(detector, normal):
    flagged = detector.predict(normal) == -1
    np.testing.assert_allclose(flagged, detector.modelled_p_values(normal) < 0.05)


def test_modelled_p_values_go_on_below_those_of_calibration_rows(detector, normal, odd):
    rows = np.concatenate([normal, odd])
    rows[-1, 1] += 30
    modelled = detector.modelled_p_values(rows)
    assert np.all(np.diff(modelled[np.argsort(detector.score_samples(rows))]) >= 0)
    # Of 700 training rows and 300 calibration rows, and of these alone.
    np.testing.assert_allclose(modelled[:400], detector.p_values(normal), atol=0.1)
    assert 0 < modelled[-1] < 1e-6 < detector.p_values(rows)[-1]


def test_selection_keeps_the_false_discovery_rate(detector, normal, odd):
    chosen = detector.select(np.concatenate([normal, odd]), fdr=0.2)
    assert chosen[len(normal) :].mean() > 0.5
    assert chosen[: len(normal)].sum() / max(chosen.sum(), 1) < 0.4


def test_a_stated_contamination_flags_that_share_of_the_training_rows():
    rows = make_table(200, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = AnomalyDetector(0.1).fit(rows)
    assert np.sum(fitted.predict(rows) == -1) == 20


def test_a_group_of_abnormal_rows_is_not_learned_where_their_share_is_stated():
    rng = np.random.default_rng(0)
    # Of nearer groups the forest leaves some rows in, and those are learned.
    group = rng.normal(size=(50, 4)) * 0.1 + np.array([5.0, -5.0, 5.0, 5.0])
    rows = np.concatenate([rng.normal(size=(450, 4)), group])
    fresh = np.concatenate([rng.normal(size=(200, 4)), group + 0.05 * rng.normal(size=(50, 4))])
    odd = np.arange(250) >= 200
    found = {}
    for share in ("auto", 0.1):
        fitted = AnomalyDetector(share).fit(rows)
        found[share] = roc_auc_score(odd, -fitted.score_samples(fresh))
    assert found[0.1] > 0.99
    assert found["auto"] < 0.9


def test_a_column_that_is_constant_without_suspects_does_not_stop_a_fit():
    rows = make_table(300, 2)
    rows[:, 2] = np.where(np.arange(300) < 15, 50.0, 0.0)
    fitted = AnomalyDetector(0.1).fit(rows)
    assert np.all(np.isfinite(fitted.score_samples(rows)))


def test_reasons_name_the_odd_cell_and_a_likely_value(detector, normal, odd):
    found = detector.explain(odd)
    assert found.contributions.shape == odd.shape
    assert np.all(found.contributions >= 0)
    # First and second column contradict each other; either may be blamed, the others not.
    assert np.mean(np.isin(found.top(1)[:, 0], [0, 1])) > 0.8
    shift = odd[:, 1] - found.likely_values[:, 1]
    assert np.median(shift) == pytest.approx(2.5, abs=0.7)


def test_a_broken_rule_is_a_reason(detector, normal):
    broken = normal[:3].copy()
    broken[:, 3] = 7.0
    found = detector.explain(broken)
    assert np.all(detector.score_samples(broken) < detector.score_samples(normal[:3]))
    np.testing.assert_allclose(found.contributions[:, 3], detector.detector_.rules.first)
    np.testing.assert_array_equal(found.drops[:, 3], found.contributions[:, 3])
    np.testing.assert_array_equal(found.likely_values[:, 3], 2.0)


def test_pyod_signs(detector, normal, odd):
    adapter = detector.as_pyod()
    with pytest.raises(ValueError, match=r"predict_proba.*adopt"):
        adapter.predict_proba(normal)
    adapter.adopt(normal)
    np.testing.assert_array_equal(adapter.decision_function(odd), -detector.score_samples(odd))
    np.testing.assert_array_equal(adapter.predict(odd) == 1, detector.predict(odd) == -1)
    np.testing.assert_array_equal(adapter.labels_, adapter.decision_scores_ > adapter.threshold_)
    shares = adapter.predict_proba(odd)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert shares.min() >= 0


def test_groups_begin_with_the_likeliest_pair(detector, odd):
    single, pair, triple = (detector.explain(odd, group_size=size) for size in (1, 2, 3))
    np.testing.assert_array_equal(single.group, single.top(1))
    np.testing.assert_allclose(single.group_contributions, single.contributions.max(axis=1))
    np.testing.assert_array_equal(triple.group[:, :2], pair.group)
    # The constant column is in none.
    assert all(set(cells) == {0, 1, 2} for cells in triple.group)
    assert np.all(pair.group_contributions >= 0)


def test_groups_leave_missing_cells_out(detector, odd):
    holed = odd.copy()
    holed[:50, 0], holed[50:, 1:3] = np.nan, np.nan
    found = detector.explain(holed, group_size=2)
    np.testing.assert_array_equal(np.sort(found.group[:50], axis=1), np.tile([1, 2], (50, 1)))
    assert np.all(found.group[50:, 0] == 0)
    # Of one cell that is there, no pair can be blamed.
    np.testing.assert_array_equal(found.group_contributions[50:], 0.0)


@pytest.mark.parametrize("size", [0, 9, 1.5])
def test_bad_group_sizes_are_refused(detector, odd, size):
    with pytest.raises(ValueError, match="group_size=.*from 1 to .*modeled columns"):
        detector.explain(odd, group_size=size)


def test_pipeline_and_grid_search():
    rows = make_table(120, 3)[:, :3]
    steps = make_pipeline(StandardScaler(), AnomalyDetector())
    assert steps.fit(rows).predict(rows).shape == (120,)
    search = GridSearchCV(
        AnomalyDetector(),
        {"contamination": ["auto", 0.1]},
        scoring=lambda estimator, rows, labels=None: float(np.mean(estimator.score_samples(rows))),
        cv=2,
    )
    assert search.fit(rows).best_params_["contamination"] in ("auto", 0.1)


def test_files_bring_everything_back(detector, normal, tmp_path):
    path = tmp_path / "detector.safetensors"
    detector.save(path)
    loaded = hm.load(path)
    assert isinstance(loaded, AnomalyDetector)
    np.testing.assert_array_equal(loaded.score_samples(normal), detector.score_samples(normal))
    np.testing.assert_array_equal(loaded.p_values(normal), detector.p_values(normal))
    expected = detector.modelled_p_values(normal)
    np.testing.assert_array_equal(loaded.modelled_p_values(normal), expected)
    np.testing.assert_array_equal(loaded.predict(normal), detector.predict(normal))
    assert loaded.get_params() == detector.get_params()
    assert loaded.verdict_ == detector.verdict_


def test_a_detector_of_a_mixed_table_with_holes_comes_back(tmp_path):
    rows = mixed_rows(120)
    holes = np.random.default_rng(5).random(rows.shape) < 0.1
    holes[:, -1] = False
    rows = rows.mask(holes)
    fitted = AnomalyDetector(0.1).fit(rows)
    fitted.save(tmp_path / "detector.safetensors")
    loaded = hm.load(tmp_path / "detector.safetensors")
    np.testing.assert_array_equal(loaded.score_samples(rows), fitted.score_samples(rows))
    found, expected = loaded.explain(rows[:9]), fitted.explain(rows[:9])
    np.testing.assert_array_equal(found.contributions, expected.contributions)
    np.testing.assert_array_equal(found.likely_values, expected.likely_values)


def test_same_seed_same_scores():
    rows = make_table(100, 4)[:, :3]
    first = AnomalyDetector().fit(rows)
    other = clone(first).set_params(random_state=1).fit(rows)
    again = clone(first).fit(rows)
    np.testing.assert_array_equal(first.score_samples(rows), again.score_samples(rows))
    assert not np.allclose(first.score_samples(rows), other.score_samples(rows))


def test_rows_far_out_stay_finite(detector, normal):
    far = normal[:1].copy()
    far[0, 0] = 1e80
    assert np.isfinite(detector.score_samples(far)[0])
    assert detector.score_samples(far)[0] < detector.score_samples(normal).min()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"contamination": 0.7}, "AnomalyDetector\\(contamination=.*0.5.*got 0.7"),
        ({"contamination": "some"}, "contamination=.*auto"),
        ({"calibration_fraction": 1.0}, "calibration_fraction=.*between 0 and 1"),
        ({"calibration_fraction": 0.99}, "rows to train on"),
        ({"random_state": -1}, "random_state: expected a whole number from 0"),
    ],
)
def test_wrong_parameters_are_named(parameters, words):
    with pytest.raises(ValueError, match=words):
        AnomalyDetector(**parameters).fit(make_table(20, 0))


def call(*arguments):
    with pytest.raises(SystemExit) as stop:
        run([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


@pytest.fixture
def table(odd, normal, tmp_path):
    path = tmp_path / "new.csv"
    rows = np.concatenate([odd[:5], normal[:25]])
    np.savetxt(path, rows, delimiter=",", header="x1,x2,x3,x4", comments="")
    return path


def read_csv(path):
    """The rows of a CSV file, by the names of its columns."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_detect_writes_scores_flags_reasons_and_the_table(detector, table, tmp_path, capsys):
    detector.save(tmp_path / "detector.safetensors")
    out = tmp_path / "out.csv"
    arguments = ("detect", tmp_path, table, "--fdr", 0.2, "--explain", 2, "-o", out)
    assert call(*arguments) == 0
    assert "30 rows" in capsys.readouterr().out
    found, given = read_csv(out), read_csv(table)
    names = ["row", "score", "p_value", "flagged", "modelled_p_value", "reason_1"]
    assert list(found[0])[:6] == names and list(found[0])[-5:] == ["why", "x1", "x2", "x3", "x4"]
    assert [int(row["row"]) for row in found] == list(range(1, 31))
    for row, own in zip(found, given, strict=True):
        assert [float(row[name]) for name in own] == [float(cell) for cell in own.values()]
    assert found[0]["reason_1"] in ("x1", "x2") and found[0]["reason_1"] in found[0]["why"]
    assert call(*arguments) == 2  # the output exists
    assert "--overwrite" in capsys.readouterr().err
    assert call("detect", tmp_path, table, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"] == 30 and len(found["p_value"]) == 30


def test_detect_explains_the_rows_that_are_listed_or_flagged(detector, table, tmp_path):
    detector.save(tmp_path / "detector.safetensors")
    out = tmp_path / "out.csv"
    options = ("--explain", 1, "--top", 2, "--fdr", 0.01, "-o", out)
    assert call("detect", tmp_path, table, *options) == 0
    found = read_csv(out)
    explained = {int(row["row"]) for row in found if row["reason_1"]}
    lowest = sorted(found, key=lambda row: float(row["score"]))[:2]
    flagged = {int(row["row"]) for row in found if row["flagged"] == "1"}
    assert 0 < len(explained) <= len(flagged | {int(row["row"]) for row in lowest})
    assert explained <= flagged | {int(row["row"]) for row in lowest}
    for row in found:
        empty = [row[name] == "" for name in ("why", "reason_1", "reason_1_value", "reason_1_drop")]
        assert all(empty) or not any(empty)


def test_detect_names_rows_and_leaves_no_column_out(detector, table, tmp_path, capsys):
    """The name of a column may be that of a result."""
    detector.save(tmp_path / "detector.safetensors")
    rows = read_csv(table)
    own = tmp_path / "named.csv"
    with own.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "score", "who"])
        writer.writeheader()
        for i, row in enumerate(rows):
            writer.writerow(row | {"score": f"grade {i}", "who": f"Ms {i}"})
    out = tmp_path / "out.csv"
    assert call("detect", tmp_path, own, "--id", "who", "--top", 1, "-o", out) == 0
    listed = capsys.readouterr().out.splitlines()
    assert listed[1].split()[:2] == ["row", "who"]
    found = read_csv(out)
    assert list(found[0])[:3] == ["row", "who", "score"]
    assert [row["who"] for row in found] == [f"Ms {i}" for i in range(30)]
    assert [row["table_score"] for row in found] == [f"grade {i}" for i in range(30)]
    lowest = min(found, key=lambda row: float(row["score"]))
    assert listed[2].startswith(f"{lowest['row']} ") and f" {lowest['who']} " in listed[2]
    assert call("detect", tmp_path, own, "--id", "nobody") == 2
    assert "'who'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("guarantee", "calibration"),
    [
        ("split", SplitCalibration),
        ("pattern", GroupCalibration.of_patterns),
        ("imposed-pattern", ImposedCalibration),
        ("group:x1", lambda own: GroupCalibration.of_column(own, "x1")),
    ],
)
def test_p_values_rest_on_the_guarantee_that_is_stated(
    guarantee, calibration, detector, table, tmp_path, capsys
):
    detector.save(tmp_path / "detector.safetensors")
    options = ("--guarantee", guarantee, "--fdr", 0.3, "--json")
    assert call("detect", tmp_path, table, *options) == 0
    found = json.loads(capsys.readouterr().out)
    rows = np.array([[float(cell) for cell in row.values()] for row in read_csv(table)])
    own = calibration(detector.detector_)
    measures = own.measure(rows)
    np.testing.assert_allclose(found["p_value"], own.p_values(measures))
    np.testing.assert_array_equal(found["flagged"], own.select(measures, 0.3).listed)
    assert 0 <= found["most_false"] <= found["n_flagged"]


def test_a_guarantee_by_refits_takes_the_training_table(detector, table, tmp_path, capsys):
    detector.save(tmp_path / "detector.safetensors")
    np.savetxt(
        tmp_path / "training.csv", make_table(60, 5), delimiter=",", header="x1,x2,x3,x4",
        comments="",
    )  # fmt: skip
    stated = ("detect", tmp_path, table, "--guarantee", "cross")
    assert call(*stated) == 2 and "--training" in capsys.readouterr().err
    assert call(*stated, "--training", tmp_path / "training.csv", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    # All 60 rows calibrate: p-values go on below those of the fit.
    assert min(found["p_value"]) == pytest.approx(1 / 61)
    assert call("detect", tmp_path, table, "--guarantee", "luck") == 2
    assert "imposed-pattern" in capsys.readouterr().err


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_list_fits_the_terminal_between_words(
    width, detector, table, tmp_path, monkeypatch, capsys
):
    detector.save(tmp_path / "detector.safetensors")
    monkeypatch.setenv("COLUMNS", "500")
    assert call("detect", tmp_path, table) == 0
    whole = capsys.readouterr()
    monkeypatch.setenv("COLUMNS", str(width))
    assert call("detect", tmp_path, table) == 0
    narrow = capsys.readouterr()
    for wide, fitted in ((whole.out, narrow.out), (whole.err, narrow.err)):
        assert wide.split() == fitted.split()
    assert max(map(len, narrow.out.splitlines())) <= max(width, 48)


def test_detect_tells_of_the_lowest_rows_whatever_is_flagged(detector, odd, tmp_path, capsys):
    detector.save(tmp_path / "detector.safetensors")
    rows = np.concatenate([make_table(40, 3), odd[:1]])
    rows[-1, 1] += 3
    path = tmp_path / "rows.csv"
    np.savetxt(path, rows, delimiter=",", header="x1,x2,x3,x4", comments="", fmt="%.6g")
    assert call("detect", tmp_path, path, "--top", 2, "--fdr", 0.0001, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["n_flagged"] == 0 and not any(told["flagged"])
    assert len(told["lowest"]) == 2
    assert told["lowest"][0]["row"] == 41
    assert told["lowest"][0]["score"] == min(told["score"])
    assert any("x2" in reason for reason in told["lowest"][0]["reasons"])


def test_detect_calibrates_on_rows_of_ones_own(detector, normal, table, tmp_path, capsys):
    detector.save(tmp_path / "detector.safetensors")
    own = tmp_path / "normal.csv"
    np.savetxt(own, normal[:150], delimiter=",", header="x1,x2,x3,x4", comments="")
    assert call("detect", tmp_path, table, "--calibrate", own, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    rows = np.genfromtxt(table, delimiter=",", skip_header=1)
    again = hm.load(tmp_path / "detector.safetensors").calibrate(normal[:150])
    np.testing.assert_allclose(found["p_value"], again.p_values(rows))
    assert "the 150 calibration rows" in found["verdict"]
    assert call("detect", tmp_path, table, "--calibrate", tmp_path / "none.csv") == 2
    assert str(tmp_path / "none.csv") in capsys.readouterr().err


def test_detect_says_what_is_missing(detector, table, tmp_path, capsys):
    assert call("detect", tmp_path, table) == 2
    assert "detector.safetensors" in capsys.readouterr().err
    detector.save(tmp_path / "detector.safetensors")
    assert call("detect", tmp_path, table, "--fdr", 2) == 2
    assert "--fdr" in capsys.readouterr().err
    assert call("detect", tmp_path, table, "-o", tmp_path / "out.npy") == 2
    assert ".csv, .parquet, .arrow; got '.npy'" in capsys.readouterr().err
    assert call("score", tmp_path / "detector.safetensors", table) == 2
    assert "not a density" in capsys.readouterr().err
