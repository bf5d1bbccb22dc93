"""Columns whose map is scaling, with compressed tails or without, all of them in one pass."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from harmonium.data.bodies import Body
from harmonium.data.marginal import Marginal

Cells = Float[np.ndarray, "rows smooth"]
PerColumn = Float[np.ndarray, "smooth"]


@dataclass(frozen=True, eq=False)
class SmoothColumns:
    """The columns of bodies of one component whose cells are points: no atoms, no lattice.

    `places` (smooth,) are their positions among the modeled columns, `index` those in the table;
    the other fields are those of `Body`. Numbers are those of column by column, to the last digit.
    """

    places: Int[np.ndarray, "smooth"]
    index: Int[np.ndarray, "smooth"]
    location: PerColumn
    scale: PerColumn
    tail: PerColumn
    mean: PerColumn
    sd: PerColumn

    @staticmethod
    def among(parts: tuple[Marginal, ...], index: np.ndarray) -> "SmoothColumns":
        """Those among the modeled columns, whose positions in the table are `index`."""
        found = [(j, part.body) for j, part in enumerate(parts) if _is_smooth(part)]
        bodies = [body for _, body in found if isinstance(body, Body)]
        numbers = [
            (body.location, body.scale, body.tail, body.means[0], body.sds[0]) for body in bodies
        ]
        columns = np.array(numbers, dtype=np.float64).reshape(-1, 5).T
        places = np.array([j for j, _ in found], dtype=np.intp)
        return SmoothColumns(places, index[places], *columns)

    def to_normal(self, values: np.ndarray) -> Cells:
        """The coordinates u of cells of table rows (rows, columns); NaN where they are missing."""
        v = (values[:, self.index] - self.location) / self.scale
        tail = self.tail[self._is_long]
        v[:, self._is_long] = tail * np.arcsinh(v[:, self._is_long] / tail)
        return (v - self.mean) / self.sd

    def log_slope(self, values: np.ndarray) -> Cells:
        """log du/dx at cells of table rows (rows, columns), in nats; 0 where they are missing."""
        cells = values[:, self.index]
        slope = np.broadcast_to(-np.log(self.scale), cells.shape).copy()
        ratio = (cells - self.location) / self.scale
        ratio = ratio[:, self._is_long] / self.tail[self._is_long]
        slope[:, self._is_long] -= np.log(np.hypot(1.0, ratio))
        return np.where(np.isnan(cells), 0.0, -np.log(self.sd) + slope)

    @property
    def _is_long(self) -> np.ndarray:
        return self.tail > 0


def _is_smooth(part: Marginal) -> bool:
    return (
        isinstance(part.body, Body)
        and part.body.n_components == 1
        and not len(part.atoms)
        and part.shape.step == 0
    )
