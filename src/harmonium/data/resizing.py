"""Arrow tables of any rows and columns -> tables of as many as are wanted."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from harmonium.data.fields import Field
from harmonium.data.names import select_columns


def narrowed(schema: Any, fields: tuple[Field, ...], call: str) -> Any:
    """The columns of `fields` in a schema, in their order; one at least, which counts the rows."""
    names = schema.names
    order = select_columns(names, fields, call)
    kept = [names[i] for i in order if i is not None] or names[:1]
    return pa.schema([schema.field(name) for name in kept])


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
