"""p-values below what calibration rows can tell: the tail of their scores, as a model has it.

A conformal p-value of n calibration rows is at least 1/(n + 1), so that the most abnormal rows of a
table all have the same. Beyond a high quantile, whatever distribution scores have, their excesses
are nearly generalized Pareto (Pickands, "Statistical inference using extreme order statistics",
Annals of Statistics 3, 1975). What it says further out is a model, without a guarantee.
"""

from dataclasses import dataclass

import numpy as np

from harmonium.sampling.pareto import Pareto, average_shapes
from harmonium.typing import Scores

# Share of the scores that the tail is fitted to, and how many at least.
TAIL_SHARE, FEWEST = 0.03, 20
# Shapes that are averaged over. Scores are surprises in nats, whose tail is exponential, of shape
# 0, where rows are as the views have it; the precision of that is of ten excesses.
SHAPES, PRIOR_PRECISION = np.linspace(0.0, 1.0, 21), 10.0


@dataclass(frozen=True, eq=False)
class Tail:
    """Scores of normal rows, sorted; those below `edge`, a share `share` of all, have Pareto
    excesses.
    """

    scores: Scores
    edge: float
    share: float
    excesses: Pareto

    @staticmethod
    def fit(scores: Scores) -> "Tail":
        """Fit to scores of normal rows, higher = more normal; those that are infinite are left
        out.
        """
        scores = np.sort(scores[np.isfinite(scores)])
        n = len(scores)
        n_tail = min(max(int(TAIL_SHARE * n), FEWEST), n - 1)
        if n_tail < 1:
            return Tail(scores, float(scores[0]) if n else 0.0, 1.0, _exponential(1.0))
        edge, share = float(scores[n_tail]), n_tail / n
        excesses = edge - scores[:n_tail]
        if np.ptp(excesses) <= 0:
            # Equal scores say nothing of a tail.
            return Tail(scores, edge, share, _exponential(max(float(excesses[0]), 1.0)))
        found = average_shapes(excesses, SHAPES, prior_precision=PRIOR_PRECISION)
        return Tail(scores, edge, share, found)

    def p_values(self, scores: Scores) -> Scores:
        """The share of normal rows that score so low: counted above the edge, modelled below it."""
        n_below = np.searchsorted(self.scores, scores, side="right")
        counted = np.maximum(n_below / max(len(self.scores), 1), self.share)
        modelled = self.share * np.exp(self.excesses.log_survival(self.edge - scores))
        return np.where(scores < self.edge, modelled, counted)

    def score_of(self, p: float) -> float:
        """The score that a share p of normal rows lies below."""
        if p < self.share:
            return self.edge - self.excesses.excess_of(np.log(p / self.share))
        return float(np.quantile(self.scores, p)) if len(self.scores) else self.edge


def _exponential(scale: float) -> Pareto:
    return Pareto(np.zeros(1), np.full(1, scale), np.ones(1))
