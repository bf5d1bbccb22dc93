"""p-values below what calibration rows can tell: the tail of their scores, as a model has it.

A conformal p-value of n calibration rows is at least 1/(n + 1), so that the most abnormal rows of a
table all have the same. Beyond a high quantile, whatever distribution scores have, their excesses
are nearly generalized Pareto (Pickands, "Statistical inference using extreme order statistics",
Annals of Statistics 3, 1975). What it says further out is a model, without a guarantee.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from harmonium.sampling.pareto import Pareto, fit_scale, fit_shape

# Share of the scores that the tail is fitted to, and how many at least.
TAIL_SHARE, FEWEST = 0.1, 20
# Scores are surprises in nats, whose tail is exponential: shape 0, as if so many more rows said so.
PRIOR_WEIGHT = 50.0

Scores = Float[np.ndarray, "rows"]


@dataclass(frozen=True)
class Tail:
    """Scores of normal rows below `edge`, a share `share` of all: excesses edge - score are
    Pareto.
    """

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
            return Tail(float(scores[0]) if n else 0.0, 1.0, Pareto(0.0, 1.0))
        edge = float(scores[n_tail])
        excesses = edge - scores[:n_tail][::-1]
        scale = float(excesses.mean())
        if excesses[n_tail // 4] <= 0 or np.ptp(excesses) <= 0:
            # Equal scores say nothing of a shape.
            return Tail(edge, n_tail / n, Pareto(0.0, max(scale, 1.0)))
        shape = max(fit_shape(excesses, prior=0.0, prior_weight=PRIOR_WEIGHT), 0.0)
        return Tail(edge, n_tail / n, Pareto(shape, fit_scale(excesses, shape)))

    def log_p_values(self, scores: Scores) -> Scores:
        """log P(a normal row scores this low) of scores below the edge; log `share` above it."""
        return np.log(self.share) + self.excesses.log_survival(self.edge - scores)

    def score_of(self, p: float) -> float:
        """The score that a share p of normal rows lies below; `edge` where that is more than the
        tail has.
        """
        return self.edge - self.excesses.excess_of(min(np.log(p / self.share), 0.0))
