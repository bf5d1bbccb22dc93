"""Tables of any number of rows, read and coded a part at a time, in constant memory."""

import itertools
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from harmonium.data.columnar import COLUMNAR
from harmonium.data.csvs import code_numbers, csv_tables
from harmonium.data.dialects import find_dialect
from harmonium.data.fields import Field, stated_codes
from harmonium.data.names import default_names
from harmonium.data.problems import problem, read_errors
from harmonium.data.records import read_records
from harmonium.data.resizing import resized
from harmonium.data.sources import TableFile, read_numpy, source_kind
from harmonium.data.table import Table, as_table

BATCH_ROWS = 65_536


def read_batches(
    path: str | os.PathLike[str],
    *,
    fields: tuple[Field, ...],
    call: str | None = None,
    size: int = BATCH_ROWS,
) -> Iterator[Table]:
    """Read a table for scoring, `size` rows at a time; the last batch of a file may have fewer, but
    not none.

    A folder is read as its files are, one after the other. Together the batches are what
    `read_table` makes of the same `path`, `fields` and `call`, and errors call the rows by their
    numbers in the whole table. Memory holds a few batches, and for NPZ archives, JSON and Excel the
    whole table. Raises
    `InvalidInputError` for a file or columns that cannot be used at once, and for a cell when its
    batch is due.
    """
    return (table for table, _ in read_named_batches(path, fields=fields, call=call, size=size))


def read_named_batches(
    path: str | os.PathLike[str],
    *,
    fields: tuple[Field, ...],
    call: str | None = None,
    size: int = BATCH_ROWS,
) -> Iterator[tuple[Table, dict[str, Any]]]:
    """The batches of `read_batches`, each with the cells of its identifiers, by name, as Arrow
    arrays.

    These cells are as they stand in the file; an identifier that is not there is left out.
    """
    file = TableFile.of(path)
    call = call or f"read_batches({str(file)!r})"
    if size < 1:
        raise problem(call, "a size of at least 1 row", f"{size}")
    kind = source_kind(file, call)
    with read_errors(call):
        if kind == "numpy":
            array = read_numpy(file, call, mapped=True)
            if array.ndim != 2:  # in the words of `as_table`
                as_table(array, call=call, fields=fields)
            parts = _array_parts(array, size)
        elif kind in COLUMNAR:
            parts = _filled(COLUMNAR[kind](file, call, size, fields=fields))
        elif kind == "csv":
            dialect = find_dialect(file, file.dialect, call)
            texts = csv_tables(file, dialect, call, fields=fields)
            parts = _filled(itertools.chain([next(texts)], resized(texts, size)))
            parts = (code_numbers(part, fields, dialect.decimal) for part in parts)
        else:
            parts = resized(iter([read_records(file, kind, call)]), size)
    return _coded(parts, fields, call)


def read_cells(
    path: str | os.PathLike[str],
    *,
    fields: tuple[Field, ...],
    call: str | None = None,
    size: int = BATCH_ROWS,
) -> Iterator[dict[str, Any]]:
    """The cells behind the batches of `read_batches`, as they stand in the file, as Arrow arrays by
    the names of their columns, those among them that `fields` lack.

    The cells of a CSV file are text, but for columns of numbers among `fields`. Raises what
    `read_batches` does.
    """
    file = TableFile.of(path)
    call = call or f"read_cells({str(file)!r})"
    kind = source_kind(file, call)
    with read_errors(call):
        if kind == "numpy":
            parts = _array_parts(read_numpy(file, call, mapped=True), size)
            names = [field.name for field in fields]
            return (dict(zip(names, map(_arrow, part.T), strict=True)) for part in parts)
        if kind in COLUMNAR:
            return map(_by_name, _filled(COLUMNAR[kind](file, call, size)))
        if kind != "csv":
            return map(_by_name, resized(iter([read_records(file, kind, call)]), size))
        dialect = find_dialect(file, file.dialect, call)
        # All columns, and the codes of those among `fields`.
        dialect = replace(dialect, missing=(*dialect.missing, *stated_codes(fields)))
        texts = csv_tables(file, dialect, call)
        parts = _filled(itertools.chain([next(texts)], resized(texts, size)))
        numbers = tuple(own for own in fields if own.is_number and own.form != "boolean")
        named = (_with_names(part, fields) for part in parts)
        return (_by_name(code_numbers(part, numbers, dialect.decimal)) for part in named)


def column_names(
    path: str | os.PathLike[str], *, fields: tuple[Field, ...] = (), call: str | None = None
) -> list[str]:
    """The names of the columns of a table, of its first lines alone; those of `fields` where the
    file has none. Raises what `read_batches` does.
    """
    file = TableFile.of(path)
    call = call or f"column_names({str(file)!r})"
    kind = source_kind(file, call)
    if kind == "numpy":
        return [field.name for field in fields]
    with read_errors(call):
        if kind in COLUMNAR:
            head = next(COLUMNAR[kind](file, call, 1))
        elif kind == "csv":
            head = next(csv_tables(file, find_dialect(file, file.dialect, call), call))
        else:
            head = read_records(file, kind, call)
        return list(_with_names(head, fields).column_names)


def _with_names(part: Any, fields: tuple[Field, ...]) -> Any:
    """The part with the names of `fields` where its file has no header."""
    n = len(part.column_names)
    has_none = part.column_names == list(default_names(n)) and n == len(fields)
    return part.rename_columns([field.name for field in fields]) if has_none else part


def _by_name(part: Any) -> dict[str, Any]:
    return {name: part.column(name).combine_chunks() for name in part.column_names}


def _arrow(column: np.ndarray) -> Any:
    return pa.array(column)


def _coded(
    parts: Iterator[Any], fields: tuple[Field, ...], call: str
) -> Iterator[tuple[Table, dict[str, Any]]]:
    """The parts of a table, coded, and their identifiers; the only part of a table without rows is
    refused.
    """
    n_before = 0
    with read_errors(call):
        for part in parts:
            rows = range(n_before + 1, n_before + len(part) + 1)
            yield as_table(part, call=call, fields=fields, rows=rows), _identifiers(part, fields)
            n_before += len(part)


def _identifiers(part: Any, fields: tuple[Field, ...]) -> dict[str, Any]:
    """The cells of identifiers in a part, an Arrow table or an array."""
    is_array = isinstance(part, np.ndarray)
    names = [field.name for field in fields] if is_array else part.column_names
    return {
        field.name: pa.array(part[:, names.index(field.name)])
        if is_array
        else part.column(field.name)
        for field in fields
        if field.kind == "identifier" and field.name in names
    }


def _array_parts(array: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """The rows of an array, which may be on disk, `size` at a time."""
    for start in range(0, max(len(array), 1), size):
        yield np.array(array[start : start + size])


def _filled(tables: Iterator[Any]) -> Iterator[Any]:
    """The tables that have rows, once the first, which has none, has been read; that one if there
    are no others.
    """
    head = next(tables)

    def parts() -> Iterator[Any]:
        is_empty = True
        for table in tables:
            is_empty = is_empty and not table.num_rows
            if table.num_rows:
                yield table
        if is_empty:
            yield head

    return parts()
