"""How strongly every two columns go together, in the data and in samples."""

from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from harmonium.report.association import associations, is_category
from harmonium.report.charts import REFERENCE, SAMPLES, Chart, draw, points
from harmonium.report.evidence import Evidence
from harmonium.report.words import clipped, fixed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Of more columns than this, those with the strongest dependence.
MOST_ASSOCIATED = 24
MOST_PAIRS = 600
N_LISTED = 10


@dataclass(frozen=True)
class Relation:
    """The association of two columns, by their names, in the data and in samples."""

    first: str
    second: str
    data: float
    samples: float


@dataclass(frozen=True)
class Dependence:
    """Associations of the columns at `index`, `names`, in data and in samples, (columns, columns)
    each, strongest columns first.

    `chart` sets one against the other, pair by pair; in `share_within` of the pairs they differ by
    no more than two samples of one law do in 95 % of the pairs. `n_columns` counts the columns that
    are modeled.
    """

    index: np.ndarray
    names: list[str]
    data: np.ndarray
    samples: np.ndarray
    chart: Chart
    share_within: float
    n_columns: int
    strongest: list[Relation]


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
    chance = 1.96 * (1 / evidence.n_rows + 1 / len(evidence.samples)) ** 0.5
    return Dependence(
        index=index,
        names=names,
        data=data,
        samples=samples,
        chart=_agreement_chart(in_data, in_samples, chance),
        share_within=float(np.mean(gaps <= chance)),
        n_columns=evidence.columns.n_modeled,
        strongest=[
            Relation(
                first=names[pairs[k][0]],
                second=names[pairs[k][1]],
                data=float(in_data[k]),
                samples=float(in_samples[k]),
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


def _agreement_chart(data: np.ndarray, samples: np.ndarray, chance: float) -> Chart:
    share = float(np.mean(np.abs(data - samples) <= chance))
    label = (
        f"Dependence of {len(data)} pairs of columns, in the data across and in the samples "
        "upward: "
        f"{fixed(100 * share, 0)} % of the pairs lie in the band that chance alone explains."
    )
    order = np.argsort(-np.abs(data - samples), kind="stable")[:MOST_PAIRS]
    paint = partial(_paint_agreement, data=data[order], samples=samples[order], chance=chance)
    return draw("dependence", label, (350, 270), paint)


def _paint_agreement(
    figure: "Figure", data: np.ndarray, samples: np.ndarray, chance: float
) -> None:
    axes = figure.subplots()
    ends = np.array([min(0.0, data.min(), samples.min()) - 0.05, 1.05])
    axes.fill_between(ends, ends - chance, ends + chance, color=REFERENCE, alpha=0.18, linewidth=0)
    points(axes, data, samples, SAMPLES, size=6)
    axes.set(xlim=ends, ylim=ends)
    axes.set_xlabel("dependence in the data")
    axes.set_ylabel("dependence in the samples")
