"""Kind of truth: structure. A message has its words for Python and its words for the command line,
wherever it is made into another, and wherever the error that carries it goes."""

import copy
import pickle
import warnings

import numpy as np
import pytest

from harmonium.data import read_table
from harmonium.data.problems import state_kind
from harmonium.errors import (
    CheckpointError,
    HarmoniumWarning,
    InvalidInputError,
    Message,
    about,
    describe,
    file_call,
    finding_of,
    in_shell,
    joined,
    message,
    setting,
)

OVERWRITE = Message("overwrite=True", "--overwrite")
NESTED = describe(
    setting("DensityEstimator", "n_updates"),
    expected="{as it is}",
    got=message("{:.1f} of {}", 0.25, state_kind("a b", "integer")),
    hint=joined(["without", OVERWRITE]),
)
IN_PYTHON = (
    "DensityEstimator(n_updates=...): expected {as it is}; got 0.2 of kinds={'a b': 'integer'}. "
    "Try: without overwrite=True."
)
IN_SHELL = (
    "--updates: expected {as it is}; got 0.2 of --kind 'a b=integer'. Try: without --overwrite."
)

CHANNELS = {
    "copy": copy.copy,
    "deep copy": copy.deepcopy,
    **{
        f"pickle {protocol}": lambda own, protocol=protocol: pickle.loads(
            pickle.dumps(own, protocol)
        )
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}
each_channel = pytest.mark.parametrize("channel", CHANNELS.values(), ids=CHANNELS.keys())


def test_messages_are_made_of_messages():
    assert (NESTED, NESTED.shell) == (IN_PYTHON, IN_SHELL)
    assert Message(NESTED).shell == IN_SHELL
    assert Message("the same").shell == in_shell("the same") == "the same"


def test_an_error_is_a_part_of_a_message():
    outer = InvalidInputError(message("{}: {}", file_call("load", "a/b"), OSError(2, "none")))
    assert str(outer) == "load('a/b'): [Errno 2] none"
    assert in_shell(outer) == "a/b: [Errno 2] none"
    assert message("{}!", InvalidInputError(NESTED)).shell == f"{IN_SHELL}!"


@each_channel
def test_what_was_found_is_read_without_where_and_what_to_do(channel):
    where, hint = file_call("load", "a/b"), Message("overwrite=True", "--overwrite")
    found = channel(InvalidInputError(about(where, "the table is empty.", hint)))
    assert str(found) == "load('a/b'): the table is empty. Try: overwrite=True."
    assert in_shell(found) == "a/b: the table is empty. Try: --overwrite."
    assert finding_of(found) == "the table is empty."
    described = HarmoniumWarning(describe("fit", expected="rows", got="none", hint="more"))
    assert finding_of(channel(described)) == "expected rows; got none."
    assert finding_of(channel(OSError("disk full"))) == "disk full"


@each_channel
@pytest.mark.parametrize("kind", [InvalidInputError, CheckpointError, HarmoniumWarning])
def test_errors_keep_their_words_where_they_go(kind, channel):
    found = channel(kind(NESTED))
    assert (str(found), in_shell(found)) == (IN_PYTHON, IN_SHELL)


@each_channel
def test_errors_keep_their_cell_where_they_go(channel):
    found = channel(InvalidInputError(NESTED).at("x", 3))
    assert (found.column, found.row, in_shell(found)) == ("x", 3, IN_SHELL)


def test_warnings_carry_messages():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.warn(NESTED, HarmoniumWarning, stacklevel=1)
    assert (str(caught[0].message), in_shell(caught[0].message)) == (IN_PYTHON, IN_SHELL)


@pytest.mark.parametrize(
    ("name", "save", "reason"),
    [
        ("t.npy", lambda path: np.save(path, np.array([[{}]])), "an array of Python objects"),
        ("t.npz", lambda path: np.savez(path, X=np.array([[{}]])), "an array of Python objects"),
        ("t.npy", lambda path: path.write_bytes(pickle.dumps([1])), "a file of another format"),
    ],
)
def test_pickles_are_refused_in_our_words(name, save, reason, tmp_path):
    save(tmp_path / name)
    with pytest.raises(InvalidInputError) as found:
        read_table(tmp_path / name)
    assert str(found.value).endswith(f"expected a NumPy file of numbers; got '{name}' ({reason}).")
