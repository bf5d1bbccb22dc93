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
# How many complete rows a detector scores in the time of one with missing cells.
COST_OF_GAPS = 10
# Rows that are scored however little time there is.
FEWEST_SCORED = 200


@dataclass(frozen=True)
class Detection:
    """What a detector says of the rows at `index` (scored,) of the table: scores (scored,),
    p-values (scored,) and which are listed (scored,), with what limits the list, in words.

    `threshold` is the score at the p-value `LEVEL`; `calibration` are the scores of the calibration
    rows.
    """

    index: np.ndarray
    scores: np.ndarray
    p_values: np.ndarray
    listed: np.ndarray
    concern: str
    threshold: float
    calibration: np.ndarray

    @property
    def n_scored(self) -> int:
        """How many rows were scored."""
        return len(self.index)

    @property
    def n_listed(self) -> int:
        """How many rows are listed."""
        return int(self.listed.sum())


@dataclass(frozen=True)
class Evidence:
    """The rows of a table, `table` (rows, columns) with their numbers, and what model and detector
    say of them.

    Figures show the rows at `index` (shown,), `values` (shown, columns). `incomplete` (shown,) says
    which of these miss a cell of a modeled column. `log_density` (shown,) is NaN for rows that were
    not scored; `samples` (draws, columns) come with the diagnostics of their chains, and with their
    log-densities (draws,).
    """

    columns: Columns
    table: np.ndarray
    row_numbers: np.ndarray
    n_table_rows: int
    index: np.ndarray
    incomplete: np.ndarray
    log_density: np.ndarray
    samples: np.ndarray
    sample_log_density: np.ndarray
    sampling: SampleDiagnostics
    detection: Detection | None

    @property
    def oddest_row(self) -> int | None:
        """The number of the row of the lowest score; None where not all rows were scored."""
        found = self.detection
        if found is None or found.n_scored < self.n_table_rows:
            return None
        return int(self.row_numbers[found.index[np.argmin(found.scores)]])

    @property
    def values(self) -> np.ndarray:
        """The rows that figures show."""
        return self.table[self.index]

    @property
    def n_rows(self) -> int:
        """How many rows figures show."""
        return len(self.index)


def collect(view: RunView) -> Evidence | None:
    """Choose rows, score them and draw samples; None without a table."""
    if view.table is None:
        return None
    rng = np.random.default_rng(view.seed)
    table, n = view.table.values, view.table.n_rows
    index = _some(n, view.max_rows, rng)
    n_samples = N_SAMPLES if view.density.columns.n_modeled <= LONG else N_LONG_SAMPLES
    samples, sampling = view.density.sample(n_samples, seed=view.seed)
    incomplete = view.density.coordinates.is_incomplete(table[index])
    numbers = np.arange(n) + 1 if view.row_numbers is None else np.asarray(view.row_numbers)
    return Evidence(
        columns=view.density.columns,
        table=table,
        row_numbers=numbers,
        n_table_rows=view.n_table_rows or n,
        index=index,
        incomplete=incomplete,
        log_density=_log_density(view, table[index], incomplete),
        samples=samples,
        sample_log_density=view.density.log_density(samples),
        sampling=sampling,
        detection=_detect(view, table, rng),
    )


def _some(n: int, at_most: float, rng: np.random.Generator) -> np.ndarray:
    """Positions of all of n rows, or of as many as there may be, in their order."""
    if n <= at_most:
        return np.arange(n)
    return np.sort(rng.choice(n, int(at_most), replace=False))


def _log_density(view: RunView, values: np.ndarray, incomplete: np.ndarray) -> np.ndarray:
    scored = np.append(np.flatnonzero(~incomplete), np.flatnonzero(incomplete)[:MAX_INCOMPLETE])
    found = np.full(len(values), np.nan)
    found[scored] = view.density.log_density(values[scored])
    return found


def _detect(view: RunView, table: np.ndarray, rng: np.random.Generator) -> Detection | None:
    if view.detector is None:
        return None
    share_holed = float(view.density.coordinates.is_incomplete(table).mean())
    affordable = view.n_scored / (1 + (COST_OF_GAPS - 1) * share_holed)
    index = _some(len(table), max(affordable, min(view.max_rows, FEWEST_SCORED)), rng)
    scores = view.detector.scores(table[index])
    p_values = view.detector.p_values_of(scores)
    listed = benjamini_hochberg(p_values, FDR)
    calibration = view.detector.calibration
    n_below = int(LEVEL * (len(calibration) + 1))
    return Detection(
        index=index,
        scores=scores,
        p_values=p_values,
        listed=listed,
        concern=lack_of_calibration(p_values, listed, len(calibration), FDR),
        threshold=float(calibration[max(n_below - 1, 0)]),
        calibration=calibration,
    )
