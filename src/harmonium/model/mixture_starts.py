"""Where the fit of a mixture starts: rows dealt to centers."""

import numpy as np
from jaxtyping import Float, Int

from harmonium.typing import Rows

LLOYD_PASSES = 5


def deal_rows(rows: Rows, n_components: int, rng: np.random.Generator) -> Int[np.ndarray, "rows"]:
    """The number of the nearest center of every complete row.

    Centers start from k-means++ seeds (Arthur and Vassilvitskii 2007) and move by a few passes of
    Lloyd's algorithm; some may end without a row.
    """
    lengths = np.einsum("rn,rn->r", rows, rows)
    centers = _seeds(rows, lengths, n_components, rng)
    labels = _nearest(rows, centers)
    for _ in range(LLOYD_PASSES):
        members = np.eye(n_components)[labels]
        counts = members.sum(axis=0)[:, None]
        centers = np.where(counts > 0, members.T @ rows / np.maximum(counts, 1), centers)
        labels = _nearest(rows, centers)
    return labels


def _seeds(
    rows: Rows, lengths: np.ndarray, n_components: int, rng: np.random.Generator
) -> Float[np.ndarray, "components visible"]:
    """Rows, each drawn by its squared distance from those before it."""
    chosen = [int(rng.integers(len(rows)))]
    nearest = np.full(len(rows), np.inf)
    while len(chosen) < n_components:
        added = chosen[-1]
        distances = lengths - 2 * (rows @ rows[added]) + lengths[added]
        np.minimum(nearest, distances, out=nearest)
        passed = np.cumsum(np.maximum(nearest, 0.0))
        if passed[-1] > 0:
            place = np.searchsorted(passed, rng.uniform() * passed[-1], side="right")
        else:
            place = rng.integers(len(rows))
        chosen.append(min(int(place), len(rows) - 1))
    return rows[chosen]


def _nearest(rows: Rows, centers: Float[np.ndarray, "components visible"]) -> np.ndarray:
    # The length of a row does not change which center is the nearest.
    return np.argmin(np.sum(centers**2, axis=1) - 2 * (rows @ centers.T), axis=1)
