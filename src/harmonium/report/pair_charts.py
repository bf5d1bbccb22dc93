"""Pictures of two columns at a time, of numbers and of categories, in data and in samples."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from harmonium.data import Field
from harmonium.report.association import is_category
from harmonium.report.charts import DATA, SAMPLES, Chart, draw, plain, points
from harmonium.report.evidence import Evidence
from harmonium.report.pairs import Dependence
from harmonium.report.words import cell_texts, clipped, count, day, fixed, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CHARTS = 6
# Charts that one column may be part of.
MOST_OF_A_COLUMN = 3
MOST_POINTS = 250
MOST_CATEGORIES = 6
JITTER = 0.3
# Numbers of no more values than this are spread a little.
FEW_LEVELS = 16
SIZE = (350, 225)
DAY = 86_400.0
# Days from 1970 within which a calendar counts.
CALENDAR = (-700_000, 2_900_000)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class _Side:
    """The cells of two columns, both known, in data or in samples; times are in days."""

    name: str
    color: str
    first: np.ndarray
    second: np.ndarray


def pair_charts(evidence: Evidence, dependence: Dependence) -> list[Chart]:
    """The pairs that go together most, with one of every combination of kinds where there is one.

    Two numbers are points, a category and a number spans by category, two categories squares.
    """
    is_coded = is_category(evidence.columns)
    index, strength = dependence.index, np.abs(np.nan_to_num(dependence.data))
    places = [pair for pair in combinations(range(len(index)), 2) if strength[pair] > 0]
    places.sort(key=lambda pair: -strength[pair])
    pairs = [(int(index[i]), int(index[j])) for i, j in places]
    found = {pair: float(dependence.data[place]) for pair, place in zip(pairs, places, strict=True)}
    return [_chart(evidence, *pair, is_coded, found[pair]) for pair in _diverse(pairs, is_coded)]


def _diverse(pairs: list[tuple[int, int]], is_coded: np.ndarray) -> list[tuple[int, int]]:
    """The first pairs, but not too many of one column, and the first of every kind of pair."""
    kinds = [int(is_coded[i]) + int(is_coded[j]) for i, j in pairs]
    chosen = [pairs[kinds.index(kind)] for kind in sorted(set(kinds))]
    times = Counter(i for pair in chosen for i in pair)
    for pair in pairs:
        fits = pair not in chosen and max(times[i] for i in pair) < MOST_OF_A_COLUMN
        if fits and len(chosen) < MOST_CHARTS:
            chosen.append(pair)
            times.update(pair)
    return sorted(chosen, key=pairs.index)


def _chart(evidence: Evidence, i: int, j: int, is_coded: np.ndarray, strength: float) -> Chart:
    # A category across, a number upward.
    i, j = sorted((i, j), key=lambda column: (not is_coded[column], column))
    sides = (
        _side("data", DATA, evidence.values, evidence.columns.fields, i, j),
        _side("samples", SAMPLES, evidence.samples, evidence.columns.fields, i, j),
    )
    first, second = (evidence.columns.fields[k] for k in (i, j))
    names = f"{clipped(second.name)} by {clipped(first.name)}"
    n_coded = int(is_coded[i]) + int(is_coded[j])
    if n_coded == 2:
        paint, words = _paint_squares, "as boxes, whose area is the share of rows"
    elif n_coded:
        paint, words = (
            _paint_spans,
            "from the 5th to the 95th percentile, with quartiles and median",
        )
    else:
        paint, words = _paint_points, "as points"
    label = (
        f"{names}, in {count(len(sides[0].first))} rows of the data and "
        f"{count(len(sides[1].first))} samples, "
        f"{words}; "
        f"association {fixed(strength)}."
    )
    return draw(f"pair-{i}-{j}", label, SIZE, partial(paint, sides=sides, fields=(first, second)))


def _side(
    name: str, color: str, rows: np.ndarray, fields: tuple[Field, ...], i: int, j: int
) -> _Side:
    known = rows[~np.isnan(rows[:, [i, j]]).any(axis=1)]
    cells = [known[:, k] / (DAY if fields[k].form == "datetime" else 1) for k in (i, j)]
    return _Side(name, color, *cells)


Sides = tuple[_Side, _Side]
Fields = tuple[Field, Field]


def _paint_points(figure: "Figure", sides: Sides, fields: Fields) -> None:
    """Numbers against numbers: data and samples side by side, on one scale."""
    rng = np.random.default_rng(0)
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, side in zip(panels, sides, strict=True):
        shown = rng.permutation(len(side.first))[:MOST_POINTS]
        x, y = (_spread(part, rng)[shown] for part in (side.first, side.second))
        points(axes, x, y, side.color)
        axes.set_title(side.name, loc="left", color=side.color)
    _number_axis(panels[0].xaxis, fields[0], sides[0].first, 4)
    _number_axis(panels[0].yaxis, fields[1], sides[0].second, 5)
    figure.supxlabel(plain(fields[0].name), fontsize=11)
    panels[0].set_ylabel(plain(fields[1].name, 30))


def _paint_spans(figure: "Figure", sides: Sides, fields: Fields) -> None:
    """A number by category: spans of the data, and those of the samples beside them."""
    axes = figure.subplots()
    codes = _frequent(np.append(sides[0].first, sides[1].first))
    for side, shift in zip(sides, (-0.17, 0.17), strict=True):
        groups = [side.second[side.first == code] for code in codes]
        places = np.flatnonzero([len(group) > 0 for group in groups])
        q = np.array([np.quantile(groups[k], QUANTILES) for k in places]).reshape(-1, 5).T
        axes.vlines(places + shift, q[0], q[4], color=side.color, linewidth=1.4)
        axes.vlines(places + shift, q[1], q[3], color=side.color, linewidth=7, alpha=0.55)
        points(axes, places + shift, q[2], side.color, size=6)
        axes.plot([], [], color=side.color, linewidth=5, label=side.name)
    _category_axis(axes.xaxis, fields[0], codes, 44 // max(len(codes), 1))
    _number_axis(axes.yaxis, fields[1], sides[0].second, 5)
    axes.grid(visible=False, axis="x")
    axes.set_xlabel(plain(fields[0].name))
    axes.set_ylabel(plain(fields[1].name, 30))
    figure.legend(loc="outside upper left", ncols=2)


def _paint_squares(figure: "Figure", sides: Sides, fields: Fields) -> None:
    """Categories against categories: filled squares of the data, outlines of the samples."""
    from matplotlib.patches import Rectangle

    axes = figure.subplots()
    codes = [
        _frequent(np.concatenate([getattr(side, name) for side in sides]))
        for name in ("first", "second")
    ]
    shares = [
        np.array([[np.mean((s.first == a) & (s.second == b)) for b in codes[1]] for a in codes[0]])
        for s in sides
    ]
    largest = max(float(part.max()) for part in shares)
    for side, part in zip(sides, shares, strict=True):
        is_data = side.color == DATA
        for a, b in np.argwhere(part > 0):
            half = 0.46 * float(part[a, b] / largest) ** 0.5
            square = Rectangle((a - half, b - half), 2 * half, 2 * half, color=side.color)
            square.set(alpha=0.5) if is_data else square.set(fill=False, linewidth=1.6)
            axes.add_patch(square)
        axes.plot([], [], color=side.color, linewidth=5 if is_data else 1.6, label=side.name)
    axes.set(xlim=(-0.6, len(codes[0]) - 0.4), ylim=(len(codes[1]) - 0.4, -0.6))
    _category_axis(axes.xaxis, fields[0], codes[0], 40 // max(len(codes[0]), 1))
    _category_axis(axes.yaxis, fields[1], codes[1], 14)
    axes.set_xlabel(plain(fields[0].name))
    axes.set_ylabel(plain(fields[1].name, 30))
    figure.legend(loc="outside upper left", ncols=2)


def _frequent(codes: np.ndarray) -> np.ndarray:
    """The most frequent codes, in their own order."""
    levels, counts = np.unique(codes[codes >= 0], return_counts=True)
    return np.sort(levels[np.argsort(-counts, kind="stable")][:MOST_CATEGORIES])


def _spread(cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Numbers of few levels a little apart, or they would hide each other."""
    levels = np.unique(cells)
    if not 1 < len(levels) <= FEW_LEVELS:
        return cells
    return cells + np.diff(levels).min() * JITTER * rng.uniform(-1, 1, len(cells))


def _category_axis(axis, field: Field, codes: np.ndarray, longest: int) -> None:
    texts = [plain(row[0], max(longest, 5)) for row in cell_texts(codes[:, None], (field,))]
    axis.set_ticks(range(len(texts)), texts)


def _number_axis(axis, field: Field, cells: np.ndarray, n_ticks: int) -> None:
    """Ticks of numbers, without a separator in a year, or of dates; all is drawn already."""
    from matplotlib.dates import AutoDateLocator, DateFormatter
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    ends = axis.get_view_interval()
    if field.form != "datetime":
        whole = bool(len(cells)) and bool(np.all(cells % 1 == 0))
        axis.set_major_locator(MaxNLocator(n_ticks, integer=whole))
        axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    elif CALENDAR[0] < min(ends) and max(ends) < CALENDAR[1]:
        days = float(np.ptp(ends))
        form = "%Y" if days > 4 * 365 else "%Y-%m" if days > 120 else "%m-%d"
        axis.set_major_locator(AutoDateLocator(minticks=2, maxticks=n_ticks))
        axis.set_major_formatter(DateFormatter(form))
    else:
        axis.set_major_locator(MaxNLocator(n_ticks))
        axis.set_major_formatter(FuncFormatter(lambda value, _: day(DAY * value)))
