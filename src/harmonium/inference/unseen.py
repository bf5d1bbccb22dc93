"""Pairs of categories that no training row has, of which a density of Gaussians draws too many.

A mixture of Gaussians cannot exclude a pair: only some of its draws with one are kept. Scores of
rows know nothing of it.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from harmonium.data import Columns, Marginals
from harmonium.typing import Values

# Draws for each that is kept, where some are left out.
SURPLUS = 2
# Pairs of categories of two columns, beyond which nearly none of them is ever seen.
MOST_PAIRS = 4096

Codes = Int[np.ndarray, "rows"]


class Unseen(NamedTuple):
    """The pairs of categories of two modeled columns that no training row has.

    `is_seen` (categories, categories) is in the order of the columns' atoms; of draws with others a
    share passes, whose logarithm is `log_factor`.
    """

    first: int
    second: int
    is_seen: Bool[np.ndarray, "first second"]
    log_factor: float

    def is_hit(self, a: Codes, b: Codes) -> Bool[np.ndarray, "rows"]:
        """Which rows with these categories, -1 where they are missing, have such a pair."""
        return (a >= 0) & (b >= 0) & ~self.is_seen[a, b]


def coded_columns(columns: Columns) -> list[int]:
    """Places of the modeled columns that hold categories."""
    return [j for j, i in enumerate(columns.modeled_index) if columns.levels[i] is not None]


def find_unseen(
    marginals: Marginals, values: Values, draws: Float[np.ndarray, "draws modeled"]
) -> tuple[Unseen, ...]:
    """Of every two columns of categories the pairs that no row (rows, columns) has, where too many
    draws u (draws, modeled) do.

    As much is left to them as Good and Turing (1953) say of what n rows have not shown: the share
    of pairs seen once, and at least that of a rule that held in all rows, 1/(n + 2).
    """
    index = marginals.columns.modeled_index
    coded = coded_columns(marginals.columns)
    rows = {j: marginals.parts[j].index(values[:, index[j]]) for j in coded}
    drawn = {j: marginals.parts[j].index(marginals.parts[j].restore(draws[:, j])) for j in coded}
    return tuple(_of_pairs(marginals, rows, drawn))


def _of_pairs(
    marginals: Marginals, rows: dict[int, Codes], drawn: dict[int, Codes]
) -> Iterator[Unseen]:
    for first, second in combinations(rows, 2):
        a, b = rows[first], rows[second]
        known = (a >= 0) & (b >= 0)
        counts = np.zeros([len(marginals.parts[j].atoms) for j in (first, second)], np.int64)
        if counts.size > MOST_PAIRS or not known.any():
            continue
        np.add.at(counts, (a[known], b[known]), 1)
        # Nothing is known of a category that only goes with missing cells.
        met = (counts.sum(axis=1) > 0)[:, None] & (counts.sum(axis=0) > 0)
        own = Unseen(first, second, (counts > 0) | ~met, 0.0)
        share = float(own.is_hit(drawn[first], drawn[second]).mean())
        allowed = max(1 / (known.sum() + 2), np.sum(counts == 1) / known.sum())
        if allowed < share < 1:
            factor = allowed * (1 - share) / (share * (1 - allowed))
            yield own._replace(log_factor=float(np.log(factor)))


def keep_seen(
    unseen: Sequence[Unseen], marginals: Marginals, rows: Values, n: int, rng: np.random.Generator
) -> Values:
    """The first n of drawn rows (rows, columns) whose pairs of categories pass; where fewer do, the
    first others as well.
    """
    index = marginals.columns.modeled_index
    fails = np.zeros(len(rows), bool)
    for own in unseen:
        a, b = (marginals.parts[j].index(rows[:, index[j]]) for j in (own.first, own.second))
        fails |= own.is_hit(a, b) & (rng.random(len(rows)) >= np.exp(own.log_factor))
    return rows[np.sort(np.argsort(fails, kind="stable")[:n])]
