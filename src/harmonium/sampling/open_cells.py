"""What a mixture of Gaussians says of single open cells of rows whose other cells are known.

In closed form, by NumPy in double precision: nothing is drawn, and nothing compiled.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from harmonium.model.mixture import Mixture
from harmonium.model.mixture_blocks import PatternBlock
from harmonium.model.mixture_rows import MixtureRows, normalize
from harmonium.sampling.cells import components_of
from harmonium.typing import Rows

PerCell = Float[np.ndarray, "components cells"]


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
