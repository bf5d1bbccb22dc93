"""Runs that are ended, by Ctrl-C, by the system or by an error, and go on: as a user does it, in
processes of their own."""

import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
import tomllib

import numpy as np
import pyarrow.parquet as pq
import pytest
from shell.test_cli import QUICK, call

from harmonium.cli.interrupts import Interrupt
from harmonium.cli.progress import showing
from harmonium.cli.runs import RunFolder
from harmonium.cli.shell import errors
from harmonium.cli.training import fit_reports
from harmonium.console import USUAL_WIDTH, Console
from harmonium.inference.progress import PlainLines

# Little is trained here, and from a base that costs little.
SMALL = ["--hidden", "4", "--base", "gaussian", "--no-detector", "--no-report"]
FIT = ["--updates", "40", *SMALL]
FEW = ["--updates", "3", *SMALL]


@pytest.fixture(scope="module")
def table(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("data") / "table.csv"
    np.savetxt(path, rows[:, :2], delimiter=",", header="a,b", comments="", fmt="%.6g")
    return path


def start(*arguments):
    command = [sys.executable, "-c", "from harmonium.cli import main; main()", *map(str, arguments)]
    # Those of conftest.py, but for the number of devices.
    quick = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
    return subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"XLA_FLAGS": quick},
    )


def finish(*arguments):
    process = start(*arguments)
    out, err = process.communicate()
    return process.returncode, out, err


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def checkpoints(run):
    return list((run / "checkpoints").glob("*.safetensors"))


@pytest.mark.slow
def test_killed_and_interrupted_runs_end_like_the_whole_one(table, tmp_path):
    assert finish("fit", table, "-o", tmp_path / "whole", *FIT)[0] == 0

    killed = start("fit", table, "-o", tmp_path / "killed", *FIT)
    wait_for(lambda: checkpoints(tmp_path / "killed"), killed)
    killed.kill()
    killed.communicate()
    code, _, err = finish("score", tmp_path / "killed", table)
    assert code == 2 and "not finished" in err and "--resume" in err
    code, _, err = finish("fit", table, "-o", tmp_path / "killed", *FIT)
    assert code == 2 and "--resume" in err
    assert finish("fit", table, "--resume", tmp_path / "killed")[0] == 0

    stopped = start("fit", table, "-o", tmp_path / "stopped", *FIT)
    wait_for(lambda: checkpoints(tmp_path / "stopped"), stopped)
    stopped.send_signal(signal.SIGINT)
    _, err = stopped.communicate()
    assert stopped.returncode == 130
    assert f"--resume {tmp_path / 'stopped'}" in err and "Traceback" not in err
    metrics = json.loads((tmp_path / "stopped" / "metrics.json").read_text())
    assert metrics["stopped"] and "stopped on request" in metrics["verdict"]
    assert finish("score", tmp_path / "stopped", table)[0] == 0
    assert finish("fit", table, "--resume", tmp_path / "stopped")[0] == 0

    names = ("whole", "killed", "stopped")
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in names]
    assert models[0] == models[1] == models[2]
    histories = [
        pq.read_table(tmp_path / name / "history.parquet").drop(["seconds"]) for name in names
    ]
    assert histories[0].equals(histories[1]) and histories[0].equals(histories[2])


def test_a_failure_after_training_loses_nothing(table, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"

    def fail(*_args, **_kwargs):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("harmonium.cli.work.write_history", fail)
        assert call("fit", table, "-o", run, *FEW) == 1
    assert "no space left" in capsys.readouterr().err
    assert not (run / "metrics.json").exists() and checkpoints(run)
    assert call("fit", table, "--resume", run) == 0
    assert tomllib.loads((run / "config.toml").read_text())["report"] is False
    assert not (run / "report.html").exists()
    assert json.loads((run / "metrics.json").read_text())["updates"] == 3
    assert not [path for path in run.iterdir() if path.name.startswith(".")]


def test_a_failure_before_training_leaves_the_old_run(table, tmp_path, monkeypatch):
    run = tmp_path / "run"
    assert call("fit", table, "-o", run, *QUICK) == 0
    old = (run / "model.safetensors").read_bytes()

    def fail(*_args, **_kwargs):
        raise OSError("a failure")

    with monkeypatch.context() as patch:
        patch.setattr("harmonium.cli.work.fit_density", fail)
        assert call("fit", table, "-o", run, *QUICK, "--overwrite", "--seed", "1") == 1
    assert (run / "model.safetensors").read_bytes() == old
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert call("fit", table, "-o", run, *QUICK, "--overwrite", "--seed", "1") == 0
    assert tomllib.loads((run / "config.toml").read_text())["seed"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_cannot_be_resumed(table, rows, tmp_path, capsys):
    run = tmp_path / "run"
    assert call("fit", table, "-o", run, *QUICK) == 0
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    other = tmp_path / "other.csv"
    np.savetxt(other, rows[:, :2] + 1, delimiter=",", header="a,b", comments="", fmt="%.6g")
    capsys.readouterr()
    for arguments, words in (
        ((other, "--resume", run), "not the table"),
        ((table, "--resume", run, "--updates", 9), "got --updates"),
        ((table, "--resume", run, "--no-detector"), "got --no-detector"),
        ((table, "--resume", run, "-o", tmp_path / "new"), "got --output"),
        ((table, "--resume", tmp_path / "none"), str(tmp_path / "none")),
        ((table, "--resume", tmp_path), "no config.toml"),
        ((table, "-o", tmp_path / "new", "--log-to", "paper"), "tensorboard"),
    ):
        assert call("fit", *arguments) == 2
        assert words in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_curves_go_to_tensorboard(table, tmp_path):
    run = tmp_path / "run"
    assert call("fit", table, "-o", run, *FEW, "--log-to", "tensorboard") == 0
    (events,) = (run / "tensorboard").iterdir()
    assert b"validation_log_likelihood" in events.read_bytes()


RECORD = {
    "update": 5.0,
    "seconds": 1.0,
    "event": "",
    "validation_log_likelihood": -2.5,
    "acceptance": 0.6,
}


def test_progress_in_plain_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("harmonium.inference.progress.PAUSE", 0.0)
    with fit_reports(PlainLines(errors), tmp_path, 10, logs=False) as tell:
        tell(RECORD)
        tell({**RECORD, "update": 8.0, "acceptance": 0.01})
        tell({**RECORD, "update": 5.0, "event": "a fault; returned"})
    begun, first, second, third, fourth = capsys.readouterr().err.strip().splitlines()
    assert (
        begun == "fitting"
        and first == "update 5 of 10, held-out -2.50 nats per row, acceptance 0.60, chains keep up"
    )
    assert "s left" in second and second.endswith("chains hardly move")
    assert third.endswith("repaired just now") and fourth == "update 5: a fault; returned"


class Screen(io.StringIO):
    """A terminal that keeps all it was sent."""

    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [Screen(), io.StringIO()], ids=["terminal", "file"])
def test_phases_are_shown_on_a_terminal_and_elsewhere(stream, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    console = Console(lambda: stream)
    with showing(console) as display:
        logging.getLogger("harmonium.learning.fit").info("estimating log Z")
        logging.getLogger("harmonium.inference").debug("256 of 500 rows")
        display.begin("fitting")
        display.note("update 5", done=5, total=10)
        console.print("a line that stays")
    shown = stream.getvalue()
    assert "estimating log Z" in shown and "fitting" in shown
    assert ("\x1b" in shown) == console.is_terminal == stream.isatty()
    assert not logging.getLogger("harmonium").handlers


def lines_of(sent):
    """What stands on a screen in the end, which knows how to erase a line."""
    text = sent.replace("\x1b[?7l", "").replace("\x1b[?7h", "")
    return [line.rpartition("\r\x1b[J")[2] for line in text.split("\n")]


def test_the_live_line_moves_by_itself_stays_below_and_goes(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("harmonium.cli.progress.REDRAWN_EVERY", 0.001)
    screen = Screen()
    console = Console(lambda: screen)
    with showing(console) as display:
        display.begin("reading a\nb")
        drawn = screen.getvalue()
        while screen.getvalue() == drawn:
            time.sleep(0.001)
        assert lines_of(screen.getvalue()) == ["reading a?b 0:00"]
        console.print("a line that stays")
        display.note("update 5", done=5, total=10)
        bar = "━" * 10 + "╌" * 10
        assert lines_of(screen.getvalue()) == [
            "a line that stays",
            f"reading a?b {bar} 0:00 update 5",
        ]
        display.note("so long " * 20, done=5, total=10)
        last = lines_of(screen.getvalue())[-1]
        assert len(last) == USUAL_WIDTH - 1 and last.endswith("…")
    assert lines_of(screen.getvalue()) == ["a line that stays", ""]


def on_screen(sent):
    """What stands on a screen in the end, which knows how to move up and erase."""
    lines = [""]
    for sign in re.findall(r"\x1b\[\d*[AJ]|\x1b\[\?7[lh]|\r|\n|[^\x1b\r\n]+", sent):
        if sign == "\n":
            lines.append("")
        elif sign.endswith("A"):
            del lines[-int(sign[2:-1]) :]
        elif sign == "\x1b[J":
            lines[-1] = ""
        elif not sign.startswith(("\x1b", "\r")):
            lines[-1] += sign
    return lines


def test_a_fit_has_one_live_block(monkeypatch, tmp_path):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("harmonium.cli.progress.REDRAWN_EVERY", 1000.0)
    screen = Screen()
    console = Console(lambda: screen)
    with showing(console) as display, fit_reports(display, tmp_path, 10, logs=False) as tell:
        known = {"Gaussian": -3.1, "mixture": -2.75}
        extra = {"is_result": True, "known": known}
        logging.getLogger("harmonium.inference").info("before training", extra=extra)
        tell({**RECORD, "update": 1.0})
        tell(RECORD)
        console.print("a warning that stays")
        warning, first, second, third = on_screen(screen.getvalue())
    assert warning == "a warning that stays"
    assert re.fullmatch(r"fitting ━{10}╌{10} 0:00 update 5 of 10, \d+ s left", first)
    assert second == "  held-out -2.50 nats per row (Gaussian -3.10, mixture -2.75)"
    assert third == "  acceptance 0.60, chains keep up"
    assert on_screen(screen.getvalue()) == ["a warning that stays", ""]


def test_a_screen_that_cannot_erase_gets_plain_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    screen = Screen()
    with showing(Console(lambda: screen)) as display:
        display.begin("fitting")
    assert screen.getvalue() == "fitting\n"


def test_commands_tell_their_phases(table, tmp_path, monkeypatch, capsys):
    assert call("fit", table, "-o", tmp_path / "run", *FEW) == 0
    lines = capsys.readouterr().err.splitlines()
    phases = [
        "reading table.csv",
        "table.csv: 200 rows x 2 columns",
        "fitting the marginals",
        "choosing the base",
        "compiling",
        "fitting",
        "estimating log Z",
        "scoring the held-out rows",
    ]
    assert [line for line in lines if line in phases] == phases
    holes = tmp_path / "holes.csv"
    holes.write_text("a,b\n1,\n,2\n")
    monkeypatch.setattr("harmonium.inference.progress.PAUSE", 0.0)
    monkeypatch.setenv("COLUMNS", "200")
    assert call("impute", tmp_path / "run", holes, "-o", tmp_path / "filled.csv") == 0
    *told, trust = capsys.readouterr().err.splitlines()
    rows = "2 of 2 rows with missing cells"
    phases = ["reading holes.csv", "2 rows done", "growing trees", rows, "filling holes.csv"]
    phases.append("2 rows done")
    assert told == phases
    assert trust.startswith("Trusted") and len(trust.split()) < 20


def test_an_interrupted_demo_says_what_to_do(tmp_path, monkeypatch, capsys):
    told = {}

    def stop(output, display, *, hint, **_):
        told["hint"] = hint
        return {"stopped": True}

    monkeypatch.setattr("harmonium.cli.demo.run_demo", stop)
    monkeypatch.setattr("harmonium.cli.demo.print_demo", lambda *_: None)
    assert call("demo", "-o", tmp_path / "demo") == 130
    expected = f"for the whole demo: harmonium demo -o {tmp_path / 'demo'} --overwrite"
    assert told["hint"] == expected and expected in capsys.readouterr().err


def test_the_first_interrupt_ends_training_only_once_it_has_begun(tmp_path, monkeypatch, capsys):
    codes = []
    monkeypatch.setattr("harmonium.cli.interrupts.os._exit", codes.append)
    folder = RunFolder(tmp_path / "run")
    interrupt = Interrupt(errors, folder, "to go on: harmonium demo")
    report = interrupt.also(lambda record: None)
    folder.begin()
    interrupt.handle()
    assert codes == [130] and not folder.path.exists()
    assert "nothing was written" in capsys.readouterr().err
    folder.begin()
    assert not report(RECORD)
    interrupt.handle()
    assert codes == [130] and report(RECORD)
    folder.checkpoints.mkdir()
    (folder.checkpoints / "checkpoint-00000003.safetensors").touch()
    interrupt.handle()
    assert codes == [130, 130] and "to go on: harmonium demo" in capsys.readouterr().err
