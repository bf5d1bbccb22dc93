"""Arrow tables of any number of rows -> tables of one number."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa


def resized(tables: Iterator[Any], size: int) -> Iterator[Any]:
    """The same rows in tables of `size` each; the last may have fewer."""
    held: list[Any] = []
    n_held = 0
    for table in tables:
        held.append(table)
        n_held += table.num_rows
        if n_held < size:
            continue
        joined = pa.concat_tables(held)
        n_whole = n_held - n_held % size
        for start in range(0, n_whole, size):
            yield joined.slice(start, size)
        held, n_held = [joined.slice(n_whole)], n_held - n_whole
    if n_held:
        yield pa.concat_tables(held)
