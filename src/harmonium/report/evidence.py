"""The rows of a report, scored once, and the samples that they are compared with."""

from dataclasses import dataclass

import numpy as np

from harmonium.data import Columns
from harmonium.inference.conformal import benjamini_hochberg, lack_of_calibration
from harmonium.report.view import RunView
from harmonium.sampling import SampleDiagnostics

# False-discovery rate of the listed rows, and the p-value at which the detector itself draws the
# line.
FDR = 0.05
LEVEL = 0.05
# Samples take most of the time of a report: fewer where rows are long.
N_SAMPLES = 512
N_LONG_SAMPLES = 256
LONG = 32
# Rows with missing cells take their time: each is scored by draws of its own.
MAX_INCOMPLETE = 256


@dataclass(frozen=True)
class Detection:
    """Scores (rows,), p-values (rows,) and listed rows (rows,) of a detector, and what limits the
    list, in words.
    """

    scores: np.ndarray
    p_values: np.ndarray
    listed: np.ndarray
    concern: str
    threshold: float
    calibration: np.ndarray

    @property
    def n_listed(self) -> int:
        """How many rows are listed."""
        return int(self.listed.sum())


@dataclass(frozen=True)
class Evidence:
    """Rows (rows, columns) with their numbers in the table, and what model and detector say of
    them.

    `incomplete` (rows,) says which rows miss a cell of a modeled column. `log_density` (rows,) is
    NaN for rows that were not scored; `samples` (draws, columns) come with the diagnostics of their
    chains, and with their log-densities (draws,).
    """

    columns: Columns
    values: np.ndarray
    incomplete: np.ndarray
    row_numbers: np.ndarray
    n_table_rows: int
    log_density: np.ndarray
    samples: np.ndarray
    sample_log_density: np.ndarray
    sampling: SampleDiagnostics
    detection: Detection | None

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return len(self.values)


def collect(view: RunView) -> Evidence | None:
    """Choose rows, score them and draw samples; None without a table."""
    if view.table is None:
        return None
    rng = np.random.default_rng(view.seed)
    n = view.table.n_rows
    chosen = np.arange(n)
    if n > view.max_rows:
        chosen = np.sort(rng.choice(n, view.max_rows, replace=False))
    values = view.table.values[chosen]
    numbers = chosen + 1 if view.row_numbers is None else np.asarray(view.row_numbers)[chosen]
    n_samples = N_SAMPLES if view.density.columns.n_modeled <= LONG else N_LONG_SAMPLES
    samples, sampling = view.density.sample(n_samples, seed=view.seed)
    incomplete = view.density.coordinates.is_incomplete(values)
    return Evidence(
        columns=view.density.columns,
        values=values,
        incomplete=incomplete,
        row_numbers=numbers,
        n_table_rows=view.n_table_rows or n,
        log_density=_log_density(view, values, incomplete),
        samples=samples,
        sample_log_density=view.density.log_density(samples),
        sampling=sampling,
        detection=_detect(view, values),
    )


def _log_density(view: RunView, values: np.ndarray, incomplete: np.ndarray) -> np.ndarray:
    scored = np.append(np.flatnonzero(~incomplete), np.flatnonzero(incomplete)[:MAX_INCOMPLETE])
    found = np.full(len(values), np.nan)
    found[scored] = view.density.log_density(values[scored])
    return found


def _detect(view: RunView, values: np.ndarray) -> Detection | None:
    if view.detector is None:
        return None
    scores = view.detector.scores(values)
    p_values = view.detector.p_values_of(scores)
    listed = benjamini_hochberg(p_values, FDR)
    calibration = view.detector.calibration
    n_below = int(LEVEL * (len(calibration) + 1))
    return Detection(
        scores=scores,
        p_values=p_values,
        listed=listed,
        concern=lack_of_calibration(p_values, listed, len(calibration), FDR),
        threshold=float(calibration[max(n_below - 1, 0)]),
        calibration=calibration,
    )
