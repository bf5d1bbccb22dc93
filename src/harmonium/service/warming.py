"""Compiling before the first request: every program that a request may need is run once."""

import logging
import time
from functools import partial

import jax
import numpy as np

from harmonium.data import Bounds, Table
from harmonium.inference import Density
from harmonium.inference.batches import BATCHES
from harmonium.inference.conditional_sampling import N_WEIGHED
from harmonium.service.counters import Counters
from harmonium.service.lanes import ROWS_AT_ONCE
from harmonium.service.limits import Limits
from harmonium.service.messages import DetectOptions, ImputeOptions, SampleRequest
from harmonium.service.questions import COMPLETED, DRAWN, Asked, Questions
from harmonium.service.run import ServedRun

_log = logging.getLogger(__name__)

# Numbers of proposals of draws given some columns.
PROPOSED = (256, 512, 2048, 4096)
_COMPILED = "/jax/core/compile/backend_compile_duration"
_counters: list[Counters] = []


async def warm_up(run: ServedRun, questions: Questions, limits: Limits) -> None:
    """Ask everything of rows of all kinds, in all numbers that make a difference to programs."""
    started = time.monotonic()
    complete, holed = _rows(run, ROWS_AT_ONCE), _with_holes(run, ROWS_AT_ONCE)
    lengths = [1 + shorter for shorter in (0, *BATCHES) if shorter < ROWS_AT_ONCE]
    if run.stored_density is not None:
        for values in (complete, holed):
            for n in lengths:
                await questions.score(_asked(run, values[:n]))
        for draws in (0, *(min(n, limits.rows) for n in COMPLETED)):
            for values in (holed[:1], np.full_like(holed[:1], np.nan)):
                await questions.impute(_asked(run, values), ImputeOptions(draws=draws))
        for n in sorted({min(n, limits.rows) for n in DRAWN}):
            await questions.sample(SampleRequest(n=n))
        await questions.slow.answer(partial(_propose, run.density), holed[:1])
    if run.stored_detector is not None:
        for values in (complete, holed):
            for n in lengths:
                await questions.detect(_asked(run, values[:n]), DetectOptions(explain=1))
    _log.info("ready: programs are compiled (%.0f s)", time.monotonic() - started)


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


def _propose(density: Density, rows: np.ndarray) -> None:
    """All proposals of draws given some columns, and what weighs intervals."""
    bounds = density.coordinates.bounds(rows)
    for n in PROPOSED:
        density.boxes.propose(bounds, n, seed=0)
    open_ = np.where(bounds.is_open, 0.0, bounds.low), np.where(bounds.is_open, 1.0, bounds.high)
    density.boxes.log_masses(Bounds(*open_), n_draws=N_WEIGHED)
