"""Which of more draws than are wanted are kept, so that those kept look like the rows of a table.

A density of Gaussians cannot have every edge, nor exclude a pair of categories. What tells its
draws from training rows weighs them (Azadi et al. 2019; Grover et al. 2019): trees, and the pairs
of categories that no row has. Scores of rows know nothing of it.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from harmonium.data import Marginals
from harmonium.inference.coordinates import Values
from harmonium.learning.boosting import Trees

# Draws for each that is kept.
SURPLUS = 4
# Off the marks of what is kept last.
LAST = 1e6


class Unseen(NamedTuple):
    """The pairs of categories of two modeled columns that no training row has.

    `is_seen` (categories, categories) is in the order of the columns' atoms; of draws with others a
    share passes, whose logarithm is `log_factor`.
    """

    first: int
    second: int
    is_seen: Bool[np.ndarray, "first second"]
    log_factor: float

    def is_hit(self, marginals: Marginals, cells: Values) -> Bool[np.ndarray, "rows"]:
        """Which rows of modeled cells (rows, modeled) have such a pair; missing cells have none."""
        a, b = (marginals.parts[j].index(cells[:, j]) for j in (self.first, self.second))
        return (a >= 0) & (b >= 0) & ~self.is_seen[a, b]


@dataclass(frozen=True, eq=False)
class Refinement:
    """What tells drawn rows from training rows: `trees` of their points u, whose sum is how much
    likelier a point is among the rows, in nats, and pairs of categories `unseen`.
    """

    trees: Trees
    unseen: tuple[Unseen, ...]

    def choose(
        self, marginals: Marginals, rows: Values, n: int, rng: np.random.Generator
    ) -> Int[np.ndarray, "n"]:
        """Which n of drawn rows (rows, columns) to keep: each once, by its weight, in their order."""
        # The largest of log-weights with Gumbel noise are a sample without replacement.
        marks = self.trees(marginals.centers(rows)) + rng.gumbel(size=len(rows))
        cells = rows[:, marginals.columns.modeled_index]
        for own in self.unseen:
            passes = rng.random(len(rows)) < np.exp(own.log_factor)
            marks -= LAST * (own.is_hit(marginals, cells) & ~passes)
        return np.sort(np.argsort(-marks, kind="stable")[:n])
