"""What a mixture of Gaussians says of open cells of rows whose other cells are known.

In closed form, by NumPy in double precision: no draw has a weight, and nothing is compiled.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from harmonium.model.mixture import Mixture
from harmonium.model.mixture_blocks import Completed, PatternBlock
from harmonium.model.mixture_components import Components
from harmonium.model.mixture_rows import MixtureRows, normalize
from harmonium.sampling.cells import components_of
from harmonium.typing import Rows

# Numbers in the largest array of draws.
_MOST = 2**21

PerCell = Float[np.ndarray, "components cells"]
Draws = Float[np.ndarray, "rows draws columns"]


class OpenCells(NamedTuple):
    """Open cells of one column: mixtures of normals, each given the known cells of its row.

    The cells stand in `rows` (cells,). Component k has the probability `shares`[k, cell], the mean
    `means`[k, cell] and the standard deviation `scales`[k, cell].
    """

    column: int
    rows: Int[np.ndarray, "cells"]
    shares: PerCell
    means: PerCell
    scales: PerCell

    def only(self, cells: Int[np.ndarray, "some"]) -> "OpenCells":
        """Some of the cells, by their numbers."""
        parts = (part[:, cells] for part in (self.shares, self.means, self.scales))
        return OpenCells(self.column, self.rows[cells], *parts)


def open_cells(mixture: Mixture, points: Rows) -> Iterator[OpenCells]:
    """Those of rows (rows, columns), NaN where a cell is open; a column comes as often as there are
    blocks of rows.
    """
    components = components_of(mixture)
    for block in MixtureRows(points, len(components.means)).blocks:
        if not isinstance(block, PatternBlock) or block.n_missing == 0:
            continue
        given = block.given(components)
        normalize(given.joint)
        deviations, scales = given.missing_cells()
        for column in np.unique(block.columns):
            cells, rows = np.nonzero(block.columns == column)
            yield OpenCells(
                column=int(column),
                rows=block.index[rows],
                shares=given.joint[:, rows],
                means=components.means[:, column, None] + deviations[:, cells, rows],
                scales=scales[:, cells, rows],
            )


def draw_open(mixture: Mixture, points: Rows, n_draws: int, rng: np.random.Generator) -> Draws:
    """Independent draws of the open cells of rows (rows, columns), NaN where a cell is open."""
    components = components_of(mixture)
    drawn = np.repeat(points[:, None], n_draws, axis=1)
    for block in MixtureRows(points, len(components.means)).blocks:
        if not isinstance(block, PatternBlock) or block.n_missing == 0:
            continue
        given = block.given(components)
        normalize(given.joint)
        n_at_once = max(1, _MOST // (len(block.index) * block.n_missing**2))
        for start in range(0, n_draws, n_at_once):
            n = min(n_at_once, n_draws - start)
            own = np.arange(start, start + n)[None, :, None]
            cells = block.index[:, None, None], own, block.columns.T[:, None, :]
            drawn[cells] = _draw_cells(components, given, n, rng)
    return drawn


def _draw_cells(
    components: Components, given: Completed, n_draws: int, rng: np.random.Generator
) -> Float[np.ndarray, "rows draws missing"]:
    """Draws of the missing cells of a block: a component by its share, then a normal vector."""
    passed = np.cumsum(given.joint, axis=0)[:, :, None]
    marks = rng.random((passed.shape[1], n_draws)) * passed[-1]
    chosen = np.sum(passed[:-1] <= marks, axis=0)
    rows = np.arange(len(chosen))[:, None]
    deviations, _ = given.missing_cells()
    means = components.means[chosen[..., None], given.block.columns.T[:, None, :]]
    means = means + deviations.transpose(0, 2, 1)[chosen, rows]
    assert given.inverses is not None
    inverses = given.inverses.transpose(0, 3, 1, 2)[chosen, given.block.pattern[:, None]]
    noise = rng.standard_normal(means.shape)
    return means + np.einsum("rnca,rnc->rna", inverses, noise)
