"""Applying functions to the rows of tables of any length: part by part, and without compiling for
every length.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np

from harmonium.model import Harmonium
from harmonium.typing import Batch, HiddenBatch, PerRow

# Compiled code sees batches of these lengths only, padded to the shortest that holds the rows; the
# first is for a row that somebody waits for.
BATCHES = (16, 256, 1024, 4096)
LONGEST = BATCHES[-1]
# Batches that are prepared before compiled code takes them up: NumPy's threads go on spinning for a
# while after a matrix product, in the way of XLA's.
RUN = 16

RowFunction = Callable[[np.ndarray], np.ndarray]


@eqx.filter_jit
def free_energies(model: Harmonium, rows: Batch) -> PerRow:
    """F of a batch in model units, as one program."""
    return jax.vmap(model.free_energy)(rows)


@eqx.filter_jit
def hidden_means(model: Harmonium, rows: Batch) -> HiddenBatch:
    """E[h|x] of a batch in model units, as one program."""
    return jax.vmap(model.hidden_mean)(rows)


def map_rows(
    function: Callable[[Any], Any],
    rows: np.ndarray,
    prepare: RowFunction = lambda rows: rows,
    *,
    longest: int = LONGEST,
) -> np.ndarray:
    """function(rows) for a compiled `function` over the first axis, in padded batches of at most
    `longest` rows.

    `prepare` maps each batch first, where its result would be too large for all rows at once.
    """

    def of_run(rows: np.ndarray) -> np.ndarray:
        batches = [prepare(batch) for batch in _parts(rows, longest)]
        padded = [_padded(batch) for batch in batches]
        done = [np.asarray(function(batch), np.float64) for batch in padded]
        return np.concatenate([all_[: len(own)] for all_, own in zip(done, batches, strict=True)])

    return map_blocks(of_run, rows, longest=RUN * longest)


def map_blocks(function: RowFunction, rows: np.ndarray, *, longest: int = LONGEST) -> np.ndarray:
    """function(rows) over the first axis, in blocks of at most `longest` rows; of no rows, too.

    At the length that is the default, what a function makes on the way stays in the processor's
    cache.
    """
    return np.concatenate([function(block) for block in _parts(rows, longest)])


def _parts(rows: np.ndarray, longest: int) -> list[np.ndarray]:
    """As few parts as possible, all about alike: with those of a long table one length of `BATCHES`
    is compiled.
    """
    return np.array_split(rows, max(1, -(-len(rows) // longest)))


def _padded(batch: np.ndarray) -> np.ndarray:
    size = next(size for size in BATCHES if len(batch) <= size)
    padded = np.zeros((size, *batch.shape[1:]), jax.dtypes.canonicalize_dtype(float))
    padded[: len(batch)] = batch
    return padded
