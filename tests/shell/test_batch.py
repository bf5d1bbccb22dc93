"""Tables of folders and streams: the rows are those of single files and of the estimators, a folder
is gone on with, and one bad table costs no other."""

import io
import json
import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from shell.test_cli import call

from harmonium import load
from harmonium.cli.folders import Reading
from harmonium.cli.journal import Journal
from harmonium.cli.measuring import ScoreTable
from harmonium.cli.places import JOURNAL
from harmonium.cli.spread import Worker
from harmonium.data import Dialect, read_table
from harmonium.errors import InvalidInputError

# Small tables in folders by key, one of each format; rows 0 to 2 of each are far out.
SIZES = {"day=1/a.csv": 40, "day=1/b.parquet": 60, "day=2/hour=3/c.arrow": 50}


@pytest.fixture(scope="module")
def fitted_run(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("runs")
    table = folder / "table.csv"
    np.savetxt(table, rows[:, :2], delimiter=",", header="a,b", comments="", fmt="%.6g")
    options = ("--effort", "quick", "--no-report", "--base", "gaussian", "--marginals", "affine")
    assert call("fit", table, "-o", folder / "run", *options) == 0
    return folder / "run"


def odd_rows(n, seed):
    values = np.random.default_rng(seed).normal(size=(n, 2)).round(4)
    values[:3] *= 30
    return pa.table({"a": values[:, 0], "b": values[:, 1]})


def write(path, table):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    elif path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as sink:
            sink.write_table(table)


def read(path):
    if path.suffix == ".csv":
        return pyarrow.csv.read_csv(path)
    return pq.read_table(path) if path.suffix == ".parquet" else pa.ipc.open_file(path).read_all()


def reasons(table):
    """The sentences; a missing one is empty in CSV."""
    return [why or "" for why in table["why"].to_pylist()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("new")
    for seed, (name, n) in enumerate(SIZES.items()):
        write(path / name, odd_rows(n, seed))
    (path / "_SUCCESS").touch()
    (path / "notes.txt").write_text("no table")
    return path


@pytest.fixture
def piped(monkeypatch):
    """What a call makes of bytes on standard input; its code and the bytes it writes."""

    def pipe(data, *arguments):
        out = io.TextIOWrapper(io.BytesIO())
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        monkeypatch.setattr(sys, "stdout", out)
        code = call(*arguments)
        return code, out.buffer.getvalue()

    return pipe


def test_file_folder_and_stream_say_what_the_estimators_say(fitted_run, folder, tmp_path, piped):
    detector = load(fitted_run / "detector.safetensors")
    density = load(fitted_run / "model.safetensors")
    options = ("--fdr", 0.4, "--explain", 1)
    parts = tmp_path / "parts"
    assert call("detect", fitted_run, folder, "-o", parts, *options) == 0
    for name in SIZES:
        source, single = folder / name, tmp_path / "single.parquet"
        assert call("detect", fitted_run, source, "-o", single, *options, "--overwrite") == 0
        stream = source.read_bytes()
        code, out = piped(
            stream, "detect", fitted_run, "-", "-o", "-", "--format", "arrow", *options
        )
        assert code == 0
        found = {
            "file": read(single),
            "folder": read(parts / name),
            "stream": pa.ipc.open_stream(out).read_all(),
        }
        X = read_table(source).values
        expected = {
            "score": detector.score_samples(X),
            "p_value": detector.p_values(X),
            "flagged": detector.select(X, fdr=0.4),
            "a": X[:, 0],
        }
        assert expected["flagged"].any()
        for way, table in found.items():
            assert table.column_names == found["file"].column_names
            assert reasons(table) == reasons(found["file"]), way
            for column, values in expected.items():
                cells = table[column].to_numpy()
                np.testing.assert_allclose(cells, values, rtol=1e-6, err_msg=f"{way}, {column}")
        assert call("score", fitted_run, source, "-o", single, "--overwrite") == 0
        cells = read(single)["log_density"].to_numpy()
        np.testing.assert_allclose(cells, density.score_samples(X), rtol=1e-6)


@pytest.mark.parametrize("format", ["csv", "parquet", "arrow"])
def test_streams_have_the_bytes_of_files(format, fitted_run, folder, tmp_path, piped):
    source = folder / "day=1/a.csv"
    for command in (("score",), ("impute", "--trees", 0)):
        file = tmp_path / f"{command[0]}.{format}"
        assert call(command[0], fitted_run, source, "-o", file, *command[1:]) == 0
        data = source.read_bytes()
        code, out = piped(
            data, command[0], fitted_run, "-", "-o", "-", "--format", format, *command[1:]
        )
        assert code == 0
        if format == "arrow":  # a file has an index at its end, a stream cannot
            assert pa.ipc.open_stream(out).read_all().equals(read(file))
        else:
            assert out == file.read_bytes()


def test_formats_can_be_chosen_for_a_folder(fitted_run, folder, tmp_path):
    out = tmp_path / "out"
    assert call("impute", fitted_run, folder, "-o", out, "--format", "csv", "--trees", 0) == 0
    names = {path.relative_to(out).as_posix() for path in out.rglob("*.*")} - {JOURNAL}
    assert names == {"day=1/a.csv", "day=1/b.csv", "day=2/hour=3/c.csv"}
    write(folder / "day=1/a.tsv", pa.table({"a": [1.0], "b": [2.0]}))
    try:
        assert call("score", fitted_run, folder, "-o", tmp_path / "two", "--format", "csv") == 2
    finally:
        (folder / "day=1/a.tsv").unlink()


def test_tables_that_are_alike_bring_one_warning(fitted_run, tmp_path, capsys):
    for name, extra in (("one.csv", "c"), ("two.csv", "c"), ("three.csv", "d")):
        table = odd_rows(30, 1)
        write(tmp_path / "data" / name, table.append_column(extra, table["a"]))
    assert call("score", fitted_run, tmp_path / "data", "-o", tmp_path / "out") == 0
    said = capsys.readouterr().err
    assert said.count("are ignored: 'c'") == said.count("are ignored: 'd'") == 1


def test_a_bad_table_costs_no_other(fitted_run, tmp_path, capsys):
    data, out = tmp_path / "data", tmp_path / "out"
    for name in ("k=1/good.csv", "k=3/good.csv"):
        write(data / name, odd_rows(30, 1))
    for name, content in (("k=1/header.csv", "a,b\n"), ("k=2/bad.csv", "a,b\n1,2\n3,red\n")):
        (data / name).parent.mkdir(exist_ok=True)
        (data / name).write_text(content)
    (data / "k=2/cut.parquet").write_bytes(b"PAR1 and no more")
    assert call("detect", fitted_run, data, "-o", out, "--json") == 1
    printed = capsys.readouterr()
    said = json.loads(printed.out)
    assert [own["file"] for own in said["failed"]] == ["k=2/bad.csv", "k=2/cut.parquet"]
    assert (said["files"], said["rows"], said["kept"]) == (5, 60, 0)
    told = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    assert len(told) == 2 and "k=2/bad.csv" in told[0] and "data row 2" in told[0]
    assert {path.name for path in out.rglob("*.*")} == {"good.csv", JOURNAL}
    # Mended, it is done, and nothing else is done again.
    before = (out / "k=1/good.csv").stat().st_mtime_ns
    (data / "k=2/bad.csv").write_text("a,b\n1,2\n3,4\n")
    (data / "k=2/cut.parquet").unlink()
    assert call("detect", fitted_run, data, "-o", out) == 0
    assert "4 of 4 tables, 3 of them kept from before, 62 rows" in capsys.readouterr().out
    assert (out / "k=1/good.csv").stat().st_mtime_ns == before


def test_flagged_rows_can_be_a_code_also_those_found_before(fitted_run, folder, tmp_path):
    options = ("--fdr", 0.4, "--fail-on-flagged")
    for _ in range(2):
        assert call("detect", fitted_run, folder, "-o", tmp_path / "out", *options) == 3
    normal = tmp_path / "normal.csv"
    write(normal, pa.table({"a": [0.0] * 9, "b": [0.1] * 9}))
    assert call("detect", fitted_run, normal, *options) == 0


def test_a_folder_is_gone_on_with_under_the_same_settings_alone(
    fitted_run, folder, tmp_path, capsys
):
    out = tmp_path / "out"
    assert call("detect", fitted_run, folder, "-o", out) == 0
    for command in (("detect", "--fdr", 0.2), ("score",)):
        assert call(command[0], fitted_run, folder, "-o", out, *command[1:]) == 2
    told = capsys.readouterr().err
    assert "was begun with --fdr 0.05, and this call has 0.2" in told
    assert call("score", fitted_run, folder, "-o", out, "--overwrite") == 0
    assert "kept" not in capsys.readouterr().out
    assert read(out / "day=1/a.csv").column_names == ["log_density", "free_energy"]


def test_a_table_that_changed_is_done_again_and_a_cut_record_is_none(tmp_path):
    source, result = tmp_path / "a.csv", tmp_path / "b.csv"
    source.write_text("a\n1\n")
    result.touch()
    Journal(tmp_path, {"x": 1}, anew=False).add("a", source, {"rows": 1})
    kept = Journal(tmp_path, {"x": 1}, anew=False).kept("a", source, result)
    assert kept == {"rows": 1}
    whole = (tmp_path / JOURNAL).read_text()
    (tmp_path / JOURNAL).write_text(whole[:-5])
    assert Journal(tmp_path, {"x": 1}, anew=False).kept("a", source, result) is None
    (tmp_path / JOURNAL).write_text(whole)
    source.write_text("a\n1\n2\n")
    assert Journal(tmp_path, {"x": 1}, anew=False).kept("a", source, result) is None
    (tmp_path / JOURNAL).write_text("no record\n")
    with pytest.raises(InvalidInputError, match="damaged"):
        Journal(tmp_path, {"x": 1}, anew=False)


def command(*arguments, **how):
    return subprocess.Popen(
        [sys.executable, "-m", "harmonium", *map(str, arguments)],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        stderr=subprocess.PIPE,
        **how,
    )


def test_what_a_killed_process_has_done_is_kept(fitted_run, tmp_path, capsys):
    data, whole, out = tmp_path / "data", tmp_path / "whole", tmp_path / "out"
    for number in range(30):
        write(data / f"day={number}/part.csv", odd_rows(200, number))
    assert call("score", fitted_run, data, "-o", whole) == 0
    process = command("score", fitted_run, data, "-o", out)
    while process.poll() is None and len(list(out.rglob("part.csv"))) < 2:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    n_done = len((out / JOURNAL).read_text().splitlines()) - 1
    assert 0 < n_done < 30
    (out / "day=29").mkdir(exist_ok=True)
    (out / "day=29/.part.csv.123.partial").write_text("half of a file")
    capsys.readouterr()
    assert call("score", fitted_run, data, "-o", out) == 0
    assert f"30 of 30 tables, {n_done} of them kept from before" in capsys.readouterr().out
    files = sorted(path.relative_to(whole) for path in whole.rglob("*.*"))
    assert sorted(path.relative_to(out) for path in out.rglob("*.*")) == files
    tables = [file for file in files if file.name == "part.csv"]
    assert len(tables) == 30
    assert all((out / file).read_bytes() == (whole / file).read_bytes() for file in tables)


def test_a_reader_that_goes_ends_the_command_without_a_word(fitted_run, tmp_path):
    table = tmp_path / "table.csv"
    write(table, odd_rows(40_000, 0))
    with table.open("rb") as file:
        process = command(
            *("score", fitted_run, "-", "-o", "-"), stdin=file, stdout=subprocess.PIPE
        )
        assert b"log_density" in process.stdout.readline()
        process.stdout.close()
        told = process.stderr.read().decode()
    assert process.wait() == 141
    assert told == "scoring standard input\n"


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        (b"", (), "standard input: expected a table; got nothing"),
        (b"a,b\n1,2\n3,red\n", (), "standard input: expected"),
        (b"a\n1\n", (), "a table without 'b'"),
        (b"\xff\xff\xff\xff\x10\x00", (), "an Arrow file or stream"),
        (b"a,b\n1,2\n", ("-o", "-", "--json"), "--json: expected -o FILE, or none"),
        (b"a,b\n1,2\n", ("-o", "-", "--format", "xml"), "one of csv, parquet, arrow; got 'xml'"),
        (b"a,b\n1,2\n", ("-o", "x.csv", "--format", "arrow"), "expected --format csv"),
        (b"a,b\n1,2\n", ("--format", "arrow"), "expected -o too"),
    ],
)
def test_wrong_input_ends_in_words(
    data, options, words, fitted_run, tmp_path, piped, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    code, out = piped(data, "score", fitted_run, "-", *options)
    assert (code, out) == (2, b"")
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_folders_that_must_not_be_written_are_refused(fitted_run, folder, tmp_path, capsys):
    foreign, empty = tmp_path / "foreign", tmp_path / "empty"
    foreign.mkdir()
    (foreign / "notes.txt").write_text("keep me")
    empty.mkdir()
    file = tmp_path / "results"
    file.write_text("keep me")
    for data, output, words in (
        (folder, foreign, "other files, such as notes.txt"),
        (folder, file, "is not a folder"),
        (folder, folder, "apart from that of the rows"),
        (folder, folder / "inside", "apart from that of the rows"),
        (folder, folder.parent, "apart from that of the rows"),
        (empty, tmp_path / "out", "expected a folder with tables in it"),
    ):
        assert call("score", fitted_run, data, "-o", output, "--overwrite") == 2
        assert words in capsys.readouterr().err
    assert (foreign / "notes.txt").read_text() == file.read_text() == "keep me"
    assert not (tmp_path / "out").exists()


def test_what_travels_to_another_process_works_there(fitted_run, folder, tmp_path):
    """All of `--ray` but Ray itself."""
    arguments = {
        "make": ScoreTable,
        "arguments": {"model": fitted_run},
        "dialect": Dialect(separator=","),
    }
    worker = Worker(*pickle.loads(pickle.dumps((Reading, arguments))))
    rows = [(folder / "day=1/a.csv", {"rows": 40}), (folder / "notes.txt", "notes.txt")]
    for number, (source, expected) in enumerate(rows):
        result = tmp_path / f"{number}.csv"
        found = worker({"number": number, "source": str(source), "result": str(result)})
        answer = json.loads(found["answer"])
        assert answer == expected or expected in answer
        assert result.is_file() == isinstance(answer, dict)
