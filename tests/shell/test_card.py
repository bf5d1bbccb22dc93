"""Kind of truth: the run itself. Every figure of a model card is one of its run."""

import json
import re
import tomllib

import numpy as np
import pandas as pd
import pytest
from shell.test_cli import call

from harmonium import load
from harmonium.artifact import load_artifact
from harmonium.cli.run_card import card_of_run
from harmonium.report.card_page import card_markdown

QUICK = ("--effort", "quick", "--no-report")
HOLES = {"a | b": 3, "kind": 2}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    found = pd.DataFrame(
        {
            "a | b": rng.normal(size=160),
            "count": rng.poisson(4.0, 160).astype(float),
            "kind": rng.choice(["u", "v"], 160),
            "day": pd.date_range("2020-01-01", periods=160).strftime("%Y-%m-%d"),
        }
    )
    for column, n in HOLES.items():
        found.loc[10 : 9 + n, column] = None
    return found


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, table):
    folder = tmp_path_factory.mktemp("cards")
    table.to_csv(folder / "t.csv", index=False)
    assert call("fit", folder / "t.csv", "-o", folder / "run", *QUICK) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def card(run_folder):
    return json.loads((run_folder / "card.json").read_text())


def numbers_of(value):
    """All numbers inside of plain values."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return {number for item in value for number in numbers_of(item)}
    return (
        {float(value)} if isinstance(value, int | float) and not isinstance(value, bool) else set()
    )


def test_fit_and_the_command_make_the_same_card(run_folder, card, capsys):
    assert card_of_run(run_folder) == card
    capsys.readouterr()
    assert call("card", run_folder, "--json") == 0
    assert json.loads(capsys.readouterr().out) == card
    assert call("card", run_folder) == 0
    assert capsys.readouterr().out == (run_folder / "card.md").read_text()


def test_every_figure_comes_from_the_run(run_folder, card):
    metrics = json.loads((run_folder / "metrics.json").read_text())
    config = tomllib.loads((run_folder / "config.toml").read_text())
    density = load(run_folder).density_
    detector = load_artifact(run_folder / "detector.safetensors")
    coordinates = density.coordinates
    n = len(detector.detector.calibration)
    known = numbers_of([metrics, config]) | set(coordinates.lowest) | set(coordinates.highest)
    known |= {n, 1 / (n + 1), detector.offset, *density.columns.constant}
    # The shapes of the model, the numbers of columns and categories, and the level of an interval.
    known |= {density.model.n_hidden, density.model.n_visible, 2, sum(HOLES.values()), 95}
    assert numbers_of(card) - known == set()


def test_the_card_counts_rows_holes_and_categories(run_folder, card, table):
    data = {own["name"]: own for own in card["data"]["columns"]}
    assert card["data"]["rows"] == len(table) and card["data"]["n_missing"] == 5
    assert {name: own["missing"] for name, own in data.items()} == {
        name: HOLES.get(name, 0) for name in table
    }
    assert data["kind"]["categories"] == ["u", "v"] and data["kind"]["n_categories"] == 2
    assert data["count"]["lowest"] == table["count"].min()
    assert data["a | b"]["highest"] == table["a | b"].max()
    metrics = json.loads((run_folder / "metrics.json").read_text())
    assert card["held_out"] == metrics["held_out"]
    assert card["log_partition"]["low"] <= card["log_partition"]["value"]
    assert card["data"]["fingerprint"] == metrics["fingerprint"]
    assert card["training"]["seconds"] == metrics["seconds"]


def rounded(number):
    """All ways in which the page shows a number."""
    return {f"{number:.5g}", f"{number:g}", str(number), f"{number:.0f}", f"{number:+.4g}"}


def test_every_figure_of_the_page_is_one_of_the_fields(card):
    page = card_markdown(card)
    # Sentences of the run stand in the page as they are, but for signs that would steer it.
    texts = re.findall(r'"(?:[^"\\]|\\.)*"', json.dumps(card, ensure_ascii=False))
    spelled = {number for text in texts for number in re.findall(r"\d+(?:\.\d+)?", text)}
    found = card["held_out"]
    gains = {found["log_likelihood"] - found[own] for own in ("independent", "gaussian", "base")}
    shown = {text for number in numbers_of(card) | gains for text in rounded(number)}
    shown |= {str(len(card["data"]["columns"])), "2020-01-01", "2020-06-08"}
    figures = re.findall(r"(?<![\w.])[+-]?\d[\w.+-]*\w|(?<![\w.])\d", page)
    strange = [own for own in figures if own not in shown and own.strip("+-") not in spelled]
    strange = [own for own in strange if not set(re.findall(r"\d+(?:\.\d+)?", own)) <= spelled]
    assert strange == []


def test_numbers_of_the_page_have_no_exponents_before_the_point(card):
    data = card["data"] | {"columns": [card["data"]["columns"][0] | {"missing": 0}]}
    data["columns"][0] |= {"form": "integer", "lowest": 100_000.0, "highest": 101_797.0}
    data["columns"][0].pop("categories", None)
    assert "100000 to 101797" in card_markdown(card | {"data": data})


def test_names_do_not_steer_the_page(card):
    rows = [line for line in card_markdown(card).splitlines() if line.startswith("| a ")]
    assert rows and all(r"a \| b" in row for row in rows)


def test_what_a_model_must_not_be_used_for_follows_from_its_verdicts(card):
    assert card["trusted"] and any("quoted" in own for own in card["uses"])
    run = {"trusted": False, "draws_look_like_rows": False}
    page = card_markdown(card | run | {"uses": [], "not_for": ["Nothing."], "warnings": []})
    assert "may NOT be quoted" in page and "- Nothing." in page and "- None." in page


def test_wrong_files_are_refused_in_a_line(run_folder, tmp_path, capsys):
    assert call("card", run_folder / "detector.safetensors") == 2
    assert "holds a detector" in capsys.readouterr().err
    assert call("card", run_folder, "-o", tmp_path / "card.docx") == 2
    assert ".md, .json" in capsys.readouterr().err
    assert call("card", run_folder, "-o", tmp_path / "card.json") == 0
    assert json.loads((tmp_path / "card.json").read_text())["name"] == "run"
    assert [path.name for path in tmp_path.iterdir()] == ["card.json"]
