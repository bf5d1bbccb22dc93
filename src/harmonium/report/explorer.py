"""The explorer: one page that computes a fitted density by itself, for whoever wants to move in it.

Energy surface of two columns, chains on it, the other columns held, hidden units held. It has the
weights of the model in it and asks nothing of any network.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harmonium.data import Table
from harmonium.errors import InvalidInputError, describe
from harmonium.inference import Density
from harmonium.report.explorer_state import describe_density, packed
from harmonium.report.extra import require_packages
from harmonium.report.images import image_side
from harmonium.report.rendering import asset, render, script_hash, write_page
from harmonium.report.words import count, fixed

# What a page may weigh, and what of it rows may.
MOST_BYTES = 5_000_000
MOST_ROW_BYTES = 1_500_000
# In this order they are one script.
SCRIPTS = (
    *("normal", "marginals", "model", "density", "chains"),
    *("surface", "drawing", "controls", "page"),
)


@dataclass(frozen=True)
class ExplorerSummary:
    """What a page shows: how many rows, whether they are draws of the model, of which latent
    variable ("hidden units", "components" or "none"), and its size in bytes.
    """

    n_rows: int
    are_draws: bool
    latent: str
    n_bytes: int


def write_explorer(
    path: str | Path,
    density: Density,
    *,
    table: Table | None = None,
    n_rows: int = 500,
    name: str = "run",
    seed: int = 0,
) -> ExplorerSummary:
    """Write the explorer of a density as one self-contained HTML file.

    Shows at most `n_rows` rows of `table`, drawn at random, or draws of the density without one.
    Raises `InvalidInputError` for a density of one column, for a feature map that the page cannot
    compute, where the page would weigh more than 5 MB, and without the packages of the extra
    `report`. Nothing is written then.
    """
    require_packages("write_explorer")
    if density.columns.n_modeled < 2:
        raise _refused("at least two columns that are modeled", "one")
    described = describe_density(density)
    rows, are_draws = _rows(density, table, n_rows, seed)
    cells = rows[:, density.columns.modeled_index]
    image = _image(density, _whole(cells, rows))
    stored = described | {
        "logRule": float(density.coordinates.log_rule(_whole(cells, rows)[:1])[0]),
        "rows": {"values": packed(cells)},
        "pair": _first_pair(density, rows),
        "image": image,
    }
    latent = _latent(density)
    text = _render(density, stored, name, are_draws, latent)
    n_bytes = len(text.encode())
    if n_bytes > MOST_BYTES:
        raise _refused(
            f"a model that fits a page of {MOST_BYTES / 1e6:.0f} MB",
            f"one of {n_bytes / 1e6:.1f} MB",
            "fewer rows (--rows), fewer columns, or a base of fewer components",
        )
    write_page(path, text)
    return ExplorerSummary(len(rows), are_draws, latent, n_bytes)


def _render(density: Density, stored: dict[str, Any], name: str, are_draws: bool, latent: str):
    script = '"use strict";\n' + "".join(asset(f"explorer/{part}.js") for part in SCRIPTS)
    # In a script element "<" could begin its end.
    data = json.dumps(stored, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return render(
        "explorer.html",
        name=name,
        density=density,
        latent=latent,
        are_draws=are_draws,
        is_image=stored["image"] is not None,
        n_columns=density.columns.n_modeled,
        fixed=fixed,
        count=count,
        style=asset("explorer/explorer.css"),
        data=data,
        script=script,
        script_hash=script_hash(script),
    )


def _rows(density: Density, table: Table | None, n_rows: int, seed: int) -> tuple[np.ndarray, bool]:
    """Rows (rows, columns) to show, and whether they are draws."""
    most = max(2, MOST_ROW_BYTES * 3 // 4 // (8 * density.columns.n_modeled))
    n_rows = min(n_rows, most)
    values = np.zeros((0, len(density.columns.fields))) if table is None else table.values
    index = density.columns.modeled_index
    # A category that training has not seen has no place.
    unseen = density.coordinates.marginals.is_unseen(values) if len(values) else values[:, index]
    values = values.copy()
    values[:, index] = np.where(unseen, np.nan, values[:, index])
    if not _complete(values[:, index]).any():
        return density.sample(n_rows, seed=seed)[0], True
    kept = np.random.default_rng(seed).permutation(len(values))[:n_rows]
    if not _complete(values[kept][:, index]).any():
        kept[0] = np.flatnonzero(_complete(values[:, index]))[0]
    return values[np.sort(kept)], False


def _complete(cells: np.ndarray) -> np.ndarray:
    return np.all(~np.isnan(cells), axis=1)


def _whole(cells: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The rows that miss no modeled cell."""
    return rows[_complete(cells)]


def _first_pair(density: Density, rows: np.ndarray) -> list[int]:
    """The two columns that the page begins with: those of the strongest correlation in u, numbers
    before levels.
    """
    n = density.columns.n_modeled
    parts = density.coordinates.marginals.parts
    numbers = [j for j in range(n) if parts[j].body is not None]
    among = numbers if len(numbers) > 1 else list(range(n))
    points = density.coordinates.marginals.centers(
        _whole(rows[:, density.columns.modeled_index], rows)
    )
    points = points[:, among] - points[:, among].mean(axis=0)
    products = np.abs(points.T @ points)
    spread = np.sqrt(np.diag(products))
    related = np.triu(products / np.maximum(np.outer(spread, spread), 1e-12), 1)
    first, second = np.unravel_index(np.argmax(related), related.shape)
    return [among[first], among[second]] if first != second else among[:2]


def _image(density: Density, rows: np.ndarray) -> dict[str, Any] | None:
    """How rows are drawn as images, if they are: where the pixels come from, and their limits."""
    columns = density.columns
    side = image_side(columns, rows)
    if not side:
        return None
    sources = np.full(len(columns.fields), -1)
    sources[columns.modeled_index] = np.arange(columns.n_modeled)
    twins = [i for i, kind in enumerate(columns.kinds) if kind == "duplicate"]
    sources[twins] = sources[columns.source[twins]]
    return {
        "side": side,
        "low": float(rows.min()),
        "high": float(rows.max()),
        "constant": columns.constant.tolist(),
        "sources": sources.tolist(),
    }


def _latent(density: Density) -> str:
    """The discrete variable that the page lets a reader hold."""
    if density.has_residual:
        return "hidden units"
    mixture = getattr(density.model.base, "mixture", None)
    return "components" if mixture is not None and mixture.n_components > 1 else "none"


def _refused(expected: str, got: str, hint: str = "") -> InvalidInputError:
    call = "write_explorer(path, density)"
    return InvalidInputError(describe(call, expected=expected, got=got, hint=hint))
