"""Counts of what was asked and how fast it was answered, in Prometheus' text format.

Every worker adds to cells of its own in memory that all of them share, so that any of them can tell
the sums.
"""

import multiprocessing
import os
import platform
import threading
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import numpy as np

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
ENDPOINTS = ("score", "detect", "impute", "sample", "other")
STATUSES = (200, 400, 404, 405, 408, 409, 413, 415, 422, 500, 503)
# Of a status that is none of these: the client has gone.
GONE = 499
# Seconds; the last bucket holds all.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_COUNTED = (
    *(("requests", endpoint, str(s)) for endpoint in ENDPOINTS for s in (*STATUSES, GONE)),
    *(("bucket", endpoint, f"{b:g}") for endpoint in ENDPOINTS for b in (*BUCKETS, float("inf"))),
    *(("seconds", endpoint, "") for endpoint in ENDPOINTS),
    *(("rows", endpoint, "") for endpoint in ENDPOINTS),
    ("compilations", "", ""),
)
_PLACES = {name: place for place, name in enumerate(_COUNTED)}
# Processes share a row of cells only if their numbers are equal but for a multiple of this.
_N_PROCESSES = 512


def shared_cells() -> Any:
    """Memory for the counts of all workers, to be handed to them as they are started; it goes with
    the last of them.
    """
    spawn = multiprocessing.get_context("spawn")
    return spawn.RawArray("d", _N_PROCESSES * len(_COUNTED))


class Counters:
    """The counts of this process, and the sums over all."""

    def __init__(self, cells: Any):
        self._cells = np.frombuffer(cells).reshape(_N_PROCESSES, len(_COUNTED))
        self._own = self._cells[os.getpid() % _N_PROCESSES]
        self._lock = threading.Lock()

    def count(self, endpoint: str, status: int, seconds: float) -> None:
        """One request that was answered, or not: its status is 499 then."""
        endpoint = endpoint if endpoint in ENDPOINTS else "other"
        known = status if status in STATUSES else GONE
        bucket = next((b for b in BUCKETS if seconds <= b), float("inf"))
        self._add(("requests", endpoint, str(known)), 1)
        self._add(("bucket", endpoint, f"{bucket:g}"), 1)
        self._add(("seconds", endpoint, ""), seconds)

    def count_rows(self, endpoint: str, n: int) -> None:
        """Rows of a request that was understood."""
        self._add(("rows", endpoint, ""), n)

    def count_compilation(self) -> None:
        """A program that was compiled while requests were answered."""
        self._add(("compilations", "", ""), 1)

    def text(self) -> str:
        """All sums, one a line."""
        return "\n".join(self._lines()) + "\n"

    def _add(self, name: tuple[str, str, str], amount: float) -> None:
        with self._lock:
            self._own[_PLACES[name]] += amount

    def _lines(self) -> Iterator[str]:
        total = dict(zip(_COUNTED, self._cells.sum(axis=0).tolist(), strict=True))
        name = "harmonium_requests_total"
        yield from _head(name, "counter", "Requests by endpoint and status; 499: the client left.")
        for endpoint in ENDPOINTS:
            for status in (*STATUSES, GONE):
                found = total["requests", endpoint, str(status)]
                yield f'{name}{{endpoint="{endpoint}",status="{status}"}} {found:g}'
        name = "harmonium_request_seconds"
        yield from _head(name, "histogram", "Seconds from the head of a request to its answer.")
        for endpoint in ENDPOINTS:
            seen = 0.0
            for bucket in (*BUCKETS, float("inf")):
                seen += total["bucket", endpoint, f"{bucket:g}"]
                edge = "+Inf" if bucket == float("inf") else f"{bucket:g}"
                yield f'{name}_bucket{{endpoint="{endpoint}",le="{edge}"}} {seen:.15g}'
            yield f'{name}_sum{{endpoint="{endpoint}"}} {total["seconds", endpoint, ""]:.15g}'
            yield f'{name}_count{{endpoint="{endpoint}"}} {seen:.15g}'
        name = "harmonium_rows_total"
        yield from _head(name, "counter", "Rows of requests that were understood.")
        for endpoint in ENDPOINTS[:-1]:
            yield f'{name}{{endpoint="{endpoint}"}} {total["rows", endpoint, ""]:.15g}'
        name = "harmonium_compilations_total"
        yield from _head(
            name, "counter", "Programs compiled after the start; 0 is as it should be."
        )
        yield f"{name} {total['compilations', '', '']:g}"
        yield from _head("harmonium_info", "gauge", "Versions.")
        own, python = version("harmonium"), platform.python_version()
        yield f'harmonium_info{{version="{own}",python="{python}"}} 1'


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
