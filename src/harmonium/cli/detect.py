"""Scoring a table of any length with the detector of a run: the columns that `harmonium detect`
writes.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harmonium.artifact import StoredDensity, StoredDetector, load_artifact
from harmonium.cli.options import find_detector
from harmonium.cli.streaming import read_rows
from harmonium.data import Table, decode_columns, read_table
from harmonium.errors import ArtifactError
from harmonium.inference import Density, Detector, explain
from harmonium.inference.conformal import benjamini_hochberg, lack_of_calibration
from harmonium.inference.explanation import DOUBTFUL

Columns = dict[str, Any]

_log = logging.getLogger(__name__)

# Cells that a row of the list is explained by, and how much likelier another value has to be.
N_SENTENCES, LEAST_DROP = 3, 1.0


@dataclass(frozen=True)
class Flags:
    """Which rows are flagged, (rows,), and what a user has to know if none can be."""

    flagged: np.ndarray
    concern: str


@dataclass(frozen=True)
class Opened:
    """A detector, and the density of the same columns that goes with it, if there is one."""

    detector: Detector
    density: Density | None

    def columns(self, table: Table, scores: np.ndarray, n_reasons: int) -> Columns:
        """Named columns of rows with these scores, but their flags; `n_reasons` worst cells are
        told per row.
        """
        columns: Columns = {"score": scores}
        if self.density is not None:
            columns["log_density"] = self.density.log_density(table.values)
        columns["p_value"] = self.detector.p_values_of(scores)
        columns["modelled_p_value"] = self.detector.modelled_p_values_of(scores)
        if n_reasons:
            columns |= _reasons(self.detector, table, n_reasons)
        return columns

    def flags(self, p_values: np.ndarray, fdr: float) -> Flags:
        """The rows that are flagged at a false-discovery rate, by the p-values of all."""
        flagged = benjamini_hochberg(p_values, fdr)
        n_calibration = len(self.detector.calibration)
        return Flags(flagged, lack_of_calibration(p_values, flagged, n_calibration, fdr))

    def verdict(self, flags: Flags) -> str:
        """What is to be made of the columns, in full."""
        parts = [self.detector.verdict]
        parts += [] if self.density is None else [f"Of log_density: {self.density.verdict}"]
        return " ".join([*parts, flags.concern]).rstrip()

    def in_short(self, flags: Flags) -> str:
        """The same in a line, and what concerns these rows."""
        n = len(self.detector.calibration)
        words = "Trusted" if self.detector.trusted else "NOT trusted"
        line = f"{words}; p-values rest on {n} calibration rows and are at least 1/{n + 1}. The whole verdict: --json."
        return f"{line} {flags.concern}".rstrip()


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
    return Opened(detector, _density_beside(model, detector))


def score_rows(opened: Opened, data: Path) -> np.ndarray:
    """The scores of all rows of a table: a first pass, after which it is known which are
    flagged.
    """
    rows = read_rows(data, opened.detector.columns.fields, "scoring")
    return np.concatenate([opened.detector.scores(table.values) for table, _ in rows])


def detect_batches(
    opened: Opened, data: Path, scores: np.ndarray, flags: Flags, n_reasons: int
) -> Iterator[Columns]:
    """All columns of successive rows of a table whose scores are known."""
    start = 0
    doing = "explaining the rows of" if n_reasons else "writing the scores of"
    for table, _ in read_rows(data, opened.detector.columns.fields, doing):
        part = slice(start, start + table.n_rows)
        start += table.n_rows
        yield with_flags(opened.columns(table, scores[part], n_reasons), flags.flagged[part])


@dataclass(frozen=True)
class LowRow:
    """A row of a table that scores low: its number from 1 on, score, p-values, and reasons in
    words.
    """

    row: int
    score: float
    p_value: float
    modelled_p_value: float
    reasons: list[str]

    def describe(self) -> str:
        """In one line."""
        why = "; ".join(self.reasons) or "no single cell explains it"
        p = f"p {self.p_value:.2g}, modelled {self.modelled_p_value:.1g}"
        return f"row {self.row}: {p}, score {self.score:.2f}; {why}"


def lowest_rows(opened: Opened, data: Path, scores: np.ndarray, n: int) -> list[LowRow]:
    """The n rows of the lowest scores, lowest first, whether they are flagged or not."""
    order = np.argsort(scores, kind="stable")[:n]
    found: dict[int, list[str]] = {}
    start = 0
    for table, _ in read_rows(data, opened.detector.columns.fields, "explaining"):
        own = order[(order >= start) & (order < start + table.n_rows)]
        if len(own):
            part = Table(table.values[own - start], table.names, table.fields)
            found |= dict(zip(own.tolist(), _sentences(opened.detector, part), strict=True))
        start += table.n_rows
    fitted = opened.detector
    p_values = fitted.p_values_of(scores[order]), fitted.modelled_p_values_of(scores[order])
    return [
        LowRow(int(i) + 1, float(scores[i]), float(p), float(modelled), found[int(i)])
        for i, p, modelled in zip(order, *p_values, strict=True)
    ]


def _sentences(detector: Detector, table: Table) -> list[list[str]]:
    """What is unusual of every row, given its other cells."""
    told = _reasons(detector, table, N_SENTENCES)
    ranks = range(1, min(N_SENTENCES, table.n_columns) + 1)
    return [
        [
            f"{told[f'reason_{rank}'][i]} = {_short(told[f'reason_{rank}_value'][i])} where "
            f"{_short(told[f'reason_{rank}_likely'][i])} is {told[f'reason_{rank}_drop'][i]:.1f} "
            "nats likelier"
            for rank in ranks
            if told[f"reason_{rank}"][i] and told[f"reason_{rank}_drop"][i] >= LEAST_DROP
        ]
        for i in range(table.n_rows)
    ]


def _short(cell: Any) -> str:
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell)


def with_flags(columns: Columns, flagged: np.ndarray) -> Columns:
    """The columns with those of the flags after the p-values that they rest on."""
    names = list(columns)
    names.insert(names.index("p_value") + 1, "flagged")
    whole = columns | {"flagged": flagged.astype(np.int64)}
    return {name: whole[name] for name in names}


def _density_beside(model: Path, detector: Detector) -> Density | None:
    """The density of the run folder, if there is one and it is of the same columns."""
    path = (model if model.is_dir() else model.parent) / "model.safetensors"
    stored = load_artifact(path) if path.is_file() else None
    if not isinstance(stored, StoredDensity):
        return None
    same = stored.density.columns.fields == detector.columns.fields
    return stored.density if same else None


def _reasons(detector: Detector, table: Table, n_reasons: int) -> Columns:
    """Per reason: the column, its value, what would be likely, and by how much that is likelier.

    Empty where a further cell is not likelier wrong than right. Values are numbers where all
    columns hold numbers, and text otherwise.
    """
    found = explain(detector, table.values)
    top = found.top(min(n_reasons, table.n_columns))
    rows = np.arange(table.n_rows)
    values, likely = _cells(table.values, table), _cells(found.likely_values, table)
    columns: Columns = {}
    for rank, index in enumerate(top.T, start=1):
        doubt = found.contributions[rows, index]
        names = [found.names[i] if d > DOUBTFUL else "" for i, d in zip(index, doubt, strict=True)]
        columns[f"reason_{rank}"] = names
        columns[f"reason_{rank}_value"] = values[rows, index]
        columns[f"reason_{rank}_likely"] = likely[rows, index]
        columns[f"reason_{rank}_drop"] = found.drops[rows, index]
    return columns


def _cells(values: np.ndarray, table: Table) -> np.ndarray:
    """Cells (rows, columns) as a reader of the table knows them."""
    if all(field.is_number for field in table.fields):
        return values
    decoded = decode_columns(values, table.fields).values()
    texts = [
        [_text(code, cell) for code, cell in zip(codes, part.to_pylist(), strict=True)]
        for codes, part in zip(values.T, decoded, strict=True)
    ]
    return np.array(texts, dtype=object).T


def _text(code: float, cell: Any) -> str:
    """A cell in words; that a category is one the fitted table did not have is told apart from a
    missing cell.
    """
    if cell is None:
        return "" if np.isnan(code) else "unseen category"
    return str(cell)
