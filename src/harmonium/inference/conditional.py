"""Rows of which only some cells are known: their log-density, and draws of the other cells.

What is known of a row becomes bounds of its standardized columns, each of which depends on one cell alone: a value,
the cell of a grid, the interval of a category, or nothing.
"""

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from harmonium.data import Columns, Transform
from harmonium.model import Harmonium
from harmonium.sampling.conditional import (
    draw_conditional,
    importance_log_mass,
    tune_conditional,
)
from harmonium.sampling.opened import Given

_log = logging.getLogger(__name__)

BATCH = 256
# Below this, in conditional standard deviations, the cell of a grid is as good as a point.
COARSE_STEP = 0.1
LARGEST_STANDARD = 1e6
# To integrate missing cells out: annealed chains per row, and draws that take the time of one without annealing.
N_CHAINS = 16
DRAWS_PER_CHAIN = 8

Cells = Float[np.ndarray, "rows modeled"]


@dataclass(frozen=True)
class Effort:
    """How hard conditional draws are worked for: chains per row, annealing steps, and what is kept of the chains."""

    n_chains: int = 16
    n_temperatures: int = 20
    n_kept: int = 1
    n_between: int = 4


class Bounds(NamedTuple):
    """What is known of the modeled columns of rows, as `Columns.bounds` says it."""

    low: Cells
    high: Cells


def known_cells(columns: Columns, transform: Transform, values: np.ndarray) -> Bounds:
    """Bounds of rows (rows, columns); cells of fine grids are taken for points."""
    low, high = columns.bounds(values)
    middle = columns.modeled(values)
    fine = is_fine(columns, transform) & ~np.isnan(middle)
    return Bounds(np.where(fine, middle, low), np.where(fine, middle, high))


def is_fine(columns: Columns, transform: Transform) -> np.ndarray:
    """Which modeled columns have cells that are as good as points, boolean (modeled,)."""
    step = columns.step[columns.modeled_index]
    # Given the other columns a column may be far narrower than by itself.
    return (step <= COARSE_STEP * transform.conditional_spread) & ~columns.is_coded


class Drawn(NamedTuple):
    """Draws for a batch of rows: their indices, standardized columns (rows, draws, modeled), and diagnostics."""

    rows: np.ndarray
    standard: Float[np.ndarray, "rows draws modeled"]
    log_mass: np.ndarray
    ess: np.ndarray
    acceptance: float


def draw_batches(
    model: Harmonium, transform: Transform, bounds: Bounds, *, seed: int, effort: Effort
) -> Iterator[Drawn]:
    """Draws for all rows of the bounds, batch by batch, padded so that one compiled program does them all."""
    key_tune, key = jax.random.split(jax.random.fold_in(jax.random.key(seed), 4))
    space = _space_of(model, transform)
    step_sizes = None
    for rows, given in _batches(transform, bounds):
        if step_sizes is None:
            step_sizes = tune_conditional(
                key_tune, model, given, n_temperatures=effort.n_temperatures, **space
            )
        found = draw_conditional(
            jax.random.fold_in(key, int(rows[0])),
            model,
            given,
            step_sizes=step_sizes,
            **space,
            **asdict(effort),
        )
        n = len(rows)
        standard = np.asarray(found.positions, np.float64)[:n]
        yield Drawn(
            rows=rows,
            standard=standard.reshape(n, -1, standard.shape[-1]),
            log_mass=np.asarray(found.log_mass, np.float64)[:n],
            ess=np.asarray(found.ess, np.float64)[:n],
            acceptance=float(found.acceptance),
        )
        _log.debug("%d of %d rows with missing cells", int(rows[-1]) + 1, len(bounds.low))


def log_mass_of_known(
    model: Harmonium,
    columns: Columns,
    transform: Transform,
    values: np.ndarray,
    places: np.ndarray,
    *,
    annealed: bool = True,
) -> np.ndarray:
    """log p of the known cells of rows (rows, columns) with missing ones, but for log Z: (rows,), nats, data units.

    Missing cells are integrated out by annealed importance sampling from the Gaussian given the known ones; without
    annealing, by importance sampling from it, which is faster and lower. Both err on the low side. Known discrete
    cells are averaged over their `places` (places, modeled). The draws depend on the row, on its place in the table and,
    by the step sizes that are tuned on them, on the first rows of it.
    """
    n_places, n_rows = len(places), len(values)
    points = np.concatenate([columns.spread(values, place) for place in places])
    missing = np.isnan(points)
    bounds = Bounds(np.where(missing, -np.inf, points), np.where(missing, np.inf, points))
    n_chains = max(1, N_CHAINS // n_places)
    masses = _log_mass(model, transform, bounds, n_chains, annealed) + transform.log_det(points)
    masses += columns.log_weight(np.tile(values, (n_places, 1)), np.nan_to_num(points))
    return np.logaddexp.reduce(masses.reshape(n_places, n_rows), axis=0) - np.log(n_places)


def _log_mass(
    model: Harmonium,
    transform: Transform,
    bounds: Bounds,
    n_chains: int,
    annealed: bool,
) -> np.ndarray:
    if annealed:
        effort = Effort(n_chains=n_chains, n_kept=0)
        drawn = draw_batches(model, transform, bounds, seed=0, effort=effort)
        return np.concatenate([batch.log_mass for batch in drawn])
    space = _space_of(model, transform)
    key = jax.random.key(0)
    parts = [
        np.asarray(
            importance_log_mass(
                jax.random.fold_in(key, int(rows[0])),
                model,
                given,
                n_draws=DRAWS_PER_CHAIN * n_chains,
                **space,
            ),
            np.float64,
        )[: len(rows)]
        for rows, given in _batches(transform, bounds)
    ]
    return np.concatenate(parts)


def _space_of(model: Harmonium, transform: Transform) -> dict[str, jax.Array]:
    """Matrix and center of standardized columns, as `draw_conditional` takes them."""
    matrix = transform.matrix
    # The Gaussian fit has mean 0, but a model without interaction is known better: N(b/2, I/2).
    is_gaussian = not bool(jnp.any(model.weights != 0))
    center = np.asarray(model.visible_bias, np.float64) / 2 * is_gaussian
    return {
        "matrix": jnp.asarray(matrix, float),
        "center": jnp.asarray(np.linalg.solve(matrix, center), float),
    }


def _batches(transform: Transform, bounds: Bounds) -> Iterator[tuple[np.ndarray, Given]]:
    """Indices of rows with their standardized bounds, padded to batches of one size."""
    low, high = _standard_bounds(transform, bounds)
    size = BATCH if len(low) > 1 else 1
    for start in range(0, len(low), size):
        rows = np.arange(start, min(start + size, len(low)))
        yield rows, Given(_padded(low[rows], size), _padded(high[rows], size))


def _standard_bounds(transform: Transform, bounds: Bounds) -> Bounds:
    """The same bounds of standardized columns; infinite ones stay so."""
    ends = []
    for end in bounds:
        finite = np.isfinite(end)
        standard = transform.standardize(np.where(finite, end, 0.0))
        ends.append(np.where(finite, np.clip(standard, -LARGEST_STANDARD, LARGEST_STANDARD), end))
    return Bounds(*ends)


def _padded(part: np.ndarray, size: int) -> jax.Array:
    """Rows up to a batch; what is added is all known, so that nothing is drawn for it."""
    filling = np.zeros((size - len(part), part.shape[1]))
    return jnp.asarray(np.concatenate([part, filling]), float)
