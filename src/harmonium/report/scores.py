"""Where the scores of all rows lie, and the log-densities of rows beside those of samples."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from harmonium.report.charts import DATA, REFERENCE, SAMPLES, WARNING, Chart, draw, percents
from harmonium.report.evidence import LEVEL, Detection, Evidence
from harmonium.report.words import count, fixed, percent, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N_BINS = 40
# Below this the far tail is drawn in the first bin.
TAIL = 0.002
SIZE = (350, 225)


def score_charts(evidence: Evidence) -> list[Chart]:
    """The histogram of scores with the threshold, where there is a detector, and that of
    log-densities.
    """
    found = [] if evidence.detection is None else [_detector_chart(evidence.detection)]
    return [*found, _log_density_chart(evidence)]


def _detector_chart(detection: Detection) -> Chart:
    scores, n_rows = detection.scores, detection.n_scored
    below = int((detection.p_values <= LEVEL).sum())
    label = (
        f"Anomaly scores of {count(n_rows)} rows, higher being more normal, from "
        f"{short(scores.min())} "
        f"to {short(scores.max())}. {count(below)} rows ({percent(below / n_rows)}) lie left of "
        "the threshold, "
        f"{short(detection.threshold)}: their p-value is at most {LEVEL:g}, as that of "
        f"{percent(LEVEL)} of normal rows."
    )
    parts = (("rows", scores, DATA), ("calibration rows", detection.calibration, REFERENCE))
    paint = partial(
        _paint,
        parts=parts,
        title="score (higher is more normal)",
        threshold=detection.threshold,
    )
    return draw("scores", label, SIZE, paint)


def _log_density_chart(evidence: Evidence) -> Chart:
    data = evidence.log_density[np.isfinite(evidence.log_density)]
    drawn = evidence.sample_log_density[np.isfinite(evidence.sample_log_density)]
    n_holed = int((evidence.incomplete & np.isfinite(evidence.log_density)).sum())
    label = (
        f"Log-densities of {count(len(data))} rows and {count(len(drawn))} samples: medians "
        f"{fixed(float(np.median(data)))} and {fixed(float(np.median(drawn)))} nats."
    )
    if n_holed:
        label += (
            f" {count(n_holed)} of the rows have missing cells: a log-density of fewer cells is "
            "on another scale, and no "
            "sample is like them."
        )
    parts = (("rows", data, DATA), ("samples", drawn, SAMPLES))
    paint = partial(_paint, parts=parts, title="log-density, nats", threshold=None)
    return draw("log-densities", label, SIZE, paint)


def _paint(
    figure: "Figure",
    parts: tuple[tuple[str, np.ndarray, str], ...],
    title: str,
    threshold: float | None,
) -> None:
    """Bars of the first part, and the outline of the second over them."""
    axes = figure.subplots()
    edges = _edges(*(values for _, values, _ in parts))
    (name, values, color), (other_name, others, other_color) = parts
    axes.stairs(_shares(values, edges), edges, fill=True, color=color, alpha=0.5, label=name)
    axes.stairs(_shares(others, edges), edges, color=other_color, linewidth=1.8, label=other_name)
    if threshold is not None:
        axes.axvline(
            threshold, color=WARNING, linestyle="--", linewidth=1.4, label=f"p = {LEVEL:g}"
        )
    axes.set_xlabel(title)
    axes.set_ylabel("share of rows")
    percents(axes.yaxis)
    axes.grid(visible=False, axis="x")
    figure.legend(loc="outside upper left", ncols=3)


def _edges(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    both = np.append(first, second)
    both = both[np.isfinite(both)]
    low, high = np.quantile(both, TAIL), both.max()
    return np.linspace(low, high if high > low else low + 1, N_BINS + 1)


def _shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
    return counts / max(counts.sum(), 1)
