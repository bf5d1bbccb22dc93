"""Filling missing cells: by draws from the density given the other cells of a row, or by what is
expected of each.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from harmonium.data import Bounds
from harmonium.inference.density import Density
from harmonium.inference.expectation import Expected, in_batches, with_twins
from harmonium.inference.parameter_draws import draw_parameters
from harmonium.model.mixture import Mixture
from harmonium.parallel import side_by_side_if
from harmonium.sampling.open_cells import draw_open

# Of a mean of draws, beside those of the cells.
MORE_DECIMALS = 2


class Completed(NamedTuple):
    """Some rows of a table, by their indices, with draws of all columns, (draws, rows, columns).

    `ess` (rows,) is the effective sample size of the weighted draws that they were taken from,
    infinite where draws have no weights.
    """

    rows: np.ndarray
    draws: np.ndarray
    ess: np.ndarray


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
    for rows in in_batches(np.flatnonzero(np.isnan(values).any(axis=1))):
        known = values[rows]
        bounds = density.coordinates.bounds(with_twins(density, known))
        draws, ess = np.empty((n_draws, *known.shape)), np.full(len(rows), np.inf)
        for part, (base, own) in enumerate(zip(bases, numbers, strict=True)):
            start = seed + part + int(rows[0]) * len(bases)
            points, found = _drawn(density, bounds, len(own), start, base)
            draws[own] = _restored(density, points, known)
            ess = np.minimum(ess, found)
        yield Completed(rows, draws, ess)


def _drawn(
    density: Density, bounds: Bounds, n_draws: int, seed: int, base: Mixture | None
) -> tuple[Float[np.ndarray, "rows draws modeled"], Float[np.ndarray, "rows"]]:
    """Draws of u of rows and the ess of their weights, infinite where they are exact.

    Where what is known of a row are points they are, unless an energy was trained.
    """
    drawn = np.empty((len(bounds.low), n_draws, bounds.low.shape[1]))
    ess = np.full(len(drawn), np.inf)
    is_exact = density.boxes.is_closed(bounds)
    if is_exact.any():
        points = np.where(bounds.is_point, bounds.low, np.nan)[is_exact]
        rng = np.random.default_rng(seed)
        drawn[is_exact] = draw_open(base or density.boxes.base, points, n_draws, rng)
    if not is_exact.all():
        found = density.boxes.draw(bounds.of_rows(~is_exact), n_draws, seed=seed, base=base)
        drawn[~is_exact], ess[~is_exact] = found.points, found.ess
    return drawn, ess


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
