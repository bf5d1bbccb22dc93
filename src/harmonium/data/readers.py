"""Files in: CSV, Parquet, folders of Parquet, Arrow, NPY, JSON, Excel.

Arrow is imported inside the functions, so that importing harmonium stays cheap.
"""

import os
import sys
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from harmonium.data.columnar import COLUMNAR
from harmonium.data.csvs import code_numbers, csv_tables
from harmonium.data.dialects import find_dialect
from harmonium.data.fields import Field
from harmonium.data.parquets import read_parquet
from harmonium.data.problems import read_errors
from harmonium.data.records import read_records
from harmonium.data.samples import sample_rows
from harmonium.data.sources import TableFile, read_numpy, source_kind
from harmonium.data.streams import BATCH_ROWS
from harmonium.data.table import Table, as_table


def read_table(
    path: str | os.PathLike[str],
    *,
    call: str | None = None,
    fields: tuple[Field, ...] | None = None,
    kinds: Mapping[str, str] | None = None,
) -> Table:
    """Read a table from a CSV, Parquet, Arrow, NPY, JSON or Excel file, or a Parquet folder.

    `fields`, `kinds` and `call` are those of `as_table`. What separates the cells of a CSV file,
    its decimal sign and its encoding are found in the file, unless `path` is a `TableFile` that
    states them. A CSV file has no header when every cell of its first line is a number; such a
    file, like an array, goes by position. Its numbers, truth values, dates and times of day are
    recognized; columns of text, and those that `kinds` calls categorical, keep their cells to the
    letter. With `fields` every cell of a CSV file is read on its own; without, as what all cells of
    its column are. Data rows are counted from 1, after the header and without blank lines.

    Raises `InvalidInputError` if the file is missing, empty, damaged, of another kind or written in
    a way that cannot be found out, and for what `as_table` refuses.
    """
    file = TableFile.of(path)
    call = call or f"read_table({str(file)!r})"
    kind = source_kind(file, call)
    if kind == "csv" and fields is None:
        return sample_rows(file, sys.maxsize, kinds=kinds, seed=0, call=call).table
    with read_errors(call):
        if kind == "csv":
            content = _read_csv(file, call, fields or ())
        elif kind in ("json", "excel"):
            content = read_records(file, kind, call)
        elif kind == "arrow":
            content = pa.concat_tables(COLUMNAR[kind](file, call, BATCH_ROWS))
        else:
            content = (read_parquet if kind == "parquet" else read_numpy)(file, call)
    return as_table(content, call=call, fields=fields, kinds=kinds)


def _read_csv(file: TableFile, call: str, fields: tuple[Field, ...]) -> Any:
    """The Arrow table of one CSV file, for scoring by `fields`."""
    dialect = find_dialect(file, file.dialect, call)
    texts = pa.concat_tables(csv_tables(file, dialect, call, fields=fields))
    return code_numbers(texts, fields, dialect.decimal)
