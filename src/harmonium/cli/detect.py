"""Scoring a table with the detector of a run: the columns that `harmonium detect` writes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harmonium.cli.options import find_detector
from harmonium.data import Table, read_table
from harmonium.errors import ArtifactError, InvalidInputError, describe
from harmonium.estimators import AnomalyDetector, DensityEstimator, load
from harmonium.inference.conformal import benjamini_hochberg, fewest_calibration_rows

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
    table = read_table(data, columns=detector.detector_.columns.names)
    scores, p_values = detector.score_samples(table), detector.p_values(table)
    flagged = benjamini_hochberg(p_values, fdr)
    columns: Columns = {"score": scores.tolist()}
    verdict = [detector.verdict_]
    if (density := _density_beside(model)) is not None:
        columns["log_density"] = density.density_.log_density(table.values).tolist()
        verdict.append(f"Of log_density: {density.verdict_}")
    columns |= {"p_value": p_values.tolist(), "flagged": flagged.astype(int).tolist()}
    if n_reasons:
        columns |= _reasons(detector, table, n_reasons)
    return Detection(columns, flagged, " ".join([*verdict, *_power(detector, table, fdr)]))


def _density_beside(model: Path) -> DensityEstimator | None:
    """The density of the run folder, if there is one."""
    path = (model if model.is_dir() else model.parent) / "model.safetensors"
    loaded = load(path) if path.is_file() else None
    return loaded if isinstance(loaded, DensityEstimator) else None


def _power(detector: AnomalyDetector, table: Table, fdr: float) -> list[str]:
    """A warning where so few calibration rows could never flag a single row."""
    n = len(detector.detector_.calibration)
    needed = fewest_calibration_rows(1, table.n_rows, fdr)
    fewest = next(
        (
            r
            for r in range(1, table.n_rows + 1)
            if fewest_calibration_rows(r, table.n_rows, fdr) <= n
        ),
        None,
    )
    if n >= needed:
        return []
    if fewest is None:
        return [f"With {n} calibration rows no row can be flagged at FDR {fdr:g}."]
    return [f"With {n} calibration rows fewer than {fewest} rows cannot be flagged at FDR {fdr:g}."]


def _reasons(detector: AnomalyDetector, table: Table, n_reasons: int) -> Columns:
    """Per reason: the column, its value, what would be likely, and how much the energy drops."""
    found = detector.explain(table)
    top = found.top(min(n_reasons, table.n_columns))
    rows = np.arange(table.n_rows)
    columns: Columns = {}
    for rank, index in enumerate(top.T, start=1):
        columns[f"reason_{rank}"] = [found.names[i] for i in index]
        columns[f"reason_{rank}_likely"] = found.likely_values[rows, index].tolist()
        columns[f"reason_{rank}_drop"] = found.contributions[rows, index].tolist()
    return columns
