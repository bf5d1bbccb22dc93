"""What is expected of missing cells given the other cells of their row.

In closed form where the density is a mixture and what is known of a row are points; otherwise from
weighted draws.
"""

import logging
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtr, ndtri

from harmonium.data import Bounds
from harmonium.data.marginal import Marginal
from harmonium.inference.conditional import N_DRAWS
from harmonium.inference.density import Density
from harmonium.sampling.boxes import TruncatedDraws
from harmonium.sampling.open_cells import OpenCells, open_cells

_log = logging.getLogger(__name__)

# Rows whose draws are held at once.
BATCH = 256
# Weighted draws of a row from which means are taken; the programs of its score serve for them.
N_PROPOSALS = N_DRAWS
# Equally likely parts of a normal variable, each by its mean, over which numbers are averaged.
N_PARTS = 32
_ENDS = ndtri(np.linspace(0, 1, N_PARTS + 1))
PARTS = -N_PARTS * np.diff(np.exp(-0.5 * _ENDS**2)) / np.sqrt(2 * np.pi)
# Components of a smaller probability add nothing that a filled cell would show.
LEAST_SHARE = 1e-4


class Expected(NamedTuple):
    """What is expected of the missing cells of one column, which stand in `rows` (cells,).

    `values` (cells, width) are the probabilities of the categories, or one number: the conditional
    mean, or the median.
    """

    rows: Int[np.ndarray, "cells"]
    values: Float[np.ndarray, "cells width"]


class Expectation(NamedTuple):
    """What is expected of the missing cells of rows: `cells` for every modeled column.

    `incomplete` (some,) are the rows with such cells, `ess` (some,) the effective sample sizes of
    the weighted draws that tell it, infinite where nothing was drawn.
    """

    cells: tuple[Expected, ...]
    incomplete: Int[np.ndarray, "some"]
    ess: Float[np.ndarray, "some"]


def expect_cells(density: Density, values: np.ndarray, loss: str, *, seed: int) -> Expectation:
    """What the density expects of the missing cells of rows (rows, columns) given the others.

    Under `loss` "squared" it is the conditional mean of numbers, under "absolute" the median.
    """
    incomplete = np.flatnonzero(np.isnan(values).any(axis=1))
    known = with_twins(density, values[incomplete])
    bounds = density.coordinates.bounds(known)
    missing = np.isnan(known[:, density.columns.modeled_index])
    is_closed = density.boxes.is_closed(bounds) & (loss == "squared")
    found: list[list[Expected]] = [[] for _ in range(density.columns.n_modeled)]
    for place, expected in _in_closed_form(density, bounds, missing, np.flatnonzero(is_closed)):
        found[place].append(expected)
    ess = np.full(len(incomplete), np.inf)
    for rows in in_batches(np.flatnonzero(~is_closed)):
        drawn = density.boxes.propose(bounds.of_rows(rows), N_PROPOSALS, seed=seed)
        ess[rows] = drawn.mass.ess
        for place, expected in _by_draws(density, drawn, missing[rows], loss):
            found[place].append(Expected(rows[expected.rows], expected.values))
    cells = tuple(_joined(parts, incomplete) for parts in found)
    return Expectation(cells, incomplete, ess)


def with_twins(density: Density, values: np.ndarray) -> np.ndarray:
    """The rows with missing cells copied from duplicates of their columns."""
    columns = density.columns
    values = np.array(values)
    for twin in (i for i, kind in enumerate(columns.kinds) if kind == "duplicate"):
        source = columns.source[twin]
        values[:, source] = np.where(
            np.isnan(values[:, source]), values[:, twin], values[:, source]
        )
    return values


def in_batches(rows: Int[np.ndarray, "rows"]) -> Iterator[Int[np.ndarray, "some"]]:
    """Numbers of rows with missing cells, some at a time."""
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]
        _log.debug("%d of %d rows with missing cells", min(start + BATCH, len(rows)), len(rows))


def _joined(parts: list[Expected], incomplete: Int[np.ndarray, "some"]) -> Expected:
    """Cells of one column, in the order of the rows."""
    if not parts:
        return Expected(np.empty(0, int), np.empty((0, 1)))
    rows, values = (np.concatenate(each) for each in zip(*parts, strict=True))
    order = np.argsort(rows)
    return Expected(incomplete[rows[order]], values[order])


def _in_closed_form(
    density: Density, bounds: Bounds, missing: np.ndarray, rows: Int[np.ndarray, "some"]
) -> Iterator[tuple[int, Expected]]:
    """Means of the missing cells of rows that are points otherwise, by place of the column."""
    points = np.where(bounds.is_point, bounds.low, np.nan)[rows]
    for found in open_cells(density.boxes.base, points):
        own = rows[found.rows]
        # What training did not see is open and not missing.
        wanted = np.flatnonzero(missing[own, found.column])
        if len(wanted):
            yield found.column, Expected(own[wanted], _means(density, found.only(wanted)))


def _means(density: Density, cells: OpenCells) -> Float[np.ndarray, "cells width"]:
    """Probabilities of the categories, or means of the numbers, of cells of one column."""
    place = cells.column
    part = density.coordinates.marginals.parts[place]
    if part.body is None:
        shares = _probabilities(part, cells)
        return shares if _are_coded(density, place) else (shares @ part.atoms)[:, None]
    component, own = np.nonzero(cells.shares > LEAST_SHARE)
    mean, scale = cells.means[component, own], cells.scales[component, own]
    numbers = _numbers(density, place, mean[:, None] + scale[:, None] * PARTS)
    weights = cells.shares[component, own]
    sums = np.bincount(own, weights * numbers.mean(axis=1), len(cells.rows))
    return (sums / np.bincount(own, weights, len(cells.rows)))[:, None]


def _probabilities(part: Marginal, cells: OpenCells) -> Float[np.ndarray, "cells atoms"]:
    """Those of the atoms of a column that has nothing else."""
    ends = part.bounds(part.atoms)[1][:-1]
    below = [np.zeros(len(cells.rows))]
    for end in ends:
        inside = ndtr((end - cells.means) / cells.scales)
        below.append(np.sum(cells.shares * inside, axis=0))
    below.append(np.ones(len(cells.rows)))
    return np.diff(np.stack(below, axis=1), axis=1)


def _by_draws(
    density: Density, drawn: TruncatedDraws, missing: np.ndarray, loss: str
) -> Iterator[tuple[int, Expected]]:
    """What weighted draws of rows say of their missing cells, by place of the column."""
    weights = drawn.weights
    for place in range(missing.shape[1]):
        own = np.flatnonzero(missing[:, place])
        points = np.asarray(drawn.positions[own, :, place], np.float64)
        yield place, Expected(own, _expected_of(density, place, points, weights[own], loss))


def _expected_of(
    density: Density,
    place: int,
    points: Float[np.ndarray, "cells draws"],
    weights: Float[np.ndarray, "cells draws"],
    loss: str,
) -> Float[np.ndarray, "cells width"]:
    """What weighted draws of u say of cells of one modeled column."""
    numbers = _numbers(density, place, points)
    if _are_coded(density, place):
        codes = density.coordinates.marginals.parts[place].atoms
        return np.stack([(weights * (numbers == code)).sum(axis=1) for code in codes], axis=1)
    if loss == "absolute":
        return _medians(numbers, weights)[:, None]
    return (weights * numbers).sum(axis=1)[:, None]


def _are_coded(density: Density, place: int) -> bool:
    """Whether the cells of a modeled column are categories."""
    return density.columns.levels[density.columns.modeled_index[place]] is not None


def _numbers(density: Density, place: int, points: Float[np.ndarray, "cells draws"]) -> np.ndarray:
    """The cells that points u stand for, no further out than those of training."""
    coordinates = density.coordinates
    numbers = coordinates.marginals.parts[place].restore_closely(points)
    return np.clip(numbers, coordinates.lowest[place], coordinates.highest[place])


def _medians(
    numbers: Float[np.ndarray, "cells draws"], weights: Float[np.ndarray, "cells draws"]
) -> Float[np.ndarray, "cells"]:
    """Medians of weighted numbers."""
    order = np.argsort(numbers, axis=1)
    below = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
    middle = (below >= 0.5 * below[:, -1:]).argmax(axis=1)[:, None]
    chosen = np.take_along_axis(order, middle, axis=1)
    return np.take_along_axis(numbers, chosen, axis=1)[:, 0]
