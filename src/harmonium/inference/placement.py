"""A point in every cell of rows: at random, or where a base of the coordinates would have it.

An interval drawn by itself knows nothing of the other cells of its row, so that what depends on
each other looks looser than it is. Drawn given them, under the base that the points of a first
round have made, it is one step of stochastic expectation-maximization (Celeux and Diebolt 1985).
Draws that depend a little on each other are enough for that: `sampling.cells` makes them.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from harmonium.compiling import as_floats
from harmonium.data import Bounds
from harmonium.inference.body_family import point_log_weights
from harmonium.inference.coordinates import Coordinates
from harmonium.inference.training_rows import copied, filled
from harmonium.model import AbstractBase, Mixture, tilted
from harmonium.sampling.boxes import Boxes
from harmonium.sampling.cells import move_in_cells
from harmonium.sampling.truncated import TruncatedSampler
from harmonium.typing import Points, Values

# Of cells given each other: before the first draw, before one that begins with draws under a base
# much like this one, and between draws of the same row.
N_SWEEPS, N_SWEEPS_ONWARDS, N_SWEEPS_BETWEEN = 16, 4, 2
# Of more rows, the mean of what turns densities into masses is taken over so many.
MOST_WEIGHED = 512


@dataclass(frozen=True, eq=False)
class Placement:
    """Draws points u of the cells of rows; by `mixture`, the base in u, where there is one."""

    coordinates: Coordinates
    mixture: Mixture | None = None

    @staticmethod
    def of_base(coordinates: Coordinates, base: AbstractBase) -> "Placement":
        """That of a base in model units."""
        _, mixture = tilted(base, as_floats(np.zeros(base.n_visible)))
        whitening = coordinates.whitening
        return Placement(coordinates, mixture.mapped(whitening.inverse_matrix.T, whitening.center))

    def is_free(self, values: Values) -> bool:
        """Whether some cells of rows are not points, so that there is something to draw."""
        return not bool(np.all(self.coordinates.bounds(values).is_point))

    def draw(
        self,
        values: Values,
        n_copies: int,
        rng: np.random.Generator,
        start: Points | None = None,
    ) -> Points:
        """Points u (copies x rows, modeled), all rows once, then again; missing cells are drawn.

        `start` (rows, modeled) are draws under the base of the round before, with which chains go
        on.
        """
        if self.mixture is None or not self.is_free(values):
            points = self.coordinates.draw_points(copied(values, n_copies), rng)
            return filled(self.coordinates, points, rng)
        bounds = self.coordinates.bounds(values)
        boxes = Boxes(bounds.low, bounds.high)
        if start is None:
            start, n_sweeps = self.coordinates.draw_points(values, rng), N_SWEEPS
        else:
            start, n_sweeps = np.clip(start, bounds.low, bounds.high), N_SWEEPS_ONWARDS
        points = move_in_cells(self.mixture, boxes, start, n_sweeps, rng)
        copies = [points]
        for _ in range(1, n_copies):
            points = move_in_cells(self.mixture, boxes, points, N_SWEEPS_BETWEEN, rng)
            copies.append(points)
        return np.concatenate(copies)

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
