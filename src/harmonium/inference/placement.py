"""A point in every cell of rows: at random, or where a base of the coordinates would have it.

An interval drawn by itself knows nothing of the other cells of its row, so that what depends on
each other looks looser than it is. Drawn given them, under the base that the points of a first
round have made, it is one step of stochastic expectation-maximization (Celeux and Diebolt 1985).
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from harmonium.data import Bounds
from harmonium.inference.body_family import point_log_weights
from harmonium.inference.coordinates import Coordinates, Points, Values
from harmonium.inference.training_rows import copied, filled
from harmonium.model import AbstractBase, Mixture
from harmonium.sampling.boxes import Boxes
from harmonium.sampling.truncated import TruncatedSampler

# Rows whose draws are held in memory at once.
CHUNK = 2048
# Of more rows, the mean of what turns densities into masses is taken over so many.
MOST_WEIGHED = 2000


@dataclass(frozen=True, eq=False)
class Placement:
    """Draws points u of the cells of rows; by `mixture`, the base in u, where there is one."""

    coordinates: Coordinates
    mixture: Mixture | None = None

    @staticmethod
    def of_base(coordinates: Coordinates, base: AbstractBase) -> "Placement":
        """That of a base in model units."""
        _, mixture = base.tilted(jnp.zeros(base.n_visible))
        whitening = coordinates.whitening
        return Placement(coordinates, mixture.mapped(whitening.inverse_matrix.T, whitening.center))

    def is_free(self, values: Values) -> bool:
        """Whether some cells of rows are not points, so that there is something to draw."""
        return not bool(np.all(self.coordinates.bounds(values).is_point))

    def draw(self, values: Values, n_copies: int, rng: np.random.Generator) -> Points:
        """Points u (copies x rows, modeled), all rows once, then again; missing cells are drawn."""
        if self.mixture is None or not self.is_free(values):
            points = self.coordinates.draw_points(copied(values, n_copies), rng)
            return filled(self.coordinates, points, rng)
        bounds, seed = self.coordinates.bounds(values), int(rng.integers(2**31))
        sampler = TruncatedSampler(self.mixture, seed=seed)
        parts = []
        for start in range(0, len(values), CHUNK):
            part = slice(start, start + CHUNK)
            drawn = sampler.draw(Boxes(bounds.low[part], bounds.high[part]))
            parts.append(drawn.resampled(n_copies, seed + start))
        # Draws are of single precision: points that are known are not, and cells may be narrow.
        inside = np.clip(np.concatenate(parts).transpose(1, 0, 2), bounds.low, bounds.high)
        return inside.reshape(-1, bounds.low.shape[1])

    def missing(self, values: Values, n_copies: int) -> Bool[np.ndarray, "copies modeled"]:
        """Which of the cells of `draw` are missing, or of unseen categories."""
        return np.tile(self.coordinates.bounds(values).is_open, (n_copies, 1))

    def log_weight(self, values: Values, points: Points) -> float:
        """What turns the mean log-density at `points` of rows, in model units, into that of rows.

        In nats per row. Under the base it does so exactly; any other density is bounded from below
        (Jensen's inequality), more tightly the more alike the two are.
        """
        if self.mixture is None or not self.is_free(values):
            return float(point_log_weights(self.coordinates, values).mean())
        values, points = values[:MOST_WEIGHED], points[: len(values)][:MOST_WEIGHED]
        bounds, coordinates = self.coordinates.bounds(values), self.coordinates
        low, high = (np.where(bounds.is_open, end, points) for end in bounds)
        sampler = TruncatedSampler(self.mixture)
        log_mass, log_density = (
            sampler.mass(Boxes(*ends)).log_mass for ends in (bounds, Bounds(low, high))
        )
        measure = coordinates.log_measure(values) + coordinates.log_rule(values)
        found = log_mass - log_density + measure
        return float(found.mean()) + coordinates.whitening.log_det
