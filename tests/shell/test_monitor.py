"""`Monitor` and `harmonium monitor`: the same however a stream is split or interrupted, drifts that
are named for what they are, and state files that are checked."""

import json
import sys
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from shell.rewriting import rewrite
from shell.test_cli import call
from shell.test_imports import ESTIMATING, PICTURES, modules_of

import harmonium as hm
from benchmarks.fuzzing.artifacts import damage
from harmonium.errors import ArtifactError, InvalidInputError
from harmonium.inference.evidence import Evidence
from harmonium.inference.monitoring import KEPT, RECORDS
from harmonium.report import write_drift_page


def draw(n, seed, *, shift=0.0, broken=False, holes=0.02, red=0.5):
    """Two columns that go together, one with holes, and one of categories."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=n)
    second = rng.normal(size=n) if broken else 0.9 * first + 0.44 * rng.normal(size=n)
    third = rng.normal(size=n) + shift
    third[rng.random(n) < holes] = np.nan
    color = np.where(rng.random(n) < red, "red", np.where(rng.random(n) < 0.5, "blue", "$x^2"))
    return pd.DataFrame({"a": first, "b": second, "c": third, "color": color})


@pytest.fixture(scope="module")
def detector():
    return hm.AnomalyDetector(random_state=0).fit(draw(400, 0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of a density and a detector, and tables."""
    path = tmp_path_factory.mktemp("monitor")
    draw(300, 0).to_csv(path / "table.csv", index=False)
    draw(500, 1).to_csv(path / "reference.csv", index=False)
    draw(150, 2).to_csv(path / "night1.csv", index=False)
    draw(400, 3, shift=1.0).to_csv(path / "night2.csv", index=False)
    options = ("--effort", "quick", "--no-report")
    assert call("fit", path / "table.csv", "-o", path / "run", *options) == 0
    return path


@pytest.fixture(scope="module")
def first_night(folder):
    """A state after the first night, as bytes."""
    path = folder / "first_night"
    arguments = ("--state", path, "--reference", folder / "reference.csv")
    assert call("monitor", folder / "run", folder / "night1.csv", *arguments) == 0
    return path.read_bytes()


@pytest.fixture
def state_file(folder, first_night):
    """A state after the first night."""
    path = folder / "state"
    path.write_bytes(first_night)
    return path


def assert_same(one, other):
    """Bit by bit."""
    mine, theirs = one.monitoring_.progress, other.monitoring_.progress
    names = [field.name for field in fields(Evidence)]
    compared = [
        (mine, theirs, ("first", "latest", "records")),
        (mine.ranks, theirs.ranks, ("cuts", "counts", "n_seen")),
        (mine.evidence, theirs.evidence, names),
    ]
    for mine, theirs, names in compared:
        for name in names:
            np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name), err_msg=name)
    assert one.findings.describe() == other.findings.describe()


@pytest.mark.parametrize("reference", [None, draw(300, 1)], ids=["no reference", "reference"])
def test_neither_splits_nor_restarts_change_anything(detector, reference, tmp_path):
    stream = pd.concat([draw(500, 2), draw(300, 3, shift=1.0)], ignore_index=True)
    whole = hm.Monitor(detector, reference, random_state=4)
    whole.update(stream)
    split = hm.Monitor(detector, reference, random_state=4)
    start = 0
    for size in (1, 255, 1, 100, 300, 143):
        split.update(stream.iloc[start : start + size])
        start += size
        split.save(tmp_path / "state")
        split = hm.Monitor.load(tmp_path / "state", detector)
    assert start == split.n_rows == len(stream)
    assert_same(split, whole)
    other = hm.Monitor(detector, reference, random_state=5)
    other.update(stream)
    assert other.log_evidence != whole.log_evidence


def median(summary):
    return summary.quartiles[1]


DRIFTS = {
    "values": ({"shift": 1.0}, "c"),
    "holes": ({"holes": 0.3}, "c"),
    "dependence": ({"broken": True}, "b"),
    "categories": ({"red": 0.9}, "color"),
}


@pytest.mark.parametrize(("changed", "column"), DRIFTS.values(), ids=DRIFTS)
def test_a_drift_is_named_for_what_it_is(changed, column, detector, tmp_path):
    monitor = hm.Monitor(detector, draw(500, 1))
    assert not monitor.update(draw(200, 2)).alarm and monitor.drifts == ()
    found = monitor.update(draw(500, 3, **changed))
    assert found.first_alarm is not None and 200 < found.first_alarm < 600
    first = found.drifts[0]
    assert first.alarmed and abs(first.since - 200) < 150
    if "broken" in changed:
        assert {drift.column for drift in found.drifts if drift.kind == "dependence"} >= {"a", "b"}
        assert {first.column, first.partner} == {"a", "b"}
        before, now = first.correlations or (0.0, 1.0)
        assert before > 0.85 and abs(now) < 0.2
        assert all(drift.kind in ("dependence", "rows") for drift in found.drifts if drift.alarmed)
    else:
        assert first.column == column
        assert first.kind == ("holes" if "holes" in changed else "values")
    if "shift" in changed:
        assert median(first.now) - median(first.before) == pytest.approx(1, abs=0.3)
    if "holes" in changed:
        assert first.before.missing < 0.05 and first.now.missing > 0.2
    if "red" in changed:
        assert first.before.shares["red"] < 0.6 and first.now.shares["red"] > 0.8
        assert "'red'" in first.describe()
    write_drift_page(tmp_path / "page.html", monitor.monitoring_, found, title="<b>")
    page = (tmp_path / "page.html").read_text()
    shown = [d for d in found.drifts if d.kind in ("values", "holes") or d.partner is not None]
    assert page.count("<svg") == 1 + len(shown)
    assert "<script" not in page and "<b>" not in page
    assert f"Alarm at row {found.first_alarm}" in page


def test_calibration_rows_are_the_reference_of_whole_rows(detector):
    n_seen = hm.Monitor(detector).monitoring_.settled.ranks.n_seen
    assert n_seen.tolist() == [len(detector.detector_.calibration), *[0] * (len(n_seen) - 1)]
    far = hm.Monitor(detector).update(draw(200, 3, shift=6.0))
    assert far.alarm and far.drifts[0].kind == "rows"


def test_without_a_reference_the_first_rows_are_what_was_before(detector):
    monitor = hm.Monitor(detector)
    monitor.update(draw(600, 2))
    first = monitor.update(draw(400, 3, shift=1.0)).drifts[0]
    assert (first.column, first.kind) == ("c", "values")
    assert first.before.n_rows == first.since - 1
    assert abs(median(first.before)) < 0.2


def test_what_is_kept_is_bounded(detector):
    monitor = hm.Monitor(detector)
    for seed in range(2):
        monitor.update(draw(900, seed))
    progress = monitor.monitoring_.progress
    assert len(progress.first) == len(progress.latest) == KEPT
    assert RECORDS / 2 <= len(monitor.history["row"]) <= RECORDS
    assert monitor.history["row"][-1] > 1790 and set(np.diff(monitor.history["row"])) == {4}
    assert progress.ranks.counts.sum(axis=1).max() == 1800 + 40 - KEPT


def test_a_density_is_watched_too(folder):
    density = hm.load(folder / "run" / "model.safetensors")
    monitor = hm.Monitor(density, draw(300, 1))
    found = monitor.update(draw(400, 3, broken=True))
    assert found.alarm and {found.drifts[0].column, found.drifts[0].partner} == {"a", "b"}


def test_alarms_with_a_run_length_are_those_of_the_update(detector):
    monitor = hm.Monitor(detector, draw(500, 1), run_length=1000)
    assert monitor.update(draw(300, 3, shift=1.5)).alarm
    evidence = monitor.monitoring_.evidence
    assert evidence.n_alarms.max() > 1
    found = monitor.update(draw(1, 2))
    assert not found.alarm and "run" not in found.describe()
    assert found.drifts and "one false alarm in 1000 rows" in found.guarantee


def test_what_cannot_be_watched_is_refused(detector):
    with pytest.raises(InvalidInputError, match="expected a fitted AnomalyDetector or Density"):
        hm.Monitor("model")
    monitor = hm.Monitor(detector)
    with pytest.raises(InvalidInputError, match=r"Monitor.update\(X\)"):
        monitor.update(draw(5, 0).drop(columns="b"))
    assert monitor.n_rows == 0


def test_two_nights(folder, state_file, tmp_path, capsys):
    capsys.readouterr()
    page = tmp_path / "page.html"
    night = ("monitor", folder / "run", folder / "night2.csv", "--state", state_file)
    assert call(*night, "-o", page) == 3
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("ALARM at row 1") or told[0].startswith("ALARM at row 2")
    assert told[1].startswith("c: median")
    assert "Alarm at row" in page.read_text()
    # The alarm stays, and the state has gone on.
    assert (
        call("monitor", folder / "run", folder / "night1.csv", "--state", state_file, "--json") == 3
    )
    found = json.loads(capsys.readouterr().out)
    assert found["n_rows"] == 700 and found["alarm"] and found["drifts"][0]["column"] == "c"
    assert {path.name for path in tmp_path.iterdir()} == {"page.html"}


def test_both_nights_at_once_are_the_same(folder, state_file, capsys):
    at_once = state_file.with_name("at_once")
    at_once.unlink(missing_ok=True)
    run, nights = folder / "run", (folder / "night1.csv", folder / "night2.csv")
    capsys.readouterr()
    assert call("monitor", run, nights[1], "--state", state_file, "--json") == 3
    one = json.loads(capsys.readouterr().out)
    options = ("--state", at_once, "--reference", folder / "reference.csv", "--json")
    assert call("monitor", run, *nights, *options) == 3
    other = json.loads(capsys.readouterr().out)
    assert one | {"state": 0} == other | {"state": 0}
    assert state_file.read_bytes() == at_once.read_bytes()


def test_a_night_without_a_page_imports_nothing_that_draws_or_estimates(folder, tmp_path):
    state = tmp_path / "state"
    found = modules_of("monitor", folder / "run", folder / "night1.csv", "--state", state)
    assert not found & (PICTURES | ESTIMATING)
    assert state.is_file()


def test_a_page_is_refused_before_any_work_where_nothing_draws(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    options = ("--state", tmp_path / "state", "-o", tmp_path / "page.html")
    assert call("monitor", folder / "run", folder / "night1.csv", *options) == 2
    assert not list(tmp_path.iterdir())


REFUSED = {
    "an unreadable night": (("nothing.csv",), "nothing.csv"),
    "another alpha": (("night1.csv", "--alpha", "0.1"), "--alpha is settled"),
    "a page that is none": (("night1.csv", "-o", "page.csv"), ".html"),
}


@pytest.mark.parametrize(("arguments", "words"), REFUSED.values(), ids=REFUSED)
def test_a_refused_night_leaves_the_state_as_it_was(
    arguments, words, folder, state_file, capsys, monkeypatch
):
    monkeypatch.chdir(folder)
    before = state_file.read_bytes()
    capsys.readouterr()
    assert call("monitor", folder / "run", *arguments, "--state", state_file) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(told) == 1 and words in told[0]
    assert state_file.read_bytes() == before


@pytest.mark.parametrize("options", [("--alpha", "2"), ("--alpha", "0.1", "--run-length", "9")])
def test_a_state_is_not_begun_with_what_cannot_be(options, folder, tmp_path, capsys):
    state = tmp_path / "state"
    assert call("monitor", folder / "run", folder / "night1.csv", "--state", state, *options) == 2
    assert "error: --alpha" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def saved(detector, tmp_path_factory):
    """A state in the middle of a block, as bytes."""
    path = tmp_path_factory.mktemp("saved") / "state"
    monitor = hm.Monitor(detector, draw(50, 1))
    monitor.update(draw(300, 2))
    monitor.save(path)
    return path.read_bytes()


@pytest.fixture
def state(saved, tmp_path):
    path = tmp_path / "state"
    path.write_bytes(saved)
    return path


def refused(path, detector, words):
    with pytest.raises(ArtifactError, match=words) as caught:
        hm.Monitor.load(path, detector)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_a_state_belongs_to_its_model(detector, state):
    other = hm.AnomalyDetector(random_state=1).fit(draw(400, 0))
    refused(state, other, "of this model; got another's")
    refused(state.with_name("nothing"), detector, "no such file")
    detector.save(state)
    refused(state, detector, "the state of a monitor; got a detector")


def test_a_saved_model_is_the_same_model(detector, state):
    path = state.with_name("detector.safetensors")
    detector.save(path)
    assert hm.Monitor.load(state, hm.load(path)).n_rows == 300


HEADERS = {
    "rows": {"n_rows": 300},
    "seed": {"seed": -1},
    "rule": {"rule": {"name": "Never", "setting": 1.0}},
    "alpha": {"rule": {"name": "Ever", "setting": 2.0}},
    "stride": {"stride": 0},
    "reference": {"n_reference": None},
}
ARRAYS = {
    "pending": lambda state: {"kept/pending": np.zeros((256, 4))},
    "columns": lambda state: {"kept/first": np.zeros((5, 3))},
    "infinite": lambda state: {"kept/latest": np.full((256, 4), np.inf)},
    "counts": lambda state: {"ranks/counts": np.ones((14, KEPT + 1))},
    "lost": lambda state: {"evidence/peak": None},
    "negative": lambda state: {"evidence/since": np.full(14, -1.0)},
    "future": lambda state: {"evidence/since": np.full(14, 1e6)},
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_headers_that_no_monitor_writes_are_refused(header, detector, state):
    rewrite(state, header=header)
    refused(state, detector, next(iter(header)) + "|alpha")


@pytest.mark.parametrize("arrays", ARRAYS.values(), ids=ARRAYS)
def test_arrays_that_no_monitor_writes_are_refused(arrays, detector, state):
    rewrite(state, arrays=arrays(state))
    refused(state, detector, next(iter(arrays(state))).partition("/")[2])


def test_damaged_states_end_in_words_or_go_on(detector, state):
    rng = np.random.default_rng(0)
    content, n_refused = state.read_bytes(), 0
    for _ in range(60):
        what, damaged = damage(content, rng)
        state.write_bytes(damaged)
        try:
            monitor = hm.Monitor.load(state, detector)
        except ArtifactError:
            n_refused += 1
        else:
            assert monitor.update(draw(5, 0)).n_rows >= 5, what
    assert n_refused > 30
