"""Scoring a table of any length with the detector of a run: the columns that `harmonium detect`
writes.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harmonium.artifact import StoredDetector, load_artifact
from harmonium.cli.guarantees import Guarantee
from harmonium.cli.low_rows import ExplainedRow, explain_rows, lowest, reason_columns
from harmonium.cli.options import CONFIG_FILE, find_detector
from harmonium.cli.runs import read_config
from harmonium.cli.streaming import BATCH_ROWS, read_rows
from harmonium.data import column_names, read_cells, read_table, title_of
from harmonium.errors import ArtifactError, InvalidInputError, describe
from harmonium.inference import (
    AbstractCalibration,
    CrossCalibration,
    Detector,
    DetectorSettings,
    GroupCalibration,
    ImposedCalibration,
    ResplitCalibration,
    SplitCalibration,
)
from harmonium.inference.certificates import ListCertificate

Columns = dict[str, Any]

_log = logging.getLogger(__name__)

# What begins the name of a column of the table where a result has that name.
CLASH = "table_"


# Confidence of the bound on normal rows among those that are flagged.
CONFIDENCE = 0.9


@dataclass(frozen=True)
class Decision:
    """What is decided of all rows: p-values and flags, (rows,) both, what is promised of the flags,
    and what a user has to know of them.
    """

    p_values: np.ndarray
    flagged: np.ndarray
    promise: str
    concern: str


@dataclass(frozen=True)
class Opened:
    """A detector, its settings, and the column that names rows, as the run has it."""

    detector: Detector
    settings: DetectorSettings
    named: str | None = None

    def most_false(self, scores: np.ndarray, flagged: np.ndarray) -> int:
        """At most so many of the flagged rows are normal, with a confidence of `CONFIDENCE`."""
        if not flagged.any():
            return 0
        found = ListCertificate.of_scores(self.detector.calibration, scores, CONFIDENCE)
        return found.most_false_in(flagged)

    def verdict(self, promise: str, concern: str = "") -> str:
        """What is to be made of the columns, in full."""
        return " ".join([self.detector.verdict, promise, concern]).strip()

    def in_short(self, promise: str, concern: str = "") -> str:
        """The same in a line, and what concerns these rows."""
        is_trusted = self.detector.trusted
        words = "Trusted: its p-values are valid." if is_trusted else "NOT trusted: its p-values."
        parts = [words, promise, "The whole verdict: --json.", concern]
        return " ".join(filter(None, parts))


@dataclass(frozen=True)
class Found:
    """What is known of all rows of a table: their flags, and the reasons of those that have been
    explained; `n_reasons` are written per row, after the name in the column `named`.
    """

    decision: Decision
    explained: dict[int, ExplainedRow]
    n_reasons: int
    named: str | None


def open_detector(model: Path, calibration: Path | None = None) -> Opened:
    """The detector of a run; `calibration` is a table of normal rows for its p-values, read into
    memory.
    """
    stored = load_artifact(find_detector(model))
    if not isinstance(stored, StoredDetector):
        raise ArtifactError(
            f"{model} holds a density, not a detector. Try: a run folder of `harmonium fit`."
        )
    detector = stored.detector
    if calibration is not None:
        _log.info("calibrating on %s", calibration.name)
        fields = detector.columns.fields
        normal = read_table(calibration, fields=fields, call=f"--calibrate {calibration}")
        detector = detector.calibrated_on(normal.values)
    config = (model if model.is_dir() else model.parent) / CONFIG_FILE
    named = read_config(config).get("id") if config.is_file() else None
    return Opened(detector, stored.settings, named)


def choose_calibration(
    opened: Opened, guarantee: Guarantee, training: Path | None
) -> AbstractCalibration:
    """What p-values and flags rest on; `training` is the table of the fit, where fits are made
    anew.
    """
    detector = opened.detector
    if guarantee.name == "split":
        return SplitCalibration(detector)
    if guarantee.name == "group":
        return GroupCalibration.of_column(detector, guarantee.column)
    if guarantee.name == "pattern":
        return GroupCalibration.of_patterns(detector)
    if guarantee.name == "imposed-pattern":
        return ImposedCalibration(detector)
    assert training is not None
    _log.info("fitting detectors to parts of %s", training.name)
    table = read_table(training, fields=detector.columns.fields, call=f"--training {training}")
    fit = CrossCalibration.fit if guarantee.name == "cross" else ResplitCalibration.fit
    return fit(table, opened.settings)


def measure_rows(
    opened: Opened, data: Path, calibration: AbstractCalibration, scores: np.ndarray
) -> np.ndarray:
    """What a calibration needs of all rows of a table: their scores, or what it measures in a pass
    of its own.
    """
    if isinstance(calibration, SplitCalibration):
        return scores[:, None]
    rows = read_rows(data, opened.detector.columns.fields, "calibrating")
    return np.concatenate([calibration.measure(table.values) for table, _ in rows])


def decide(calibration: AbstractCalibration, measures: np.ndarray, fdr: float) -> Decision:
    """The p-values of all rows, and which are flagged at a false-discovery rate."""
    found = calibration.select(measures, fdr)
    return Decision(calibration.p_values(measures), found.listed, found.promise, found.concern)


def naming_column(opened: Opened, data: Path, stated: str | None) -> str | None:
    """The column of a table that names its rows: as stated, or as the run has it; None where there
    is none.
    """
    names = column_names(data, fields=opened.detector.columns.fields, call=title_of(data))
    if stated is not None and stated not in names:
        expected = f"a column of {title_of(data)}, among {names}"
        raise InvalidInputError(describe("--id", expected=expected, got=repr(stated)))
    return stated if stated is not None else opened.named if opened.named in names else None


def score_rows(opened: Opened, data: Path) -> np.ndarray:
    """The scores of all rows of a table: a first pass, after which it is known which are
    flagged.
    """
    rows = read_rows(data, opened.detector.columns.fields, "scoring")
    return np.concatenate([opened.detector.scores(table.values) for table, _ in rows])


def explain_chosen(
    opened: Opened,
    data: Path,
    scores: np.ndarray,
    decision: Decision,
    *,
    top: int,
    n_reasons: int,
    named: str | None,
) -> Found:
    """Explain the `top` rows of the lowest scores and, where reasons are written, those that are
    flagged.
    """
    chosen = lowest(scores, top)
    if n_reasons:
        chosen = np.union1d(chosen, np.flatnonzero(decision.flagged))
    explained = explain_rows(opened.detector, data, chosen, named) if len(chosen) else {}
    return Found(decision, explained, n_reasons, named)


def whole_batches(
    opened: Opened, data: Path, scores: np.ndarray, found: Found
) -> Iterator[Columns]:
    """All columns of successive rows of a table whose scores are known: what is found of them,
    beside their own cells.
    """
    fields = opened.detector.columns.fields
    start = 0
    for own in read_cells(data, fields=fields, call=title_of(data), size=BATCH_ROWS):
        n_rows = len(next(iter(own.values())))
        whole = found_columns(opened, scores, found, range(start, start + n_rows))
        start += n_rows
        yield _beside(whole, own, found.named)


def found_columns(opened: Opened, scores: np.ndarray, found: Found, part: range) -> Columns:
    """What is found of some rows: their numbers from 1 on, scores, flags and reasons."""
    own = slice(part.start, part.stop)
    whole: Columns = {
        "row": np.arange(part.start, part.stop) + 1,
        "score": scores[own],
        "p_value": found.decision.p_values[own],
        "flagged": found.decision.flagged[own].astype(np.int64),
        "modelled_p_value": opened.detector.modelled_p_values_of(scores[own]),
    }
    if found.n_reasons:
        fields = opened.detector.columns.fields
        n_reasons = min(found.n_reasons, len(fields))
        is_numeric = all(field.is_number for field in fields)
        whole |= reason_columns(found.explained, part, n_reasons, is_numeric=is_numeric)
    return whole


def _beside(results: Columns, own: Columns, named: str | None) -> Columns:
    """Results, with the column of names behind the row number, and all cells of the table."""
    names = {}
    for name in own:
        new = name
        while new in results or new in names.values():
            new = CLASH + new
        names[name] = new
    cells = {names[name]: column for name, column in own.items()}
    first = {} if named is None else {names[named]: cells.pop(names[named])}
    return {"row": results["row"]} | first | results | cells
