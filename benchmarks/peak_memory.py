"""How much a call adds to the memory of its process; Linux, and no other package, so that peers'
scripts can use it.
"""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

PAGE = os.sysconf("SC_PAGE_SIZE")
INTERVAL = 0.005


class Cost(NamedTuple):
    """Seconds of a call, and the MB by which the resident set exceeded what it was before."""

    seconds: float
    peak_mb: float


def resident_mb() -> float:
    """The resident set of this process."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE / 1e6


def cost_of(call: Callable[[], Any]) -> Cost:
    """Time and memory of one call; memory is looked at every few milliseconds."""
    before, over = resident_mb(), threading.Event()
    peak = [before]

    def watch() -> None:
        while not over.wait(INTERVAL):
            peak[0] = max(peak[0], resident_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    try:
        result = call()
        seconds = time.perf_counter() - started
        peak[0] = max(peak[0], resident_mb())
        del result
    finally:
        over.set()
        watcher.join()
    return Cost(seconds, peak[0] - before)
