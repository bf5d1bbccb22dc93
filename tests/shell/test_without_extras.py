"""Kind of truth: shell. What is done, and said, where the packages that draw are not installed."""

import json
import sys

import numpy as np
import pytest
from shell.test_cli import call

from harmonium.errors import InvalidInputError
from harmonium.report import draw_image_grids, draw_training_curve, write_report
from harmonium.report.images import gray_picture

HINT = "pip install 'harmonium[report]'"
QUICK = ("--effort", "quick", "--no-detector")


@pytest.fixture(params=[("matplotlib",), ("jinja2", "matplotlib")], ids=" and ".join)
def missing(request, monkeypatch):
    """The names of packages that cannot be imported."""
    for name in request.param:
        monkeypatch.setitem(sys.modules, name, None)
    return " and ".join(request.param)


@pytest.fixture(scope="module")
def table(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("data") / "table.csv"
    np.savetxt(path, rows[:, :2], delimiter=",", header="a,b", comments="", fmt="%.6g")
    return path


def test_a_fit_says_that_there_is_no_report_and_writes_all_else(table, tmp_path, missing, capsys):
    run = tmp_path / "run"
    assert call("fit", table, "-o", run, *QUICK) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "report" in line]
    again = f"harmonium report {run} DATA"
    assert told == [
        f"no report was written, because {missing} is missing. Try: {HINT}, then {again}"
    ]
    names = {"model.safetensors", "config.toml", "history.parquet", "metrics.json"}
    names |= {"card.json", "card.md"}
    assert names <= {path.name for path in run.iterdir()} <= names | {"checkpoints"}
    assert json.loads((run / "metrics.json").read_text())["rows"] == 200


def test_what_draws_is_refused_before_any_work(table, tmp_path, missing, monkeypatch, capsys):
    monkeypatch.setattr("harmonium.cli.plans.sample_rows", None)
    for arguments in (
        ("fit", table, "-o", tmp_path / "run", *QUICK, "--report"),
        ("report", tmp_path, "-o", tmp_path / "report.html"),
        ("demo", "-o", tmp_path / "demo"),
    ):
        assert call(*arguments) == 2
        told = capsys.readouterr().err
        assert missing in told and HINT in told and len(told.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "draw",
    [
        lambda path: write_report(path, None),
        lambda path: draw_training_curve(path, []),
        lambda path: draw_image_grids(path, [], limits=(0.0, 1.0)),
    ],
    ids=["write_report", "draw_training_curve", "draw_image_grids"],
)
def test_functions_say_what_is_missing(draw, missing, tmp_path):
    with pytest.raises(InvalidInputError, match=r"without .*matplotlib.*Try: pip install"):
        draw(tmp_path / "file")


def test_with_them_pictures_are_drawn():
    picture = gray_picture(np.eye(3), (0.0, 1.0), "a label", "a caption")
    assert picture.uri.startswith("data:image/png;base64,") and picture.width == 3
