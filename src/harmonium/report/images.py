"""Tables whose rows are square images: how they are recognized, and their pictures as PNG data."""

import base64
import io
import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from harmonium.data import Columns
from harmonium.report.evidence import Evidence

SMALLEST_SIDE = 7
# Share of the varying columns that must start at the smallest value of all, where names do not
# tell.
SHARE_OF_SAME_LOWEST = 0.9
PIXEL_NAME = re.compile(r"(pixel|px)[^a-zA-Z]*\d", re.IGNORECASE)
GRID_SIDE = 8
RULE = (
    "Rows are drawn as images because there are a square number of columns, at least "
    f"{SMALLEST_SIDE**2}, all of them "
    "numbers, that are named pixel… or share one range."
)

Images = Float[np.ndarray, "count height width"]


@dataclass(frozen=True)
class Picture:
    """An image of the page: PNG data as a URI, its size in pixels, and a sentence that says what it
    shows.
    """

    uri: str
    width: int
    height: int
    label: str
    caption: str = ""


def image_side(columns: Columns, values: np.ndarray) -> int:
    """The side of the square images that rows (rows, columns) are, or 0.

    They are where all columns hold numbers, their count is a square of at least 49, and they are
    named pixel… (or px…) or share one range: nine in ten of those that vary have the smallest value
    of all as their own, and half of them reach half of the largest.
    """
    n = len(columns.fields)
    side = round(n**0.5)
    numeric = all(field.is_number for field in columns.fields) and "ignored" not in columns.kinds
    if side < SMALLEST_SIDE or side * side != n or not numeric or np.isnan(values).any():
        return 0
    if all(PIXEL_NAME.match(name) for name in columns.names):
        return side
    varying = values[:, np.ptp(values, axis=0) > 0]
    if not varying.size:
        return 0
    low, high = varying.min(), varying.max()
    same = np.mean(varying.min(axis=0) == low) >= SHARE_OF_SAME_LOWEST
    wide = np.median(varying.max(axis=0)) - low >= (high - low) / 2
    return side if same and wide else 0


def compare_images(evidence: Evidence, side: int) -> list[list[Picture]]:
    """Pairs of pictures, data and samples: a grid of rows, their mean and their standard
    deviation.
    """
    limits = (float(evidence.values.min()), float(evidence.values.max()))
    pairs = []
    data, samples = (rows.reshape(-1, side, side) for rows in (evidence.values, evidence.samples))
    rng = np.random.default_rng(0)
    n_side = min(GRID_SIDE, int(min(len(data), len(samples)) ** 0.5))
    picked = rng.permutation(len(data))[: n_side**2]
    tiles = [tile(data[picked], limits[1]), tile(samples[: n_side**2], limits[1])]
    names = (f"{n_side**2} rows of the data", f"{n_side**2} samples of the model")
    pairs.append(_pair(tiles, limits, names, "A grid of {}, drawn as gray images"))
    pairs.append(
        _pair(
            [data.mean(axis=0), samples.mean(axis=0)],
            limits,
            ("mean of the data", "mean of the samples"),
            "The {} at every pixel, as a gray image",
        )
    )
    # The limits are those of the data: one wild pixel of the samples must not make all others pale.
    spread = data.std(axis=0)
    pairs.append(
        _pair(
            [spread, samples.std(axis=0)],
            (0.0, float(spread.max())),
            ("standard deviation of the data", "standard deviation of the samples"),
            "The {} at every pixel, as a gray image",
        )
    )
    return pairs


def _pair(
    images: list[np.ndarray], limits: tuple[float, float], captions: tuple[str, str], label: str
) -> list[Picture]:
    return [
        gray_picture(pixels, limits, label.format(caption), caption)
        for pixels, caption in zip(images, captions, strict=True)
    ]


def gray_picture(
    pixels: np.ndarray, limits: tuple[float, float], label: str, caption: str
) -> Picture:
    """Pixels (height, width) as a picture in which large values are dark."""
    return _picture(pixels, "gray_r", limits, label, caption)


def signed_picture(pixels: np.ndarray, label: str, caption: str) -> Picture:
    """Pixels (height, width) as a picture in which values above 0 are red and those below blue."""
    largest = float(np.abs(pixels).max()) or 1.0
    return _picture(pixels, "RdBu_r", (-largest, largest), label, caption)


def tile(images: Images, border: float) -> Float[np.ndarray, "tall wide"]:
    """A square number of images in one, with a thin frame between them."""
    count, height, width = images.shape
    side = round(count**0.5)
    framed = np.full((count, height + 1, width + 1), 0.25 * border)
    framed[:, :height, :width] = images
    rows = framed.reshape(side, side, height + 1, width + 1).transpose(0, 2, 1, 3)
    return rows.reshape(side * (height + 1), side * (width + 1))[:-1, :-1]


def _picture(
    pixels: np.ndarray, colors: str, limits: tuple[float, float], label: str, caption: str
) -> Picture:
    # Only where something is drawn: it takes long to import, and need not be installed.
    from matplotlib import colormaps, image

    low, high = limits
    shares = np.clip((pixels - low) / max(high - low, 1e-12), 0, 1)
    file = io.BytesIO()
    image.imsave(file, (255 * colormaps[colors](shares)).astype(np.uint8), format="png")
    uri = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
    return Picture(uri, pixels.shape[1], pixels.shape[0], label, caption)
