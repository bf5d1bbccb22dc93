"""A detector that is fitted in a process of its own, while this one fits the density."""

import logging
import os
import pickle
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from harmonium.cli.shell import is_alone
from harmonium.errors import HarmoniumWarning
from harmonium.parallel import NUMBER_VARIABLE, count_threads

if TYPE_CHECKING:
    from harmonium.artifact import StoredDetector
    from harmonium.cli.oddest import Oddest
    from harmonium.data import Table
    from harmonium.inference import DetectorSettings

_log = logging.getLogger(__name__)

# Bytes of a table that two processes may hold.
MOST_BYTES = 2**28
CALL = "from harmonium.cli.beside import respond; respond()"


class Answer(NamedTuple):
    """A fitted detector, the oddest row if it was sought, and warnings of the fit."""

    detector: "StoredDetector"
    oddest: "Oddest | None"
    raised: list[HarmoniumWarning]


class Helper:
    """The other process, which imports what it needs from its start on.

    Whatever goes wrong there is left to this process, which does the same work again and says what
    is wrong.
    """

    def __init__(self):
        # A GPU belongs to one process.
        environment = os.environ | {"JAX_PLATFORMS": "cpu"}
        # No module of the working directory stands before ours.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", CALL],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        self._exchange = Thread()
        self._answer: Answer | None = None

    def begin(self, table: "Table", settings: "DetectorSettings", *, seeks_oddest: bool) -> bool:
        """Fit a detector to the table, and seek the oddest row by it; whether the table is small
        enough for two processes.
        """
        if table.values.nbytes > MOST_BYTES:
            return False
        _log.info("fitting the detector, in a process of its own")
        self._exchange = Thread(target=self._ask, args=(table, settings, seeks_oddest), daemon=True)
        self._exchange.start()
        return True

    def answer(self) -> Answer | None:
        """What was found, waited for, with the warnings on the way; None where it failed."""
        if self._exchange.is_alive():
            _log.info("waiting for the detector")
            self._exchange.join()
        if self._answer is not None:
            for warning in self._answer.raised:
                warnings.warn(warning, stacklevel=2)
        return self._answer

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()

    def _ask(self, *job: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            pickle.dump(job, self._process.stdin)
            self._process.stdin.flush()
            self._answer = pickle.load(self._process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):
            _log.debug("the process of the detector has ended")


@contextmanager
def helper(*, wanted: bool) -> Iterator[Helper | None]:
    """A block with a helper, if it is wanted and there is a core for it: with a stated number of
    threads there is not.
    """
    has_core = NUMBER_VARIABLE not in os.environ and count_threads() > 1
    if not (wanted and is_alone() and has_core and sys.executable):
        yield None
        return
    try:
        started = Helper()
    except OSError:
        yield None
        return
    try:
        yield started
    finally:
        started.end()


def respond() -> None:
    """The other process: fit the detector that standard input asks for."""
    # Ctrl-C is for the first process to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # Whatever else is printed must not stand among the answers.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    from harmonium.artifact import StoredDetector
    from harmonium.cli.oddest import find_oddest

    table, settings, seeks_oddest = pickle.load(asked)
    Thread(target=_end_with, args=(asked,), daemon=True).start()
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always", HarmoniumWarning)
        stored = StoredDetector.fit(table, settings)
    told = [own.message for own in raised if isinstance(own.message, HarmoniumWarning)]
    oddest = find_oddest(stored.detector, table.values) if seeks_oddest else None
    pickle.dump(Answer(stored, oddest, told), answers)
    answers.flush()
    # Nothing is left to be done, and tearing down JAX takes its time.
    os._exit(0)


def _end_with(asked: BinaryIO) -> None:
    """End when the first process does, which closes what it writes to."""
    asked.read()
    os._exit(1)
