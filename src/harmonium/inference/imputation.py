"""Filling missing cells: draws from the density given the other cells of a row, and what summarizes them."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from harmonium.inference.conditional import Effort, draw_batches, known_cells
from harmonium.inference.density import Density

# Chains of a row; more draws than chains come from later moments of the same chains.
MAX_CHAINS = 8
N_TEMPERATURES = 12
N_BETWEEN = 2
# Of a mean of draws, beside those of the cells.
MORE_DECIMALS = 2


class Completed(NamedTuple):
    """Some rows of a table, by their indices, with draws of all columns, (draws, rows, columns)."""

    rows: np.ndarray
    draws: np.ndarray
    acceptance: float


def draw_completions(
    density: Density, values: np.ndarray, n_draws: int, *, seed: int
) -> Iterator[Completed]:
    """Rows with missing cells, completed `n_draws` times, batch by batch; known cells stay as they are.

    Missing cells are draws of the model given the known ones, so that their spread is what is not known; numbers beyond
    the range of the training rows are moved to its ends. Columns that
    follow a rule are filled by it; left-out columns stay missing.
    """
    columns = density.columns
    incomplete = np.flatnonzero(np.isnan(values).any(axis=1))
    if not len(incomplete):
        return
    bounds = known_cells(columns, density.transform, _with_twins(density, values[incomplete]))
    n_chains = min(n_draws, MAX_CHAINS)
    effort = Effort(n_chains, N_TEMPERATURES, -(-n_draws // n_chains), N_BETWEEN)
    for batch in draw_batches(density.model, density.transform, bounds, seed=seed, effort=effort):
        rows = incomplete[batch.rows]
        known = values[rows]
        draws = np.stack([_restored(density, batch.standard[:, d], known) for d in range(n_draws)])
        yield Completed(rows, draws, batch.acceptance)


def summarize(density: Density, draws: np.ndarray) -> np.ndarray:
    """The mean of draws (draws, rows, columns) in numeric columns, the most frequent category in others: (rows, columns).

    In columns with compressed tails it is the median: a draw far out, of which few draws have too many or too few, must
    not decide. Numbers have two decimals more than the training cells of their column; more would be noise of the draws.
    """
    columns = density.columns
    filled = draws.mean(axis=0)
    tailed = columns.modeled_index[density.transform.is_asinh]
    filled[:, tailed] = np.median(draws[:, :, tailed], axis=0)
    for column in np.flatnonzero(columns.decimals >= 0):
        filled[:, column] = np.round(filled[:, column], columns.decimals[column] + MORE_DECIMALS)
    for column, levels in enumerate(columns.levels):
        if levels is not None:
            counts = np.stack([(draws[:, :, column] == code).sum(axis=0) for code in levels.codes])
            filled[:, column] = levels.codes[counts.argmax(axis=0)]
    twins = [i for i, kind in enumerate(columns.kinds) if kind == "duplicate"]
    filled[:, twins] = filled[:, columns.source[twins]]
    return filled


def _restored(density: Density, standard: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Rows in data units, filled cells in the range of the training rows; known cells exactly as they came."""
    transform = density.transform
    full = density.columns.restore(transform.within_range(transform.from_standard(standard)))
    return np.where(np.isnan(known), full, known)


def _with_twins(density: Density, values: np.ndarray) -> np.ndarray:
    """The rows with missing cells copied from duplicates of their columns."""
    columns = density.columns
    values = np.array(values)
    for twin in (i for i, kind in enumerate(columns.kinds) if kind == "duplicate"):
        source = columns.source[twin]
        values[:, source] = np.where(
            np.isnan(values[:, source]), values[:, twin], values[:, source]
        )
    return values
