"""The categories of a column: their order, and their shares.

`Marginal` cuts the line of a standard normal into intervals in this order, whose masses are the
shares.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

# Kinds of columns whose cells are codes of categories.
CODED = ("binary", "categorical")
# Rows and categories of another column beyond these tell the order no better.
_MAX_ROWS = 20_000
_MAX_CATEGORIES = 20

Column = Float[np.ndarray, "rows"]


@dataclass(frozen=True, eq=False)
class Levels:
    """The categories of one column in their order on the line.

    `codes` (levels,) stand in `counts` (levels,) of the training cells.
    """

    codes: Float[np.ndarray, "levels"]
    counts: Float[np.ndarray, "levels"]

    @cached_property
    def shares(self) -> Float[np.ndarray, "levels"]:
        """The share of each level, which add up to 1."""
        return self.counts / self.counts.sum()

    def index(self, cells: Column) -> Int[np.ndarray, "rows"]:
        """Positions of the cells' codes among the levels; -1 for missing and unseen ones."""
        order = np.argsort(self.codes)
        place = np.searchsorted(self.codes[order], cells).clip(max=len(order) - 1)
        found = order[place]
        return np.where(self.codes[found] == cells, found, -1)


def levels_of(
    values: Float[np.ndarray, "rows columns"], kinds: Sequence[str], modeled: Sequence[int]
) -> tuple[Levels | None, ...]:
    """The levels of every column of a table, None where its kind is not one of `CODED`.

    `modeled` says which columns help to order them.
    """
    coded = [kinds[i] in CODED for i in modeled]
    levels: list[Levels | None] = [None] * len(kinds)
    if not any(coded):
        return tuple(levels)
    cells = [
        np.where(values[:, i] < 0, np.nan, values[:, i])
        if kinds[i] == "categorical"
        else values[:, i]
        for i in modeled
    ]
    parts = standardized(cells, coded)
    for j, i in enumerate(modeled):
        if coded[j]:
            others = [part for other, part in enumerate(parts) if other != j]
            empty = np.zeros((len(values), 0))
            levels[i] = fit_levels(cells[j], np.concatenate([empty, *others], axis=1))
    return tuple(levels)


def fit_levels(cells: Column, others: Float[np.ndarray, "rows other"]) -> Levels:
    """The levels of a column of codes (NaN for missing), ordered by what goes with them in the
    other columns.

    `others` holds standardized columns, 0 where missing. The order is that of the first principal
    axis of the categories' means, so that neighbors on the line resemble each other; without other
    columns, that of the codes.
    """
    seen = ~np.isnan(cells)
    codes, index, counts = np.unique(cells[seen], return_inverse=True, return_counts=True)
    counts = counts.astype(np.float64)
    if others.shape[1] and len(codes) > 2:
        index, rows = index[:_MAX_ROWS], others[seen][:_MAX_ROWS]
        means = np.zeros((len(codes), others.shape[1]))
        np.add.at(means, index, rows)
        means /= np.maximum(np.bincount(index, minlength=len(codes)), 1)[:, None]
        axis = np.linalg.svd(np.sqrt(counts)[:, None] * means, full_matrices=False)[2][0]
        # Of the two directions the one that keeps the codes rising, so that the order is no matter
        # of rounding.
        place = means @ axis
        falls = np.sum(counts * place * (codes - np.average(codes, weights=counts))) < 0
        order = np.argsort(-place if falls else place, kind="stable")
        codes, counts = codes[order], counts[order]
    return Levels(codes, counts)


def standardized(
    columns: Sequence[Column], is_coded: Sequence[bool]
) -> list[Float[np.ndarray, "rows parts"]]:
    """Each column as standardized parts, 0 where missing: one of a number, one per frequent
    category of codes.
    """
    return [
        _indicators(column) if coded else _standard(column)
        for column, coded in zip(columns, is_coded, strict=True)
    ]


def _standard(column: Column) -> Float[np.ndarray, "rows one"]:
    mean, sd = np.nanmean(column), np.nanstd(column)
    return np.nan_to_num((column - mean) / (sd if sd > 0 else 1.0))[:, None]


def _indicators(column: Column) -> Float[np.ndarray, "rows categories"]:
    codes, counts = np.unique(column[~np.isnan(column)], return_counts=True)
    frequent = codes[np.argsort(-counts, kind="stable")][:_MAX_CATEGORIES]
    share = np.array([np.mean(column == code) for code in frequent])
    return ((column[:, None] == frequent) - share) / np.sqrt(share)
