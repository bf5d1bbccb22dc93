"""Fitting an estimator into a run folder."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from rich.console import Console

from harmonium.cli.progress import fit_progress
from harmonium.cli.runs import (
    DETECTOR_FILE,
    new_run_folder,
    write_config,
    write_history,
    write_metrics,
)
from harmonium.data import Table
from harmonium.errors import InvalidInputError, describe
from harmonium.estimators import AnomalyDetector, DensityEstimator
from harmonium.inference import DensitySettings, DetectorSettings

Metrics = dict[str, Any]

# Seconds of a budget from which on the detector gets all of its updates.
BUDGET_OF_FULL_DETECTOR = 60.0
# Share of a budget that the density keeps whatever the detector took.
LEAST_SHARE = 0.3


def make_estimator(settings: dict[str, Any]) -> DensityEstimator:
    """An estimator with these settings, checked; what is not named keeps its default."""
    known = {field.name for field in fields(DensitySettings)}
    if unknown := sorted(set(settings) - known):
        raise InvalidInputError(
            describe("--config", expected=f"settings among {sorted(known)}", got=str(unknown))
        )
    checked = asdict(DensitySettings(**settings))
    return DensityEstimator(random_state=checked.pop("seed"), **checked)


def fit_run(
    estimator: DensityEstimator,
    table: Table,
    output: Path,
    console: Console,
    *,
    overwrite: bool,
    n_rows: int | None = None,
    detector: AnomalyDetector | None = None,
    finish: Callable[[Path, Metrics], None] | None = None,
) -> Metrics:
    """Fit, then write models, configuration, history and metrics; `finish` may add to the folder.

    `n_rows` are those that the table was drawn from. A detector is fitted first, and its time comes off the budget of the density.
    """
    started, budget = time.monotonic(), estimator.time_budget
    with stop_on_interrupt(console), fit_progress(console, estimator.n_updates) as report:
        if detector is not None:
            detector.fit(table)
            _shorten_budget(estimator, time.monotonic() - started)
        numbers = all(field.is_number for field in table.fields)
        # What `sample` of the loaded model returns; Arrow is always there.
        container = "array" if numbers else "pyarrow"
        estimator.fit_table(table, container=container, report=report)
    metrics = _metrics(estimator, time.monotonic() - started)
    metrics |= {"rows": n_rows or table.n_rows, "rows_trained_on": table.n_rows}
    if detector is not None:
        metrics["detector"] = detector.verdict_
    with new_run_folder(output, overwrite=overwrite) as folder:
        estimator.save(folder / "model.safetensors")
        if detector is not None:
            detector.save(folder / DETECTOR_FILE)
        write_config(folder, _resolved(estimator, budget, detector))
        write_history(folder, estimator.history_)
        if finish is not None:
            finish(folder, metrics)
        write_metrics(folder, metrics)
    return metrics


def _resolved(
    estimator: DensityEstimator, budget: float | None, detector: AnomalyDetector | None
) -> dict[str, Any]:
    """All settings of a run; the budget is the one that was asked for."""
    resolved = asdict(estimator.settings_) | {"time_budget": budget}
    resolved |= {"kinds": estimator.kinds} if estimator.kinds else {}
    return resolved if detector is None else resolved | {"detector": asdict(detector.settings_)}


def make_detector(
    estimator: DensityEstimator, settings: dict[str, Any] | None = None
) -> AnomalyDetector:
    """The detector that goes with a density, with these settings or with its seed and no more updates or time than it has."""
    if settings:
        known = {field.name for field in fields(DetectorSettings)}
        if unknown := sorted(set(settings) - known):
            raise InvalidInputError(
                describe(
                    "--config, [detector]",
                    expected=f"settings among {sorted(known)}",
                    got=str(unknown),
                )
            )
        checked = asdict(DetectorSettings(**settings))
        return AnomalyDetector(random_state=checked.pop("seed"), **checked)
    detector = AnomalyDetector(random_state=estimator.random_state)
    n_updates = min(detector.n_updates, estimator.n_updates)
    if estimator.time_budget is not None:
        share = min(1.0, estimator.time_budget / BUDGET_OF_FULL_DETECTOR)
        n_updates = max(1, int(share * n_updates))
    return detector.set_params(n_updates=n_updates)


def _shorten_budget(estimator: DensityEstimator, spent: float) -> None:
    if estimator.time_budget is not None:
        left = max(estimator.time_budget - spent, LEAST_SHARE * estimator.time_budget)
        estimator.set_params(time_budget=left)


@contextmanager
def stop_on_interrupt(console: Console) -> Iterator[None]:
    """Within the block, Ctrl-C ends the process at once, with a word.

    Nothing is open for writing there, and tearing down compiled code in flight can crash.
    """

    def stop(*_: Any) -> None:
        console.print("\ninterrupted; nothing was written")
        os._exit(130)

    previous = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _metrics(estimator: DensityEstimator, seconds: float) -> Metrics:
    history = estimator.history_
    return {
        "held_out": asdict(estimator.held_out_),
        "updates": int(history[-1]["update"]),
        "kept_update": estimator.kept_update_,
        "seconds": seconds,
        "repairs": [str(record["event"]) for record in history if record["event"]],
        "log_partition": asdict(estimator.log_partition_),
        "diagnostics": asdict(estimator.diagnostics_),
        "trusted": estimator.density_.trusted,
        "verdict": estimator.verdict_,
    }
