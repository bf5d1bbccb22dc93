"""A detector that is fitted in a process of its own, while this one fits the density."""

import logging
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING

from harmonium.cli.shell import is_alone
from harmonium.parallel import NUMBER_VARIABLE, count_threads

if TYPE_CHECKING:
    from harmonium.cli.beside_process import Answer
    from harmonium.data import Table
    from harmonium.inference import DetectorSettings

_log = logging.getLogger(__name__)

# Bytes of a table that two processes may hold.
MOST_BYTES = 2**28
CALL = "from harmonium.cli.beside_process import respond; respond()"


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

    def begin(
        self, table: "Table", settings: "DetectorSettings", budget: float | None = None
    ) -> bool:
        """Fit a detector to the table, and seek the oddest row by it, in proportion to a budget
        (seconds); whether the table is small enough for two processes.
        """
        if table.values.nbytes > MOST_BYTES:
            return False
        _log.info("fitting the detector, in a process of its own")
        self._exchange = Thread(target=self._ask, args=(table, settings, budget), daemon=True)
        self._exchange.start()
        return True

    def answer(self) -> "Answer | None":
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
