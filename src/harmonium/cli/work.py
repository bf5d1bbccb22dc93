"""Fitting an estimator into a run folder."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from harmonium.cli.budget import shorten_budget
from harmonium.cli.console import Console
from harmonium.cli.interrupts import ending_on_interrupt
from harmonium.cli.options import DETECTOR_FILE, MODEL_FILE
from harmonium.cli.progress import Display
from harmonium.cli.runs import (
    DATA_SECTION,
    RunFolder,
    filling,
    write_config,
    write_history,
    write_metrics,
)
from harmonium.cli.training import fit_reports
from harmonium.data import LongTable, Table, fingerprint
from harmonium.errors import InvalidInputError, describe
from harmonium.estimators import AnomalyDetector, DensityEstimator, load
from harmonium.inference import DensitySettings, DetectorSettings
from harmonium.report.extra import HOW_TO_INSTALL, missing_packages

Metrics = dict[str, Any]

_log = logging.getLogger(__name__)

# Of the report, after the fit.
REPORT_SECONDS = 6.0


def make_estimator(settings: dict[str, Any]) -> DensityEstimator:
    """An estimator with these settings, checked; what is not named keeps its default."""
    known = {field.name for field in fields(DensitySettings)}
    if unknown := sorted(set(settings) - known):
        raise InvalidInputError(
            describe("--config", expected=f"settings among {sorted(known)}", got=str(unknown))
        )
    checked = asdict(DensitySettings(**settings))
    return DensityEstimator(random_state=checked.pop("seed"), **checked)


@dataclass(frozen=True)
class Run:
    """What to fit, to which rows, into which folder.

    `source` is the longer table that `table`, at most `max_rows`, was drawn from, if there is one;
    `resume` says that the folder holds a fit to go on with, and `hint` what a user can do after
    Ctrl-C. `finish_seconds` is about what follows the fit beside the report.
    """

    estimator: DensityEstimator
    table: Table
    output: Path
    hint: str
    detector: AnomalyDetector | None = None
    source: LongTable | None = None
    max_rows: int | None = None
    resume: bool = False
    logs: bool = False
    report: bool = True
    finish_seconds: float = 0.0

    @property
    def seconds_afterwards(self) -> float:
        """About what is left to do after the fit takes."""
        return self.finish_seconds + (REPORT_SECONDS if self.report else 0.0)

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
        """All settings, as config.toml holds them, and what tells the table from others."""
        estimator, detector = self.estimator, self.detector
        settings = estimator.check_settings()
        resolved: dict[str, Any] = asdict(settings) | {
            "max_rows": self.max_rows,
            "report": self.report,
        }
        resolved |= {"kinds": estimator.kinds} if estimator.kinds else {}
        if detector is not None:
            resolved |= {"detector": asdict(detector.check_settings())}
        told = {
            "rows": self.n_rows,
            "columns": self.table.n_columns,
            "fingerprint": fingerprint(self.table),
        }
        return resolved | {DATA_SECTION: told}


def fit_run(
    run: Run, display: Display, *, finish: Callable[[Path, Metrics], None] | None = None
) -> Metrics:
    """Fit, then write models, history and metrics into the folder; `finish` may add to it.

    A detector is fitted first. A time budget is that of the whole command: what was spent before
    the density is fitted, and what comes after, is taken off. Ctrl-C during the
    training of the density ends it with the model so far; the metrics then say so, and the run can
    go on later.
    """
    folder, estimator, started = run.folder, run.estimator, time.monotonic()
    config = run.config()
    with filling(folder, resume=run.resume):
        write_config(folder.path, config)
        with ending_on_interrupt(display.console, folder, run.hint) as interrupt:
            if run.detector is not None:
                _log.info("fitting the detector")
                if _fit_detector(run, run.detector):
                    run.detector.save(run.output / DETECTOR_FILE)
            shorten_budget(estimator, run.seconds_afterwards)
            with fit_reports(display, run.output, estimator.n_updates, logs=run.logs) as tell:
                numbers = all(field.is_number for field in run.table.fields)
                # What `sample` of the loaded model returns; Arrow is always there.
                container = "array" if numbers else "pyarrow"
                estimator.fit_table(
                    run.table,
                    container=container,
                    report=interrupt.also(tell),
                    source=run.source,
                    **run.saving(),
                )
            metrics = _metrics(estimator, time.monotonic() - started)
            metrics |= {"rows": run.n_rows, "rows_in_memory": run.table.n_rows}
            metrics["stopped"] = interrupt.requested
            metrics["fingerprint"] = config[DATA_SECTION]["fingerprint"]
            if run.detector is not None:
                metrics["detector"] = run.detector.verdict_
            estimator.save(folder.path / MODEL_FILE)
            write_history(folder.path, estimator.history_)
            if finish is not None:
                finish(folder.path, metrics)
            if run.report:
                _write_report(run, metrics, config, display.console)
            write_metrics(folder.path, metrics)
    return metrics


def follow_run(run: Run) -> None:
    """The part of the other processes in `fit_run`: the same computations, of which only
    checkpoints are written.

    The detector is not needed here, but no process may be long in waiting for another.
    """
    if run.detector is not None:
        _fit_detector(run, run.detector)
    shorten_budget(run.estimator, run.seconds_afterwards)
    run.estimator.fit_table(run.table, source=run.source, **run.saving())


def _write_report(run: Run, metrics: Metrics, config: dict[str, Any], console: Console) -> None:
    """report.html; a picture that cannot be drawn must not cost a fit."""
    again = f"harmonium report {run.output} DATA"
    if missing := missing_packages():
        names = " and ".join(missing)
        console.print(
            f"no report was written, for want of {names}. Try: {HOW_TO_INSTALL}, then {again}"
        )
        return
    _log.info("writing the report")
    try:
        # Here, because training need not wait for what draws: it takes a second to import.
        from harmonium.cli.report import report_run

        report_run(run.output, run.estimator, run.detector, run.table, metrics, config)
    except Exception as error:
        console.print(
            f"warning: no report was written ({type(error).__name__}: {error}). Try: {again}"
        )


def _fit_detector(run: Run, detector: AnomalyDetector) -> bool:
    """Fit it, or take over the one that an earlier fit into this folder has left; whether it was
    fitted.
    """
    path = run.output / DETECTOR_FILE
    if run.resume and path.is_file():
        stored = load(path)
        if isinstance(stored, AnomalyDetector):
            detector.adopt(stored.detector_, stored.settings_, stored.offset_, stored.provenance_)
            return False
    detector.fit(run.table)
    return True


def make_detector(
    estimator: DensityEstimator, settings: dict[str, Any] | None = None
) -> AnomalyDetector:
    """The detector that goes with a density, with these settings or with its seed."""
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
    return AnomalyDetector(random_state=estimator.random_state)


def _metrics(estimator: DensityEstimator, seconds: float) -> Metrics:
    history, diagnostics = estimator.history_, estimator.diagnostics_
    return {
        "chosen": asdict(estimator.chosen_),
        "held_out": asdict(estimator.held_out_),
        "judgment": asdict(estimator.density_.judgment),
        "updates": int(history[-1]["update"]) if history else 0,
        "kept_update": estimator.kept_update_,
        "seconds": seconds,
        "repairs": [str(record["event"]) for record in history if record["event"]],
        "log_partition": asdict(estimator.log_partition_),
        "diagnostics": None if diagnostics is None else asdict(diagnostics),
        "trusted": estimator.density_.trusted,
        "verdict": estimator.verdict_,
    }
