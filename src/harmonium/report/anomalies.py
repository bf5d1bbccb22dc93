"""The most anomalous rows with their reasons, and where all scores lie."""

from dataclasses import dataclass

import numpy as np

from harmonium.inference import Detector, explain
from harmonium.inference.explanation import DOUBTFUL
from harmonium.report.charts import (
    DATA,
    REFERENCE,
    SAMPLES,
    WARNING,
    Chart,
    axis,
    note,
    rounded,
    vertical_line,
)
from harmonium.report.evidence import LEVEL, Detection, Evidence
from harmonium.report.words import cell_texts, clipped, count, fixed, p_value, percent, short

N_ROWS = 10
N_REASONS = 3
N_BINS = 40
# Below this the far tail is drawn in the first bin.
TAIL = 0.002


@dataclass(frozen=True)
class Reason:
    """A cell that makes its row unlikely: its column, its value, a likely one, and how far the
    score would rise.
    """

    column: str
    value: str
    likely: str
    rise: str
    share: int


@dataclass(frozen=True)
class AnomalousRow:
    """One row of the list; `p_value` is empty without a detector."""

    number: str
    score: str
    p_value: str
    listed: bool
    reasons: list[Reason]


def most_anomalous(evidence: Evidence, detector: Detector | None) -> list[AnomalousRow]:
    """The rows with the lowest scores, lowest first: of the detector, or log-densities where there
    is none.
    """
    detection = evidence.detection
    if detection is None or detector is None:
        order = _lowest(evidence.log_density)
        return [
            AnomalousRow(
                count(int(evidence.row_numbers[i])),
                fixed(float(evidence.log_density[i])),
                "",
                False,
                [],
            )
            for i in order
        ]
    order = _lowest(detection.scores)
    reasons = _reasons(evidence, detector, evidence.values[order])
    return [
        AnomalousRow(
            number=count(int(evidence.row_numbers[i])),
            score=fixed(float(detection.scores[i])),
            p_value=p_value(float(detection.p_values[i])),
            listed=bool(detection.listed[i]),
            reasons=found,
        )
        for i, found in zip(order, reasons, strict=True)
    ]


def _lowest(scores: np.ndarray) -> np.ndarray:
    """Positions of the lowest scores; rows that were not scored are no candidates."""
    order = np.argsort(scores, kind="stable")
    return order[~np.isnan(scores[order])][:N_ROWS]


def _reasons(evidence: Evidence, detector: Detector, values: np.ndarray) -> list[list[Reason]]:
    found = explain(detector, values)
    fields = evidence.columns.fields
    cells, likely = cell_texts(values, fields), cell_texts(found.likely_values, fields)
    listed = []
    for row, top in enumerate(found.top(N_REASONS)):
        doubts, rises = found.contributions[row], found.drops[row]
        largest = max(float(rises.max()), 1e-12)
        listed.append(
            [
                Reason(
                    column=clipped(found.names[i]),
                    value=cells[row][i],
                    likely=likely[row][i],
                    rise=fixed(float(rises[i])),
                    share=round(100 * float(rises[i]) / largest),
                )
                for i in top
                if doubts[i] > DOUBTFUL
            ]
        )
    return listed


def score_chart(evidence: Evidence) -> Chart:
    """The histogram of scores with the threshold, or of log-densities where there is no
    detector.
    """
    if evidence.detection is None:
        return _log_density_chart(evidence)
    return _detector_chart(evidence.detection, evidence.n_rows)


def density_chart(evidence: Evidence) -> Chart | None:
    """Log-densities of rows and samples beside the scores; None where the scores are these
    already.
    """
    return None if evidence.detection is None else _log_density_chart(evidence)


def _detector_chart(detection: Detection, n_rows: int) -> Chart:
    scores, threshold = detection.scores, detection.threshold
    edges = _edges(scores, detection.calibration)
    below = int((detection.p_values <= LEVEL).sum())
    label = (
        f"Histogram of the anomaly scores of {count(n_rows)} rows, higher being more normal, from {short(scores.min())} "
        f"to {short(scores.max())}. The threshold is {short(threshold)}; {count(below)} rows "
        f"({percent(below / n_rows)}) have a p-value of at most {LEVEL:g}, where {percent(LEVEL)} are expected "
        "of normal rows."
    )
    traces = [
        _bars("rows shown", scores, edges, f"{DATA}:0.5"),
        _outline("calibration rows", detection.calibration, edges, REFERENCE),
    ]
    layout = {
        "xaxis": axis("score (higher = more normal)"),
        "yaxis": axis("share of rows", tickformat=".0%", rangemode="tozero"),
        "shapes": [vertical_line(threshold, WARNING)],
        "annotations": [note(f"p ≤ {LEVEL:g}", threshold, xanchor="right")],
        "showlegend": True,
    }
    return Chart("scores", label, traces, layout, height=340)


def _log_density_chart(evidence: Evidence) -> Chart:
    data = evidence.log_density[np.isfinite(evidence.log_density)]
    drawn = evidence.sample_log_density[np.isfinite(evidence.sample_log_density)]
    edges = _edges(data, drawn)
    n_holed = int((evidence.incomplete & np.isfinite(evidence.log_density)).sum())
    label = (
        f"Histogram of the log-densities of {count(len(data))} rows and {count(len(drawn))} samples: medians "
        f"{fixed(float(np.median(data)))} and {fixed(float(np.median(drawn)))} nats."
    )
    if n_holed:
        label += (
            f" {count(n_holed)} of the rows have missing cells: a log-density of fewer cells is on another scale, and no "
            "sample is like them."
        )
    traces = [
        _bars("rows shown", data, edges, f"{DATA}:0.5"),
        _outline("samples", drawn, edges, SAMPLES),
    ]
    layout = {
        "xaxis": axis("log-density, nats"),
        "yaxis": axis("share of rows", tickformat=".0%", rangemode="tozero"),
        "showlegend": True,
    }
    return Chart("log-densities", label, traces, layout, height=340)


def _edges(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    both = np.append(first, second)
    both = both[np.isfinite(both)]
    low, high = np.quantile(both, TAIL), both.max()
    return np.linspace(low, high if high > low else low + 1, N_BINS + 1)


def _shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
    return counts / max(counts.sum(), 1)


def _bars(name: str, values: np.ndarray, edges: np.ndarray, color: str) -> dict:
    return {
        "type": "bar",
        "name": name,
        "x": rounded((edges[1:] + edges[:-1]) / 2),
        "y": rounded(_shares(values, edges)),
        "width": float(edges[1] - edges[0]),
        "marker": {"color": color},
        "hovertemplate": f"about %{{x:.4~g}}<br>{name} %{{y:.1%}}<extra></extra>",
    }


def _outline(name: str, values: np.ndarray, edges: np.ndarray, color: str) -> dict:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": rounded((edges[1:] + edges[:-1]) / 2),
        "y": rounded(_shares(values, edges)),
        "line": {"color": color, "width": 2, "shape": "hvh"},
        "hovertemplate": f"about %{{x:.4~g}}<br>{name} %{{y:.1%}}<extra></extra>",
    }
