"""What every benchmark does with its rows: print them, and store them with machine and versions."""

import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("harmonium", "jax", "equinox", "optax", "numpy", "scikit-learn")

Row = dict[str, Any]


def environment() -> dict[str, Any]:
    """Machine and versions, as they belong beside every figure."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        **{name: version(name) for name in PACKAGES},
    }


def publish(
    name: str, title: str, rows: list[Row], others: Mapping[str, Any] | None = None
) -> None:
    """Print the rows as a table and store them under benchmarks/results; `others` are further
    versions and facts.
    """
    table = Table(title=title)
    headings = _headings(rows)
    for heading in headings:
        table.add_column(heading, justify="left" if heading == headings[0] else "right")
    for row in rows:
        table.add_row(*(_text(row.get(heading, "")) for heading in headings))
    console = Console(width=160, highlight=False)
    console.print(table)
    facts = store(name, title, rows, others)
    console.print(", ".join(f"{key} {value}" for key, value in facts.items()))


def store(
    name: str, title: str, rows: list[Row], others: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Store the rows under benchmarks/results, and return the facts that are stored with them."""
    facts = environment() | dict(others or {})
    RESULTS.mkdir(exist_ok=True)
    stored = json.dumps({"title": title, "environment": facts, "rows": rows}, indent=1)
    (RESULTS / f"{name}.json").write_text(stored + "\n", encoding="utf-8")
    return facts


def record(path: Path, found: Row) -> None:
    """Print one result, rounded, and add it to the lines of a file."""
    print({k: round(v, 3) if isinstance(v, float) else v for k, v in found.items()}, flush=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(found) + "\n")


def markdown(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    headings = _headings(rows)
    lines = [headings, ["---"] * len(headings)]
    lines += [[_text(row.get(heading, "")) for heading in headings] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _headings(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(heading for row in rows for heading in row))


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
