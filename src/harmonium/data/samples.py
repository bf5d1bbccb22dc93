"""A uniform random sample of the rows of a file of any size, with the types of the whole file."""

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv

from harmonium.data.columnar import COLUMNAR
from harmonium.data.csvs import cast_texts, csv_tables, with_points, without_blanks
from harmonium.data.dialects import find_dialect
from harmonium.data.fields import check_kinds
from harmonium.data.names import check_names
from harmonium.data.problems import problem, read_errors
from harmonium.data.records import read_records
from harmonium.data.sources import TableFile, read_numpy, source_kind
from harmonium.data.streams import BATCH_ROWS
from harmonium.data.table import Table, as_table
from harmonium.data.tallies import Tally


class Sampled(NamedTuple):
    """Rows drawn from a file, in its order, how many rows the file has, and the numbers of those
    drawn, from 1.
    """

    table: Table
    n_rows: int
    numbers: np.ndarray


def sample_rows(
    path: str | os.PathLike[str],
    n: int,
    *,
    kinds: Mapping[str, str] | None = None,
    seed: int,
    call: str | None = None,
) -> Sampled:
    """Read a file or folder once and keep a uniform random sample of at most `n` rows.

    A file with no more rows is kept whole, as `read_table(path, kinds=kinds)` would. The fields are
    those of training: what a column of text holds, and whether it is damaged numbers, follows
    from all rows, so that no row outside the sample is of another type; categories are those of the
    sample. The sample depends on the rows and on `seed`. Memory holds 2 `n` rows and a batch.

    Raises `InvalidInputError` for what `read_table` refuses; of infinite and too large numbers and
    of fractions in a column stated to be integer, only those in the sample.
    """
    file = TableFile.of(path)
    call = call or f"sample_rows({str(file)!r}, {n})"
    if n < 1:
        raise problem(call, "a sample of at least 1 row", f"n={n}")
    kind = source_kind(file, call)
    generator = np.random.default_rng(seed)
    with read_errors(call):
        if kind == "numpy":
            array = read_numpy(file, call, mapped=True)
            return _sample_array(array, n, kinds, generator, call)
        is_csv, decimal, codes = kind == "csv", ".", tuple[str, ...]()
        if is_csv:
            dialect = find_dialect(file, file.dialect, call)
            decimal, codes = dialect.decimal, dialect.missing
            tables = csv_tables(file, dialect, call)
        elif kind in COLUMNAR:
            tables = COLUMNAR[kind](file, call, BATCH_ROWS)
        else:
            table = read_records(file, kind, call)
            tables = iter([table.slice(0, 0), table])
        head = next(tables)
        check_names(head.column_names, call)
        stated = check_kinds(kinds, head.column_names, call)
        columns = _columns(head, stated, is_csv, decimal)
        reservoir = _Reservoir(head, n, generator)
        for table in tables:
            for column in columns:
                column.see(table.column(column.name), reservoir.n_rows)
            reservoir.add(table)
    found, rows = reservoir.rows()
    for column in columns:
        found = column.settle(found)
    found = without_blanks(found) if is_csv else found
    tallies = {column.name: column.tally for column in columns}
    table = as_table(found, call=call, kinds=stated, rows=rows, tallies=tallies)
    if codes:
        fields = tuple(replace(field, missing=codes) for field in table.fields)
        table = replace(table, fields=fields)
    return Sampled(table, reservoir.n_rows, np.asarray(rows))


def _sample_array(
    array: np.ndarray,
    n: int,
    kinds: Mapping[str, str] | None,
    generator: np.random.Generator,
    call: str,
) -> Sampled:
    """The sample of an array, which may be on disk."""
    if array.ndim != 2 or 0 in array.shape:
        as_table(array, call=call, kinds=kinds)  # Refuses it in its own words.
    if len(array) <= n:
        numbers = np.arange(1, len(array) + 1)
        return Sampled(as_table(np.array(array), call=call, kinds=kinds), len(array), numbers)
    chosen = np.sort(generator.choice(len(array), n, replace=False))
    table = as_table(np.array(array[chosen]), call=call, kinds=kinds, rows=list(chosen + 1))
    return Sampled(table, len(array), chosen + 1)


class _Reservoir:
    """The `n` rows of the smallest of random marks, one per row: a sample without replacement."""

    def __init__(self, head: Any, n: int, generator: np.random.Generator):
        self.n_rows = 0
        self._n, self._generator = n, generator
        self._table, self._marks, self._places = head, np.zeros(0), np.zeros(0, dtype=np.int64)
        self._parts: list[tuple[Any, np.ndarray, np.ndarray]] = []
        self._bar = 1.0  # a row with a larger mark is in no sample any more

    def add(self, table: Any) -> None:
        """See the next rows of the file."""
        marks = self._generator.random(table.num_rows)
        chosen = np.flatnonzero(marks < self._bar)
        part = (table.take(chosen), marks[chosen], self.n_rows + 1 + chosen)
        self._parts.append(part)
        self.n_rows += table.num_rows
        if sum(len(own) for _, own, _ in self._parts) >= self._n:
            self._merge()

    def rows(self) -> tuple[Any, Sequence[int]]:
        """The sample in the order of the file, and the numbers of its rows, from 1."""
        self._merge()
        return self._table, self._places.tolist()

    def _merge(self) -> None:
        """Put the parts together and keep the smallest marks."""
        tables, marks, places = zip(
            (self._table, self._marks, self._places), *self._parts, strict=True
        )
        table, marks, places = (pa.concat_tables(tables), *map(np.concatenate, (marks, places)))
        if len(marks) > self._n:
            kept = np.sort(np.argpartition(marks, self._n - 1)[: self._n])
            table, marks, places = table.take(kept), marks[kept], places[kept]
        if len(marks) == self._n:
            self._bar = float(marks.max())
        self._table, self._marks, self._places = table.combine_chunks(), marks, places
        self._parts = []


def _columns(head: Any, kinds: Mapping[str, str], is_csv: bool, decimal: str) -> list["_Column"]:
    """The columns of text of which more has to be known than the sample tells."""
    found = []
    for field in head.schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        if is_text and kinds.get(field.name) != "categorical":
            found.append(_Column(field.name, is_csv, decimal))
    return found


class _Column:
    """What all cells of a column of text are: the types of Arrow that hold them, and a tally of
    what they spell.
    """

    def __init__(self, name: str, is_csv: bool, decimal: str):
        self.name = name
        self.tally = Tally()
        self._is_csv, self._decimal = is_csv, decimal
        self._types = _csv_types() if is_csv else []  # those that hold all cells so far

    def see(self, column: Any, n_before: int) -> None:
        """Take account of the next cells, before which there are `n_before` rows."""
        self._types = [kind for kind in self._types if self._converted(column, kind) is not None]
        filled = self._filled(column)
        n_cells = len(filled) - filled.null_count
        if any(pa.types.is_floating(kind) for kind in self._types):
            self.tally.add_numbers(n_cells)
        elif any(pa.types.is_temporal(kind) for kind in self._types):
            self.tally.add_dates(n_cells)
        else:
            coded = filled.dictionary_encode()
            codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            texts, rows = coded.dictionary, range(n_before + 1, n_before + len(column) + 1)
            self.tally.see(texts, codes, rows, with_points(texts, self._decimal))

    def settle(self, sample: Any) -> Any:
        """The sample with this column in its type."""
        i = sample.column_names.index(self.name)
        column = sample.column(i)
        if not self.tally.n_cells and self._types:
            return sample.set_column(i, self.name, pa.nulls(len(column)))
        if self._types:
            return sample.set_column(i, self.name, self._converted(column, self._types[0]))
        reading = self.tally.reading()
        if reading is not None and reading.form == "number":
            return sample.set_column(i, self.name, with_points(column, self._decimal))
        return sample

    def _filled(self, column: Any) -> Any:
        """The cells as one Arrow array of text."""
        texts = pa.table({self.name: column.cast(pa.large_string())})
        return (without_blanks(texts) if self._is_csv else texts).column(0).combine_chunks()

    def _converted(self, texts: Any, kind: Any) -> Any:
        floating = pa.types.is_floating(kind)
        return _converted(with_points(texts, self._decimal) if floating else texts, kind)


def _csv_types() -> list[Any]:
    """The types that Arrow tries in turn for a column of CSV, before text."""
    times = [pa.timestamp(unit, zone) for unit in ("s", "ns") for zone in (None, "UTC")]
    return [pa.int64(), pa.bool_(), pa.date32(), *times, pa.float64()]


def _converted(texts: Any, kind: Any) -> Any:
    """Texts as a CSV reader converts them to a type; None if one of them is not of it."""
    if (cells := cast_texts(texts, kind)) is not None:
        return cells
    # The reader allows more than the cast does, such as spaces.
    buffer = io.BytesIO()
    pyarrow.csv.write_csv(pa.table({"cells": texts}), buffer)
    try:
        return pyarrow.csv.read_csv(
            pa.BufferReader(buffer.getvalue()),
            parse_options=pyarrow.csv.ParseOptions(
                ignore_empty_lines=False, newlines_in_values=True
            ),
            convert_options=pyarrow.csv.ConvertOptions(column_types={"cells": kind}),
        ).column(0)
    except pa.ArrowInvalid:
        return None
