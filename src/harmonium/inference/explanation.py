"""Reasons: which cells make a row unlikely, and what would be a likely value instead."""

from dataclasses import dataclass

import numpy as np

from harmonium.errors import InvalidInputError, describe
from harmonium.inference.detection import N_CANDIDATES, Detector

# Numbers per call, which bounds the memory: every candidate of every cell is a row for each member.
MAX_NUMBERS = 20_000_000


@dataclass(frozen=True)
class Explanation:
    """Reasons for a table of rows.

    `contributions` (rows, columns): by how much the score rises when that cell alone is set to its
    likeliest value given the others, in units of the detector's score; never negative, larger
    = more responsible. `likely_values` (rows, columns): that value, data units. `hidden_units`
    (rows, 2): member and index of the hidden unit that changes most when the first cell is
    replaced, and `hidden_changes` (rows,): that change of P(h = 1|x). `group` (rows, group size):
    the cells that raise the score most when set one after the other, each given those before it,
    and `group_drops` (rows, group size): the drop up to and with each; it stays level once no cell
    helps.
    """

    names: tuple[str, ...]
    contributions: np.ndarray
    likely_values: np.ndarray
    hidden_units: np.ndarray
    hidden_changes: np.ndarray
    group: np.ndarray
    group_drops: np.ndarray

    def top(self, n: int) -> np.ndarray:
        """Indices of the n most responsible columns of every row, (rows, n)."""
        return np.argsort(-self.contributions, axis=1, kind="stable")[:, :n]


def explain(detector: Detector, values: np.ndarray, *, group_size: int = 1) -> Explanation:
    """Explain rows (rows, columns) by how much the score rises where a cell or a group is changed.

    For single cells this is the energy drop of Takeishi and Kawahara (2020, "On anomaly
    interpretation via Shapley values") in the units of the score: no retraining, no gradient, so it
    sees how far a cell is off. A cell that breaks the rule of a constant or duplicate column, or
    holds a category that training has not seen, counts with the surprise of that rule; such cells
    are in no group. A missing cell contributes nothing. Raises `InvalidInputError` for a
    `group_size` that is not from 1 to the number of columns that are modeled.
    """
    columns = detector.columns
    _check_group_size(group_size, columns.n_modeled)
    known = detector.points(values)
    missing = np.isnan(known)
    points, rows = known.copy(), missing.any(axis=1)
    if rows.any():
        drawn = np.median(detector.completions(values[rows]), axis=0)
        points[rows] = np.where(missing[rows], drawn, known[rows])
    drops, likely = _cell_drops(detector, points)
    contributions = np.zeros(values.shape)
    contributions[:, columns.modeled_index] = np.where(missing, 0.0, drops)
    likely_values = columns.complete(detector.marginals.restore(likely))
    index = columns.modeled_index
    as_it_is = (drops <= 0) & ~missing
    likely_values[:, index] = np.where(as_it_is, values[:, index], likely_values[:, index])
    surprise = -columns.log_rule(values)
    broken = columns.breaks_rule(values)
    share = surprise / np.maximum(broken.sum(axis=1), 1)
    contributions = np.where(broken, share[:, None], contributions)
    group, group_drops, repaired = _repair(detector, points, drops, likely, group_size)
    units, changes = _hidden_changes(detector, points, repaired)
    return Explanation(
        names=columns.names,
        contributions=contributions,
        likely_values=likely_values,
        hidden_units=units,
        hidden_changes=changes,
        group=np.asarray(columns.modeled_index)[group],
        group_drops=group_drops,
    )


def _cell_drops(detector: Detector, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest rise of the score for each cell, and the value that gives it, (rows, modeled)."""
    n_columns = points.shape[1]
    size = max(1, MAX_NUMBERS // (n_columns**2 * N_CANDIDATES))
    parts = [
        _drops_of(detector, points[start : start + size]) for start in range(0, len(points), size)
    ]
    drops, likely = zip(*parts, strict=True)
    return np.concatenate(drops), np.concatenate(likely)


def _drops_of(detector: Detector, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n_rows, n_columns = points.shape
    grid = detector.quantiles
    shape = (n_rows, n_columns, len(grid), n_columns)
    tried = np.broadcast_to(points[:, None, None, :], shape).copy()
    index = np.arange(n_columns)
    tried[:, index, :, index] = grid.T[:, None, :]
    found = detector.abnormality(tried.reshape(-1, n_columns))
    found = found.reshape(n_rows, n_columns, len(grid))
    best = found.argmin(axis=2)
    lowest = np.take_along_axis(found, best[:, :, None], axis=2)[:, :, 0]
    drops = detector.abnormality(points)[:, None] - lowest
    return np.maximum(drops, 0.0), np.where(drops > 0, grid[best, index], points)


def _repair(
    detector: Detector, points: np.ndarray, drops: np.ndarray, likely: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Greedy search: cells, total drops (rows, size), and the rows with the first cell replaced."""
    rows, likely_first = np.arange(len(points)), likely
    current, free = points.copy(), np.ones(points.shape, dtype=bool)
    cells, falls = [], []
    for step in range(size):
        if step:
            drops, likely = _cell_drops(detector, current)
        cell = np.where(free, drops, -1.0).argmax(axis=1)
        current[rows, cell] = likely[rows, cell]
        free[rows, cell] = False
        cells.append(cell)
        falls.append(drops[rows, cell])
    first = points.copy()
    first[rows, cells[0]] = likely_first[rows, cells[0]]
    return np.stack(cells, axis=1), np.cumsum(np.stack(falls, axis=1), axis=1), first


def _hidden_changes(
    detector: Detector, points: np.ndarray, repaired: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Member and index of the unit that changes most, (rows, 2), and its change, (rows,)."""
    change = detector.hidden_means(points) - detector.hidden_means(repaired)
    flat = np.abs(change).reshape(len(points), -1).argmax(axis=1)
    units = np.stack(np.unravel_index(flat, change.shape[1:]), axis=1)
    return units, change.reshape(len(points), -1)[np.arange(len(points)), flat]


def _check_group_size(group_size: int, n_modeled: int) -> None:
    if not isinstance(group_size, int | np.integer) or not 1 <= group_size <= n_modeled:
        raise InvalidInputError(
            describe(
                "explain(X, group_size=...)",
                expected=f"a whole number from 1 to {n_modeled}, the number of modeled columns",
                got=f"{group_size!r}",
            )
        )
