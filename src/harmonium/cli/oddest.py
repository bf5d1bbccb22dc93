"""The row of a table that is the least like the others, and why."""

from dataclasses import dataclass

import numpy as np

from harmonium.inference import Detector, explain
from harmonium.inference.detection import N_COMPLETIONS

# Rows among which it is sought, at most, if they are complete, and those per second of a time
# budget: a second's work, or up to ten where rows are long.
MOST_SCORED, SCORED_PER_SECOND = 20_000, 200


@dataclass(frozen=True)
class Oddest:
    """Its number, from 1 on, the reason in words, and how many rows it was sought among."""

    row: int
    reason: str
    n_rows: int


def find_oddest(detector: Detector, values: np.ndarray, budget: float | None) -> Oddest:
    """The oddest of the first rows of a table (rows, columns), of fewer with a budget (seconds)."""
    most = MOST_SCORED if budget is None else min(MOST_SCORED, SCORED_PER_SECOND * budget)
    share_holed = detector.missing(values).any(axis=1).mean()
    n_scored = max(1, min(len(values), int(most / (1 + (N_COMPLETIONS - 1) * share_holed))))
    row = int(np.argmin(detector.scores(values[:n_scored]))) + 1
    return as_oddest(detector, values, row, n_scored)


def as_oddest(detector: Detector, values: np.ndarray, row: int, n_rows: int) -> Oddest:
    """The row of this number, the oddest of so many, and why it is that."""
    (reason,) = explain(detector, values[[row - 1]]).describe(1)
    return Oddest(row, reason, n_rows)
