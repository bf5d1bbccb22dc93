"""Calibration rows that repeat training rows: they look more normal than new rows do."""

import numpy as np

from harmonium.data import Columns
from harmonium.errors import Message, message
from harmonium.inference.views import Space

# Share of repeated rows that is worth words, where cells are measured and rows hardly repeat.
NOTED_SHARE = 0.1
# Standard errors by which repeats have to exceed those among the training rows themselves.
CLEAR = 5.0
_CALIBRATE = Message(
    "calibrate(X) with rows that training has not seen",
    "detect --calibrate with a file of rows that training has not seen",
)


def repeats_in_words(columns: Columns, space: Space, rows: np.ndarray) -> str:
    """In words, if more of these calibration rows (rows, columns) are training rows than can be
    by chance; else empty.

    Rows with missing cells are left out. Repeats are suspect where they are more frequent than
    among the training rows, or where a column is continuous and a tenth of the rows repeats.
    """
    complete = rows[~np.isnan(space.scale.marginals.centers(rows)).any(axis=1)]
    if not len(complete):
        return ""
    points, kernels = space.scale.forward(complete), _keys(space.kernels)
    counts = dict(zip(*np.unique(kernels, return_counts=True), strict=True))
    n, n_kernels = len(complete), len(kernels)
    n_repeated = sum(key in counts for key in _keys(points))
    usual = (sum(counts[key] > 1 for key in kernels) + 1) / (n_kernels + 2)
    error = (usual * (1 - usual) * (1 / n + 1 / n_kernels)) ** 0.5
    share = n_repeated / n
    noted = "continuous" in columns.kinds and share >= NOTED_SHARE
    if not (noted or share > usual + CLEAR * error):
        return ""
    words = (
        "{} of {} calibration rows repeat training rows: p-values are too small for new rows that "
        "do not. Try: {}, or drop repeated rows from the training table."
    )
    return message(words, n_repeated, n, _CALIBRATE)


def _keys(points: np.ndarray) -> np.ndarray:
    """One comparable key per row."""
    return np.array([row.tobytes() for row in np.asarray(points, np.float64) + 0.0], dtype=object)
