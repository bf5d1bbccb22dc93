"""Filling the missing cells of rows by a Gaussian fit of the columns, each by its own marginal."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from harmonium.data import Columns, Marginals, Whitening
from harmonium.data.gaussian import draw_missing


@dataclass(frozen=True, eq=False)
class Completion:
    """A Gaussian of the coordinates of the columns, from which missing cells are drawn.

    `lowest` and `highest` (modeled,) are the ends of the training columns, in data units.
    """

    marginals: Marginals
    whitening: Whitening
    lowest: Float[np.ndarray, "modeled"]
    highest: Float[np.ndarray, "modeled"]

    @staticmethod
    def fit(columns: Columns, values: np.ndarray) -> "Completion":
        """Fit to table rows (rows, columns), NaN where cells are missing, with rules `columns`."""
        # Levels and atoms would lose how far apart numbers are, which says most of the others.
        marginals = Marginals.fit(columns, values, "asinh", atoms=False)
        cells = values[:, columns.modeled_index]
        return Completion(
            marginals=marginals,
            whitening=Whitening.fit(marginals.centers(values)),
            lowest=np.nanmin(cells, axis=0),
            highest=np.nanmax(cells, axis=0),
        )

    def fill(self, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Table rows (rows, columns) with missing cells of modeled columns drawn given the others.

        Unseen categories count as missing. Drawn numbers stay within the range of the training
        cells, because beside an outlier a long tail may be unrolled to any length.
        """
        points = self.marginals.centers(values)
        missing = np.isnan(points)
        if not missing.any():
            return values
        rows = np.flatnonzero(missing.any(axis=1))
        drawn = draw_missing(points[rows], self.whitening.moments, rng)
        cells = np.clip(self.marginals.restore(drawn), self.lowest, self.highest)
        filled = np.array(values)
        index = np.ix_(rows, self.marginals.columns.modeled_index)
        filled[index] = np.where(missing[rows], cells, values[index])
        return filled


def on_levels(filled: np.ndarray, values: np.ndarray, marginals: Marginals) -> np.ndarray:
    """Rows `filled` of `values`, (rows, columns) all, with drawn cells at levels of their columns.

    Where a column has few different numbers, to `marginals` all others are unseen ones: a draw
    between two levels is moved to the nearest.
    """
    settled, is_drawn = np.array(filled), filled != values
    for part, i in zip(marginals.parts, marginals.columns.modeled_index, strict=True):
        rows = np.flatnonzero(is_drawn[:, i])
        if part.body is None and len(rows):
            apart = np.abs(filled[rows, i][:, None] - part.atoms[None, :])
            settled[rows, i] = part.atoms[apart.argmin(axis=1)]
    return settled
