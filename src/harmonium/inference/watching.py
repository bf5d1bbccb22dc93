"""What a monitor watches of every row: scores of the row, of its cells, of its cells given the
others, and its holes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from harmonium.compiling import as_floats
from harmonium.data import Marginals, Whitening
from harmonium.data.gaussian import Moments, expect_missing
from harmonium.inference.batches import map_rows
from harmonium.inference.density import Density
from harmonium.inference.detection import Detector
from harmonium.inference.views import LARGEST_COORDINATE, MOST_VOTING
from harmonium.model import Mixture, tilted
from harmonium.typing import Batch

# What of a row is watched; each kind gets the same share of all false alarms.
KINDS = ("rows", "values", "dependence", "holes")

Scores = Float[np.ndarray, "rows channels"]


@dataclass(frozen=True)
class Channel:
    """One number of every row that is watched: its kind, and the modeled column that it is of,
    None for the row as a whole.
    """

    kind: str
    column: int | None


@dataclass(frozen=True, eq=False)
class Watched:
    """Scores of rows: any function of a row leaves exchangeable rows exchangeable.

    `normality` scores rows (rows, columns) as a whole, higher = more normal; `marginals` give cells
    a place in their columns, and `mixture` says what is likely there given the others.
    `calibration` (rows,) are scores of whole rows that shaped nothing.
    """

    normality: Callable[[np.ndarray], np.ndarray]
    marginals: Marginals
    mixture: Mixture
    calibration: Float[np.ndarray, "rows"]

    @staticmethod
    def of(model: Detector | Density) -> "Watched":
        """What a detector or a density has to say of a row."""
        if isinstance(model, Detector):
            scale = model.spaces[0].scale
            mixture = _in_points(model.spaces[0].pooled, scale.whitening, 2**0.5)
            return Watched(model.scores, scale.marginals, mixture, model.calibration)
        base = model.model.base
        _, mixture = tilted(base, as_floats(np.zeros(base.n_visible)))
        coordinates = model.coordinates
        mixture = _in_points(mixture, coordinates.whitening, 1.0)
        return Watched(model.log_density, coordinates.marginals, mixture, np.zeros(0))

    @cached_property
    def channels(self) -> tuple[Channel, ...]:
        """All that is watched, in the order of the scores."""
        n = self.marginals.n_columns
        kinds = KINDS if n > 1 else tuple(kind for kind in KINDS if kind != "dependence")
        return tuple(
            Channel(kind, column)
            for kind in kinds
            for column in ((None,) if kind == "rows" else range(n))
        )

    @cached_property
    def shares(self) -> Float[np.ndarray, "channels"]:
        """What every channel gets of all false alarms: all kinds alike, and all columns alike."""
        kinds = [channel.kind for channel in self.channels]
        return np.array([1 / (len(set(kinds)) * kinds.count(kind)) for kind in kinds])

    def scores(self, values: np.ndarray) -> Scores:
        """The scores of table rows (rows, columns), NaN where a row has none.

        The score of the row; places of cells in their columns; -log q(cell given the others), in
        nats, with missing others at their means; 1 for a missing cell, or one of an unseen
        category, and 0 for others.
        """
        points = np.clip(self.marginals.centers(values), -LARGEST_COORDINATE, LARGEST_COORDINATE)
        missing = np.isnan(points)
        parts = [self.normality(values)[:, None], points]
        if points.shape[1] > 1:
            filled = expect_missing(points, self._moments)
            found = map_rows(
                lambda rows: _surprisals(self.mixture, rows), filled, longest=MOST_VOTING
            )
            parts.append(np.where(missing, np.nan, found))
        return np.concatenate([*parts, missing], axis=1, dtype=np.float64)

    @cached_property
    def _moments(self) -> Moments:
        """Mean and covariance of the mixture."""
        weights = np.exp(np.asarray(self.mixture.log_weights, np.float64))
        means, factors = (
            np.asarray(part, np.float64) for part in (self.mixture.means, self.mixture.factors)
        )
        mean = weights @ means
        roots = np.concatenate([factors, (means - mean)[:, :, None]], axis=2)
        return Moments(mean, np.einsum("k,kia,kja->ij", weights, roots, roots, optimize=True))


def _in_points(mixture: Mixture, whitening: Whitening, unit: float) -> Mixture:
    """The mixture of places u, of that of whitened ones times `unit`."""
    return mixture.mapped(whitening.inverse_matrix.T / unit, whitening.center)


@eqx.filter_jit
def _surprisals(mixture: Mixture, rows: Batch) -> Float[Array, "rows visible"]:
    return mixture.surprisals(rows.T)[1].T
