"""What the command line says of itself: help with examples, version, completion, and a doctor."""

import itertools
import json
import re
import subprocess
import sys

import pytest

import harmonium
from harmonium.cli.app import _show_warning, app, run

COMMANDS = [command.callback.__name__ for command in app.registered_commands]


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        run([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_on_a_line_of_its_own(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert call(command, "--help") == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    examples = [line for line in lines if line.startswith(f"Example: harmonium {command}")]
    assert len(examples) == 1
    # Unwrapped: a paragraph of its own, of one line.
    after = lines.index(examples[0]) + 1
    assert lines[after - 2] == "" and lines[after] == ""


@pytest.mark.parametrize("choice", ["auto", "normal", "full", "1500"])
def test_the_help_of_fit_has_its_defaults_in_panels(choice, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert call("fit", "--help") == 0
    printed = capsys.readouterr().out
    assert f"[default: {choice}]" in printed and "[default: (" not in printed
    common, *others = re.split("─ (?:Model|Detector and report|Devices and clusters) ─", printed)
    assert len(others) == 3
    assert "--effort" in common and "--coordinator" not in common and "--hidden" not in common


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_breaks_lines_between_words_and_only_where_it_must(
    command, width, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", str(width))
    assert call(command, "--help") == 0
    head = capsys.readouterr().out.partition("╭")[0].splitlines()
    lines = [line.strip() for line in head]
    for line, after in itertools.pairwise(lines):
        if line and after:
            # The next word did not fit.
            assert len(line) + 1 + len(after.split()[0]) > width - 4, (line, after)


def test_quiet_is_an_option_of_every_command_and_silences_progress_alone(tmp_path, capsys):
    path = tmp_path / "table.csv"
    path.write_text(NUMBERS + "2,8\n" * 3)
    options = ("--no-detector", "--no-report", "--effort", "quick")
    for quiet in ([], ["--quiet"]):
        run_folder = tmp_path / f"run{len(quiet)}"
        assert call("fit", path, "-o", run_folder, *options, *quiet) == 0
        printed = capsys.readouterr()
        assert "chosen" in printed.out and "rows are few" in printed.err
        assert ("fitting the marginals" in printed.err) == ("Next: " in printed.err) == (not quiet)
    assert call("--quiet", "score", tmp_path / "nothing", path) == 2
    assert "error:" in capsys.readouterr().err


def test_a_warning_is_shown_once(capsys):
    for text in ("a column is left out", "a column is left out", "another"):
        _show_warning(text)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["warning: a column is left out", "warning: another"]


# A service answers in JSON itself.
@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "serve"])
def test_every_command_speaks_json(command, capsys):
    call(command, "--help")
    assert "--json" in capsys.readouterr().out


NUMBERS = "a,b\n" + "1,2\n3.5,4\n5,6.25\n7,1\n" * 3
ADVICE = {
    "text among numbers": (f"{NUMBERS}x,1\n", (), "state --missing x if it stands for"),
    "a fraction": (NUMBERS, ("--kind", "b=integer"), "Try: --kind b=continuous."),
    "a name with a space": (
        NUMBERS.replace("a,", "a b,"),
        ("--kind", "a b=integer"),
        "Try: --kind 'a b=continuous'.",
    ),
    "an unknown kind": (NUMBERS, ("--kind", "a=odd"), "a kind among 'continuous', 'integer'"),
    "an unknown column": (NUMBERS, ("--kind", "c=integer"), "got --kind or --drop for 'c'"),
    "a header alone": ("a,b\n", (), "expected at least 1 row(s) and 1 column; got 0 and 2."),
    "few rows": ("a,b\n1,2\n3,4\n", (), "at least 8 rows; got 2 rows."),
    "no updates": (NUMBERS, ("--updates", "0"), "error: --updates: expected a whole number"),
    "no objective": (NUMBERS, ("--objective", "odd"), "error: --objective: expected one of"),
    "no effort": (NUMBERS, ("--effort", "odd"), "error: --effort: expected one of"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "options", "words"), ADVICE.values(), ids=ADVICE.keys())
def test_advice_is_about_options(content, options, words, tmp_path, capsys):
    path = tmp_path / "table.csv"
    path.write_text(content)
    assert call("fit", path, "-o", tmp_path / "run", "--no-detector", *options) == 2
    told = capsys.readouterr().err
    assert words in told and "kinds" not in told and "(X" not in told


def test_a_path_is_told_as_it_was_typed(tmp_path, capsys):
    rows, nothing = tmp_path / "table.csv", tmp_path / "nothing"
    rows.write_text(NUMBERS)
    for model in (rows, nothing):
        assert call("score", model, rows) == 2
        told = capsys.readouterr().err
        assert told.startswith(f"error: {model}: ") and "()" not in told
    damaged = tmp_path / "damaged.npy"
    damaged.write_text("no array")
    assert call("fit", damaged, "-o", tmp_path / "run") == 2
    words = "a NumPy file of numbers; got 'damaged.npy' (a file of another format).\n"
    assert capsys.readouterr().err.endswith(words)


def test_version_and_completion(capsys, monkeypatch):
    assert call("--version") == 0
    assert capsys.readouterr().out == f"harmonium {harmonium.__version__}\n"
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    assert call("--show-completion", "bash") == 0
    assert "_HARMONIUM_COMPLETE" in capsys.readouterr().out


def test_the_package_runs_as_the_command():
    found = subprocess.run(
        [sys.executable, "-m", "harmonium", "--version"], capture_output=True, text=True, check=True
    )
    assert found.stdout == f"harmonium {harmonium.__version__}\n"


def test_the_doctor_finds_this_machine_well(capsys):
    assert call("doctor") == 0
    printed = capsys.readouterr().out
    assert printed.count("PASS") == 5 and "FAIL" not in printed
    assert call("doctor", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["passed"] and found["float_bits"] == 32
    assert found["versions"]["harmonium"]


def test_the_doctor_tells_of_a_machine_that_computes_wrongly(capsys, monkeypatch):
    def broken(_):
        raise OSError("no such device")

    monkeypatch.setattr("harmonium.exact_log_partition", lambda _: 6.5)
    monkeypatch.setattr("harmonium.cli.checkup._draw", broken)
    assert call("doctor", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    failed = {check["name"] for check in found["checks"] if not check["passed"]}
    assert failed == {"log Z by enumeration", "sampling"}
    assert call("doctor") == 1
    assert "FAIL  sampling: OSError: no such device" in capsys.readouterr().out
