"""Images in: arrays, NPY files and folders of PNG files, as rows of levels."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from harmonium.data.npy import load_plain
from harmonium.errors import InvalidInputError, describe, message

# Levels of images that have more than a few: those of a byte.
BYTE_LEVELS, FEW_LEVELS = 256, 64
# Of a larger number the shares of levels would be those of single rows.
MOST_LEVELS = 4096
MODES = ("1", "L", "RGB", "P")


class ImageRows(NamedTuple):
    """Images as rows of levels (rows, height · width · channels), line by line, channels
    innermost, with the shape of an image, (height, width, channels).
    """

    rows: Int[np.ndarray, "rows visible"]
    shape: tuple[int, int, int]

    @property
    def n_levels(self) -> int:
        """So many as the largest level tells: 256 where it is beyond 63, else one more than it."""
        largest = int(self.rows.max())
        return largest + 1 if largest < FEW_LEVELS else max(BYTE_LEVELS, largest + 1)


def as_images(X: Any, *, call: str, shape: tuple[int, int, int] | None = None) -> ImageRows:
    """Images (rows, height, width) or (rows, height, width, channels) as rows of levels.

    `shape` is that of the fitted images. Raises `InvalidInputError` for other arrays, no images,
    other shapes, and numbers that are not whole, negative or beyond 4095.
    """
    values = np.asarray(X)
    if values.ndim == 3:
        values = values[..., None]
    if values.ndim != 4 or min(values.shape) < 1:
        raise InvalidInputError(
            describe(
                call,
                expected="images (rows, height, width) or (rows, height, width, channels)",
                got=f"shape {np.shape(X)}",
                hint="X.reshape(len(X), height, width) for rows of pixels",
            )
        )
    found = (values.shape[1], values.shape[2], values.shape[3])
    if shape is not None and found != tuple(shape):
        raise InvalidInputError(
            describe(call, expected=f"images of shape {tuple(shape)}", got=f"shape {found}")
        )
    if values.dtype.kind not in "biuf" or not _are_levels(values):
        raise InvalidInputError(
            describe(
                call,
                expected=f"whole levels from 0 to {MOST_LEVELS - 1}",
                got=_range(values),
                hint="np.round(255 * X).astype(np.uint8) for intensities from 0 to 1",
            )
        )
    return ImageRows(values.astype(np.int64).reshape(len(values), -1), found)


def read_images(
    path: str | os.PathLike[str],
    *,
    call: str | None = None,
    shape: tuple[int, int, int] | None = None,
) -> ImageRows:
    """Read images from an NPY file, or from all PNG files of a folder in the order of their names.

    PNG files need the extra `images`. Raises `InvalidInputError` for what cannot be read, for files
    of several sizes, transparency or more than 8 bits, and for what `as_images` refuses.
    """
    path = Path(path)
    call = call or f"read_images({str(path)!r})"
    if path.is_dir():
        return as_images(_read_folder(path, call), call=call, shape=shape)
    if not path.is_file():
        raise InvalidInputError(describe(call, expected="an NPY file or a folder", got="nothing"))
    try:
        values = load_plain(path)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidInputError(
            describe(call, expected="an NPY file or a folder of PNG files", got=f"{error}")
        ) from error
    if not isinstance(values, np.ndarray):
        raise InvalidInputError(describe(call, expected="one array", got="an archive of several"))
    return as_images(values, call=call, shape=shape)


def _read_folder(folder: Path, call: str) -> np.ndarray:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() == ".png")
    if not files:
        raise InvalidInputError(describe(call, expected="PNG files in the folder", got="none"))
    first = _read_png(files[0], call)
    images = np.empty((len(files), *first.shape), np.uint8)
    for number, file in enumerate(files):
        image = _read_png(file, call)
        if image.shape != first.shape:
            raise InvalidInputError(
                describe(
                    call,
                    expected=f"images like {files[0].name}, {first.shape}",
                    got=f"{file.name}, {image.shape}",
                )
            )
        images[number] = image
    return images


def _read_png(file: Path, call: str) -> np.ndarray:
    """The levels of a file, (height, width) or (height, width, 3)."""
    try:
        from PIL import Image
    except ImportError as error:
        words = "{}: PNG files need the extra `images`. Try: pip install 'harmonium[images]'."
        raise InvalidInputError(message(words, call)) from error
    try:
        with Image.open(file) as image:
            if image.mode not in MODES:
                raise InvalidInputError(
                    describe(
                        call,
                        expected="gray or RGB images of 8 bits, without transparency",
                        got=f"{file.name} of mode {image.mode}",
                    )
                )
            return np.asarray(image.convert("RGB" if image.mode in ("RGB", "P") else "L"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(
            describe(call, expected="images", got=f"{file.name}: {error}")
        ) from error


def _are_levels(values: np.ndarray) -> bool:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return False
    whole = values.dtype.kind != "f" or np.array_equal(values, np.rint(values))
    return whole and values.min() >= 0 and values.max() < MOST_LEVELS


def _range(values: np.ndarray) -> str:
    if values.dtype.kind not in "biuf":
        return f"{values.dtype}"
    return f"{values.dtype} from {values.min():g} to {values.max():g}"
