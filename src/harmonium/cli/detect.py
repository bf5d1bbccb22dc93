"""Scoring a table with the detector of a run: the columns that `harmonium detect` writes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harmonium.cli.options import find_detector
from harmonium.data import Table, read_table
from harmonium.errors import ArtifactError, InvalidInputError, describe
from harmonium.estimators import AnomalyDetector, DensityEstimator, load
from harmonium.inference.conformal import benjamini_hochberg, lack_of_calibration

Columns = dict[str, list[float] | list[int] | list[str]]


@dataclass(frozen=True)
class Detection:
    """Named columns, which rows are flagged, and what may be concluded."""

    columns: Columns
    flagged: np.ndarray
    verdict: str

    @property
    def n_rows(self) -> int:
        """How many rows were scored."""
        return len(self.flagged)


def detect_rows(model: Path, data: Path, *, fdr: float, n_reasons: int) -> Detection:
    """Score the rows of a table; `n_reasons` worst cells are told per row."""
    if not 0 < fdr < 1:
        raise InvalidInputError(
            describe("--fdr", expected="a rate between 0 and 1, both excluded", got=f"{fdr:g}")
        )
    detector = load(find_detector(model))
    if not isinstance(detector, AnomalyDetector):
        raise ArtifactError(
            f"{model} holds a density, not a detector. Try: a run folder of `harmonium fit`."
        )
    table = read_table(data, fields=detector.detector_.columns.fields)
    scores, p_values = detector.score_samples(table), detector.p_values(table)
    flagged = benjamini_hochberg(p_values, fdr)
    columns: Columns = {"score": scores.tolist()}
    verdict = [detector.verdict_]
    if (density := _density_beside(model, detector)) is not None:
        columns["log_density"] = density.density_.log_density(table.values).tolist()
        verdict.append(f"Of log_density: {density.verdict_}")
    columns |= {"p_value": p_values.tolist(), "flagged": flagged.astype(int).tolist()}
    if n_reasons:
        columns |= _reasons(detector, table, n_reasons)
    n_calibration = len(detector.detector_.calibration)
    if concern := lack_of_calibration(p_values, flagged, n_calibration, fdr):
        verdict.append(concern)
    return Detection(columns, flagged, " ".join(verdict))


def _density_beside(model: Path, detector: AnomalyDetector) -> DensityEstimator | None:
    """The density of the run folder, if there is one and it is of the same columns."""
    path = (model if model.is_dir() else model.parent) / "model.safetensors"
    loaded = load(path) if path.is_file() else None
    if not isinstance(loaded, DensityEstimator):
        return None
    same = loaded.density_.columns.names == detector.detector_.columns.names
    return loaded if same else None


def _reasons(detector: AnomalyDetector, table: Table, n_reasons: int) -> Columns:
    """Per reason: the column, its value, what would be likely, and how much the score rises.

    Empty where no change of a further cell makes the row more likely.
    """
    found = detector.explain(table)
    top = found.top(min(n_reasons, table.n_columns))
    rows = np.arange(table.n_rows)
    columns: Columns = {}
    for rank, index in enumerate(top.T, start=1):
        rise = found.contributions[rows, index]
        names = [found.names[i] if r > 0 else "" for i, r in zip(index, rise, strict=True)]
        columns[f"reason_{rank}"] = names
        columns[f"reason_{rank}_value"] = table.values[rows, index].tolist()
        columns[f"reason_{rank}_likely"] = found.likely_values[rows, index].tolist()
        columns[f"reason_{rank}_drop"] = rise.tolist()
    return columns
