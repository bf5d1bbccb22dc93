"""The other process of `harmonium fit`: it fits the detector that standard input asks for."""

import os
import pickle
import signal
import sys
import warnings
from threading import Thread
from typing import BinaryIO, NamedTuple

from harmonium.artifact import StoredDetector
from harmonium.cli.oddest import Oddest, find_oddest
from harmonium.errors import HarmoniumWarning


class Answer(NamedTuple):
    """A fitted detector, the oddest row, and warnings of the fit."""

    detector: StoredDetector
    oddest: Oddest
    raised: list[HarmoniumWarning]


def respond() -> None:
    """Read a table, settings and a budget; write the answer."""
    # Ctrl-C is for the first process to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # Whatever else is printed must not stand among the answers.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    table, settings, budget = pickle.load(asked)
    Thread(target=_end_with, args=(asked,), daemon=True).start()
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always", HarmoniumWarning)
        stored = StoredDetector.fit(table, settings)
    told = [own.message for own in raised if isinstance(own.message, HarmoniumWarning)]
    oddest = find_oddest(stored.detector, table.values, budget)
    pickle.dump(Answer(stored, oddest, told), answers)
    answers.flush()
    # Nothing is left to be done, and tearing down JAX takes its time.
    os._exit(0)


def _end_with(asked: BinaryIO) -> None:
    """End when the first process does, which closes what it writes to."""
    asked.read()
    os._exit(1)
