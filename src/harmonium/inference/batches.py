"""Applying a compiled function to tables of any length without compiling for every length."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

SMALL_BATCH = 256
# Larger ones leave the processor's cache, smaller ones pay more for each call.
LARGE_BATCH = 1024


def map_rows(
    function: Callable[[Any], Any],
    rows: np.ndarray,
    prepare: Callable[[np.ndarray], np.ndarray] = lambda rows: rows,
) -> np.ndarray:
    """function(rows) for a compiled `function` over the first axis, in padded batches of two sizes.

    `prepare` maps each batch first, where its result would be too large for all rows at once.
    """
    size = SMALL_BATCH if len(rows) <= SMALL_BATCH else LARGE_BATCH
    parts = []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        padded = np.concatenate([part, np.zeros((size - len(part), *rows.shape[1:]))])
        parts.append(
            np.asarray(function(jnp.asarray(prepare(padded), float)), np.float64)[: len(part)]
        )
    return np.concatenate(parts)
