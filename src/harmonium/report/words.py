"""Numbers, times and cells as a reader sees them."""

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from harmonium.data import Field, decode_columns

LONGEST_NAME = 40
MINUS = "−"


def number(values: Mapping[str, Any], name: str) -> float:
    """A figure by name; NaN where it is absent or null."""
    value = values.get(name)
    return math.nan if value is None else float(value)


def fixed(value: float, digits: int = 2, *, signed: bool = False) -> str:
    """A number with this many decimals, or a dash where there is none."""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else ("∞" if value > 0 else f"{MINUS}∞")
    return f"{value:{'+' if signed else ''},.{digits}f}".replace("-", MINUS)


def short(value: float) -> str:
    """A number with four significant digits, as short as it can be; separators from 10,000 on, so
    that years have none.
    """
    if not math.isfinite(value):
        return fixed(value)
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.3g}".replace("-", MINUS)
    whole = value == round(value) or abs(value) >= 10_000
    separator = "," if abs(value) >= 10_000 else ""
    return (f"{value:{separator}.0f}" if whole else f"{value:.4g}").replace("-", MINUS)


def count(n: float) -> str:
    """A whole number with separators."""
    return f"{n:,.0f}" if math.isfinite(n) else "–"


def ways(n: int) -> str:
    """In how many ways hidden units differ."""
    return "one and the same way" if n == 1 else f"{count(n)} distinct ways"


def percent(share: float) -> str:
    """A share in percent, with a decimal where it is small."""
    if not math.isfinite(share):
        return "–"
    digits = 1 if 0 < share < 0.1 else 0
    # A no-break space: a percent sign does not begin a line.
    return f"{100 * share:.{digits}f}\u00a0%".replace(".0\u00a0", "\u00a0")


def p_value(p: float) -> str:
    """A p-value with two significant digits."""
    return f"{p:.2g}" if p >= 1e-4 else f"{p:.1e}"


def duration(seconds: float) -> str:
    """Seconds, or minutes and seconds, or hours and minutes."""
    if not math.isfinite(seconds):
        return "–"
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def clipped(name: str, longest: int = LONGEST_NAME) -> str:
    """A name that fits where it stands."""
    return name if len(name) <= longest else name[: longest - 1] + "…"


def listed(names: Iterable[str]) -> str:
    """Names in a row: a, b and c."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def named_values(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Settings as pairs of texts; those inside others have their names joined by a dot."""
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            pairs += named_values(value, f"{prefix}{name}.")
        elif isinstance(value, float):
            pairs.append((prefix + name, f"{value:.6g}"))
        elif value is not None:
            pairs.append((prefix + name, str(value)))
    return pairs


def cell_texts(values: np.ndarray, fields: tuple[Field, ...]) -> list[list[str]]:
    """Cells (rows, columns) as text, row by row."""
    columns = [
        [_cell(code, cell) for code, cell in zip(codes, column.to_pylist(), strict=True)]
        for codes, column in zip(values.T, decode_columns(values, fields).values(), strict=True)
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def _cell(code: float, cell: Any) -> str:
    if cell is None:
        # A code of -1 is a category that the fitted table did not have.
        return "missing" if math.isnan(code) else "unseen category"
    if isinstance(cell, float):
        return f"{cell:.6g}".replace("-", MINUS)
    if isinstance(cell, datetime):
        midnight = (cell.hour, cell.minute, cell.second, cell.microsecond) == (0, 0, 0, 0)
        return cell.date().isoformat() if midnight else cell.isoformat(" ", "seconds")
    return clipped(str(cell), 80)


def method_name(method: str) -> str:
    """The name of an estimator of log Z in full."""
    names = {
        "importance": "importance sampling from the base",
        "bar": "bridge sampling",
        "ais": "annealed importance sampling",
        "reverse_ais": "reverse annealed importance sampling",
        "smc": "sequential Monte Carlo",
    }
    return names.get(method, method)


def day(seconds: float) -> str:
    """A time in seconds since 1970 as a date; years beyond a calendar as a number."""
    try:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return short(seconds)
