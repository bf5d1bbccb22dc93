"""PNG files of gray or RGB pixels, written without any package."""

import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from harmonium.files import write_atomically

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOR_TYPES = {1: 0, 3: 2}
# Numbers between the tiles of a sheet, and their gray.
GAP, GAP_LEVEL = 1, 96


def write_png(path: str | Path, pixels: UInt8[np.ndarray, "height width channels"]) -> None:
    """Write pixels of one channel or three; the file appears whole or not at all."""
    data = encode_png(pixels)
    write_atomically(path, lambda temporary: Path(temporary).write_bytes(data))


def encode_png(pixels: UInt8[np.ndarray, "height width channels"]) -> bytes:
    """The bytes of a PNG file (RFC 2083): signature, header, compressed lines, end."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOR_TYPES[channels], 0, 0, 0)
    # Every line begins with the number of its filter: 0, none.
    lines = np.zeros((height, 1 + width * channels), np.uint8)
    lines[:, 1:] = pixels.reshape(height, -1)
    body = zlib.compress(lines.tobytes(), 9)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def as_bytes(levels: np.ndarray, n_levels: int) -> UInt8[np.ndarray, "rows height width channels"]:
    """Images of levels as bytes from 0 to 255, of one channel or three."""
    found = np.rint(255.0 * np.asarray(levels) / (n_levels - 1)).astype(np.uint8)
    # Of two channels, or more than three, the first alone is shown.
    return found if found.shape[-1] in _COLOR_TYPES else found[..., :1]


def as_heat(values: np.ndarray, top: float) -> UInt8[np.ndarray, "rows height width 3"]:
    """Maps (rows, height, width) as colors: black up to 0, then red, yellow, and white from `top`
    on.
    """
    share = np.clip(np.asarray(values) / max(top, 1e-12), 0, 1)[..., None]
    return np.rint(255 * np.clip(3 * share - np.arange(3), 0, 1)).astype(np.uint8)


def as_signed(values: np.ndarray, top: float) -> UInt8[np.ndarray, "rows height width 3"]:
    """Maps (rows, height, width) as colors: white at 0, red above, blue below."""
    share = np.clip(np.asarray(values) / max(top, 1e-12), -1, 1)[..., None]
    faded = np.concatenate(
        [1 + np.minimum(share, 0), 1 - np.abs(share), 1 - np.maximum(share, 0)], -1
    )
    return np.rint(255 * faded).astype(np.uint8)


def sheet(
    images: UInt8[np.ndarray, "rows height width channels"], columns: int, *, zoom: int = 1
) -> UInt8[np.ndarray, "tall wide channels"]:
    """Images side by side, so many in a line, each pixel enlarged, with thin gaps between them."""
    images = images.repeat(zoom, axis=1).repeat(zoom, axis=2)
    n_rows, height, width, channels = images.shape
    lines = -(-n_rows // columns)
    shape = (lines * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels)
    whole = np.full(shape, GAP_LEVEL, np.uint8)
    for number, image in enumerate(images):
        down, right = divmod(number, columns)
        top, left = down * (height + GAP), right * (width + GAP)
        whole[top : top + height, left : left + width] = image
    return whole


def zoom_of(height: int, width: int) -> int:
    """By how much small images are enlarged to be seen: to some 64 pixels."""
    return max(1, 64 // max(height, width))


def in_color(images: np.ndarray) -> UInt8[np.ndarray, "rows height width 3"]:
    """Gray images as RGB."""
    return images if images.shape[-1] == 3 else images.repeat(3, axis=-1)


def _chunk(kind: bytes, body: bytes) -> bytes:
    sealed = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", sealed)
