"""Kind of truth: shell. Fits by several processes as users run them: alike, ended by a killed
process, and resumed."""

import json
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
from devices.fits import make_rows
from devices.programs import free_port, start, start_harmonium
from shell.test_cli import call

from harmonium.errors import CheckpointError, InvalidInputError
from harmonium.learning.devices import HEARTBEAT, tells_of_loss

FIT = ["--hidden", "4", "--feature-map", "identity", "--no-detector", "--no-report"]
TOLERANCE = 1e-7


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "table.csv"
    np.savetxt(path, make_rows(), delimiter=",", header="a,b", comments="", fmt="%.6g")
    return path


def start_two(*arguments, of_second=()):
    """Both processes of one fit."""
    address = ["--coordinator", f"localhost:{free_port()}", "--processes", "2"]
    numbered = [("--process", "0"), ("--process", "1", *of_second)]
    return [start_harmonium("fit", *arguments, *address, *own) for own in numbered]


def finish(*arguments):
    process = start_harmonium(*arguments)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out


def curve(run):
    """How training went; what chains of a check say amplifies the order of sums."""
    names = ["update", "train_log_likelihood", "validation_log_likelihood", "loss"]
    found = pq.read_table(run / "history.parquet", columns=names)
    return np.array([column.to_pylist()[1:] for column in found.columns], float)


@pytest.mark.slow
def test_two_processes_write_the_run_of_one(table, tmp_path):
    options = [*FIT, "--updates", "10", "--json"]
    finish("fit", table, "-o", tmp_path / "one", *options)
    first, second = start_two(table, "-o", tmp_path / "two", *options)
    (out, err), (silent, told) = first.communicate(), second.communicate()
    assert first.returncode == second.returncode == 0, err + told
    assert json.loads(out)["updates"] == 10 and silent == ""
    np.testing.assert_allclose(curve(tmp_path / "two"), curve(tmp_path / "one"), rtol=TOLERANCE)
    names = [{path.name for path in (tmp_path / run).iterdir()} for run in ("one", "two")]
    assert names[0] == names[1]


@pytest.mark.slow
def test_a_killed_process_ends_the_run_which_goes_on_alone(table, tmp_path):
    options = [*FIT, "--updates", "400"]
    run = tmp_path / "run"
    first, second = start_two(table, "-o", run, *options)
    while not list(run.glob("checkpoints/*.safetensors")):
        assert first.poll() is None and second.poll() is None, first.communicate()
        time.sleep(0.1)
    second.kill()
    second.communicate()
    _, err = first.communicate(timeout=2 * HEARTBEAT)
    assert first.returncode == 1 and "Traceback" not in err
    assert "another process of this run has ended" in err and "--resume" in err
    assert not (run / "metrics.json").exists()
    finish("fit", table, "--resume", run)
    finish("fit", table, "-o", tmp_path / "whole", *options)
    np.testing.assert_allclose(curve(run), curve(tmp_path / "whole"), rtol=TOLERANCE)
    updates = [
        json.loads((path / "metrics.json").read_text())["updates"]
        for path in (run, tmp_path / "whole")
    ]
    assert updates[0] == updates[1] > 10


# A process 0 that cannot write the state of the fit.
FULL_DISK = """
import harmonium.learning.checkpoints as checkpoints
def fail(*_):
    raise OSError("no space left on device")
checkpoints.save_file = fail
from harmonium.cli import main
main()
"""


@pytest.mark.slow
def test_where_the_first_process_cannot_write_all_end_in_words(table, tmp_path):
    joined = ["--coordinator", f"localhost:{free_port()}", "--processes", "2", "--process"]
    fit = ["fit", table, "-o", tmp_path / "run", *FIT, "--updates", "40", *joined]
    runs = [start("-c", FULL_DISK, *fit, "0"), start_harmonium(*fit, "1")]
    told = [run.communicate(timeout=2 * HEARTBEAT)[1] for run in runs]
    assert [run.returncode for run in runs] == [1, 1], told
    assert all("the state of the fit could not be written" in words for words in told)
    assert "no space left" in told[0] and "process 0 says why" in told[1]


@pytest.mark.slow
def test_processes_that_were_told_different_things_are_refused(table, tmp_path):
    options = [*FIT, "--updates", "40"]
    first, second = start_two(table, "-o", tmp_path / "run", *options, of_second=("--seed", "1"))
    _, told = second.communicate(timeout=2 * HEARTBEAT)
    first.communicate(timeout=2 * HEARTBEAT)
    assert second.returncode == 2 and first.returncode != 0
    assert "other data, model, random key in process 1 than in process 0" in told


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--devices", "9"], "9 device(s): expected from 1 to"),
        (["--coordinator", "localhost:1"], "expected all three"),
        (["--process", "1"], "expected all three"),
        (["--coordinator", "here", "--processes", "2", "--process", "0"], "expected HOST:PORT"),
        (["--coordinator", "h:1", "--processes", "2", "--process", "2"], "from 0 to 1"),
        (["--distributed", "--devices", "2"], "without --devices"),
    ],
)
def test_wrong_machines_are_told_and_nothing_is_written(options, words, table, tmp_path, capsys):
    assert call("fit", table, "-o", tmp_path / "run", *FIT, *options) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_loss_of_a_process_is_known_by_what_jax_says():
    lost = ValueError("UNKNOWN: Gloo all-reduce failed: Connection closed by peer [127.0.0.1]:405")
    assert tells_of_loss(lost)
    unsaved = CheckpointError("the state of the fit could not be written")
    unsaved.__cause__ = lost
    assert tells_of_loss(unsaved)
    assert not tells_of_loss(ValueError("shapes do not match"))
    assert not tells_of_loss(InvalidInputError("column 'barrier' is constant"))
