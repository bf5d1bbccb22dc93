"""A uniform random sample of the rows of a file of any size, with the types of the whole file."""

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harmonium.data.cells import text_error
from harmonium.data.csvs import cast_texts, csv_tables, without_blanks
from harmonium.data.encoding import NUMERIC_SHARE, cell_hint, read_numbers
from harmonium.data.fields import check_kinds
from harmonium.data.parquets import parquet_tables
from harmonium.data.problems import problem, read_errors
from harmonium.data.readers import read_numpy, source_kind
from harmonium.data.streams import BATCH_ROWS
from harmonium.data.table import Table, as_table, check_names


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
    those of training: what a column of CSV holds, and whether its text is damaged numbers, follows
    from all rows, so that no row outside the sample is of another type; categories are those of the
    sample. The sample depends on the rows and on `seed`. Memory holds 2 `n` rows and a batch.

    Raises `InvalidInputError` for what `read_table` refuses; of infinite and too large numbers and
    of fractions in a column stated to be integer, only those in the sample.
    """
    path = Path(path)
    call = call or f"sample_rows({str(path)!r}, {n})"
    if n < 1:
        raise problem(call, "a sample of at least 1 row", f"n={n}")
    kind = source_kind(path, call)
    generator = np.random.default_rng(seed)
    with read_errors(call):
        if kind == "numpy":
            array = read_numpy(path, call, mapped=True)
            return _sample_array(array, n, kinds, generator, call)
        is_csv = kind == "csv"
        tables = csv_tables(path, call) if is_csv else parquet_tables(path, call, BATCH_ROWS)
        head = next(tables)
        check_names(head.column_names, call)
        stated = check_kinds(kinds, head.column_names, call)
        columns = _columns(head, stated, is_csv)
        reservoir = _Reservoir(head, n, generator)
        for table in tables:
            for column in columns:
                column.see(table.column(column.name), reservoir.n_rows)
            reservoir.add(table)
    found, rows = reservoir.rows()
    for column in columns:
        found = column.settle(found, stated, call)
    found = without_blanks(found) if is_csv else found
    table = as_table(found, call=call, kinds=stated, rows=rows)
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
        import pyarrow as pa

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


def _columns(head: Any, kinds: Mapping[str, str], is_csv: bool) -> list["_Column"]:
    """The columns of text of which more has to be known than the sample tells."""
    import pyarrow as pa

    found = []
    for field in head.schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        if is_text and kinds.get(field.name) != "categorical":
            found.append(_Column(field.name, is_csv))
    return found


class _Column:
    """What all cells of a column of text are: the types that hold them, and how many numbers."""

    def __init__(self, name: str, is_csv: bool):
        self.name = name
        self._is_csv = is_csv
        self._types = _csv_types() if is_csv else []  # those that hold all cells so far
        self._n_cells = self._n_numbers = 0
        self._odd: tuple[str, int] | None = None  # the first text that is no number, and its row

    def see(self, column: Any, n_before: int) -> None:
        """Take account of the next cells, before which there are `n_before` rows."""
        import pyarrow as pa

        self._types = [kind for kind in self._types if _converted(column, kind) is not None]
        filled = self._filled(column)
        n_cells = len(filled) - filled.null_count
        self._n_cells += n_cells
        if any(pa.types.is_floating(kind) for kind in self._types):
            self._n_numbers += n_cells
            return
        coded = filled.dictionary_encode()
        odd = np.flatnonzero(np.isnan(read_numbers(coded.dictionary)))
        codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        places = np.flatnonzero(np.isin(codes, odd))
        self._n_numbers += n_cells - len(places)
        if self._odd is None and len(places):
            self._odd = (filled[int(places[0])].as_py(), n_before + int(places[0]) + 1)

    def settle(self, sample: Any, kinds: dict[str, str], call: str) -> Any:
        """The sample with this column in its type; a kind is added where the sample would mislead.

        Raises `InvalidInputError` for text where the column as a whole holds numbers.
        """
        import pyarrow as pa

        i = sample.column_names.index(self.name)
        column = sample.column(i)
        if not self._n_cells and self._types:
            return sample.set_column(i, self.name, pa.nulls(len(column)))
        if self._types:
            return sample.set_column(i, self.name, _converted(column, self._types[0]))
        kind = kinds.get(self.name, "auto")
        if kind != "identifier" and self._odd is not None:
            self._check_numbers(kind, call)
            if kind == "auto":
                kinds[self.name] = self._text_kind(column)
        return sample

    def _filled(self, column: Any) -> Any:
        """The cells as one Arrow array of text."""
        import pyarrow as pa

        texts = pa.table({self.name: column.cast(pa.large_string())})
        return (without_blanks(texts) if self._is_csv else texts).column(0).combine_chunks()

    def _text_kind(self, column: Any) -> str:
        """The kind of a column of true text, where the sample alone could have it for numbers."""
        cells = self._filled(column).drop_null()
        if not len(cells):
            return "identifier"  # the sample has no cell to learn categories from
        is_number = ~np.isnan(read_numbers(cells))
        return "categorical" if is_number.mean() >= NUMERIC_SHARE else "auto"

    def _check_numbers(self, kind: str, call: str) -> None:
        """Raise for the first text, if this is a column of numbers."""
        assert self._odd is not None
        if kind != "auto" or self._n_numbers >= NUMERIC_SHARE * self._n_cells:
            raise text_error(call, self.name, *self._odd, "numbers", cell_hint(self.name))


def _csv_types() -> list[Any]:
    """The types that Arrow tries in turn for a column of CSV, before text."""
    import pyarrow as pa

    times = [pa.timestamp(unit, zone) for unit in ("s", "ns") for zone in (None, "UTC")]
    return [pa.int64(), pa.bool_(), pa.date32(), pa.time32("s"), *times, pa.float64()]


def _converted(texts: Any, kind: Any) -> Any:
    """Texts as a CSV reader converts them to a type; None if one of them is not of it."""
    import pyarrow as pa
    import pyarrow.csv

    if (cells := cast_texts(texts, kind)) is not None:
        return cells
    # The reader allows more than the cast does: spaces, and times of day.
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
