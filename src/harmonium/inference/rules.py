"""How surprising it is that a row breaks rules which held in all training rows.

Constant and duplicate columns are rules, and that a category has been seen before is one. In a wide
table of few rows many columns are constant by chance, and normal rows break some of them.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from harmonium.data import Columns

Surprises = Float[np.ndarray, "rows"]


@dataclass(frozen=True)
class Rules:
    """The surprise of the `first` rule that a row breaks, and of each `further` one, in nats."""

    first: float
    further: float

    @staticmethod
    def fit(columns: Columns, values: np.ndarray) -> "Rules":
        """What the training rows (rows, columns) say of rules of the next row.

        A rule that all rows but one keep would be a rule of the others, which that one breaks. The
        share of the rows that break one so estimates that of new rows (Good 1953, "The population
        frequencies of species", equation 9), with a row more that breaks one, and one that does
        not. How many a row breaks is taken to be geometric.
        """
        n_broken = _broken_by_one(columns, values)
        n_rows, n_all = np.count_nonzero(n_broken), int(n_broken.sum())
        return Rules(
            first=math.log((len(values) + 2) / (n_rows + 1)),
            further=math.log((n_all + 2) / (n_all - n_rows + 1)),
        )

    def surprises(self, columns: Columns, values: np.ndarray) -> Surprises:
        """-log of the share of rows that break as many rules as rows (rows, columns), (rows,)."""
        n_broken = columns.breaks_rule(values).sum(axis=1)
        return np.where(n_broken > 0, self.first + (n_broken - 1) * self.further, 0.0)


def _broken_by_one(columns: Columns, values: np.ndarray) -> Int[np.ndarray, "rows"]:
    """How many rules of all the other rows every row breaks.

    Columns that repeat another in all rows but one are not sought.
    """
    n_broken = np.zeros(len(values), dtype=int)
    for i in columns.modeled_index:
        cells, levels = values[:, i], columns.levels[i]
        seen = np.flatnonzero(~np.isnan(cells))
        _, place, counts = np.unique(cells[seen], return_inverse=True, return_counts=True)
        # Of numbers, only a constant is a rule.
        if levels is not None or (len(counts) == 2 and len(seen) > 2):
            n_broken[seen[counts[place] == 1]] += 1
    return n_broken
