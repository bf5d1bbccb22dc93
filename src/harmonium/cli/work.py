"""Fitting an estimator into a run folder."""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from harmonium.cli.progress import fit_progress
from harmonium.cli.runs import new_run_folder, write_config, write_history, write_metrics
from harmonium.data import Table
from harmonium.estimators import DensityEstimator

Metrics = dict[str, Any]


def fit_run(
    estimator: DensityEstimator,
    table: Table,
    output: Path,
    console: Console,
    *,
    overwrite: bool,
    finish: Callable[[Path, Metrics], None] | None = None,
) -> Metrics:
    """Fit, then write model, configuration, history and metrics; `finish` may add to the folder."""
    started = time.monotonic()
    with fit_progress(console, estimator.n_updates) as report:
        estimator.fit_table(table, report=report)
    metrics = _metrics(estimator, time.monotonic() - started)
    with new_run_folder(output, overwrite=overwrite) as folder:
        estimator.save(folder / "model.safetensors")
        write_config(folder, asdict(estimator.settings_))
        write_history(folder, estimator.history_)
        if finish is not None:
            finish(folder, metrics)
        write_metrics(folder, metrics)
    return metrics


def _metrics(estimator: DensityEstimator, seconds: float) -> Metrics:
    history = estimator.history_
    return {
        "held_out": asdict(estimator.held_out_),
        "updates": int(history[-1]["update"]),
        "seconds": seconds,
        "repairs": [str(record["event"]) for record in history if record["event"]],
        "log_partition": asdict(estimator.log_partition_),
        "trusted": estimator.density_.trusted,
        "verdict": estimator.verdict_,
    }
