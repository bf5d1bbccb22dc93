"""Rows that are set aside before anything is fitted."""

from typing import NamedTuple

import numpy as np

from harmonium.data import Table
from harmonium.data.problems import samples
from harmonium.errors import InvalidInputError, Message, describe

MIN_ROWS = 8
_CALL = Message("fit(X)", "fit")


class Split(NamedTuple):
    """The two parts of a table, (rows, columns) each, and the positions of the held-out rows in
    it.
    """

    training: np.ndarray
    held_out: np.ndarray
    positions: np.ndarray


def hold_out(table: Table, share: float, rng: np.random.Generator, *, setting: str) -> Split:
    """Set this share of the rows aside at random, at least one.

    Raises `InvalidInputError`, naming the `setting` that holds the share, where too few are left.
    """
    if table.n_rows < MIN_ROWS:
        raise InvalidInputError(
            describe(
                _CALL,
                expected=f"at least {MIN_ROWS} rows",
                got=samples(table.n_rows),
                hint="more rows; a fit to few rows is no better than a guess",
            )
        )
    n_held_out = max(1, round(share * table.n_rows))
    if table.n_rows - n_held_out < MIN_ROWS // 2:
        raise InvalidInputError(
            describe(
                _CALL,
                expected=f"at least {MIN_ROWS // 2} rows to train on",
                got=f"{table.n_rows} rows of which {n_held_out} are set aside",
                hint=f"a smaller {setting}",
            )
        )
    return _split(table, rng.permutation(table.n_rows), n_held_out)


def set_aside(table: Table, positions: np.ndarray) -> Split:
    """Set the rows at these positions aside."""
    others = np.setdiff1d(np.arange(table.n_rows), positions)
    return _split(table, np.concatenate([positions, others]), len(positions))


def _split(table: Table, order: np.ndarray, n_held_out: int) -> Split:
    """The rows in this order, the first so many held out."""
    held_out, training = order[:n_held_out], order[n_held_out:]
    return Split(table.values[training], table.values[held_out], held_out)
