"""Threads that compute, so that the event loop stays free: every lane has one, and a bounded
queue.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harmonium.service.problems import busy

Call = Callable[[np.ndarray], Any]

# Rows of one call: a request of few rows waits for no more than this of a longer one.
ROWS_AT_ONCE = 512


@dataclass(eq=False)
class _Job:
    """A function of rows; of a `joint` one the result is an array with an entry per row, which does
    not depend on the other rows, so that the rows of several jobs make one call.
    """

    call: Call
    rows: np.ndarray
    joint: bool
    future: asyncio.Future[Any]
    parts: list[np.ndarray] = field(default_factory=list)
    taken: int = 0

    @property
    def n_left(self) -> int:
        return len(self.rows) - self.taken

    def take(self, most: int) -> np.ndarray:
        """The next rows, at most so many."""
        rows = self.rows[self.taken : self.taken + most]
        self.taken += len(rows)
        return rows


class Lane:
    """A thread with a queue of at most `most_waiting` jobs."""

    def __init__(self, name: str, most_waiting: int):
        self._jobs: deque[_Job] = deque()
        self._most_waiting = most_waiting
        self._changed = threading.Condition()
        self._closed = False
        self.n_calls = 0
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def answer(self, call: Call, rows: np.ndarray, *, joint: bool = False) -> Any:
        """call(rows); raises `ProblemError` where too many jobs wait, and what `call` raises."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        with self._changed:
            if self._closed or len(self._jobs) >= self._most_waiting:
                raise busy("too many requests wait")
            self._jobs.append(_Job(call, rows, joint, future))
            self._changed.notify()
        return await future

    def close(self) -> None:
        """Finish what waits, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                batch = self._next_batch()
            if batch:
                self._run(batch)
            elif self._closed:
                return

    def _next_batch(self) -> list[tuple[_Job, np.ndarray]]:
        """The job in front, with joint ones of the same function; what is left of them queues up
        again, so that a long job does not keep short ones waiting.
        """
        waiting = [job for job in self._jobs if not job.future.done()]
        self._jobs.clear()
        if not waiting:
            return []
        first, others, room = waiting[0], [], ROWS_AT_ONCE
        if not first.joint:
            self._jobs.extend(waiting[1:])
            return [(first, first.rows)]
        batch, unfinished = [], []
        for job in waiting:
            if not (job.joint and job.call == first.call and room):
                others.append(job)
                continue
            batch.append((job, job.take(room)))
            room -= len(batch[-1][1])
            if job.n_left:
                unfinished.append(job)
        self._jobs.extend(others + unfinished)
        return batch

    def _run(self, batch: list[tuple[_Job, np.ndarray]]) -> None:
        self.n_calls += 1
        jobs = [job for job, _ in batch]
        try:
            if not jobs[0].joint:
                _deliver([(jobs[0], jobs[0].call(jobs[0].rows))])
                return
            found = jobs[0].call(np.concatenate([rows for _, rows in batch]))
            ends = np.cumsum([len(rows) for _, rows in batch])[:-1]
            for job, part in zip(jobs, np.split(found, ends), strict=True):
                job.parts.append(part)
            whole = [job for job in jobs if not job.n_left]
            _deliver([(job, np.concatenate(job.parts)) for job in whole])
        except Exception as error:
            _deliver([(job, error) for job in jobs])


def _deliver(results: list[tuple[_Job, Any]]) -> None:
    """Hand results to the event loop that waits for them."""
    if results:
        loop = results[0][0].future.get_loop()
        loop.call_soon_threadsafe(_set_results, results)


def _set_results(results: list[tuple[_Job, Any]]) -> None:
    for job, found in results:
        if job.future.done():
            continue
        if isinstance(found, Exception):
            job.future.set_exception(found)
        else:
            job.future.set_result(found)
