"""Charts as data: what the page's script draws, with a sentence for those who cannot see it."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmonium.report.words import LONGEST_NAME, clipped

# Colors are named, "@data" or "@data:0.5" with its opacity: the page knows their values in light
# and in dark.
DATA, SAMPLES, REFERENCE, WARNING = "@data", "@samples", "@reference", "@warning"
SIGNIFICANT_DIGITS = 5


@dataclass(frozen=True)
class Chart:
    """One interactive figure: traces and layout in plotly's words, and `label`, a sentence that
    says what it shows.
    """

    name: str
    label: str
    traces: list[dict[str, Any]]
    layout: dict[str, Any]
    height: int = 300


def axis(title: str, **options: Any) -> dict[str, Any]:
    """An axis with a title."""
    return {"title": {"text": plain(title, 60)}, **options}


def vertical_line(x: float, color: str, dash: str = "dash") -> dict[str, Any]:
    """A line over the whole height of a chart."""
    line = {"color": color, "width": 1.5, "dash": dash}
    return {
        "type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": line
    }  # fmt: skip


def note(text: str, x: float, y: float = 1.0, **options: Any) -> dict[str, Any]:
    """A word beside a line, at `y` of the height of the chart."""
    place = {"xref": "x", "yref": "paper", "showarrow": False, "yanchor": "top"}
    return {"text": plain(text), "x": x, "y": y, "font": {"color": "@text"}, **place, **options}


def plain(text: str, longest: int = LONGEST_NAME) -> str:
    """Text that plotly shows letter by letter: it would take tags and entities for markup."""
    escaped = clipped(text, longest).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("\n", " ").replace("\r", " ")


def rounded(values: Any) -> list[float | None]:
    """Numbers with as many digits as a picture can show; None, a gap, where they are not finite."""
    return [
        float(f"{value:.{SIGNIFICANT_DIGITS}g}") if np.isfinite(value) else None
        for value in np.asarray(values, float).tolist()
    ]


def chart_json(charts: list[Chart]) -> str:
    """All charts of a page as JSON that cannot end the script element that it stands in."""
    described = {chart.name: {"data": chart.traces, "layout": chart.layout} for chart in charts}
    text = json.dumps(described, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
