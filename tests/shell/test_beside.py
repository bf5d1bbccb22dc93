"""A detector from another process is that of this one, and nothing hangs where that one dies."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from harmonium.artifact import StoredDetector, load_artifact
from harmonium.cli import beside, work
from harmonium.data import Table
from harmonium.errors import in_shell
from harmonium.inference import DetectorSettings
from harmonium.parallel import NUMBER_VARIABLE

SECONDS = 60.0


@pytest.fixture
def allowed(monkeypatch):
    monkeypatch.delenv(NUMBER_VARIABLE, raising=False)
    monkeypatch.setattr(beside, "is_alone", lambda: True)
    monkeypatch.setattr(beside, "count_threads", lambda: 2)


@pytest.fixture
def table(rows):
    return Table(rows, ("x1", "x2", "x3", "x4"))


def test_the_detector_is_the_same(allowed, rows, table, tmp_path):
    path = tmp_path / "detector.safetensors"
    with beside.helper(wanted=True) as helper:
        assert helper.begin(table, DetectorSettings(), path, None)
        with pytest.warns(UserWarning, match="x4") as told:
            oddest = helper.oddest()
    with pytest.warns(UserWarning, match="x4") as alone:
        expected = StoredDetector.fit(table, DetectorSettings())
    assert {in_shell(one.message) for one in told} == {in_shell(one.message) for one in alone}
    assert oddest is not None and oddest["row"] == 1 + np.argmin(expected.detector.scores(rows))
    found = load_artifact(path)
    assert found.detector.verdict == expected.detector.verdict
    # The processes may compute with more and fewer threads.
    scores = (own.detector.scores(rows) for own in (found, expected))
    np.testing.assert_allclose(*scores, atol=1e-3)


def test_what_fails_there_is_done_here(allowed, monkeypatch, table, tmp_path):
    monkeypatch.setattr(beside, "CALL", "raise SystemExit(1)")
    done = []
    monkeypatch.setattr(
        work, "_fit_detector", lambda run, settings: done.append(settings) or "fitted here"
    )
    monkeypatch.setattr(work, "save_artifact", lambda path, detector: done.append(path))
    settings = SimpleNamespace(time_budget=None)
    facts = {"resume": False, "settings": settings, "output": tmp_path}
    run = SimpleNamespace(table=table, detector=DetectorSettings(), **facts)
    with beside.helper(wanted=True) as helper:
        wait = work._begin_detector(run, helper)
        assert not done
        assert wait().detector == "fitted here"
    assert done == [run.detector, tmp_path / work.DETECTOR_FILE]


@pytest.mark.parametrize("why", ["unwanted", "within a program", "one core", "stated threads"])
def test_no_process_is_started(allowed, monkeypatch, why):
    if why == "within a program":
        monkeypatch.setattr(beside, "is_alone", lambda: False)
    if why == "one core":
        monkeypatch.setattr(beside, "count_threads", lambda: 1)
    if why == "stated threads":
        monkeypatch.setenv(NUMBER_VARIABLE, "2")
    with beside.helper(wanted=why != "unwanted") as helper:
        assert helper is None


def test_a_large_table_stays_in_one_process(allowed, monkeypatch, table, tmp_path):
    monkeypatch.setattr(beside, "MOST_BYTES", table.values.nbytes - 1)
    with beside.helper(wanted=True) as helper:
        assert not helper.begin(table, DetectorSettings(), tmp_path / "none", None)


BEGIN = """
import sys
from pathlib import Path
import numpy as np
from harmonium.cli import beside
from harmonium.data import Table
from harmonium.errors import in_shell
from harmonium.inference import DetectorSettings
helper = beside.Helper()
if sys.argv[1] == "begun":
    rows = np.random.default_rng(0).normal(size=(5000, 60))
    table = Table(rows, tuple(f"x{i}" for i in range(60)))
    helper.begin(table, DetectorSettings(), Path(sys.argv[2]), None)
print(helper._process.pid, flush=True)
sys.stdin.read()
"""


def is_alive(pid):
    """Whether a process runs; one that has ended may wait for somebody to take note of it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs /proc, to see a process end")
@pytest.mark.parametrize("state", ["idle", "begun"])
def test_the_process_ends_with_the_first(state, tmp_path):
    command = [sys.executable, "-c", BEGIN, state, str(tmp_path / "none")]
    first = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    pid = int(first.stdout.readline())
    time.sleep(5.0)
    assert is_alive(pid)
    first.kill()
    first.wait()
    deadline = time.monotonic() + SECONDS
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not is_alive(pid)
