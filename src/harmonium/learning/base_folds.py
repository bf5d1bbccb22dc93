"""Folds of the search for a base: rows to fit to, and rows that had no part in their units."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from harmonium.typing import Rows

# From the places of rows: all rows in units that are found from those alone, and the log of the
# volume that a unit has there, relative to that of the rows given.
Rescale = Callable[[Int[np.ndarray, "kept"]], tuple[Rows, float]]


@dataclass(frozen=True)
class Fold:
    """Rows to fit to and rows that are held out, in units of the former; `log_volume` turns their
    log-densities into those of the units of the table. `apart` are rows to fit to, elsewhere.
    """

    training: Float[np.ndarray, "kept visible"]
    held_out: Float[np.ndarray, "held visible"]
    log_volume: float
    apart: Float[np.ndarray, "kept others"] | None

    @property
    def gaussian(self) -> Float[np.ndarray, "held"]:
        """The log-density of every held-out row under N(0, I/2) in the units of the fold."""
        n_seen = (~np.isnan(self.held_out)).sum(axis=1)
        squares = np.nansum(self.held_out**2, axis=1)
        return self.log_volume - squares - 0.5 * n_seen * np.log(np.pi)


def hold_out(
    rows: Rows,
    taken: Int[np.ndarray, "taken"],
    part: Int[np.ndarray, "held"],
    rescale: Rescale | None,
    apart: Rows | None,
) -> Fold:
    """The fold in which these of the rows taken are held out."""
    kept, held_out = np.delete(taken, part), taken[part]
    units, log_volume = (rows, 0.0) if rescale is None else rescale(kept)
    own = None if apart is None else apart[kept]
    return Fold(units[kept], units[held_out], log_volume, own)
