"""Two columns at a time: points of the data and of the samples, and how strongly columns go
together in both.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from harmonium.data import Field
from harmonium.report.association import associations, is_category
from harmonium.report.charts import DATA, REFERENCE, SAMPLES, Chart, axis, plain, rounded
from harmonium.report.evidence import Evidence
from harmonium.report.marginals import rounded_dates
from harmonium.report.words import cell_texts, clipped, fixed

MOST_COLUMNS = 5
MOST_CHARTS = 9
MOST_POINTS = 300
# Of more columns than this, those with the strongest dependence.
MOST_ASSOCIATED = 24
MOST_PAIRS = 600
MOST_TICKS = 8
N_LISTED = 10
JITTER = 0.3


@dataclass(frozen=True)
class Dependence:
    """Associations of the columns `names` in data and in samples, (columns, columns) each,
    strongest columns first.

    `chart` sets one against the other, pair by pair; `typical_gap` and `largest_gap` are
    differences over the pairs, `worst` the pair of the largest, and `chance` what two samples of
    one law differ by in 95 % of the pairs at most. `strongest_pairs` are the two names and both
    associations in words; `n_columns` counts those of the table that are modeled.
    """

    names: list[str]
    data: np.ndarray
    samples: np.ndarray
    chart: Chart
    typical_gap: float
    largest_gap: float
    worst: tuple[str, str]
    strongest: tuple[str, str, float, float]
    chance: float
    share_within: float
    n_columns: int
    strongest_pairs: list[tuple[str, str, str, str]]


def dependence(evidence: Evidence) -> Dependence | None:
    """Compare the dependence of all pairs of modeled columns; None with fewer than two of them that
    vary.
    """
    index, found = _strongest_columns(evidence)
    if len(index) < 2:
        return None
    data, samples = found
    names = [clipped(evidence.columns.names[i]) for i in index]
    pairs = [(i, j) for i, j in combinations(range(len(index)), 2) if np.isfinite(data[i, j])]
    pairs = [pair for pair in pairs if np.isfinite(samples[pair])]
    if not pairs:
        return None
    in_data = np.array([data[pair] for pair in pairs])
    in_samples = np.array([samples[pair] for pair in pairs])
    gaps = np.abs(in_data - in_samples)
    far, strong = int(gaps.argmax()), int(np.abs(in_data).argmax())
    chance = 1.96 * (1 / evidence.n_rows + 1 / len(evidence.samples)) ** 0.5
    first, second = (names[k] for k in pairs[strong])
    return Dependence(
        names=names,
        data=data,
        samples=samples,
        chart=_agreement_chart(pairs, names, in_data, in_samples, chance),
        typical_gap=float(gaps.mean()),
        largest_gap=float(gaps[far]),
        worst=(names[pairs[far][0]], names[pairs[far][1]]),
        strongest=(first, second, float(in_data[strong]), float(in_samples[strong])),
        chance=chance,
        share_within=float(np.mean(gaps <= chance)),
        n_columns=evidence.columns.n_modeled,
        strongest_pairs=[
            (
                names[pairs[k][0]],
                names[pairs[k][1]],
                fixed(float(in_data[k])),
                fixed(float(in_samples[k])),
            )
            for k in np.argsort(-np.abs(in_data), kind="stable")[:N_LISTED]
        ],
    )


def _strongest_columns(evidence: Evidence) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """The columns with the strongest dependence on any other, and the associations among them."""
    index = evidence.columns.modeled_index
    category = is_category(evidence.columns)[index]
    data = associations(evidence.values[:, index], category)
    samples = associations(evidence.samples[:, index], category)
    strength = np.abs(np.nan_to_num(data))
    np.fill_diagonal(strength, 0)
    # By their strongest partner first, then by the sum over all.
    order = np.lexsort((-strength.sum(axis=1), -strength.max(axis=1)))[:MOST_ASSOCIATED]
    return index[order], (data[np.ix_(order, order)], samples[np.ix_(order, order)])


def _agreement_chart(
    pairs: list[tuple[int, int]],
    names: list[str],
    data: np.ndarray,
    samples: np.ndarray,
    chance: float,
) -> Chart:
    order = np.argsort(-np.abs(data - samples), kind="stable")[:MOST_PAIRS]
    texts = [f"{plain(names[i])} and {plain(names[j])}" for i, j in (pairs[k] for k in order)]
    low = float(min(0.0, data.min(), samples.min())) - 0.05
    ends = [low, 1.05]
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": ends + ends[::-1],
            "y": [low - chance, 1.05 - chance, 1.05 + chance, low + chance],
            "fill": "toself",
            "fillcolor": f"{REFERENCE}:0.18",
            "line": {"width": 0, "color": REFERENCE},
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "x": rounded(data[order]),
            "y": rounded(samples[order]),
            "text": texts,
            "marker": {"color": f"{SAMPLES}:0.75", "size": 7},
            "hovertemplate": "%{text}<br>data %{x:.2f}, samples %{y:.2f}<extra></extra>",
        },
    ]
    label = (
        f"Dependence of {len(pairs)} pairs of columns, in the data across and in the samples upward: "
        f"{fixed(float(np.mean(np.abs(data - samples) <= chance)) * 100, 0)} % of the pairs lie in the band that "
        "chance alone explains."
    )
    ends_fixed = {"range": ends, "zeroline": True}
    layout = {
        "xaxis": axis("dependence in the data", **ends_fixed),
        "yaxis": axis("dependence in the samples", **ends_fixed),
    }
    return Chart("dependence", label, traces, layout, height=380)


def pair_charts(evidence: Evidence) -> list[Chart]:
    """Scatter charts of pairs of the columns with the strongest dependence, the strongest first."""
    index, (data, _) = _strongest_columns(evidence)
    pairs = list(combinations(range(min(len(index), MOST_COLUMNS)), 2))
    pairs.sort(key=lambda pair: -abs(np.nan_to_num(data[pair])))
    rng = np.random.default_rng(0)
    rows = rng.permutation(evidence.n_rows)
    charts = []
    for pair in pairs[:MOST_CHARTS]:
        i, j = sorted(int(index[k]) for k in pair)
        charts.append(_pair_chart(evidence, i, j, rows, rng))
    return charts


def _pair_chart(
    evidence: Evidence, i: int, j: int, rows: np.ndarray, rng: np.random.Generator
) -> Chart:
    fields = evidence.columns.fields
    known = np.flatnonzero(~np.isnan(evidence.values[:, [i, j]]).any(axis=1))
    shown = rows[np.isin(rows, known)][:MOST_POINTS]
    axes = {"xaxis": _axis(evidence, i), "yaxis": _axis(evidence, j)}
    traces = []
    for name, values, color in (
        ("data", evidence.values[shown], DATA),
        ("samples", evidence.samples[:MOST_POINTS], SAMPLES),
    ):
        texts = [
            f"{plain(fields[i].name)}: {plain(a)}<br>{plain(fields[j].name)}: {plain(b)}"
            for a, b in cell_texts(values[:, [i, j]], (fields[i], fields[j]))
        ]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": _places(values[:, i], evidence, i, rng),
                "y": _places(values[:, j], evidence, j, rng),
                "text": texts,
                "marker": {"color": f"{color}:0.6", "size": 5},
                "hovertemplate": f"{name}<br>%{{text}}<extra></extra>",
            }
        )
    label = (
        f"{clipped(fields[j].name)} against {clipped(fields[i].name)}: {len(shown)} rows of the data and "
        f"{min(MOST_POINTS, len(evidence.samples))} samples as points."
    )
    return Chart(f"pair-{i}-{j}", label, traces, axes, height=260)


def _places(
    cells: np.ndarray, evidence: Evidence, column: int, rng: np.random.Generator
) -> list[float | None]:
    """Where cells stand on their axis; those of few levels are jittered, or they would hide each
    other.
    """
    kind, field = evidence.columns.kinds[column], evidence.columns.fields[column]
    if field.form == "datetime":
        return rounded_dates(cells)  # pyright: ignore[reportReturnType]
    levels = evidence.columns.levels[column]
    step = float(evidence.columns.step[column])
    if levels is not None:
        step = 1.0 if kind == "categorical" else float(np.ptp(levels.codes))
    spread = step * JITTER * rng.uniform(-1, 1, len(cells))
    return rounded(cells + spread)


def _axis(evidence: Evidence, column: int) -> dict:
    field: Field = evidence.columns.fields[column]
    if field.form == "datetime":
        return axis(field.name, type="date", nticks=5)
    if evidence.columns.kinds[column] != "categorical":
        return axis(field.name, nticks=6)
    codes = np.unique(evidence.values[:, column])
    codes = codes[codes >= 0][:: max(1, -(-len(field.categories) // MOST_TICKS))]
    texts = [plain(clipped(row[0], 12)) for row in cell_texts(codes[:, None], (field,))]
    return axis(field.name, tickvals=codes.tolist(), ticktext=texts, zeroline=False)
