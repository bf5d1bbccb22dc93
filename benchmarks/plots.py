"""The pictures beside the stored tables: bars of rates, and curves on logarithmic axes."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from benchmarks.report import RESULTS

OURS = "#1f77b4"
THEIRS = "#b0b0b0"
# A name to points (x, y).
Curves = Mapping[str, tuple[Sequence[float], Sequence[float]]]


def bars(name: str, unit: str, panels: Mapping[str, Mapping[str, float]]) -> None:
    """One panel per case, one horizontal bar per contender, ours in color."""
    height = 1.2 + 0.35 * max(len(panel) for panel in panels.values())
    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(4.6 * len(panels), height), squeeze=False
    )
    for axis, (case, values) in zip(axes[0], panels.items(), strict=True):
        colors = [OURS if "harmonium" in label else THEIRS for label in values]
        drawn = axis.barh(list(values), list(values.values()), color=colors)
        axis.bar_label(drawn, fmt="%.3g", padding=3)
        axis.margins(x=0.3)
        axis.invert_yaxis()
        axis.set(title=case, xlabel=unit)
    _save(name, figure)


def curves(name: str, panels: Mapping[str, Curves], *, x: str, **scales: str) -> None:
    """One panel per quantity, one line per contender; `scales` go to the axes, for example
    xscale="log".
    """
    figure, axes = pyplot.subplots(1, len(panels), figsize=(5.2 * len(panels), 4.2), squeeze=False)
    for axis, (case, lines) in zip(axes[0], panels.items(), strict=True):
        for label, (positions, values) in lines.items():
            axis.plot(positions, values, marker="o", markersize=3, label=label)
        axis.set(title=case, xlabel=x, **scales)
        axis.legend(fontsize=7)
        axis.grid(alpha=0.3)
    _save(name, figure)


def _save(name: str, figure: Any) -> None:
    RESULTS.mkdir(exist_ok=True)
    figure.tight_layout()
    figure.savefig(RESULTS / f"{name}.png", dpi=110)
    pyplot.close(figure)
