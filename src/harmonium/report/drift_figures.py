"""Pictures of drift: evidence over time, and columns before and now, as SVG to stand in a page."""

import io
from typing import TYPE_CHECKING

import numpy as np

from harmonium.data import Field
from harmonium.inference import Drift, DriftFindings, Monitoring
from harmonium.inference.drift import rows_beside
from harmonium.inference.watching import KINDS
from harmonium.report.words import clipped, day

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

NAMES = {
    "rows": "whole rows",
    "values": "columns by themselves",
    "dependence": "columns given the others",
    "holes": "missing cells",
}
# Of Okabe and Ito, which people who see few colors tell apart.
COLORS = {"rows": "#000000", "values": "#0072b2", "dependence": "#d55e00", "holes": "#009e73"}
BEFORE, NOW = "#8a8f98", "#0072b2"
# Where the axis of evidence begins: the sizes of evidence below 1 say nothing.
LOWEST = -3.0
N_BINS, MOST_CATEGORIES = 24, 10
# Share of the cells at either end that a histogram leaves out.
BEYOND = 0.005


def evidence_figure(monitoring: Monitoring, findings: DriftFindings) -> str:
    """The evidence of every kind over the rows, and what raises an alarm."""
    figure = _new_figure(8.2, 3.4)
    axes = figure.add_subplot()
    records = monitoring.progress.records
    for place, kind in enumerate(KINDS, start=1):
        if not np.isnan(records[:, place]).all():
            curve = np.maximum(records[:, place], LOWEST)
            axes.plot(records[:, 0], curve, color=COLORS[kind], label=NAMES[kind], linewidth=1.4)
    axes.axhline(findings.log_threshold, color="#a40e26", linestyle="--", linewidth=1.2)
    axes.annotate(
        "alarm", (1, findings.log_threshold), (-3, 3), xycoords=("axes fraction", "data"),
        textcoords="offset points", color="#a40e26", ha="right",
    )  # fmt: skip
    if findings.first_alarm is not None:
        axes.axvline(findings.first_alarm, color="#a40e26", linewidth=0.8)
    axes.set_xlabel("row of the stream")
    axes.set_ylabel("evidence, nats")
    axes.set_ylim(bottom=LOWEST - 0.5)
    axes.legend(frameon=False, fontsize=9, ncols=2, loc="upper left")
    return _svg(figure)


def drift_figure(monitoring: Monitoring, drift: Drift) -> str:
    """What drifts, before and now; empty where that is no column, and no two."""
    before, now = drift.before, drift.now
    if drift.column is None or before is None or now is None:
        return ""
    columns = monitoring.watched.marginals.columns
    first, latest = rows_beside(monitoring, drift.since - 1)
    index = columns.names.index(drift.column)
    if drift.kind == "dependence":
        if drift.partner is None:
            return ""
        pair = [columns.names.index(drift.partner), index]
        fields = [columns.fields[place] for place in pair]
        return _pair_figure(first[:, pair], latest[:, pair], drift, fields)
    figure = _new_figure(4.6, 2.6)
    axes = figure.add_subplot()
    if drift.kind == "holes":
        _draw_bars(axes, ["missing"], {"missing": before.missing}, {"missing": now.missing})
    elif columns.fields[index].kind == "categorical":
        old, new = before.shares, now.shares
        names = sorted(old | new, key=lambda name: -abs(old.get(name, 0.0) - new.get(name, 0.0)))
        _draw_bars(axes, names[:MOST_CATEGORIES], old, new)
    else:
        _draw_histograms(axes, first[:, index], latest[:, index])
        _name_ticks(axes.xaxis, columns.fields[index])
    axes.legend(frameon=False, fontsize=9)
    return _svg(figure)


def _draw_histograms(axes: "Axes", before: np.ndarray, now: np.ndarray) -> None:
    """Two columns of numbers (rows,), NaN where cells are missing, as shares of their rows."""
    both = [cells[~np.isnan(cells)] for cells in (before, now)]
    edges = np.histogram_bin_edges(
        np.clip(np.concatenate(both), *np.quantile(np.concatenate(both), [BEYOND, 1 - BEYOND])),
        N_BINS,
    )
    heights = [100 * np.histogram(cells, edges)[0] / max(len(cells), 1) for cells in both]
    axes.stairs(heights[0], edges, label="before", color=BEFORE, fill=True, alpha=0.5)
    axes.stairs(heights[1], edges, label="now", color=NOW, linewidth=1.6)
    axes.set_ylabel("% of the cells")


def _draw_bars(
    axes: "Axes", names: list[str], before: dict[str, float], now: dict[str, float]
) -> None:
    """Shares of categories."""
    places = np.arange(len(names))
    for shift, own, label, color in ((-0.2, before, "before", BEFORE), (0.2, now, "now", NOW)):
        shares = [100 * own.get(name, 0.0) for name in names]
        axes.barh(places + shift, shares, 0.38, label=label, color=color)
    axes.set_yticks(places, [clipped(name, 20) for name in names], parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel("% of the cells")


def _pair_figure(before: np.ndarray, now: np.ndarray, drift: Drift, fields: list[Field]) -> str:
    """Two columns beside each other, (rows, 2) before and now."""
    assert drift.correlations is not None
    figure = _new_figure(7.2, 3.2)
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    own = zip(
        panels, (before, now), ("before", "now"), (BEFORE, NOW), drift.correlations, strict=True
    )
    for axes, points, title, color, correlation in own:
        axes.scatter(points[:, 0], points[:, 1], s=8, color=color, alpha=0.5, linewidths=0)
        axes.set_title(f"{title}: correlation {correlation:.2f}", fontsize=10)
        axes.set_xlabel(clipped(fields[0].name), parse_math=False)
        _name_ticks(axes.xaxis, fields[0])
    panels[0].set_ylabel(clipped(fields[1].name), parse_math=False)
    _name_ticks(panels[0].yaxis, fields[1])
    return _svg(figure)


def _name_ticks(axis: "Axis", field: Field) -> None:
    """Categories and dates by their names."""
    if field.kind == "categorical":
        names = [clipped(name, 12) for name in field.categories[:MOST_CATEGORIES]]
        axis.set_ticks(range(len(names)), names, parse_math=False)
    elif field.form == "datetime":
        axis.set_major_locator(_few_ticks())
        axis.set_major_formatter(lambda seconds, _: day(seconds))


def _few_ticks() -> "MaxNLocator":
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(3)


def _new_figure(width: float, height: float) -> "Figure":
    """An empty figure of so many inches; it asks for no screen."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _svg(figure: "Figure") -> str:
    """The figure as an SVG element, the same for the same figure."""
    import matplotlib

    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.2)
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "harmonium"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
