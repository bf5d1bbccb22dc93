"""Rows of a file that is longer than memory, dealt out in random parts: a shuffle in bounded
memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harmonium.data.fields import Field
from harmonium.data.streams import BATCH_ROWS, read_batches


@dataclass(frozen=True)
class LongTable:
    """A file of `n_rows` rows, of which some were drawn: their numbers in the file, from 1, in
    `drawn`.
    """

    path: Path
    n_rows: int
    drawn: np.ndarray

    def deal(
        self, fields: tuple[Field, ...], *, left_out: np.ndarray, size: int, seed: int
    ) -> "Pools":
        """The rows in parts of `size`, without those drawn rows that `left_out` (their positions in
        `drawn`) names.
        """
        return Pools(self.path, fields, self.n_rows, np.sort(self.drawn[left_out]), size, seed)


@dataclass(frozen=True)
class Pools:
    """Random parts of a file, as long as one likes: each round deals all rows anew, every row to
    one part.

    To read a part is to read the file once and to keep its rows, so that nothing is remembered
    between parts and the same number always gives the same rows. `left_out` are sorted numbers of
    rows that are in none.
    """

    path: Path
    fields: tuple[Field, ...]
    n_rows: int
    left_out: np.ndarray
    size: int
    seed: int

    @property
    def n_parts(self) -> int:
        """Parts of a round."""
        return max(1, (self.n_rows - len(self.left_out)) // self.size)

    def values(self, number: int) -> np.ndarray:
        """Coded rows of the part of this number (0, 1, …), (size, columns), in random order.

        Parts come out a little larger or smaller: rows too many are dropped at random, missing ones
        repeated.
        """
        turn, part = divmod(number, self.n_parts)
        dealer = np.random.default_rng([self.seed, turn])
        kept: list[np.ndarray] = []
        start = 0
        for table in read_batches(self.path, fields=self.fields, size=BATCH_ROWS):
            mine = dealer.integers(self.n_parts, size=table.n_rows) == part
            mine[self._left_out_between(start, start + table.n_rows)] = False
            kept.append(table.values[mine])
            start += table.n_rows
        rows = np.concatenate(kept)
        chooser = np.random.default_rng([self.seed, turn, part])
        return rows[_choose(len(rows), self.size, chooser)]

    def _left_out_between(self, start: int, end: int) -> Sequence[int]:
        """Positions in the batch of rows start + 1 … end."""
        first, last = np.searchsorted(self.left_out, [start + 1, end + 1])
        return (self.left_out[first:last] - start - 1).tolist()


def _choose(n: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """`size` of n positions in random order: without repeats as far as they go."""
    order = rng.permutation(n)
    return np.concatenate([order[:size], rng.integers(n, size=max(size - n, 0))])
