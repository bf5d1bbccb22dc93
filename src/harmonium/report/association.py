"""How strongly two columns go together: one number for any two kinds of columns."""

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from harmonium.data import Columns

# Rarer categories count as one.
MAX_CATEGORIES = 20
FEWEST_ROWS = 8

Cells = Float[np.ndarray, "rows"]


def is_category(columns: Columns) -> np.ndarray:
    """Whether each column of the table has categories of which the order means nothing, (columns,),
    bool.
    """
    return np.array([kind == "categorical" for kind in columns.kinds])


def associations(values: np.ndarray, category: np.ndarray) -> np.ndarray:
    """The association of every two columns of values (rows, columns), (columns, columns); NaN where
    nothing varies.

    Two numbers have Spearman's rank correlation, in [-1, 1]; two categories have Cramér's V, and a
    category and a number the correlation ratio of its ranks, both in [0, 1]. Rows count where both
    cells are known.
    """
    n_columns = values.shape[1]
    found = np.full((n_columns, n_columns), np.nan)
    complete = not np.isnan(values).any()
    if complete and not category.any():
        return _correlations(values)
    for i in range(n_columns):
        found[i, i] = 1.0
        for j in range(i):
            found[i, j] = found[j, i] = association(
                values[:, i], values[:, j], bool(category[i]), bool(category[j])
            )
    return found


def association(first: Cells, second: Cells, first_coded: bool, second_coded: bool) -> float:
    """The association of two columns; `..._coded` says which have categories."""
    known = ~(np.isnan(first) | np.isnan(second))
    first, second = first[known], second[known]
    if len(first) < FEWEST_ROWS or np.ptp(first) == 0 or np.ptp(second) == 0:
        return np.nan
    if first_coded and second_coded:
        return _cramer(_groups(first), _groups(second))
    if first_coded or second_coded:
        codes, numbers = (first, second) if first_coded else (second, first)
        return _correlation_ratio(_groups(codes), rankdata(numbers))
    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])


def _correlations(values: np.ndarray) -> np.ndarray:
    """Spearman's correlation of complete columns of numbers, all at once."""
    ranks = rankdata(values, axis=0)
    spread = ranks.std(axis=0)
    standard = (ranks - ranks.mean(axis=0)) / np.where(spread > 0, spread, np.nan)
    found = standard.T @ standard / len(values)
    np.fill_diagonal(found, 1.0)
    return found


def _groups(codes: Cells) -> np.ndarray:
    """Numbers of the categories, by frequency; the rare ones share one number."""
    _, index, counts = np.unique(codes, return_inverse=True, return_counts=True)
    rank = np.argsort(np.argsort(-counts, kind="stable"), kind="stable")
    return np.minimum(rank[index], MAX_CATEGORIES)


def _cramer(first: np.ndarray, second: np.ndarray) -> float:
    """Cramér's V, less what chance adds to it (Bergsma 2013)."""
    table = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(table, (first, second), 1.0)
    n = table.sum()
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / n
    phi = float(((table - expected) ** 2 / expected).sum() / n)
    rows, columns = table.shape
    phi = max(0.0, phi - (rows - 1) * (columns - 1) / (n - 1))
    size = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1))
    return float(min(1.0, (phi / max(size - 1, 1e-9)) ** 0.5))


def _correlation_ratio(groups: np.ndarray, ranks: np.ndarray) -> float:
    """The root of the share of the variance that the groups explain, less what chance adds to
    it.
    """
    counts = np.bincount(groups)
    means = np.bincount(groups, ranks) / np.maximum(counts, 1)
    share = float(
        (counts * (means - ranks.mean()) ** 2).sum() / ((ranks - ranks.mean()) ** 2).sum()
    )
    n, k = len(ranks), int((counts > 0).sum())
    return float(max(0.0, 1 - (1 - share) * (n - 1) / max(n - k, 1)) ** 0.5)
