"""Arrow files and streams (IPC) -> Arrow tables, batch by batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from harmonium.data.fields import Field
from harmonium.data.problems import problem
from harmonium.data.resizing import narrowed, resized

# How an Arrow file begins; a stream has no such mark.
FILE_MARK = b"ARROW1"


def arrow_tables(
    path: Path, call: str, size: int, *, fields: tuple[Field, ...] | None = None
) -> Iterator[Any]:
    """The rows of an Arrow file or stream, in Arrow tables of `size` rows; the last may have fewer.

    The first table has no rows: it tells the columns, which are those of `fields` where these are
    given. Raises `InvalidInputError` for a file that is damaged or is none of Arrow.
    """
    with _opened(path, call) as (schema, batches):
        schema = schema if fields is None else narrowed(schema, fields, call)
        yield pa.Table.from_batches([], schema)
        yield from resized((_checked(batch, schema.names, fields) for batch in batches), size)


@contextmanager
def _opened(path: Path, call: str) -> Iterator[tuple[Any, Iterator[Any]]]:
    """The schema and the batches of an Arrow file; Arrow's complaints in our words."""
    if path.stat().st_size == 0:
        raise problem(call, "a table", "an empty file")
    try:
        with pa.OSFile(str(path)) as source:
            is_file = source.read(len(FILE_MARK)) == FILE_MARK
            source.seek(0)
            if is_file:
                reader = pa.ipc.open_file(source)
                numbers = range(reader.num_record_batches)
                yield reader.schema, (reader.get_batch(number) for number in numbers)
            else:
                reader = pa.ipc.open_stream(source)
                yield reader.schema, iter(reader)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        first = str(error).partition("\n")[0].rstrip(".")
        got = f"{path.name!r}, which cannot be read ({first})"
        raise problem(call, "an Arrow file or stream", got) from error


def _checked(batch: Any, names: list[str], fields: tuple[Field, ...] | None) -> Any:
    """The columns of a batch, once its texts are known to be UTF-8."""
    # Without `fields` all columns are there already, of whatever names.
    table = pa.Table.from_batches([batch] if fields is None else [batch.select(names)])
    table.validate(full=True)
    return table
