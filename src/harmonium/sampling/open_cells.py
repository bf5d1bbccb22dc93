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
from harmonium.model.mixture_rows import MixtureRows, normalize, pick
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
    for given in _given(components, points):
        block, deviations, scales = given.block, given.of_missing, given.scales
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
    for given in _given(components, points):
        block = given.block
        per_draw = len(block.index) * max(len(components.means), block.n_missing**2)
        for part in np.array_split(np.arange(n_draws), -(-n_draws * per_draw // _MOST) or 1):
            cells = block.index[:, None, None], part[:, None], block.columns.T[:, None, :]
            drawn[cells] = _draw_cells(components, given, len(part), rng)
    return drawn


def _given(components: Components, points: Rows) -> Iterator[Completed]:
    """Blocks of rows with open cells, under every component; `joint` has the shares of these."""
    for block in MixtureRows(points, len(components.means)).blocks:
        if isinstance(block, PatternBlock) and block.n_missing:
            given = block.given(components)
            normalize(given.joint)
            yield given


def _draw_cells(
    components: Components, given: Completed, n_draws: int, rng: np.random.Generator
) -> Float[np.ndarray, "rows draws missing"]:
    """Draws of the missing cells of a block: a component by its share, then a normal vector."""
    block = given.block
    chosen = pick(given.joint, n_draws, rng)
    rows = np.arange(len(chosen))[:, None]
    means = components.means[chosen[..., None], block.columns.T[:, None, :]]
    means = means + given.of_missing.transpose(0, 2, 1)[chosen, rows]
    assert given.inverses is not None
    inverses = given.inverses.transpose(0, 3, 1, 2)[chosen, block.pattern[:, None]]
    noise = rng.standard_normal(means.shape)
    return means + np.einsum("rnca,rnc->rna", inverses, noise)
