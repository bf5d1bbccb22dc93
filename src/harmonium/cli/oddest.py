"""The row of a table that is the least like the others, and why."""

from dataclasses import dataclass

import numpy as np

from harmonium.inference import Detector, explain
from harmonium.inference.detection import N_COMPLETIONS

# Rows among which it is sought, at most, if they are complete: a second's work.
MOST_SCORED = 20_000


@dataclass(frozen=True)
class Oddest:
    """Its number, from 1 on, the reason in words, and how many rows it was sought among."""

    row: int
    reason: str
    n_rows: int


def find_oddest(detector: Detector, values: np.ndarray, row: int | None = None) -> Oddest:
    """The oddest row of a table (rows, columns), or why the row of this number is it."""
    n_scored = len(values)
    if row is None:
        share_holed = detector.missing(values).any(axis=1).mean()
        n_scored = min(n_scored, int(MOST_SCORED / (1 + (N_COMPLETIONS - 1) * share_holed)))
        row = int(np.argmin(detector.scores(values[:n_scored]))) + 1
    (reason,) = explain(detector, values[[row - 1]]).describe(1)
    return Oddest(row, reason, n_scored)
