"""What people give to commands: tables as they have them, wrong paths, columns of no use."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from shell.test_cli import call

QUICK = ("--effort", "quick", "--no-report")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A German table, the same as usual, and a run on the first that drops a column."""
    folder = tmp_path_factory.mktemp("input")
    rng = np.random.default_rng(0)
    size = rng.normal(size=150)
    frame = pd.DataFrame(
        {
            "nr": range(1, 151),
            "size": size.round(3),
            "sex": np.where(size + 0.5 * rng.normal(size=150) > 0, "male", "female"),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 60, 150), "D"),
            "secret": rng.normal(size=150).round(3),
        }
    )
    german = frame.assign(day=frame["day"].dt.strftime("%d.%m.%Y"))
    german.to_csv(folder / "german.csv", sep=";", decimal=",", index=False, encoding="utf-16")
    frame.to_csv(folder / "plain.csv", index=False)
    options = ("--drop", "secret", *QUICK)
    assert call("fit", folder / "german.csv", "-o", folder / "run", *options) == 0
    return folder


def scores(folder, table, *options):
    output = folder / "scores.csv"
    assert call("score", folder / "run", table, "-o", output, "--overwrite", *options) == 0
    return pd.read_csv(output)["log_density"].to_numpy()


def test_a_fit_says_how_it_read_the_table(folder, tmp_path, capsys):
    options = ("--drop", "secret", "--no-detector", *QUICK)
    assert call("fit", folder / "german.csv", "-o", tmp_path / "run", *options) == 0
    told = capsys.readouterr().err
    assert "separated by semicolons, numbers have decimal commas and the encoding is utf-16" in told
    assert "columns left out: 'nr' numbers the rows. To keep one: --kind nr=integer." in told
    assert "secret" not in told


@pytest.mark.parametrize("command", ["score", "detect", "impute", "evaluate", "features"])
def test_every_command_reads_it_alike(command, folder, tmp_path):
    results = []
    for name, stated in (
        ("plain.csv", ()),
        ("german.csv", ()),
        ("german.csv", ("--sep", ";", "--decimal", ",", "--encoding", "utf-16")),
    ):
        output = tmp_path / "out.csv"
        arguments = (folder / "run", folder / name, "-o", output, "--overwrite", *stated)
        if command == "impute":
            arguments += ("--trees", 0)
        assert call(command, *arguments) == 0
        # Dropped columns are written as they stand in the file, and so is text beside results.
        as_they_stand = ["secret", "day"] if command == "detect" else ["secret"]
        results.append(pd.read_csv(output).drop(columns=as_they_stand, errors="ignore"))
    for result in results[1:]:
        pd.testing.assert_frame_equal(result, results[0])


def test_a_table_may_lack_a_dropped_column(folder, capsys):
    whole = scores(folder, folder / "plain.csv")
    assert "ignored" not in capsys.readouterr().err
    frame = pd.read_csv(folder / "plain.csv")
    frame.drop(columns=["secret", "nr"]).to_csv(folder / "without.csv", index=False)
    frame.assign(secret="x").to_csv(folder / "other.csv", index=False)
    np.testing.assert_array_equal(scores(folder, folder / "without.csv"), whole)
    np.testing.assert_array_equal(scores(folder, folder / "other.csv"), whole)


def test_what_a_model_does_not_know_is_named(folder, capsys):
    frame = pd.read_csv(folder / "plain.csv").assign(extra=1.0)
    frame.replace("male", "MALE").to_csv(folder / "odd.csv", index=False)
    scores(folder, folder / "odd.csv")
    told = capsys.readouterr().err
    assert "columns that training did not have are ignored: 'extra'." in told
    assert (
        "column 'sex' has categories that training has not seen: 'MALE' (nearest: 'male')" in told
    )


def test_a_dialect_that_is_wrong_is_refused_in_the_words_of_options(folder, capsys):
    arguments = ("score", folder / "run", folder / "german.csv")
    assert call(*arguments, "--decimal", "#") == 2
    assert "error: --decimal: expected" in capsys.readouterr().err
    assert call(*arguments, "--encoding", "utf-8") == 2
    assert "--encoding latin-1" in capsys.readouterr().err
    table = folder / "open.csv"
    table.write_text("a;b\n" + "1,234;1\n" * 20)
    assert call("fit", table, "-o", folder / "open", *QUICK) == 2
    assert "--decimal ',' or --decimal '.'" in capsys.readouterr().err


@pytest.mark.parametrize("drop", [("--drop", "none"), ("--drop", "a", "--kind", "a=integer")])
def test_a_column_that_cannot_be_dropped(drop, tmp_path, capsys):
    (tmp_path / "t.csv").write_text("a,b\n" + "1,2\n3.5,4\n" * 10)
    assert call("fit", tmp_path / "t.csv", "-o", tmp_path / "run", *drop) == 2
    assert "--drop" in capsys.readouterr().err


WRONG = {
    "fit": ("fit", "tabel.csv", "-o", "run"),
    "score": ("score", "tabel.csv", "table.csv"),
    "evaluate": ("evaluate", "table.csv", "table.csv", "--samples", "--train", "tabel.csv"),
    "detect": ("detect", "table.csv", "table.csv", "--calibrate", "tabel.csv"),
    "report": ("report", "table.csv", "tabel.csv"),
}


@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_path_is_named_before_any_import(arguments, tmp_path):
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    program = (
        "import atexit, sys; from harmonium.cli import main; "
        "atexit.register(lambda: print(*sorted(sys.modules))); main()"
    )
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    told = "error: tabel.csv: there is no such file or folder. Did you mean table.csv?\n"
    assert done.stderr == told
    assert not {"numpy", "jax", "pyarrow"} & set(done.stdout.split())


def test_a_refused_file_ends_in_words_every_time(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n1,2,3\n" + "1,2\n" * 10**6)
    program = (
        "import sys\nfrom harmonium.data import sample_rows\n"
        "from harmonium.errors import InvalidInputError\n"
        "try:\n    sample_rows(sys.argv[1], 10, seed=0)\n"
        "except InvalidInputError:\n    sys.exit(2)"
    )
    for _ in range(5):
        command = [sys.executable, "-c", program, str(path)]
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
        assert done.returncode == 2 and done.stderr == b""
