"""Whether rows with a hole in a column differ from the others in what is observed of them.

Where they do, holes are not completely at random. Fills stay right as long as holes depend on what
is observed alone (Rubin 1976, "missing at random"); whether they depend on the hidden cell itself,
no data can tell.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr

from harmonium.data import Marginals

# Rows of either kind, below which nothing is compared.
FEWEST = 10
# Chance that some pair of columns is reported to differ where none does.
LEVEL = 0.01


@dataclass(frozen=True)
class HoleDifference:
    """Rows without a cell in `column` have other values in `other`.

    `shift` is the difference of the mean coordinates u of `other`, in standard deviations of the
    table; `p_value` is that of Welch's test, times the number of pairs (Bonferroni).
    """

    column: str
    other: str
    shift: float
    p_value: float


def compare_holes(marginals: Marginals, values: np.ndarray) -> tuple[HoleDifference, ...]:
    """Pairs of columns of table rows (rows, columns) that differ, the clearest first."""
    points = marginals.centers(values)
    holes = np.isnan(values[:, marginals.columns.modeled_index])
    seen = ~np.isnan(points)
    cells = np.where(seen, points, 0.0)
    means, variances, counts = (
        np.stack(part)
        for part in zip(*(_moments(of, seen, cells) for of in (holes, ~holes)), strict=True)
    )
    is_known = np.all(counts >= FEWEST, axis=0) & np.all(variances > 0, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = means[0] - means[1]
        z = shift / np.sqrt((variances / counts).sum(axis=0))
    log_p = np.where(is_known, np.log(2) + log_ndtr(-np.abs(z)) + np.log(max(is_known.sum(), 1)), 0)
    names = marginals.columns.modeled_names
    pairs = zip(*np.nonzero(log_p < np.log(LEVEL)), strict=True)
    return tuple(
        HoleDifference(names[j], names[k], float(shift[j, k]), float(np.exp(log_p[j, k])))
        for j, k in sorted(pairs, key=lambda pair: log_p[pair])
    )


def describe_holes(found: tuple[HoleDifference, ...], most: int = 3) -> str:
    """The clearest differences in words, one for each column with holes."""
    first: dict[str, HoleDifference] = {}
    for own in found:
        first.setdefault(own.column, own)
    words = [
        f"{own.column!r} is missing where {own.other!r} is {'higher' if own.shift > 0 else 'lower'}"
        f" ({own.shift:+.2f} sd)"
        for own in list(first.values())[:most]
    ]
    more = len(first) - len(words)
    return "; ".join(words) + (f"; and {more} more columns" if more else "")


def _moments(
    of: np.ndarray, seen: np.ndarray, cells: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means, variances and counts of every column k over the rows of every column j: (j, k)."""
    chosen = of.T.astype(np.float64)
    counts = chosen @ seen
    with np.errstate(divide="ignore", invalid="ignore"):
        means = chosen @ cells / counts
        variances = (chosen @ cells**2 / counts - means**2) * counts / (counts - 1)
    return means, variances, counts
