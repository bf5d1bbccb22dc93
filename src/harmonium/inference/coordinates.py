"""How rows of a table lie in model units: marginals per column, then whitening."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from harmonium.compiling import as_floats
from harmonium.data import Bounds, Columns, Marginals, Whitening, spread
from harmonium.model import AbstractBase, tilted
from harmonium.typing import Points, Values

# Cells narrower than this share of a column's spread given the others are as good as points.
COARSE_CELL = 0.1
# The narrowest components of a base, by weight, that cells may be coarse for.
NARROWEST_SHARE = 0.1
# Shares of a cell's mass at which points are drawn: its ends may be infinite.
PLACES = (1e-6, 1 - 1e-6)
# Far beyond any data; keeps F finite in single precision.
LARGEST_MODEL_VALUE = 1e12


def bounded(rows: np.ndarray) -> np.ndarray:
    """Rows in model units that single precision can square and add."""
    return np.clip(rows, -LARGEST_MODEL_VALUE, LARGEST_MODEL_VALUE)


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The map between table rows and model units.

    Every cell is a point, an interval or open in the coordinate u of its column (`marginals`);
    z = `whitening`(u) is what the model sees. `fine`, boolean (modeled,), says which lattices have
    cells so small that they are taken for points; `lowest` and `highest` (modeled,) are the ends of
    the training cells.
    """

    marginals: Marginals
    whitening: Whitening
    fine: Bool[np.ndarray, "modeled"]
    lowest: Float[np.ndarray, "modeled"]
    highest: Float[np.ndarray, "modeled"]

    @staticmethod
    def fit(
        marginals: Marginals, values: Values, *, shape: str, rng: np.random.Generator
    ) -> "Coordinates":
        """Fit a whitening of this shape to table rows; no lattice is fine yet."""
        columns = marginals.columns
        bounds = marginals.bounds(values)
        points = spread(bounds, rng.uniform(*PLACES, bounds.low.shape))
        cells = values[:, columns.modeled_index]
        return Coordinates(
            marginals=marginals,
            whitening=Whitening.fit(points, shape),
            fine=np.zeros(columns.n_modeled, dtype=bool),
            lowest=np.nanmin(cells, axis=0),
            highest=np.nanmax(cells, axis=0),
        )

    @property
    def columns(self) -> Columns:
        """The rules of the columns."""
        return self.marginals.columns

    def bounds(self, values: Values) -> Bounds:
        """The cells of table rows in u, (rows, modeled) each."""
        low, high = self.marginals.bounds(values, fine=self.fine)
        return Bounds(*(np.where(np.isinf(end), end, bounded(end)) for end in (low, high)))

    def log_measure(self, values: Values) -> Float[np.ndarray, "rows"]:
        """What turns the mass of a row's cells in u into that of the row, in nats, but for
        rules.
        """
        return self.marginals.log_measure(values, fine=self.fine).sum(axis=1)

    def log_rule(self, values: Values) -> Float[np.ndarray, "rows"]:
        """What rules of columns add to the log-density of rows, in nats."""
        return self.columns.log_rule(values) + self.marginals.log_rule(values)

    def is_incomplete(self, values: Values) -> Bool[np.ndarray, "rows"]:
        """Which rows miss a cell of a modeled column, or have an unseen category."""
        return np.any(self.bounds(values).is_open, axis=1)

    def draw_points(self, values: Values, rng: np.random.Generator) -> Points:
        """A random point u of every cell of rows; NaN where cells are missing."""
        bounds = self.bounds(values)
        return spread(bounds, rng.uniform(*PLACES, bounds.low.shape))

    def forward(self, values: Values) -> Points:
        """Rows in model units, at the centers of their cells; NaN in all of an incomplete row."""
        return bounded(self.whitening.forward(self.marginals.centers(values)))

    def restore(self, points: Points) -> Values:
        """Table rows (rows, columns) of points u: cells as the table has them."""
        return self.columns.complete(self.marginals.restore(points))

    def whitened(self, points: Points, shape: str) -> "Coordinates":
        """With a whitening of other points u of the rows."""
        return replace(self, whitening=Whitening.fit(points, shape))

    def refined(self, base: AbstractBase, values: Values) -> "Coordinates":
        """With cells taken for points that are small for this base, judged by rows of the table."""
        whole = self.marginals.bounds(values)
        is_cell = ~(whole.is_point | whole.is_open)
        # Of infinite cells there are no quantiles.
        width = np.where(is_cell, np.minimum(whole.high - whole.low, LARGEST_MODEL_VALUE), 0.0)
        width = np.quantile(width, 0.9, axis=0)
        fine = width <= COARSE_CELL * conditional_spread(base, self.whitening)
        return replace(self, fine=fine)


def conditional_spread(base: AbstractBase, whitening: Whitening) -> Float[np.ndarray, "modeled"]:
    """Standard deviation of u of each column given all others, in the narrowest components of a
    base.
    """
    _, mixture = tilted(base, as_floats(np.zeros(base.n_visible)))
    inverses = np.asarray(mixture.inverses, np.float64) @ whitening.matrix.T
    spreads = 1 / np.sqrt(np.sum(inverses**2, axis=1))
    weights = np.exp(np.asarray(mixture.log_weights, np.float64))
    found = np.empty(spreads.shape[1])
    for j, column in enumerate(spreads.T):
        order = np.argsort(column)
        passed = np.cumsum(weights[order])
        found[j] = column[order][np.searchsorted(passed, NARROWEST_SHARE).clip(max=len(order) - 1)]
    return found
