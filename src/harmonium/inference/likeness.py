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
# Of a column in units of its spread; what is less is rounding.
LEAST_VARIANCE = 1e-12

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
    binned = [_binned(rows, real, is_category) for rows in (real, drawn)]
    numbers = np.flatnonzero(~is_category)
    between = [_correlations(rows[:, numbers]) for rows in (real, drawn)]
    apart = np.abs(between[0] - between[1])[np.triu_indices(len(numbers), 1)] / 2
    mixed = [
        _shares_alike(binned[0][:, pair], binned[1][:, pair])
        for pair in map(list, combinations(range(real.shape[1]), 2))
        if is_category[pair].any()
    ]
    return _mean([*(1 - apart).tolist(), *mixed])


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


def _correlations(rows: Values) -> Float[np.ndarray, "columns columns"]:
    """Of all pairs of columns, each over the rows that miss neither; NaN where one does not vary
    there.
    """
    is_known = ~np.isnan(rows)
    n_known = np.maximum(is_known.sum(axis=0), 1)
    # Sums of squares of numbers far from 0, or of another size, would leave few digits.
    centered = np.where(is_known, rows, 0.0)
    centered = np.where(is_known, rows - centered.sum(axis=0) / n_known, 0.0)
    spread = np.sqrt(np.square(centered).sum(axis=0) / n_known)
    scaled = centered / np.where(spread > 0, spread, 1.0)
    seen = is_known.astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        n_both = seen.T @ seen
        means = scaled.T @ seen / n_both
        variances = np.square(scaled).T @ seen / n_both - means**2
        variances[~(variances > LEAST_VARIANCE)] = np.nan
        covariances = scaled.T @ scaled / n_both - means * means.T
        return covariances / np.sqrt(variances * variances.T)


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
