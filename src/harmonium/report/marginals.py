"""Every column on its own: how the values of the data and of the samples are spread."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from harmonium.data import Columns, Field
from harmonium.report.association import is_category
from harmonium.report.evidence import Evidence
from harmonium.report.words import cell_texts, clipped, day, short

MOST_BARS = 12
MOST_LEVELS = 24
N_BINS = 24
# Of both tails, left out of the bins so that one far value does not squeeze all others.
TAIL = 0.005
# 95 % of the largest differences of two empirical distributions of one law lie below this
# (Kolmogorov-Smirnov).
CHANCE_95 = 1.36


@dataclass(frozen=True)
class Marginal:
    """One column: the shares of its rows and of samples by bin, what the bins hold in words, and
    the largest difference `gap` between data and samples, in shares of rows.

    `has_levels` says that a bin is one value.
    """

    name: str
    gap: float
    beyond_chance: bool
    data: np.ndarray
    samples: np.ndarray
    bins: list[str]
    has_levels: bool


def marginals(evidence: Evidence) -> dict[int, Marginal]:
    """All modeled columns with content, by their positions in the table."""
    columns = evidence.columns
    category = is_category(columns)
    values = evidence.values
    return {
        int(i): _marginal(int(i), values[:, i], evidence.samples[:, i], columns, bool(category[i]))
        for i in columns.modeled_index
        if not np.isnan(values[:, i]).all()
    }


def _marginal(
    i: int, cells: np.ndarray, drawn: np.ndarray, columns: Columns, is_coded: bool
) -> Marginal:
    field = columns.fields[i]
    data, drawn = _known(cells), _known(drawn)
    gap = _share_gap(data, drawn) if is_coded else _distribution_gap(data, drawn)
    levels = np.unique(np.append(data, drawn))
    has_levels = is_coded or (len(levels) <= MOST_LEVELS and columns.kinds[i] != "continuous")
    bins = _by_level(data, drawn, field, is_coded) if has_levels else _by_bin(data, drawn, field)
    chance = CHANCE_95 * (1 / len(data) + 1 / len(drawn)) ** 0.5
    return Marginal(clipped(field.name), gap, gap > chance, *bins, has_levels)


Bins = tuple[np.ndarray, np.ndarray, list[str]]


def _by_level(data: np.ndarray, drawn: np.ndarray, field: Field, is_coded: bool) -> Bins:
    """One bin per level; of categories, the most frequent ones and the rest."""
    levels, counts = np.unique(np.append(data, drawn), return_counts=True)
    rest = is_coded and len(levels) > MOST_BARS
    if is_coded:
        levels = levels[np.argsort(-counts, kind="stable")][:MOST_BARS]
    shares = [np.array([np.mean(part == level) for level in levels]) for part in (data, drawn)]
    names = [row[0] for row in cell_texts(levels[:, None], (field,))]
    if rest:
        names.append("all others")
        shares = [np.append(part, 1 - part.sum()) for part in shares]
    return shares[0], shares[1], names


def _by_bin(data: np.ndarray, drawn: np.ndarray, field: Field) -> Bins:
    both = np.append(data, drawn)
    low, high = np.quantile(both, [TAIL, 1 - TAIL])
    if low == high:
        low, high = both.min(), both.max()
    edges = np.linspace(low, high, N_BINS + 1)
    # What lies outside is counted in the outer bins, so that shares add up to 1.
    counts = [np.histogram(np.clip(part, low, high), edges)[0] for part in (data, drawn)]
    ends = [_value(edge, field) for edge in edges]
    names = [f"{a} to {b}" for a, b in pairwise(ends)]
    return counts[0] / len(data), counts[1] / len(drawn), names


def _distribution_gap(data: np.ndarray, drawn: np.ndarray) -> float:
    """The largest difference of the two cumulative distributions."""
    points = np.unique(np.append(data, drawn))
    shares = [
        np.searchsorted(np.sort(part), points, side="right") / len(part) for part in (data, drawn)
    ]
    return float(np.abs(shares[0] - shares[1]).max())


def _share_gap(data: np.ndarray, drawn: np.ndarray) -> float:
    """The largest difference of the shares of a category."""
    levels = np.unique(np.append(data, drawn))
    return float(max(abs(np.mean(data == level) - np.mean(drawn == level)) for level in levels))


def _known(column: np.ndarray) -> np.ndarray:
    return column[~np.isnan(column)]


def _value(value: float, field: Field) -> str:
    return day(float(value)) if field.form == "datetime" else short(float(value))
