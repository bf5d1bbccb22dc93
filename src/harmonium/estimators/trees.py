"""Trees of every column given the others, grown on completed training rows.

A mixture expects of a cell what its nearest components say, and trees what similar rows had; they
err in different ways, so that the mean of the two is better than either (docs/decisions.md). It is
one round of Stekhoven and Buehlmann's MissForest (2012), begun from the fills of the density, with
extremely randomized trees (Geurts, Ernst and Wehenkel 2006).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from harmonium.data import Marginals
from harmonium.inference import Density
from harmonium.inference.expectation import Expectation, Expected, with_twins
from harmonium.inference.imputation import settle
from harmonium.parallel import side_by_side
from harmonium.typing import Points

# Training cells of a column, below which its trees would know nothing.
FEWEST_CELLS = 50
LEAST_LEAF = 3
# Of the trees, beside the density, in what is expected of a cell.
SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Trees:
    """Trees of every modeled column given the others; a column's are grown when it first has holes.

    `points` (rows, modeled) are the completed training rows in the coordinates u, which put what is
    alike side by side also where it is called by names. `values` (rows, modeled) are the cells as
    they came.
    """

    density: Density
    points: Points
    values: Float[np.ndarray, "rows modeled"]
    n_trees: int
    seed: int
    grown: dict[int, Any] = field(default_factory=dict)

    @staticmethod
    def of_rows(
        density: Density, values: np.ndarray, expectation: Expectation, n_trees: int, seed: int
    ) -> "Trees":
        """Those of table rows (rows, columns), completed by what is expected of their cells."""
        filled = settle(density, values, expectation.cells, as_cells=True)
        cells = with_twins(density, values)[:, density.columns.modeled_index]
        return Trees(density, _points(density, filled), cells, n_trees, seed)

    def improve(self, filled: np.ndarray, cells: tuple[Expected, ...]) -> tuple[Expected, ...]:
        """What the density expects of missing cells, averaged with what the trees do; `filled`
        (rows, columns) are the rows as the density fills them.
        """
        points = _points(self.density, filled)

        def improve(place: int) -> Expected:
            return self._improved(points, place, cells[place])

        # Columns side by side take less time than the trees of one column do.
        return tuple(side_by_side(improve, range(len(cells))))

    def _improved(self, points: Points, place: int, expected: Expected) -> Expected:
        seen = np.flatnonzero(~np.isnan(self.values[:, place]))
        if not len(expected.rows) or len(seen) < FEWEST_CELLS or points.shape[1] < 2:
            return expected
        if place not in self.grown:
            self.grown[place] = self._grow(place, seen)
        found = self.grown[place].predict(np.delete(points[expected.rows], place, axis=1))
        own = found.reshape(expected.values.shape)
        return Expected(expected.rows, (1 - SHARE) * expected.values + SHARE * own)

    def _grow(self, place: int, seen: Int[np.ndarray, "seen"]) -> Any:
        # A second that whoever fills nothing need not wait for.
        from sklearn.ensemble import ExtraTreesRegressor

        forest = ExtraTreesRegressor(
            self.n_trees, min_samples_leaf=LEAST_LEAF, random_state=self.seed
        )
        rows = np.delete(self.points[seen], place, axis=1)
        forest.fit(rows, _targets(self.density, place, self.values[seen, place]))
        return forest


def _points(density: Density, filled: np.ndarray) -> Points:
    """Completed rows in u; categories that training did not see are in the middle."""
    marginals: Marginals = density.coordinates.marginals
    return np.nan_to_num(marginals.centers(filled), nan=0.0)


def _targets(density: Density, place: int, cells: np.ndarray) -> np.ndarray:
    """What trees predict: numbers, or the indicators of categories, (cells, categories)."""
    if density.columns.levels[density.columns.modeled_index[place]] is None:
        return cells
    codes = density.coordinates.marginals.parts[place].atoms
    return (cells[:, None] == codes).astype(np.float64)
