"""How alike two tables are, column by column and pair by pair, by the definitions of sdmetrics.

Tables are coded values (rows, columns) with NaN where cells are missing; those are left out. All
figures lie between 0 and 1, that of equal distributions.
"""

from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float

from harmonium.typing import Values

# Bins of equal width for numbers beside categories.
N_BINS = 10

Column = Float[np.ndarray, "cells"]
IsCategory = Bool[np.ndarray, "columns"]


def shape_likeness(real: Values, drawn: Values, is_category: IsCategory) -> float:
    """The mean over columns of the likeness of their distributions.

    Of numbers 1 - the statistic of Kolmogorov and Smirnov, of categories 1 - the distance in total
    variation.
    """
    return _mean(
        [
            _shares_alike(real[:, [j]], drawn[:, [j]]) if coded else _numbers_alike(a, b)
            for j, coded in enumerate(is_category)
            for a, b in [(_known(real[:, j]), _known(drawn[:, j]))]
        ]
    )


def trend_likeness(real: Values, drawn: Values, is_category: IsCategory) -> float:
    """The mean over pairs of columns of the likeness of how they go together; NaN for one column.

    Of two columns of numbers 1 - half the difference of their correlations. Of others 1 - the
    distance in total variation of their shares, numbers in ten bins between the ends of the real
    ones.
    """
    pairs = list(combinations(range(real.shape[1]), 2))
    binned = [_binned(real, real, is_category), _binned(drawn, real, is_category)]
    found = []
    for pair in map(list, pairs):
        if is_category[pair].any():
            found.append(_shares_alike(binned[0][:, pair], binned[1][:, pair]))
        else:
            found.append(1 - abs(_correlation(real[:, pair]) - _correlation(drawn[:, pair])) / 2)
    return _mean(found)


def _numbers_alike(real: Column, drawn: Column) -> float:
    if not len(real) or not len(drawn):
        return np.nan
    places = np.concatenate([real, drawn])
    shares = [
        np.searchsorted(np.sort(cells), places, side="right") / len(cells)
        for cells in (real, drawn)
    ]
    return 1 - float(np.abs(shares[0] - shares[1]).max())


def _shares_alike(real: Values, drawn: Values) -> float:
    """1 - the distance in total variation between the rows' combinations of cells."""
    real, drawn = (rows[~np.isnan(rows).any(axis=1)] for rows in (real, drawn))
    if not len(real) or not len(drawn):
        return np.nan
    _, codes = np.unique(np.concatenate([real, drawn]), axis=0, return_inverse=True)
    codes = codes.reshape(-1)
    n_codes = codes.max() + 1
    shares = [
        np.bincount(own, minlength=n_codes) / len(own)
        for own in (codes[: len(real)], codes[len(real) :])
    ]
    return 1 - float(np.abs(shares[0] - shares[1]).sum()) / 2


def _correlation(pair: Values) -> float:
    known = pair[~np.isnan(pair).any(axis=1)]
    if len(known) < 2 or np.any(np.ptp(known, axis=0) == 0):
        return np.nan
    return float(np.corrcoef(known.T)[0, 1])


def _binned(rows: Values, real: Values, is_category: IsCategory) -> Values:
    """Rows with the numbers of bins in place of numbers."""
    found = rows.copy()
    for j in np.flatnonzero(~is_category):
        known = _known(real[:, j])
        if len(known):
            edges = np.histogram_bin_edges(known, N_BINS)[1:-1]
            found[:, j] = np.where(np.isnan(rows[:, j]), np.nan, np.digitize(rows[:, j], edges))
    return found


def _known(cells: Column) -> Column:
    return cells[~np.isnan(cells)]


def _mean(values: list[float]) -> float:
    """The mean over those that are known."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
