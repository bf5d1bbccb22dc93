"""Filling missing cells: draws from the density given the other cells of a row, and what is
expected of each.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from harmonium.data.marginal import Marginal
from harmonium.inference.density import Density
from harmonium.inference.parameter_draws import draw_parameters
from harmonium.model.mixture import Mixture
from harmonium.parallel import side_by_side_if

_log = logging.getLogger(__name__)

# Rows whose draws are held at once.
BATCH = 256
# Weighted draws of a row from which means are taken.
N_PROPOSALS = 256
# Of a mean of draws, beside those of the cells.
MORE_DECIMALS = 2
# Points u between which marginals are interpolated where very many cells are restored.
TABULATED = np.linspace(-6.0, 6.0, 4097)


class Completed(NamedTuple):
    """Some rows of a table, by their indices, with draws of all columns, (draws, rows, columns).

    `ess` (rows,) is the effective sample size of the weighted draws that they were taken from.
    """

    rows: np.ndarray
    draws: np.ndarray
    ess: np.ndarray


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
    the weighted draws that tell it.
    """

    cells: tuple[Expected, ...]
    incomplete: Int[np.ndarray, "some"]
    ess: Float[np.ndarray, "some"]


def draw_completions(
    density: Density,
    values: np.ndarray,
    n_draws: int,
    *,
    seed: int,
    shares: Float[np.ndarray, "modeled"] | None = None,
) -> Iterator[Completed]:
    """Rows with missing cells, completed `n_draws` times, batch by batch; known cells stay as they
    are.

    Missing cells are draws of the model given the known ones, so that their spread is what is not
    known; numbers beyond the range of the training rows are moved to its ends. Columns that follow
    a rule are filled by it; left-out columns stay missing. With `shares` (modeled,), those of the
    observed cells in training, each completion has parameters of its own as well
    (`parameter_draws`).
    """
    bases: Sequence[Mixture | None] = [None]
    if shares is not None:
        bases = draw_parameters(density, shares, n_draws, np.random.default_rng(seed))
    numbers = np.array_split(np.arange(n_draws), len(bases))
    for rows in _batches(values):
        known = values[rows]
        bounds = density.coordinates.bounds(with_twins(density, known))
        draws, ess = np.empty((n_draws, *known.shape)), np.full(len(rows), np.inf)
        for part, (base, own) in enumerate(zip(bases, numbers, strict=True)):
            start = seed + part + int(rows[0]) * len(bases)
            drawn = density.boxes.draw(bounds, len(own), seed=start, base=base)
            draws[own] = _restored(density, drawn.points, known)
            ess = np.minimum(ess, drawn.ess)
        yield Completed(rows, draws, ess)


def expect_cells(density: Density, values: np.ndarray, loss: str, *, seed: int) -> Expectation:
    """What the density expects of the missing cells of rows (rows, columns) given the others.

    Under `loss` "squared" it is the conditional mean of numbers, under "absolute" the median.
    """
    n_modeled = density.columns.n_modeled
    parts: list[list[Expected]] = [[] for _ in range(n_modeled)]
    incomplete, ess = [np.empty(0, int)], [np.empty(0)]
    for rows in _batches(values):
        known = with_twins(density, values[rows])
        bounds = density.coordinates.bounds(known)
        drawn = density.boxes.propose(bounds, N_PROPOSALS, seed=seed)
        missing, weights = np.isnan(known[:, density.columns.modeled_index]), drawn.weights
        for place in range(n_modeled):
            own = np.flatnonzero(missing[:, place])
            points = np.asarray(drawn.positions[own, :, place], np.float64)
            found = _expected_of(density, place, points, weights[own], loss)
            parts[place].append(Expected(rows[own], found))
        incomplete.append(rows)
        ess.append(drawn.mass.ess)
    none = Expected(np.empty(0, int), np.empty((0, 1)))
    cells = tuple(
        Expected(*(np.concatenate(each) for each in zip(*part, strict=True))) if part else none
        for part in parts
    )
    return Expectation(cells, np.concatenate(incomplete), np.concatenate(ess))


def settle(
    density: Density, values: np.ndarray, cells: tuple[Expected, ...], *, as_cells: bool
) -> np.ndarray:
    """Rows (rows, columns) with missing cells filled by what is expected of them.

    Of categories it is the likeliest, of columns of few numbers the level nearest to what is
    expected. `as_cells` gives numbers the decimals, and the lattice, of the training cells;
    otherwise they have two decimals more, because any others would be noise of the draws. Columns
    that follow a rule are filled by it; left-out columns stay missing.
    """
    columns = density.columns
    known = with_twins(density, values)[:, columns.modeled_index]
    marginals = density.coordinates.marginals.parts
    for place, (expected, part) in enumerate(zip(cells, marginals, strict=True)):
        at = columns.modeled_index[place]
        if columns.levels[at] is not None:
            settled = part.atoms[expected.values.argmax(axis=1)]
        elif part.body is None:
            settled = part.atoms[np.abs(expected.values - part.atoms).argmin(axis=1)]
        else:
            settled = _rounded(density, at, expected.values[:, 0], as_cells)
        known[expected.rows, place] = settled
    return np.where(np.isnan(values), columns.complete(known), values)


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


def _batches(values: np.ndarray) -> Iterator[np.ndarray]:
    """Rows with missing cells, some at a time."""
    incomplete = np.flatnonzero(np.isnan(values).any(axis=1))
    for start in range(0, len(incomplete), BATCH):
        yield incomplete[start : start + BATCH]
        done = min(start + BATCH, len(incomplete))
        _log.debug("%d of %d rows with missing cells", done, len(incomplete))


def _expected_of(
    density: Density,
    place: int,
    points: Float[np.ndarray, "cells draws"],
    weights: Float[np.ndarray, "cells draws"],
    loss: str,
) -> Float[np.ndarray, "cells width"]:
    """What weighted draws of u say of cells of one modeled column."""
    coordinates = density.coordinates
    part = coordinates.marginals.parts[place]
    numbers = _numbers(part, points)
    if density.columns.levels[density.columns.modeled_index[place]] is not None:
        shares = [(weights * (numbers == code)).sum(axis=1) for code in part.atoms]
        return np.stack(shares, axis=1)
    numbers = np.clip(numbers, coordinates.lowest[place], coordinates.highest[place])
    if loss == "absolute":
        return _medians(numbers, weights)[:, None]
    return (weights * numbers).sum(axis=1)[:, None]


def _numbers(part: Marginal, points: Float[np.ndarray, "cells draws"]) -> np.ndarray:
    """The cells that points u stand for; of many, by interpolation."""
    if part.body is None or points.size <= len(TABULATED):
        return part.restore(points.ravel()).reshape(points.shape)
    return np.interp(points, TABULATED, part.restore(TABULATED))


def _medians(
    numbers: Float[np.ndarray, "cells draws"], weights: Float[np.ndarray, "cells draws"]
) -> Float[np.ndarray, "cells"]:
    """Medians of weighted numbers."""
    order = np.argsort(numbers, axis=1)
    below = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
    middle = (below >= 0.5 * below[:, -1:]).argmax(axis=1)[:, None]
    chosen = np.take_along_axis(order, middle, axis=1)
    return np.take_along_axis(numbers, chosen, axis=1)[:, 0]


def _rounded(density: Density, at: int, numbers: np.ndarray, as_cells: bool) -> np.ndarray:
    """Numbers of one column as its cells have them, or with a few more decimals."""
    columns = density.columns
    step, offset, decimals = columns.step[at], columns.offset[at], columns.decimals[at]
    if as_cells and step > 0:
        numbers = offset + step * np.round((numbers - offset) / step)
    if decimals < 0:
        return numbers
    return np.round(numbers, decimals + (0 if as_cells else MORE_DECIMALS))


def _restored(
    density: Density, points: Float[np.ndarray, "rows draws modeled"], known: np.ndarray
) -> Float[np.ndarray, "draws rows columns"]:
    """Rows in data units, filled cells in the range of the training rows; known cells exactly as
    they came.
    """
    columns, coordinates = density.columns, density.coordinates
    own = with_twins(density, known)[:, columns.modeled_index]
    cells = np.tile(own, (points.shape[1], 1, 1))

    def restore(place: int) -> None:
        rows = np.flatnonzero(np.isnan(own[:, place]))
        part = coordinates.marginals.parts[place]
        drawn = part.restore(np.asarray(points[rows, :, place], np.float64).ravel())
        drawn = np.clip(drawn, coordinates.lowest[place], coordinates.highest[place])
        cells[:, rows, place] = drawn.reshape(len(rows), points.shape[1]).T

    side_by_side_if(points.size, restore, range(own.shape[1]))
    whole = columns.complete(cells.reshape(-1, cells.shape[2]))
    return np.where(np.isnan(known), whole.reshape(*cells.shape[:2], -1), known)
