"""What the command line says of itself: help with examples, version, completion, and a doctor."""

import json

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


@pytest.mark.parametrize("choice", ["auto", "likelihood", "full", "3000"])
def test_the_help_of_fit_tells_its_defaults(choice, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert call("fit", "--help") == 0
    assert f"[default: ({choice})]" in capsys.readouterr().out


def test_a_warning_is_shown_once(capsys):
    for text in ("a column is left out", "a column is left out", "another"):
        _show_warning(text)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["warning: a column is left out", "warning: another"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_speaks_json(command, capsys):
    call(command, "--help")
    assert "--json" in capsys.readouterr().out


def test_version_and_completion(capsys, monkeypatch):
    assert call("--version") == 0
    assert capsys.readouterr().out == f"harmonium {harmonium.__version__}\n"
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    assert call("--show-completion", "bash") == 0
    assert "_HARMONIUM_COMPLETE" in capsys.readouterr().out


def test_the_doctor_finds_this_machine_well(capsys):
    assert call("doctor") == 0
    printed = capsys.readouterr().out
    assert printed.count("PASS") == 4 and "FAIL" not in printed
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
