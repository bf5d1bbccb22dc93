"""Applying a compiled function to tables of any length without compiling for every length."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

SMALL_BATCH = 256
# Larger ones leave the processor's cache, smaller ones pay more for each call.
LARGE_BATCH = 1024
# Rows of a block that NumPy works on: what it makes on the way stays in the cache, too.
BLOCK = 4096

RowFunction = Callable[[np.ndarray], np.ndarray]


def map_rows(
    function: Callable[[Any], Any],
    rows: np.ndarray,
    prepare: RowFunction = lambda rows: rows,
) -> np.ndarray:
    """function(rows) for a compiled `function` over the first axis, in padded batches of two sizes.

    `prepare` maps each batch first, where its result would be too large for all rows at once.
    """
    size = SMALL_BATCH if len(rows) <= SMALL_BATCH else LARGE_BATCH
    parts = []
    for start in range(0, len(rows), size):
        part = prepare(rows[start : start + size])
        done = np.asarray(function(_padded(part, size)), np.float64)
        parts.append(done[: len(part)])
    return np.concatenate(parts)


def map_blocks(function: RowFunction, rows: np.ndarray) -> np.ndarray:
    """function(rows) over the first axis, block by block; of no rows, too."""
    starts = range(0, max(len(rows), 1), BLOCK)
    return np.concatenate([function(rows[start : start + BLOCK]) for start in starts])


def _padded(part: np.ndarray, size: int) -> np.ndarray:
    padded = np.zeros((size, *part.shape[1:]), jax.dtypes.canonicalize_dtype(float))
    padded[: len(part)] = part
    return padded
