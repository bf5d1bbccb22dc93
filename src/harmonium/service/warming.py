"""Compiling before the first request: every program that a request may need is run once."""

import logging
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from harmonium.data import Table
from harmonium.service.cells import plain_rows
from harmonium.service.counters import Counters
from harmonium.service.lanes import ROWS_AT_ONCE
from harmonium.service.limits import Limits
from harmonium.service.messages import DetectOptions, ImputeOptions, Interval, SampleRequest
from harmonium.service.questions import COMPLETED, DRAWN, Asked, Questions
from harmonium.service.run import ServedRun

_log = logging.getLogger(__name__)

_COMPILED = "/jax/core/compile/backend_compile_duration"
_counters: list[Counters] = []


async def warm_up(run: ServedRun, questions: Questions, limits: Limits) -> None:
    """Ask everything of rows of all kinds, in all numbers that make a difference to programs."""
    started = time.monotonic()
    complete, holed = _rows(run, ROWS_AT_ONCE), _with_holes(run, ROWS_AT_ONCE)
    if run.stored_density is not None:
        for values in (complete[:1], holed[:1], complete, holed):
            await questions.score(_asked(run, values))
        for draws in (0, *(min(n, limits.rows) for n in COMPLETED)):
            for values in (holed[:1], np.full_like(holed[:1], np.nan)):
                await questions.impute(_asked(run, values), ImputeOptions(draws=draws))
        for n in sorted({min(n, limits.rows) for n in DRAWN}):
            for given in ({}, *_conditions(run)):
                await questions.sample(SampleRequest(n=n, given=given))
    if run.stored_detector is not None:
        for values in (complete[:1], complete, holed[:1]):
            await questions.detect(_asked(run, values), DetectOptions(explain=1))
    _log.info("programs are compiled after %.1f s", time.monotonic() - started)


def count_compilations(counters: Counters) -> None:
    """From now on, every program that is compiled is counted."""
    if not _counters:
        jax.monitoring.register_event_duration_secs_listener(_count)
    _counters[:] = [counters]


def _count(event: str, duration_secs: float, **_: object) -> None:
    if event == _COMPILED and _counters:
        _counters[0].count_compilation()


def _rows(run: ServedRun, n: int) -> np.ndarray:
    """Rows (n, columns) like those of the fit: calibration rows, or drawn ones."""
    if run.stored_detector is not None:
        known: np.ndarray = run.detector.calibration_rows
        known = np.where(np.isnan(known), np.nanmedian(known, axis=0), known)
    else:
        known = run.density.sample(DRAWN[0], seed=0)[0]
    return np.resize(known, (n, known.shape[1]))


def _with_holes(run: ServedRun, n: int) -> np.ndarray:
    """Such rows with a hole each, in one column after the other."""
    rows = np.array(_rows(run, n))
    index = run.columns.modeled_index
    rows[np.arange(n), index[np.arange(n) % len(index)]] = np.nan
    return rows


def _asked(run: ServedRun, values: np.ndarray) -> Asked:
    table = Table(values, run.columns.names, run.columns.fields)
    return Asked(table, None, [], lambda row, name: None)


def _conditions(run: ServedRun) -> Iterator[dict[str, Any]]:
    """A value, two values and an interval, of the columns of a row that can have them."""
    row, other = plain_rows(_rows(run, 2), run.columns.fields)
    kinds = dict(zip(run.columns.names, run.columns.kinds, strict=True))
    first, *_ = run.columns.modeled_names
    yield {first: row[first]}
    yield {first: [row[first], other[first]]}
    for name in run.columns.modeled_names:
        if kinds[name] in ("continuous", "grid"):
            yield {name: Interval(low=row[name])}
            return
