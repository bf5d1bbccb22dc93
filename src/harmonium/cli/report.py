"""The report of a run: at the end of a fit, and again from its folder."""

import json
import logging
import platform
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from pyarrow import parquet

from harmonium.artifact import StoredDensity, StoredDetector, load_artifact
from harmonium.cli.budget import seconds_left
from harmonium.cli.options import DETECTOR_FILE, find_model
from harmonium.cli.progress import showing
from harmonium.console import Console
from harmonium.data import LongTable, Table, read_named_batches
from harmonium.errors import ArtifactError, InvalidInputError
from harmonium.inference import Density, DensityFit, Detector
from harmonium.learning.result import Record
from harmonium.report import (
    ExplorerSummary,
    ReportSummary,
    RunView,
    write_explorer,
    write_report,
)
from harmonium.report.words import count, duration

_log = logging.getLogger(__name__)

REPORT_FILE = "report.html"
PACKAGES = ("harmonium", "jax", "equinox", "optax", "numpy")
# Rows read at a time while some are drawn, and rows that are kept: a longer table is a sample.
BATCH_ROWS = 65_536
MOST_ROWS = 100_000
# Of the report at the end of a fit: complete rows that the detector scores, about six seconds, and
# those per second of a time budget, about a tenth of it.
N_SCORED = 60_000
N_SCORED_PER_SECOND = 1000
# Classifiers that tell so many draws from as many rows take about three seconds.
N_COMPARED = 500
CLASSIFIER_SECONDS = 3.0


def report_run(
    folder: Path,
    fitted: DensityFit,
    detector: Detector | None,
    table: Table | None,
    metrics: Mapping[str, Any],
    settings: Mapping[str, Any],
    source: LongTable | None = None,
) -> ReportSummary:
    """Write report.html into a run folder that is being made; `metrics` and `settings` are what is
    stored there, and `source` is the longer table that `table` was drawn from, if there is one.

    What takes long is in proportion to the fit.
    """
    classifiers = {}
    if table is not None and _is_affordable(metrics, settings):
        classifiers = _by_classifiers(fitted.density, table, settings["seed"])
    view = RunView(
        density=fitted.density,
        detector=detector,
        history=fitted.history,
        metrics=metrics,
        settings=settings,
        provenance=_provenance(metrics, settings),
        table=table,
        row_numbers=None if source is None else source.drawn,
        n_table_rows=None if source is None else source.n_rows,
        n_scored=_n_scored(settings),
        classifiers=classifiers,
        seed=settings["seed"],
        name=folder.resolve().name,
    )
    return write_report(folder / REPORT_FILE, view)


def remake_report(
    run: Path, data: Path | None, output: Path, *, n_rows: int, seed: int
) -> ReportSummary:
    """The report of a run folder, with rows of `data` where it is given."""
    model = find_model(run)
    stored = load_artifact(model)
    if not isinstance(stored, StoredDensity):
        raise ArtifactError(f"{run} holds a detector, not a density. Try: a run folder.")
    folder = model.parent
    metrics, settings = _read_json(folder / "metrics.json"), _read_toml(folder / "config.toml")
    _log.info("writing the report")
    drawn = None if data is None else _draw_rows(data, stored.density, max(n_rows, MOST_ROWS), seed)
    view = RunView(
        density=stored.density,
        detector=_detector_of(folder, stored.density),
        history=_read_history(folder / "history.parquet"),
        metrics=metrics,
        settings=settings,
        provenance=_provenance(metrics, settings)
        | ({} if data is None else {"rows shown come from": data.name}),
        table=None if drawn is None else drawn.table,
        row_numbers=None if drawn is None else drawn.numbers,
        n_table_rows=None if drawn is None else drawn.n_rows,
        identifiers={} if drawn is None else drawn.identifiers,
        max_rows=n_rows,
        classifiers={} if drawn is None else _by_classifiers(stored.density, drawn.table, seed),
        seed=seed,
        name=folder.resolve().name,
    )
    return write_report(output, view)


def make_explorer(
    run: Path, data: Path | None, output: Path, *, n_rows: int, seed: int, console: Console
) -> ExplorerSummary:
    """The explorer of a run folder, with rows of `data` where it is given; progress goes to the
    console.
    """
    model = find_model(run)
    stored = load_artifact(model)
    if not isinstance(stored, StoredDensity):
        raise ArtifactError(f"{run} holds a detector, not a density. Try: a run folder.")
    with showing(console):
        _log.info("writing the explorer")
        drawn = None if data is None else _draw_rows(data, stored.density, n_rows, seed)
        return write_explorer(
            output,
            stored.density,
            table=None if drawn is None else drawn.table,
            n_rows=n_rows,
            name=model.parent.resolve().name,
            seed=seed,
        )


def _n_scored(settings: Mapping[str, Any]) -> float:
    """How many complete rows the detector may score at the end of a fit: figures show some rows
    in any case.
    """
    return min(N_SCORED, N_SCORED_PER_SECOND * seconds_left(settings.get("time_budget")))


def _is_affordable(metrics: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether classifiers take at most a tenth of the time of a fit, and half of what it left of
    its budget.
    """
    left = seconds_left(settings.get("time_budget"))
    return metrics["seconds"] >= 10 * CLASSIFIER_SECONDS and left >= 2 * CLASSIFIER_SECONDS


def _by_classifiers(density: Density, table: Table, seed: int) -> dict[str, tuple[float, float]]:
    """How well classifiers tell draws from rows, and one half of the rows from the other."""
    # scikit-learn takes a second to import.
    from threadpoolctl import threadpool_limits

    from harmonium.estimators.comparison import FEWEST_ROWS, judge_samples

    if table.n_rows < FEWEST_ROWS:
        return {}
    _log.info("comparing draws with rows")
    rows = np.random.default_rng(seed).permutation(table.values)[:N_COMPARED]
    # On so few rows, threads wait for each other ten times as long as one takes alone.
    with threadpool_limits(1):
        found = judge_samples(density, rows, None, seed=seed)
    return {
        "boosted trees": (found.samples.boosting, found.halves.boosting),
        "logistic regression": (found.samples.logistic, found.halves.logistic),
    }


@dataclass(frozen=True)
class _Drawn:
    """Rows drawn from a table of `n_rows` rows, in its order, with their numbers there, and the
    cells of their identifiers by name.
    """

    table: Table
    numbers: np.ndarray
    n_rows: int
    identifiers: dict[str, list[Any]]


def _draw_rows(data: Path, density: Density, n: int, seed: int) -> _Drawn:
    """A uniform random sample of at most `n` rows, in one pass and constant memory."""
    fields = density.columns.fields
    rng = np.random.default_rng(seed)
    values, numbers, tickets = np.zeros((0, len(fields))), np.zeros(0, int), np.zeros(0)
    identifiers: dict[str, list[Any]] = {}
    n_rows = 0
    for batch, named in read_named_batches(data, fields=fields, call=str(data), size=BATCH_ROWS):
        values = np.concatenate([values, batch.values])
        numbers = np.append(numbers, np.arange(n_rows, n_rows + batch.n_rows) + 1)
        tickets = np.append(tickets, rng.random(batch.n_rows))
        kept = np.sort(np.argsort(tickets, kind="stable")[:n])
        for name, cells in named.items():
            known = identifiers.get(name, []) + cells.to_pylist()
            identifiers[name] = [known[i] for i in kept]
        values, numbers, tickets = values[kept], numbers[kept], tickets[kept]
        n_rows += batch.n_rows
    names = tuple(field.name for field in fields)
    return _Drawn(Table(values, names, fields), numbers, n_rows, identifiers)


def _detector_of(folder: Path, density: Density) -> Detector | None:
    """The detector beside a density, if there is one and it is of the same columns."""
    path = folder / DETECTOR_FILE
    found = load_artifact(path) if path.is_file() else None
    if not isinstance(found, StoredDetector):
        return None
    return found.detector if found.detector.columns.fields == density.columns.fields else None


def _provenance(metrics: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """When, with what and from what a run was made; what is not known is left out."""
    facts: dict[str, Any] = {}
    for key, name in (("rows", "rows in the table"), ("rows_in_memory", "rows in memory at once")):
        if metrics.get(key) is not None:
            facts[name] = count(metrics[key])
    if metrics.get("updates") is not None:
        n, kept = count(metrics["updates"]), count(metrics["kept_update"])
        facts["updates"] = f"{n}, of which {kept} are in the kept state"
    if metrics.get("seconds") is not None:
        facts["time of the fit"] = duration(metrics["seconds"])
    if metrics.get("fingerprint") is not None:
        facts["fingerprint of the data"] = metrics["fingerprint"]
    facts["seed"] = settings.get("seed")
    facts["report made"] = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    facts |= {package: version(package) for package in PACKAGES}
    facts["Python"] = platform.python_version()
    facts["machine of the report"] = (
        f"{platform.system()} {platform.machine()}, {jax.default_backend()}"
    )
    return facts


def _read_history(path: Path) -> tuple[Record, ...]:
    """The records of a history, without what they lack."""
    if not path.is_file():
        return ()
    rows = parquet.read_table(path).to_pylist()
    return tuple({name: v for name, v in row.items() if v is not None} for row in rows)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{path}: not JSON that can be read: {error}") from error


def _read_toml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{path}: not TOML that can be read: {error}") from error
