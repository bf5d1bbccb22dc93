"""A detector that is fitted in a process of its own, while this one fits the density."""

import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from harmonium.cli.shell import is_alone
from harmonium.errors import HarmoniumWarning, Message
from harmonium.parallel import NUMBER_VARIABLE, count_threads

if TYPE_CHECKING:
    import numpy as np

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
        self._answer: dict[str, Any] | None = None

    def begin(
        self, table: "Table", settings: "DetectorSettings", path: Path, budget: float | None
    ) -> bool:
        """Fit a detector to the table, seek the oddest row by it, in proportion to a budget
        (seconds), and write it to a path; whether the table is small enough for two processes.
        """
        if table.values.nbytes > MOST_BYTES:
            return False
        _log.info("fitting the detector, in a process of its own")
        job = {
            "fields": [field.to_config() for field in table.fields],
            "n_rows": table.n_rows,
            "settings": asdict(settings),
            "path": str(path),
            "budget": budget,
        }
        self._exchange = Thread(target=self._ask, args=(job, table.values), daemon=True)
        self._exchange.start()
        return True

    def oddest(self) -> dict[str, Any] | None:
        """The fields of the oddest row, waited for, with the warnings on the way, once the detector
        is written; None where that failed.
        """
        if self._exchange.is_alive():
            _log.info("waiting for the detector")
            self._exchange.join()
        if self._answer is None:
            _log.info("the process of the detector has ended early: it is fitted here")
            return None
        for text, shell in self._answer["warnings"]:
            warnings.warn(Message(text, shell), HarmoniumWarning, stacklevel=2)
        return self._answer["oddest"]

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()

    def _ask(self, job: dict[str, Any], values: "np.ndarray") -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(job).encode() + b"\n")
            self._process.stdin.write(values.astype(float, order="C", copy=False).data)
            self._process.stdin.flush()
            self._answer = json.loads(self._process.stdout.readline())
        except (OSError, ValueError):
            _log.debug("the process of the detector gave no answer")


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
