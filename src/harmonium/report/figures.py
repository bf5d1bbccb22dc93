"""Figures of a fit, drawn off screen and written as PNG files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harmonium.learning.result import Record
from harmonium.report.extra import require_packages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRAINING_COLOR = "#0072b2"
VALIDATION_COLOR = "#d55e00"


def draw_training_curve(path: str | Path, history: Sequence[Record]) -> None:
    """Log-likelihood of training and validation rows against parameter updates.

    Raises `InvalidInputError` without the packages of the extra `report`.
    """
    figure = _new_figure("draw_training_curve", 7, 4.2)
    updates = [float(record["update"]) for record in history]
    axes = figure.add_subplot()
    for name, label, color in (
        ("train_log_likelihood", "training rows", TRAINING_COLOR),
        ("validation_log_likelihood", "validation rows", VALIDATION_COLOR),
    ):
        values = np.array([float(record[name]) for record in history])
        axes.plot(updates, values, color=color, label=label, linewidth=1.8)
    axes.set_xlabel("parameter updates")
    axes.set_ylabel("log-likelihood of dequantized rows, nats per row")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="lower right")
    _save(figure, path)


def draw_image_grids(
    path: str | Path, grids: Sequence[tuple[str, np.ndarray]], *, limits: tuple[float, float]
) -> None:
    """Square grids of gray images side by side: (title, images of shape (count, height, width)).

    Raises `InvalidInputError` without the packages of the extra `report`.
    """
    figure = _new_figure("draw_image_grids", 4.2 * len(grids), 4.6)
    for axes, (title, images) in zip(
        figure.subplots(1, len(grids), squeeze=False)[0], grids, strict=True
    ):
        axes.imshow(_tile(images, limits[1]), cmap="gray_r", vmin=limits[0], vmax=limits[1])
        axes.set_title(title, fontsize=11)
        axes.set_axis_off()
    _save(figure, path)


def _tile(images: np.ndarray, border: float) -> np.ndarray:
    """One array of side·side images with a thin border between them."""
    count, height, width = images.shape
    side = int(np.sqrt(count))
    framed = np.full((side * side, height + 1, width + 1), 0.25 * border)
    framed[:, :height, :width] = images[: side * side]
    rows = framed.reshape(side, side, height + 1, width + 1).transpose(0, 2, 1, 3)
    return rows.reshape(side * (height + 1), side * (width + 1))


def _new_figure(call: str, width: float, height: float) -> "Figure":
    """An empty figure of so many inches; its canvas asks for no screen."""
    require_packages(call)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: "Figure", path: str | Path) -> None:
    figure.savefig(path, dpi=150)
