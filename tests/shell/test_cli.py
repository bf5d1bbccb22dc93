"""The command line as a user types it: outputs, exit codes, and nothing half-written."""

import json
import shlex
import subprocess
import sys
import tomllib

import numpy as np
import pyarrow.parquet as pq
import pytest

from harmonium import load
from harmonium.cli.app import run
from harmonium.errors import ArtifactError

FIT = ["--updates", "6", "--hidden", "6", "--seed", "3"]
# What is not about training need not train.
QUICK = ["--effort", "quick", "--no-detector", "--no-report"]


def call(*arguments: object) -> int:
    """Run a command in this process; returns its exit code."""
    with pytest.raises(SystemExit) as stop:
        run([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def table(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("data") / "table.csv"
    np.savetxt(path, rows[:, :3], delimiter=",", header="a,b,count", comments="", fmt="%.6g")
    return path


@pytest.fixture(scope="module")
def fitted_run(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("runs") / "run"
    assert call("fit", table, "-o", path, *FIT, "--objective", "noise-contrastive") == 0
    return path


def test_fit_writes_a_complete_run(fitted_run):
    names = {path.name for path in fitted_run.iterdir()}
    assert names == {
        "model.safetensors",
        "detector.safetensors",
        "config.toml",
        "history.parquet",
        "metrics.json",
        "checkpoints",
        "report.html",
        "card.json",
        "card.md",
    }
    config = tomllib.loads((fitted_run / "config.toml").read_text())
    assert config["effort"] == "normal" and config["marginals"] == "auto"
    assert config["detector"]["contamination"] == "auto"
    metrics = json.loads((fitted_run / "metrics.json").read_text())
    assert metrics["updates"] == 6
    assert 0 <= metrics["kept_update"] <= 6
    assert "log Z" in metrics["verdict"]
    assert metrics["chosen"]["base"] in ("gaussian", "mixture")
    assert metrics["chosen"]["stages"][0]["name"] == "independent columns"
    assert {own["name"] for own in metrics["chosen"]["candidates"]} > {"gaussian"}
    assert metrics["judgment"]["n_rows"] == 180
    history = pq.read_table(fitted_run / "history.parquet")
    assert history["update"].to_pylist()[-1] == 6


def test_score_prints_a_summary_and_writes_all_rows(fitted_run, table, tmp_path, capsys):
    out = tmp_path / "scores.csv"
    assert call("score", fitted_run / "model.safetensors", table, "-o", out) == 0
    assert out.read_text().splitlines()[0].replace('"', "") == "log_density,free_energy"
    written = np.genfromtxt(out, delimiter=",", skip_header=1)[:, 0]
    capsys.readouterr()
    assert call("score", fitted_run, table) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    facts = dict(line.rsplit(maxsplit=1) for line in lines[1:8])
    facts = {name.strip(): float(value) for name, value in facts.items()}
    assert "nats per row" in lines[0] and len(lines) == 9
    assert facts["rows"] == len(written) == 200
    assert facts["mean"] == pytest.approx(written.mean(), abs=2e-3)
    assert facts["median"] == pytest.approx(np.median(written), abs=2e-3)
    assert f"lowest rows  {np.argmin(written) + 1} (" in lines[8]
    assert "-o FILE.csv" in printed.err


def test_score_as_json(fitted_run, table, capsys):
    capsys.readouterr()
    assert call("score", fitted_run, table, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["rows"] == 200
    assert np.mean(answer["log_density"]) == pytest.approx(answer["mean_log_density"])


def test_sample_gives_rows_that_can_be_scored(fitted_run, tmp_path, capsys):
    out = tmp_path / "new.csv"
    assert call("sample", fitted_run, "-n", 20, "-o", out) == 0
    assert call("score", fitted_run, out) == 0
    capsys.readouterr()
    assert call("sample", fitted_run, "-n", 3) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "a,b,count"
    assert len(lines) == 4
    assert all("." not in line.split(",")[2] for line in lines[1:])


def test_same_seed_same_file(fitted_run, tmp_path):
    for name in ("one.csv", "two.csv"):
        assert call("sample", fitted_run, "-n", 5, "--seed", 1, "-o", tmp_path / name) == 0
    assert (tmp_path / "one.csv").read_text() == (tmp_path / "two.csv").read_text()


def test_an_existing_run_is_kept_unless_told_otherwise(fitted_run, table, capsys):
    before = (fitted_run / "metrics.json").read_text()
    assert call("fit", table, "-o", fitted_run, *FIT) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (fitted_run / "metrics.json").read_text() == before


def test_fit_needs_no_option(table, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    assert call("fit", table, *QUICK) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("200 rows x 3 columns -> table-run (")
    assert max(map(len, printed.out.splitlines())) <= 80
    assert (tmp_path / "table-run" / "model.safetensors").is_file()
    assert f"Next: harmonium score table-run {table} -o scores.csv" in printed.err
    assert call("fit", table, *QUICK) == 2
    assert "table-run exists already" in capsys.readouterr().err


def test_the_result_of_a_fit_names_what_was_found_and_what_is_next(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(120, 2))
    rows = np.column_stack([rows[:, 0], rows[:, 0] + 0.1 * rows[:, 1]])
    rows[7, 1] += 9
    path = tmp_path / "my table.csv"
    names = [f"r{i}" for i in range(120)]
    lines = [
        "who,a,b",
        *(f"{who},{a:.4f},{b:.4f}" for who, (a, b) in zip(names, rows, strict=True)),
    ]
    lines[4] = f"r3,,{rows[3, 1]:.4f}"
    path.write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("COLUMNS", "300")
    run_folder = tmp_path / "run"
    assert call("fit", path, "-o", run_folder, "--id", "who", "--effort", "quick") == 0
    printed = capsys.readouterr()
    assert "found    1 missing cell; the oddest row is row 8: " in printed.out
    assert f"report   {run_folder / 'report.html'}" in printed.out
    (advice,) = (line for line in printed.err.splitlines() if line.startswith("Next: "))
    command = shlex.split(advice.removeprefix("Next: harmonium "))
    assert call(*command[:-1], tmp_path / "found.csv", "--top", 1) == 0
    listed = capsys.readouterr().out.splitlines()
    assert listed[1].split()[:2] == ["row", "who"] and listed[2].split()[:2] == ["8", "r7"]
    assert call("fit", path, "-o", tmp_path / "no", "--id", "nobody") == 2
    told = capsys.readouterr().err
    assert "--id: expected a column" in told and "'who'" in told


def test_a_run_folder_is_loaded_as_the_command_line_takes_it(fitted_run, table, tmp_path):
    whole, file = load(fitted_run), load(fitted_run / "model.safetensors")
    rows = np.genfromtxt(table, delimiter=",", skip_header=1)[:5]
    np.testing.assert_array_equal(whole.score_samples(rows), file.score_samples(rows))
    with pytest.raises(ArtifactError, match="a folder without a model.safetensors"):
        load(tmp_path)


def test_errors_come_before_any_progress(fitted_run, capsys):
    for options in (("--given", "nothing=1"), ("--given", "a=x"), ("--balance", "a")):
        assert call("sample", fitted_run, *options) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")


def test_a_folder_that_is_no_run_is_never_replaced(table, tmp_path, capsys):
    (tmp_path / "precious.txt").write_text("keep me")
    assert call("fit", table, "-o", tmp_path, *FIT, "--overwrite") == 2
    assert "does not look like a run" in capsys.readouterr().err
    assert (tmp_path / "precious.txt").read_text() == "keep me"


def bad_table(folder, name, content):
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", b"", "empty"),
        ("text.csv", b"a,b\n" + b"1,2\n" * 9 + b"3,red\n", "'b'.*row 10"),
        ("infinite.csv", b"a,b\n" + b"1,2\n" * 9 + b"3,inf\n", "'b', data row 10"),
        ("empty cells.csv", b"a,b\n" + b",\n" * 20, "only constant, empty"),
        ("short.csv", b"a,b\n1,2\n3,4\n", "at least 8 rows"),
        ("ragged.csv", b"a,b\n1,2\n3,4,5\n", "row"),
        ("table.xyz", b"1,2\n", "xyz"),
        ("constant.csv", b"a,b\n" + b"1,2\n" * 20, "constant"),
        ("binary.csv", bytes(range(256)) * 4, "binary.csv"),
    ],
)
def test_bad_tables_end_in_words_and_leave_nothing(name, content, words, tmp_path, capsys):
    import re

    path = bad_table(tmp_path, name, content)
    assert call("fit", path, "-o", tmp_path / "run", *FIT) == 2
    message = capsys.readouterr().err
    assert re.search(words, message), message
    assert "Traceback" not in message
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("arguments", [["--overwrite"], []])
def test_only_runs_are_ever_replaced(arguments, table, tmp_path, monkeypatch, capsys):
    """A user's file, a folder with anything beside a run, and the folder one stands in are safe."""
    mine = tmp_path / "mine.csv"
    mine.write_text(table.read_text())
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for name in ("model.safetensors", "precious.csv"):
        (mixed / name).write_text("keep me")
    link = tmp_path / "link"
    link.symlink_to(mixed)
    monkeypatch.chdir(mixed)
    for output in (mine, mixed, link, ".", ".."):
        assert call("fit", table, "-o", output, *FIT, *arguments) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert mine.read_text() == table.read_text()
    assert {entry.name for entry in mixed.iterdir()} == {"model.safetensors", "precious.csv"}
    assert {entry.name for entry in tmp_path.iterdir()} == {"mine.csv", "mixed", "link"}


def test_a_run_is_replaced_when_told_to(table, tmp_path):
    assert call("fit", table, "-o", tmp_path / "run", *QUICK) == 0
    assert call("fit", table, "-o", tmp_path / "run", *QUICK, "--seed", 7, "--overwrite") == 0
    assert "seed = 7" in (tmp_path / "run" / "config.toml").read_text()
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]


def test_a_quick_fit_trains_nothing_and_is_told_to(table, tmp_path, capsys):
    run = tmp_path / "run"
    options = ("--effort", "quick", "--base", "mixture", "--marginals", "affine", "--no-detector")
    assert call("fit", table, "-o", run, *options) == 0
    printed = capsys.readouterr().out
    assert "chosen   mixture of" in printed and "without a residual energy" in printed
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["updates"], metrics["diagnostics"]) == (0, None)
    assert metrics["chosen"]["marginals"] == {"a": "affine", "b": "affine", "count": "levels"}
    assert not metrics["chosen"]["residual"] and metrics["trusted"]
    assert "Nothing was trained" in (run / "report.html").read_text()
    assert call("score", run, table) == 0
    assert call("evaluate", run, table, "--json") == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["diagnostics"] is None and answer["base"] == answer["log_likelihood"]


def test_settings_come_from_a_file_and_options_go_first(fitted_run, table, tmp_path, capsys):
    config = fitted_run / "config.toml"
    out = tmp_path / "again"
    options = ("--updates", 4, "--effort", "quick", "--no-detector", "--no-report")
    assert call("fit", table, "-o", out, "--config", config, *options) == 0
    written = (out / "config.toml").read_text()
    assert "n_hidden = 6" in written
    assert "n_updates = 4" in written
    assert "seed = 3" in written
    odd = bad_table(tmp_path, "odd.toml", b"n_hiden = 3\n")
    assert call("fit", table, "-o", tmp_path / "no", "--config", odd) == 2
    assert "n_hiden" in capsys.readouterr().err
    assert call("fit", table, "-o", tmp_path / "no", "--config", table) == 2
    assert "TOML" in capsys.readouterr().err


def test_a_share_of_abnormal_rows_is_stated_and_kept(table, tmp_path, capsys):
    quick = ("--effort", "quick", "--no-report", "--contamination")
    assert call("fit", table, "-o", tmp_path / "run", *quick, 0.1) == 0
    assert "contamination = 0.1" in (tmp_path / "run" / "config.toml").read_text()
    assert load(tmp_path / "run" / "detector.safetensors").contamination == 0.1
    assert call("fit", table, "-o", tmp_path / "no", *quick, 0.7) == 2
    assert "contamination" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
    assert call("fit", table, "-o", tmp_path / "no", *quick, 0.1, "--no-detector") == 2
    assert "--no-detector leaves out" in capsys.readouterr().err


@pytest.mark.slow
def test_a_time_budget_ends_the_fit(table, tmp_path):
    options = ("--hidden", 4, "--feature-map", "identity", "--no-detector", "--no-report")
    assert call("fit", table, "-o", tmp_path / "run", "--time-budget", "1s", *options) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["updates"] == 0 and "time budget left no time" in metrics["verdict"]


def test_samples_as_json(fitted_run, capsys):
    capsys.readouterr()
    assert call("sample", fitted_run, "-n", 3, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert np.shape(answer["rows"]) == (3, 3)
    assert isinstance(answer["draws_trusted"], bool)


def test_debug_shows_the_traceback_and_keeps_the_exit_code(fitted_run, tmp_path, capsys):
    assert call("score", fitted_run, tmp_path / "absent.csv", "--debug") == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_table_without_header_is_said_to_have_none(tmp_path, capsys):
    numbers = "\n".join(f"{i},{i * i % 7}" for i in range(1, 30)) + "\n"
    path = bad_table(tmp_path, "plain.csv", numbers.encode())
    assert call("fit", path, "-o", tmp_path / "run", *QUICK) == 0
    assert "no header found" in capsys.readouterr().err
    positions = bad_table(tmp_path, "positions.csv", ("0,1\n" + numbers).encode())
    assert call("fit", positions, "-o", tmp_path / "run2", *QUICK) == 0
    captured = capsys.readouterr()
    assert "no header" not in captured.err
    assert "29 rows" in captured.out


def test_missing_files_and_wrong_options(fitted_run, table, tmp_path, capsys):
    assert call("fit", tmp_path / "absent.csv", "-o", tmp_path / "run") == 2
    assert call("score", tmp_path / "absent", table) == 2
    assert call("fit", table, "-o", tmp_path / "run", "--time-budget", "soon") == 2
    assert "60s" in capsys.readouterr().err
    assert call("fit", table, "-o", tmp_path / "run", "--feature-map", "cnn") == 2
    for option in ("--effort", "--base", "--marginals"):
        assert call("fit", table, "-o", tmp_path / "run", option, "odd") == 2
        assert f"{option}: expected one of" in capsys.readouterr().err
    assert call("nonsense") == 2
    assert call("fit", table, "-o", tmp_path / "no" / "run") == 2
    assert call("fit", table, "-o", tmp_path / "run", "--seed", 2**40) == 2
    assert call("score", fitted_run, table, "-o", tmp_path / "scores.txt") == 2
    assert call("score", tmp_path, table) == 2
    assert list(tmp_path.iterdir()) == []


def test_wrong_columns_at_scoring(fitted_run, tmp_path, capsys):
    path = bad_table(tmp_path, "other.csv", b"a,c\n1,2\n3,4\n")
    assert call("score", fitted_run, path) == 2
    told = capsys.readouterr().err
    assert "'b'" in told and "or write an NPY file, which goes by position" in told
    np.save(tmp_path / "other.npy", np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]]))
    assert call("score", fitted_run, tmp_path / "other.npy") == 0


@pytest.mark.slow
def test_the_demo_writes_pictures_and_beats_the_gaussian(tmp_path, capsys):
    assert call("demo", "-o", tmp_path / "demo", "--time-budget", "30s") == 0
    for name in ("samples.png", "model.safetensors", "metrics.json"):
        assert (tmp_path / "demo" / name).stat().st_size > 1000
    test = json.loads((tmp_path / "demo" / "metrics.json").read_text())["test"]
    assert test["harmonium"]["low"] > test["gaussian"]["high"]
    assert "mixture of 10 Gaussians" in capsys.readouterr().out


def test_help_does_not_load_jax():
    code = "import sys; import harmonium.cli.app; print('jax' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "False"


def test_the_installed_command_runs():
    answer = subprocess.run(
        [sys.executable, "-c", "from harmonium.cli import main; main()", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    for command in ("fit", "score", "sample", "demo"):
        assert command in answer.stdout
