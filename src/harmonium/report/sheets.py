"""Pictures of a density of images: draws, what hidden units respond to, and reasons."""

from pathlib import Path

import numpy as np

from harmonium.data.pixels import Levels
from harmonium.inference.image_density import ImageDensity
from harmonium.report.pngs import as_bytes, as_heat, as_signed, in_color, sheet, write_png, zoom_of

COLUMNS = 10
# Images with the lowest scores on a sheet of reasons, and units on one of responses.
MOST_REASONS, MOST_UNITS = 20, 40
# Images by which responses are told.
MOST_RESPONDING = 2000


def write_images(
    path: Path, density: ImageDensity, rows: Levels, *, columns: int = COLUMNS
) -> None:
    """A sheet of images (rows, visible)."""
    images = as_bytes(rows.reshape(-1, *density.shape), density.pixels.n_levels)
    write_png(path, sheet(images, min(columns, len(images)), zoom=zoom_of(*density.shape[:2])))


def write_reasons(path: Path, density: ImageDensity, rows: Levels) -> None:
    """Images one beside the other, and below each where it is more surprising than usual."""
    rows = rows[:MOST_REASONS]
    images = in_color(as_bytes(rows.reshape(-1, *density.shape), density.pixels.n_levels))
    heat = density.watch.reasons(rows).reshape(-1, *density.shape).sum(axis=-1)
    maps = as_heat(heat, float(np.quantile(heat, 0.995)))
    lines = []
    for start in range(0, len(rows), COLUMNS):
        part = slice(start, start + COLUMNS)
        blank = np.zeros((COLUMNS - len(images[part]), *images.shape[1:]), np.uint8)
        lines += [images[part], blank, maps[part], blank]
    write_png(path, sheet(np.concatenate(lines), COLUMNS, zoom=zoom_of(*density.shape[:2])))


def write_responses(path: Path, density: ImageDensity, rows: Levels) -> None:
    """What hidden units respond to, the most discerning first: the mean image with the unit on less
    that with it off, red where pixels are brighter.

    Every image counts on either side with the probability of the unit's state.
    """
    rows = rows[:MOST_RESPONDING]
    on = density.hidden_mean(rows)
    brightness = rows / (density.pixels.n_levels - 1)
    means = [(p.T @ brightness) / (p.sum(axis=0)[:, None] + 1e-9) for p in (on, 1 - on)]
    order = np.argsort(-on.var(axis=0))[:MOST_UNITS]
    contrast = (means[0] - means[1])[order].reshape(-1, *density.shape).mean(axis=-1)
    tops = np.abs(contrast).max(axis=(1, 2), keepdims=True) + 1e-12
    pictures = as_signed(contrast / tops, 1.0)
    write_png(path, sheet(pictures, COLUMNS, zoom=zoom_of(*density.shape[:2])))
