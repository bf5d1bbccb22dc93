"""Filling missing cells: draws from the density given the other cells of a row, and what summarizes
them.
"""

import logging
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from harmonium.inference.density import Density

_log = logging.getLogger(__name__)

# Rows whose draws are held at once.
BATCH = 256
# Of a mean of draws, beside those of the cells.
MORE_DECIMALS = 2


class Completed(NamedTuple):
    """Some rows of a table, by their indices, with draws of all columns, (draws, rows, columns).

    `ess` (rows,) is the effective sample size of the weighted draws that they were taken from.
    """

    rows: np.ndarray
    draws: np.ndarray
    ess: np.ndarray


def draw_completions(
    density: Density, values: np.ndarray, n_draws: int, *, seed: int
) -> Iterator[Completed]:
    """Rows with missing cells, completed `n_draws` times, batch by batch; known cells stay as they
    are.

    Missing cells are draws of the model given the known ones, so that their spread is what is not
    known; numbers beyond the range of the training rows are moved to its ends. Columns that follow
    a rule are filled by it; left-out columns stay missing.
    """
    incomplete = np.flatnonzero(np.isnan(values).any(axis=1))
    for start in range(0, len(incomplete), BATCH):
        rows = incomplete[start : start + BATCH]
        known = values[rows]
        bounds = density.coordinates.bounds(_with_twins(density, known))
        drawn = density.boxes.draw(bounds, n_draws, seed=seed + start)
        draws = np.stack([_restored(density, drawn.points[:, d], known) for d in range(n_draws)])
        yield Completed(rows, draws, drawn.ess)
        _log.debug("%d of %d rows with missing cells", start + len(rows), len(incomplete))


def summarize(density: Density, draws: np.ndarray) -> np.ndarray:
    """The mean of draws (draws, rows, columns) in numeric columns, the most frequent category in
    others: (rows, columns).

    In columns with compressed tails it is the median: a draw far out, of which few draws have too
    many or too few, must not decide. Numbers have two decimals more than the training cells of
    their column; more would be noise of the draws.
    """
    columns = density.columns
    filled = draws.mean(axis=0)
    marginals = density.coordinates.marginals
    tailed = columns.modeled_index[[part.has_long_tails for part in marginals.parts]]
    filled[:, tailed] = np.median(draws[:, :, tailed], axis=0)
    for column in np.flatnonzero(columns.decimals >= 0):
        filled[:, column] = np.round(filled[:, column], columns.decimals[column] + MORE_DECIMALS)
    for column, part in zip(columns.modeled_index, marginals.parts, strict=True):
        if part.body is None:
            counts = np.stack([(draws[:, :, column] == code).sum(axis=0) for code in part.atoms])
            filled[:, column] = part.atoms[counts.argmax(axis=0)]
    twins = [i for i, kind in enumerate(columns.kinds) if kind == "duplicate"]
    filled[:, twins] = filled[:, columns.source[twins]]
    return filled


def _restored(density: Density, points: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Rows in data units, filled cells in the range of the training rows; known cells exactly as
    they came.
    """
    return np.where(np.isnan(known), density.coordinates.restore_within(points), known)


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
