"""Parquet files and folders of them -> Arrow tables, whole or in parts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from harmonium.data.fields import Field
from harmonium.data.problems import problem
from harmonium.data.resizing import narrowed, resized

# Pages are read through a buffer of this size, and not ahead: a file may be a single row group.
_BUFFER_BYTES = 1 << 20


def read_parquet(path: Path, call: str) -> Any:
    """The Arrow table of a Parquet file, or of all in a folder, in the order of their names."""
    files, schema = _files(path, call)
    tables = []
    for file in files:
        with _opened(file, call) as content:
            tables.append(_cast(_validated(content.read()), schema, call))
    return pa.concat_tables(tables)


def parquet_tables(
    path: Path, call: str, size: int, *, fields: tuple[Field, ...] | None = None
) -> Iterator[Any]:
    """The rows of `read_parquet`, in Arrow tables of `size` rows; the last of each file may have
    fewer.

    The first table has no rows: it tells the columns, which are those of `fields` where these are
    given.
    """
    files, schema = _files(path, call)
    schema = schema if fields is None else narrowed(schema, fields, call)
    yield pa.Table.from_batches([], schema)
    for file in files:
        with _opened(file, call) as content:
            batches = content.iter_batches(batch_size=size, columns=schema.names)
            tables = (_validated(pa.Table.from_batches([batch])) for batch in batches)
            for table in resized(tables, size):
                # A name with a point may have brought columns along that only begin like it.
                yield _cast(table, schema, call)


def _files(path: Path, call: str) -> tuple[list[Path], Any]:
    """The Parquet files at `path`, and the Arrow schema that holds the cells of all of them."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise problem(call, "a folder of .parquet files", f"{str(path)!r}, which holds none")
    schemas = []
    for file in files:
        with _opened(file, call) as content:
            schemas.append(content.schema_arrow)
            # Decoded here, where damage has its own message.
            _ = schemas[-1].names
    for file, schema in zip(files, schemas, strict=True):
        if sorted(schema.names) != sorted(schemas[0].names):
            got = f"other columns in {file.name!r} than in {files[0].name!r}"
            raise problem(call, "the same columns in every file", got)
    if len(files) == 1:  # whose columns may have one name
        return files, schemas[0]
    try:
        return files, pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowException as error:
        raise _types_error(call, error) from error


@contextmanager
def _opened(path: Path, call: str) -> Iterator[Any]:
    """A Parquet file to be read; Arrow's complaints in our words."""
    if path.stat().st_size == 0:
        raise problem(call, "a table", "an empty file")
    try:
        # ParquetFile, unlike read_table, takes no meaning from the names of the folders above.
        with pyarrow.parquet.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            yield file
    except (pa.ArrowException, UnicodeDecodeError) as error:
        got = f"{path.name!r}, which cannot be read ({str(error).rstrip('.')})"
        raise problem(call, "a Parquet file", got) from error


def _validated(table: Any) -> Any:
    """The table, once its texts are known to be UTF-8, which the reader takes on trust."""
    table.validate(full=True)
    return table


def _cast(table: Any, schema: Any, call: str) -> Any:
    """The columns of a schema, in its order and of its types."""
    if table.schema.equals(schema):
        return table
    try:
        return table.select(schema.names).cast(schema)
    except pa.ArrowException as error:
        raise _types_error(call, error) from error


def _types_error(call: str, error: Exception) -> Exception:
    return problem(call, "the same types in every file", str(error).rstrip("."))
