"""Fitting a density, and a detector, into a run folder.

Without the estimators: scikit-learn takes a second to import.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from harmonium.artifact import StoredDensity, StoredDetector, load_artifact, save_artifact
from harmonium.cli.beside import Helper
from harmonium.cli.budget import shortened
from harmonium.cli.interrupts import ending_on_interrupt
from harmonium.cli.oddest import Oddest, as_oddest, find_oddest
from harmonium.cli.options import DETECTOR_FILE, MODEL_FILE
from harmonium.cli.runs import (
    DATA_SECTION,
    RunFolder,
    filling,
    write_card,
    write_config,
    write_metrics,
)
from harmonium.cli.training import fit_reports
from harmonium.console import Console
from harmonium.data import LongTable, Table, fingerprint
from harmonium.errors import InvalidInputError, describe
from harmonium.files import write_atomically
from harmonium.inference import DensityFit, DensitySettings, DetectorSettings, fit_density
from harmonium.inference.detection import N_COMPLETIONS
from harmonium.inference.progress import Display
from harmonium.learning.result import Record, Report
from harmonium.report.card import make_card
from harmonium.report.extra import HOW_TO_INSTALL, missing_packages

Metrics = dict[str, Any]

_log = logging.getLogger(__name__)

# Of the report, after the fit.
REPORT_SECONDS = 7.0
# Complete rows that a detector scores in a second; a row with missing cells takes as long as
# `N_COMPLETIONS` of them.
SCORED_PER_SECOND = 8000.0


def make_settings(settings: dict[str, Any]) -> DensitySettings:
    """These settings of a density, checked; what is not named keeps its default."""
    _check_names("--config", settings, DensitySettings)
    return DensitySettings(**settings)


def make_detector_settings(settings: dict[str, Any], seed: int) -> DetectorSettings:
    """These settings of a detector, checked; the seed is that of the density unless it is named."""
    _check_names("--config, [detector]", settings, DetectorSettings)
    return DetectorSettings(**{"seed": seed} | settings)


def _check_names(where: str, settings: dict[str, Any], kind: type) -> None:
    known = {field.name for field in fields(kind)}
    if unknown := sorted(set(settings) - known):
        raise InvalidInputError(
            describe(where, expected=f"settings among {sorted(known)}", got=str(unknown))
        )


@dataclass(frozen=True)
class Run:
    """What to fit, to which rows, into which folder.

    `source` is the longer table that `table`, at most `max_rows`, was drawn from, if there is one;
    `resume` says that the folder holds a fit to go on with, and `hint` what a user can do after
    Ctrl-C. `kinds` are those of columns that were stated, and `named` is the column that names
    rows. `finish_seconds` is about what follows the fit beside the report.
    """

    settings: DensitySettings
    table: Table
    output: Path
    hint: str
    detector: DetectorSettings | None = None
    kinds: dict[str, str] | None = None
    source: LongTable | None = None
    max_rows: int | None = None
    resume: bool = False
    logs: bool = False
    report: bool = True
    finish_seconds: float = 0.0
    named: str | None = None

    @property
    def seconds_afterwards(self) -> float:
        """About what is left to do after the fit takes: the report, which scores all rows."""
        if not self.report:
            return self.finish_seconds
        share_holed = float(np.isnan(self.table.values).any(axis=1).mean())
        n_scored = 0 if self.detector is None else self.table.n_rows
        scoring = n_scored * (1 + (N_COMPLETIONS - 1) * share_holed) / SCORED_PER_SECOND
        return self.finish_seconds + REPORT_SECONDS + scoring

    @property
    def n_rows(self) -> int:
        """Rows of the whole table."""
        return self.table.n_rows if self.source is None else self.source.n_rows

    @property
    def folder(self) -> RunFolder:
        """The folder as it fills."""
        return RunFolder(self.output)

    def saving(self) -> dict[str, Any]:
        """Where the fit saves its state, and whether it goes on from there."""
        return {"resume" if self.resume else "checkpoints": self.folder.checkpoints}

    def config(self) -> dict[str, Any]:
        """All settings, as config.toml holds them, and what identifies the table."""
        resolved: dict[str, Any] = asdict(self.settings) | {
            "max_rows": self.max_rows,
            "report": self.report,
            "id": self.named,
        }
        resolved |= {"kinds": self.kinds} if self.kinds else {}
        if self.detector is not None:
            resolved |= {"detector": asdict(self.detector)}
        data = {
            "rows": self.n_rows,
            "columns": self.table.n_columns,
            "fingerprint": fingerprint(self.table),
        }
        return resolved | {DATA_SECTION: data}


Finish = Callable[[Path, DensityFit, Metrics], None]


def fit_run(
    run: Run, display: Display, *, finish: Finish | None = None, helper: Helper | None = None
) -> tuple[Metrics, DensityFit]:
    """Fit, then write models, history and metrics into the folder; `finish` may add to it.
    The metrics, and the fit.

    A detector is fitted meanwhile by the helper, or first where there is none. A time budget is
    that of the whole command: what was spent before the density is fitted, and what comes after, is
    taken off. Ctrl-C during the training of the density ends it with the model so far; the metrics
    then say so, and the run can go on later.
    """
    folder, started = run.folder, time.monotonic()
    config = run.config()
    with filling(folder, resume=run.resume):
        write_config(folder.path, config)
        with ending_on_interrupt(display.console, folder, run.hint) as interrupt:
            wait_for_watch = _begin_detector(run, helper)
            settings = shortened(run.settings, run.seconds_afterwards)
            with fit_reports(display, run.output, settings.n_updates, logs=run.logs) as tell:
                fitted = _fit_density(run, settings, report=interrupt.also(tell))
            watch = wait_for_watch()
            detector = watch.detector
            metrics = _metrics(fitted, time.monotonic() - started)
            metrics |= {"rows": run.n_rows, "rows_in_memory": run.table.n_rows}
            metrics["missing"] = _count_missing(run.table)
            metrics["stopped"] = interrupt.requested
            metrics["fingerprint"] = config[DATA_SECTION]["fingerprint"]
            if detector is not None:
                metrics["detector"] = detector.detector.verdict
            numbers = all(field.is_number for field in run.table.fields)
            # What `sample` of the loaded model returns; Arrow is always there.
            container = "array" if numbers else "pyarrow"
            stored = StoredDensity(fitted.density, settings, container, fitted.provenance)
            save_artifact(folder.path / MODEL_FILE, stored)
            write_history(folder.path, fitted.history)
            write_card(
                folder.path, make_card(run.output.resolve().name, stored, detector, metrics, config)
            )
            if finish is not None:
                finish(folder.path, fitted, metrics)
            if run.report:
                metrics["report"] = _write_report(
                    run, fitted, detector, metrics, config, display.console
                )
            metrics["oddest"] = _oddest(run, watch, metrics.get("report"))
            write_metrics(folder.path, metrics)
    return metrics, fitted


def _count_missing(table: Table) -> dict[str, int]:
    """How many cells of every column of the rows in memory are missing."""
    counts = np.isnan(table.values).sum(axis=0)
    return dict(zip(table.names, counts.tolist(), strict=True))


def follow_run(run: Run) -> None:
    """The part of the other processes in `fit_run`: the same computations, of which only
    checkpoints are written.

    The detector is not needed here, but no process may be long in waiting for another.
    """
    if run.detector is not None:
        _fit_detector(run, run.detector)
    _fit_density(run, shortened(run.settings, run.seconds_afterwards))


def _fit_density(run: Run, settings: DensitySettings, report: Report | None = None) -> DensityFit:
    return fit_density(run.table, settings, report=report, source=run.source, **run.saving())


def _write_report(
    run: Run,
    fitted: DensityFit,
    detector: StoredDetector | None,
    metrics: Metrics,
    config: dict[str, Any],
    console: Console,
) -> Metrics | None:
    """Write report.html; its first line, None where it could not be written: a picture that cannot
    be drawn must not cost a fit.
    """
    again = f"harmonium report {run.output} DATA"
    if missing := missing_packages():
        names = " and ".join(missing)
        console.print(
            f"no report was written, because {names} is missing. Try: {HOW_TO_INSTALL}, then "
            f"{again}"
        )
        return None
    _log.info("writing the report")
    try:
        # Here, because training need not wait for what draws: it takes a second to import.
        from harmonium.cli.report import report_run

        found = None if detector is None else detector.detector
        return asdict(report_run(run.output, fitted, found, run.table, metrics, config, run.source))
    except Exception as error:
        console.print(
            f"warning: no report was written ({type(error).__name__}: {error}). Try: {again}"
        )
        return None


class _Watch(NamedTuple):
    """The detector of a run, and the oddest row where it was sought already; None without."""

    detector: StoredDetector | None = None
    oddest: Oddest | None = None


def _begin_detector(run: Run, helper: Helper | None) -> Callable[[], _Watch]:
    """Begin to fit the detector; what gives it, written into the folder."""
    settings = run.detector
    if settings is None:
        return _Watch
    path, budget = run.output / DETECTOR_FILE, run.settings.time_budget

    def fit_here() -> _Watch:
        stored = _fit_detector(run, settings)
        save_artifact(path, stored)
        return _Watch(stored)

    if helper is None or run.resume or not helper.begin(run.table, settings, path, budget):
        watch = fit_here()
        return lambda: watch

    def wait() -> _Watch:
        oddest = helper.oddest()
        if oddest is None:
            return fit_here()
        stored = load_artifact(path)
        assert isinstance(stored, StoredDetector)
        return _Watch(stored, Oddest(**oddest))

    return wait


def _oddest(run: Run, watch: _Watch, report: Metrics | None) -> Metrics | None:
    """The oddest row; None without a detector, and where rows have other numbers in a longer
    table.
    """
    if watch.detector is None or run.source is not None:
        return None
    found, detector, values = watch.oddest, watch.detector.detector, run.table.values
    # The report may have scored all rows.
    row = (report or {}).get("oddest_row")
    if row is not None and (found is None or found.row != row):
        found = as_oddest(detector, values, row, len(values))
    return asdict(found or find_oddest(detector, values, run.settings.time_budget))


def _fit_detector(run: Run, settings: DetectorSettings) -> StoredDetector:
    """The detector of the table, or the one that an earlier fit into this folder has left."""
    path = run.output / DETECTOR_FILE
    if run.resume and path.is_file():
        stored = load_artifact(path)
        if isinstance(stored, StoredDetector):
            return stored
    return StoredDetector.fit(run.table, settings)


def write_history(folder: Path, history: tuple[Record, ...]) -> None:
    """history.parquet: one row per evaluation."""
    names = dict.fromkeys(name for record in history for name in record)
    table = pa.table({name: [record.get(name) for record in history] for name in names})
    path = folder / "history.parquet"
    write_atomically(path, lambda temporary: parquet.write_table(table, temporary))


def _metrics(fitted: DensityFit, seconds: float) -> Metrics:
    history, diagnostics, density = fitted.history, fitted.diagnostics, fitted.density
    return {
        "chosen": asdict(density.chosen),
        "held_out": asdict(fitted.held_out),
        "judgment": asdict(density.judgment),
        "updates": int(history[-1]["update"]) if history else 0,
        "kept_update": fitted.kept_update,
        "seconds": seconds,
        "repairs": [str(record["event"]) for record in history if record["event"]],
        "log_partition": asdict(density.log_partition),
        "diagnostics": None if diagnostics is None else asdict(diagnostics),
        "trusted": density.trusted,
        "verdict": density.verdict,
    }
