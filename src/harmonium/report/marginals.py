"""Every column on its own: how the values of the data and of the samples are spread."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from harmonium.data import Columns, Field
from harmonium.report.association import is_category
from harmonium.report.charts import DATA, SAMPLES, Chart, plain, rounded
from harmonium.report.evidence import Evidence
from harmonium.report.words import cell_texts, clipped, day, percent, short

MOST_COLUMNS = 24
MOST_BARS = 12
MOST_LEVELS = 30
N_BINS = 24
# Of both tails, left out of the bins so that one far value does not squeeze all others.
TAIL = 0.005
# 95 % of the largest differences of two empirical distributions of one law lie below this
# (Kolmogorov-Smirnov).
CHANCE_95 = 1.36


@dataclass(frozen=True)
class Marginal:
    """One column: its chart, and the largest difference `gap` between data and samples, in shares
    of rows.
    """

    name: str
    gap: float
    beyond_chance: bool
    chart: Chart


def marginals(evidence: Evidence) -> list[Marginal]:
    """All modeled columns, those that differ most first."""
    columns = evidence.columns
    category = is_category(columns)
    found = [
        _marginal(i, evidence, columns, bool(category[i]))
        for i in columns.modeled_index
        if not np.isnan(evidence.values[:, i]).all()
    ]
    return sorted(found, key=lambda marginal: -marginal.gap)


def _marginal(i: int, evidence: Evidence, columns: Columns, is_coded: bool) -> Marginal:
    field = columns.fields[i]
    data = _known(evidence.values[:, i])
    drawn = _known(evidence.samples[:, i])
    gap = _share_gap(data, drawn) if is_coded else _distribution_gap(data, drawn)
    few = len(np.unique(np.append(data, drawn))) <= MOST_LEVELS and columns.kinds[i] != "continuous"
    name = clipped(field.name)
    title = f"column-{i}"
    label = (
        f"{'Shares of the categories' if is_coded else 'Distribution'} of column {name} in data and samples; "
        f"the largest difference is {percent(gap)} of the rows."
    )
    if is_coded or few:
        traces, layout = _bars(data, drawn, field, is_coded)
    else:
        traces, layout = _bins(data, drawn, field)
        label += f" Medians: data {_value(np.median(data), field)}, samples {_value(np.median(drawn), field)}."
    layout |= {"yaxis": {"tickformat": ".0%", "rangemode": "tozero", "nticks": 4}}
    chance = CHANCE_95 * (1 / len(data) + 1 / len(drawn)) ** 0.5
    chart = Chart(title, label, traces, layout, height=190)
    return Marginal(name, gap, gap > chance, chart)


def _bars(
    data: np.ndarray, drawn: np.ndarray, field: Field, is_coded: bool
) -> tuple[list[dict], dict]:
    """One bar per level; of categories, the most frequent ones and the rest."""
    levels, counts = np.unique(np.append(data, drawn), return_counts=True)
    rest = is_coded and len(levels) > MOST_BARS
    if is_coded:
        levels = levels[np.argsort(-counts, kind="stable")][:MOST_BARS]
    shares = [np.array([np.mean(part == level) for level in levels]) for part in (data, drawn)]
    if field.is_number:
        names = [short(float(level)) for level in levels]
    else:
        names = [row[0] for row in cell_texts(levels[:, None], (field,))]
    if rest:
        names.append("all others")
        shares = [np.append(part, 1 - part.sum()) for part in shares]
    # Numbers keep categories apart that are clipped to one name.
    places = list(range(len(names)))
    step = -(-len(names) // 8)
    ticks = {"tickvals": places[::step], "ticktext": [plain(clipped(t, 14)) for t in names[::step]]}
    texts = [plain(name) for name in names]
    return _pair(places, shares, texts, 1.0), {"xaxis": {**ticks, "zeroline": False}}


def _bins(data: np.ndarray, drawn: np.ndarray, field: Field) -> tuple[list[dict], dict]:
    both = np.append(data, drawn)
    low, high = np.quantile(both, [TAIL, 1 - TAIL])
    if low == high:
        low, high = both.min(), both.max()
    edges = np.linspace(low, high, N_BINS + 1)
    # What lies outside is counted in the outer bins, so that shares add up to 1.
    counts = [np.histogram(np.clip(part, low, high), edges)[0] for part in (data, drawn)]
    shares = [part / part.sum() for part in counts]
    centers = (edges[1:] + edges[:-1]) / 2
    texts = [f"{plain(_value(a, field))} to {plain(_value(b, field))}" for a, b in pairwise(edges)]
    is_date = field.form == "datetime"
    places = rounded_dates(centers) if is_date else rounded(centers)
    width = float(edges[1] - edges[0]) * (1000 if is_date else 1)
    axis_type = {"type": "date"} if is_date else {"type": "linear"}
    return _pair(places, shares, texts, width), {"xaxis": {**axis_type, "nticks": 6}}


def rounded_dates(seconds: np.ndarray) -> list[float]:
    """Times as the charts count them, in milliseconds."""
    return np.round(1000 * np.asarray(seconds, float)).tolist()


def _pair(places: list, shares: list[np.ndarray], texts: list[str], width: float) -> list[dict]:
    """Bars of the data and, over them, the outline of the samples."""
    return [
        {
            "type": "bar",
            "name": "data",
            "x": places,
            "y": rounded(shares[0]),
            "text": texts,
            "textposition": "none",
            "width": 0.96 * width,
            "marker": {"color": f"{DATA}:0.45"},
            "hovertemplate": "%{text}<br>data %{y:.1%}<extra></extra>",
        },
        {
            "type": "scatter",
            "name": "samples",
            "x": places,
            "y": rounded(shares[1]),
            "text": texts,
            "mode": "lines+markers" if len(places) > MOST_BARS else "markers",
            "line": {"color": SAMPLES, "width": 1.8, "shape": "hvh"},
            "marker": {"color": SAMPLES, "size": 4 if len(places) > MOST_BARS else 9},
            "hovertemplate": "%{text}<br>samples %{y:.1%}<extra></extra>",
        },
    ]


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
