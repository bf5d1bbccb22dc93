"""Values that many rows share: the levels of a column, and the atoms of a continuous one."""

import numpy as np
from jaxtyping import Bool, Float

# A column of at most so many distinct values, each standing in so many rows on average, has levels.
MOST_LEVELS, ROWS_PER_LEVEL = 12, 5
# So has a column of more values, each in many rows, that fill hardly any of their range.
MOST_SPARSE_LEVELS, ROWS_PER_SPARSE_LEVEL, CELLS_PER_LEVEL = 60, 20, 10
# An atom has at least so many rows, and this share of them.
LEAST_ROWS, LEAST_SHARE = 20, 0.02
# It has so many times the rows of the median of the nearest values on each side,
N_NEAREST, TIMES_NEAREST = 5, 5
# and in a lattice so many times those of the fullest of the nearest cells.
N_CELLS, TIMES_CELLS = 3, 3
# Fewer other rows than this tell nothing of a body.
LEAST_REST = 10

Values = Float[np.ndarray, "values"]


def has_levels(values: Values, counts: Values, step: float) -> bool:
    """Whether a column with these distinct, sorted values and their counts is one of few levels.

    `step` is that of its lattice, 0 where there is none.
    """
    n_values, n_rows = len(values), counts.sum()
    if n_values <= MOST_LEVELS:
        return bool(n_rows >= ROWS_PER_LEVEL * n_values)
    sparse = step == 0 or values[-1] - values[0] >= CELLS_PER_LEVEL * n_values * step
    many = n_rows >= ROWS_PER_SPARSE_LEVEL * n_values
    return bool(n_values <= MOST_SPARSE_LEVELS and sparse and many)


def find_atoms(values: Values, counts: Values, step: float) -> Bool[np.ndarray, "values"]:
    """Which of the distinct, sorted values have far more rows than the values around them."""
    n_rows = counts.sum()
    candidates = np.flatnonzero(counts >= max(LEAST_ROWS, LEAST_SHARE * n_rows))
    atoms, n_found = np.zeros(len(values), dtype=bool), -1
    # Beside an atom another one stands out as soon as the first no longer counts.
    while n_found < atoms.sum():
        n_found = atoms.sum()
        for i in candidates[~atoms[candidates]]:
            atoms[i] = _stands_out(values[~atoms], counts[~atoms], float(values[i]), step)
    rest = ~atoms
    if counts[rest].sum() < LEAST_REST or rest.sum() < 2:
        return np.zeros(len(values), dtype=bool)
    return atoms


def _stands_out(values: Values, counts: Values, own: float, step: float) -> bool:
    """Whether one of the values has far more rows than the values around it."""
    i = int(np.searchsorted(values, own))
    if step > 0:
        cells = np.abs(values - own) < (N_CELLS + 0.5) * step
        cells[i] = False
        return bool(np.all(counts[i] >= TIMES_CELLS * counts[cells]))
    sides = counts[max(0, i - N_NEAREST) : i], counts[i + 1 : i + 1 + N_NEAREST]
    return all(counts[i] >= TIMES_NEAREST * np.median(side) for side in sides if len(side))
