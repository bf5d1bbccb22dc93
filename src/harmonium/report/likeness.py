"""How alike samples and data are in four figures, beside what two halves of the data come to."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from harmonium.inference.likeness import shape_likeness, trend_likeness
from harmonium.report.charts import REFERENCE, SAMPLES, Chart, draw, points
from harmonium.report.evidence import Evidence
from harmonium.report.words import fixed, listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEWEST_ROWS = 20

Pair = tuple[float, float]


def likeness_chart(evidence: Evidence, classifiers: Mapping[str, Pair], seed: int) -> Chart | None:
    """Figures between 0 and 1, that of equal distributions: of samples and of half of the rows,
    each beside the other half; None of too few rows.
    """
    if evidence.n_rows < FEWEST_ROWS:
        return None
    figures = {
        name: pair
        for name, pair in (*_shape_and_trend(evidence, seed).items(), *classifiers.items())
        if np.isfinite(pair).all()
    }
    words = [f"{name} {fixed(drawn)} ({fixed(half)})" for name, (drawn, half) in figures.items()]
    label = (
        "How alike samples and rows are, 1 being equal, in brackets two halves of the rows: "
        f"{listed(words)}."
    )
    size = (350, 80 + 32 * len(figures))
    return draw("likeness", label, size, partial(_paint, figures=figures))


def _shape_and_trend(evidence: Evidence, seed: int) -> dict[str, Pair]:
    columns = evidence.columns
    modeled = columns.modeled_index
    is_category = np.array([columns.levels[i] is not None for i in modeled])
    values, samples = evidence.values[:, modeled], evidence.samples[:, modeled]
    first, second = np.array_split(np.random.default_rng(seed).permutation(values), 2)
    return {
        name: (measure(first, samples, is_category), measure(first, second, is_category))
        for name, measure in (("columns", shape_likeness), ("pairs", trend_likeness))
    }


def _paint(figure: "Figure", figures: Mapping[str, Pair]) -> None:
    axes = figure.subplots()
    places = -np.arange(len(figures), dtype=float)
    drawn, halves = np.array(list(figures.values())).T
    axes.hlines(places, drawn, halves, color=REFERENCE, linewidth=1.2)
    points(axes, halves, places, REFERENCE, size=9)
    points(axes, drawn, places, SAMPLES, size=9)
    for name, color in (("samples", SAMPLES), ("other half of the rows", REFERENCE)):
        axes.plot([], [], color=color, linewidth=6, solid_capstyle="round", label=name)
    axes.set_yticks(places, list(figures))
    axes.set(xlim=(-0.02, 1.02), ylim=(places[-1] - 0.6, 0.6))
    axes.set_xlabel("likeness with half of the rows")
    figure.legend(loc="outside upper left", ncols=2)
