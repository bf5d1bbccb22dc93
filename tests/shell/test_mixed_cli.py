"""The command line on tables with categories, dates and holes."""

import json

import numpy as np
import pandas as pd
import pytest

from harmonium.cli.app import run
from harmonium.cli.given import parse_given
from harmonium.cli.options import parse_kinds
from harmonium.data import Field
from harmonium.errors import InvalidInputError
from harmonium.inference.conditions import Span


def call(*arguments):
    with pytest.raises(SystemExit) as stopped:
        run([str(argument) for argument in arguments])
    return stopped.value.code or 0


def mixed_rows(n=150):
    rng = np.random.default_rng(0)
    size = rng.normal(size=n)
    return pd.DataFrame(
        {
            "size": size,
            "color": np.where(size + 0.5 * rng.normal(size=n) > 0, "red", "blue"),
            "zip": rng.choice(["007", "010", "100"], n),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 60, n), "D"),
            "name": [f"row {i}" for i in range(n)],
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run on a holed table, and the table."""
    folder = tmp_path_factory.mktemp("mixed")
    rows = mixed_rows()
    holes = np.random.default_rng(1).random(rows.shape) < 0.2
    holes[:, -1] = False
    rows.mask(holes).to_csv(folder / "table.csv", index=False)
    code = call(
        "fit", folder / "table.csv", "-o", folder / "run", "--updates", 20, "--hidden", 6,
        "--no-report",
        "--effort", "quick", "--kind", "zip=categorical",
    )  # fmt: skip
    assert code == 0
    return folder


def test_imputed_tables_are_complete_and_keep_what_was_known(folder, capsys):
    assert call("impute", folder / "run", folder / "table.csv", "-o", folder / "filled.csv") == 0
    text = {"zip": str}
    given = pd.read_csv(folder / "table.csv", dtype=text)
    n_holes = given.isna().sum().sum()
    assert f"150 rows, {n_holes} cells filled -> " in capsys.readouterr().out
    filled = pd.read_csv(folder / "filled.csv", dtype=text)
    assert list(filled) == ["size", "color", "zip", "day", "name"]
    assert not filled.isna().any().any()
    assert (filled["name"] == given["name"]).all()
    for name in ("size", "color", "zip", "day"):
        known = given[name].notna()
        assert known.sum() < len(given)
        if name == "size":
            np.testing.assert_allclose(filled[name][known], given[name][known])
        else:
            assert (filled[name][known].str[:10] == given[name][known].str[:10]).all()
    days = pd.to_datetime(filled["day"])
    assert (days == days.dt.normalize()).all()
    assert set(filled["zip"]) <= {"007", "010", "100"} and set(filled["color"]) <= {"red", "blue"}


def test_draws_are_numbered_tables(folder):
    output = folder / "draws.parquet"
    assert call("impute", folder / "run", folder / "table.csv", "--draws", 2, "-o", output) == 0
    drawn = pd.read_parquet(output)
    first, second = (part.drop(columns="draw") for _, part in drawn.groupby("draw"))
    assert len(first) == len(second) == 150
    assert not first.reset_index(drop=True).equals(second.reset_index(drop=True))
    assert list(first["name"]) == list(second["name"]) == [f"row {i}" for i in range(150)]


def test_samples_have_no_names(folder):
    assert call("sample", folder / "run", "-n", 5, "-o", folder / "new.csv") == 0
    assert list(pd.read_csv(folder / "new.csv")) == ["size", "color", "zip", "day"]
    assert call("score", folder / "run", folder / "new.csv") == 0


def test_samples_keep_to_what_is_given(folder):
    arguments = (
        "--given", "color=red|blue", "--given", "size>0.2", "--given", "size<=1",
        "--given", "zip=007", "--given", "day>=2024-01-20",
    )  # fmt: skip
    new = folder / "given.csv"
    assert call("sample", folder / "run", "-n", 40, *arguments, "-o", new) == 0
    drawn = pd.read_csv(new, dtype={"zip": str})
    assert set(drawn["color"]) == {"red", "blue"} and set(drawn["zip"]) == {"007"}
    assert drawn["size"].between(0.2, 1.0).all() and min(drawn["day"]) >= "2024-01-20"
    balanced = folder / "balanced.csv"
    assert call("sample", folder / "run", "-n", 30, "--balance", "zip", "-o", balanced) == 0
    assert set(pd.read_csv(balanced, dtype=str)["zip"].value_counts()) == {10}


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["color=green"], "--given: expected 'color' among ['blue', 'red']; got 'green'"),
        (["width=3"], "--given: expected columns among ['size', 'color'"),
        (["size>2", "size<1"], "--given: expected low < high for 'size'"),
        (["size~2"], "--given: expected COLUMN=VALUE"),
        (["size=large"], "--given: expected a number for 'size'; got 'large'"),
    ],
)
def test_what_cannot_be_given_is_told_in_a_line(folder, capsys, texts, words):
    given = [argument for text in texts for argument in ("--given", text)]
    assert call("sample", folder / "run", *given) == 2
    assert words in capsys.readouterr().err


GIVEN = {
    "a>=b=3": {"a>=b": "3"},
    "a<2": {"a": Span(high="2", excludes_high=True)},
    "a >= 2": {"a": Span(low="2")},
    "a>=b>1": {"a>=b": Span(low="1", excludes_low=True)},
    "c=x|y": {"c": "x|y"},
    "c=x|z": {"c": frozenset({"x", "z"})},
    "f=true": {"f": True},
    "f=maybe": {"f": "maybe"},
    "other<=3": {"other": Span(high="3")},
}


@pytest.mark.parametrize("text", GIVEN)
def test_what_is_given_is_read(text):
    """Names of columns and categories may hold operators."""
    category = Field("c", "text", "categorical", ("x", "x|y", "z"))
    fields = (Field("a"), Field("a>=b"), category, Field("f", "boolean"))
    assert parse_given([text], fields) == GIVEN[text]


@pytest.mark.parametrize("texts", [["a>1", "a>2"], ["a=1", "a=2"], ["a=1", "a<2"], ["a="], ["=1"]])
def test_what_is_given_twice_or_not_at_all_is_refused(texts):
    with pytest.raises(InvalidInputError, match="--given"):
        parse_given(texts, (Field("a"),))


def test_what_is_given_in_another_form_is_refused():
    with pytest.raises(InvalidInputError, match="one for each end of an interval; got '1<a<2'"):
        parse_given(["1<a<2"], (Field("a"),))


def test_kinds_are_kept_in_the_configuration(folder):
    assert '[kinds]\nzip = "categorical"' in (folder / "run" / "config.toml").read_text()


@pytest.mark.slow
def test_detected_rows_have_reasons_in_words(folder):
    output = folder / "flagged.csv"
    arguments = ("detect", folder / "run", folder / "table.csv", "--explain", 1, "-o", output)
    assert call(*arguments) == 0
    found = pd.read_csv(output)
    assert len(found) == 150
    assert not found[["score", "p_value", "flagged"]].isna().to_numpy().any()
    assert set(found["reason_1"].dropna()) <= {"size", "color", "zip", "day"}


@pytest.mark.slow
def test_large_tables_are_sampled(folder, tmp_path, capsys):
    code = call(
        "fit", folder / "table.csv", "-o", tmp_path / "run", "--updates", 20, "--hidden", 6,
        "--no-report",
        "--base", "gaussian", "--no-detector", "--max-rows", 100,
    )  # fmt: skip
    assert code == 0 and "100 of 150 rows at a time" in capsys.readouterr().err
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (metrics["rows"], metrics["rows_in_memory"]) == (150, 100)


def test_an_unseen_text_is_no_error_but_a_text_for_a_number_is(folder, tmp_path, capsys):
    rows = mixed_rows(3).assign(color="green")
    rows.to_csv(tmp_path / "new.csv", index=False)
    assert call("score", folder / "run", tmp_path / "new.csv") == 0
    rows.assign(size=["1", "2", "large"]).to_csv(tmp_path / "bad.csv", index=False)
    assert call("score", folder / "run", tmp_path / "bad.csv") == 2
    message = capsys.readouterr().err
    assert "'large'" in message and f"error: {tmp_path / 'bad.csv'}: expected" in message


def test_an_unseen_category_is_told_apart_from_a_missing_cell(folder, tmp_path, capsys):
    mixed_rows(3).assign(color=["green", None, "red"]).to_csv(tmp_path / "new.csv", index=False)
    assert call("detect", folder / "run", tmp_path / "new.csv", "--json") == 0
    lowest = json.loads(capsys.readouterr().out)["lowest"]
    reasons = {row["row"]: " ".join(row["reasons"]) for row in lowest}
    assert "color = green is a category that no training row has" in reasons[1]
    assert "color" not in reasons[2]


@pytest.mark.parametrize("text", ["zip", "zip=", "=categorical"])
def test_kinds_that_cannot_be_read(text):
    with pytest.raises(InvalidInputError, match="COLUMN=KIND"):
        parse_kinds([text], [])


def test_kinds_are_read():
    assert parse_kinds(["a=b=continuous"], []) == {"a=b": "continuous"}


def test_draws_beyond_the_training_rows_are_not_trusted(folder, capsys):
    arguments = ("sample", folder / "run", "-n", 5, "--json", "--given")
    assert call(*arguments, "size>1e6") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["draws_trusted"] is False
    assert "training has 'size' from" in found["draws_verdict"]
    assert call(*arguments, "size>0.5") == 0
    assert json.loads(capsys.readouterr().out)["draws_trusted"] is True


def test_values_beyond_the_training_rows_are_not_trusted_either(folder, capsys):
    """Also where chains take over from weighted draws."""
    arguments = ("sample", folder / "run", "-n", 5, "--json", "--given")
    assert call(*arguments, "size=1000") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["draws_trusted"] is False
    assert "training has 'size' from" in found["draws_verdict"]
