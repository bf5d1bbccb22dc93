"""Results as short HTML cards, for notebooks: a heading, facts, a verdict.

A card has no script and no style sheet, takes the colors of the notebook that shows it, light or
dark, and escapes every text.
"""

import math
from collections.abc import Mapping
from html import escape
from typing import Any

_BOX = (
    "border:1px solid rgba(128,128,128,.45);border-radius:8px;padding:.6em .9em;margin:.3em 0;"
    "max-width:52em;color:inherit;background:transparent;line-height:1.45;"
    "overflow-wrap:anywhere"
)
_TABLE = (
    "border-collapse:collapse;margin:.35em 0 0;background:transparent;color:inherit;"
    "font-size:inherit"
)
_CELL = (
    "text-align:left;vertical-align:top;padding:.1em 1.2em .1em 0;border:none;"
    "background:transparent;color:inherit;font-weight:400"
)
_NAME = _CELL + ";opacity:.75;white-space:nowrap"
# A mark and a word: a color alone tells nothing to many, and has no contrast for sure.
_MARKS = {True: "✓ trusted", False: "✗ not to be relied on"}


def card(
    title: str, facts: Mapping[str, Any], *, verdict: str = "", trusted: bool | None = None
) -> str:
    """The HTML of a result: `facts` by name, those that are None left out, and the verdict."""
    mark = "" if trusted is None else f' <span style="opacity:.85">{_MARKS[trusted]}</span>'
    rows = "".join(
        f'<tr style="background:transparent"><th scope="row" style="{_NAME}">{escape(name)}</th>'
        f'<td style="{_CELL}">{escape(_text(value))}</td></tr>'
        for name, value in facts.items()
        if value is not None
    )
    table = f'<table style="{_TABLE}"><tbody>{rows}</tbody></table>' if rows else ""
    words = f'<div style="margin-top:.4em">{escape(verdict)}</div>' if verdict else ""
    return f'<div style="{_BOX}"><strong>{escape(title)}</strong>{mark}{table}{words}</div>'


def with_interval(value: float, low: float, high: float) -> str:
    """A number and its 95 % interval, or that it is exact."""
    if low == high:
        return f"{_number(value, 6)} (exact)"
    return f"{_number(value, 6)}, 95 % interval [{_number(low, 6)}, {_number(high, 6)}]"


def _text(value: Any) -> str:
    """A fact as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _number(value, 4)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _number(value: float, digits: int) -> str:
    """A number with so many significant digits, and all those before its decimal point."""
    if math.isnan(value):
        return "unknown"
    is_whole = 1000 <= abs(value) < 1e9 and digits <= 4
    text = f"{value:,.0f}" if is_whole else f"{value:.{digits}g}"
    return text.replace("-", "−").replace("inf", "∞")
