"""Scoring and filling tables of any length, batch by batch."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harmonium.data import (
    ArrayWriter,
    Field,
    Table,
    TableWriter,
    decode_columns,
    read_named_batches,
    title_of,
)
from harmonium.inference import Density
from harmonium.model import Spin

if TYPE_CHECKING:
    from harmonium.estimators import Imputer

Columns = dict[str, Any]

_log = logging.getLogger(__name__)

# Reasons and draws take many evaluations per row.
BATCH_ROWS = 16_384


def read_rows(data: Path, fields: tuple[Field, ...], doing: str) -> Iterator[tuple[Table, Columns]]:
    """Successive rows of a table with their identifiers; `doing` says what is done with them."""
    title = title_of(data)
    _log.info("%s %s", doing, Path(title).name)
    n_rows = 0
    for table, named in read_named_batches(data, fields=fields, call=title, size=BATCH_ROWS):
        yield table, named
        n_rows += table.n_rows
        _log.debug("%d rows done", n_rows)


def sampled_rows(data: Path, fields: tuple[Field, ...], n: int, seed: int) -> np.ndarray:
    """At most `n` rows of a table of any length (rows, columns), chosen at random."""
    rng = np.random.default_rng(seed)
    kept, marks = np.empty((0, len(fields))), np.empty(0)
    for table, _ in read_rows(data, fields, "reading"):
        kept = np.concatenate([kept, table.values])
        marks = np.concatenate([marks, rng.random(table.n_rows)])
        lowest = np.sort(np.argsort(marks)[:n])
        kept, marks = kept[lowest], marks[lowest]
    return kept


def score_batches(density: Density, data: Path) -> Iterator[Columns]:
    """Log-density and free energy of successive rows; no free energy where cells are missing."""
    for table, _ in read_rows(data, density.columns.fields, "scoring"):
        complete = ~density.coordinates.is_incomplete(table.values)
        free_energy = np.full(table.n_rows, np.nan)
        if complete.any():
            free_energy[complete] = density.free_energy(table.values[complete])
        yield {"log_density": density.log_density(table.values), "free_energy": free_energy}


def feature_batches(density: Density, data: Path) -> Iterator[Columns]:
    """P(h = 1|x) of every hidden unit for successive rows; given the observed cells where some are
    missing.
    """
    is_spin = isinstance(density.model.hidden_units, Spin)
    for table, _ in read_rows(data, density.columns.fields, "finding the features of"):
        means = density.hidden_mean(table.values)
        # The mean of a spin is twice the probability less one.
        probabilities = (1 + means) / 2 if is_spin else means
        yield {f"unit_{unit}": column for unit, column in enumerate(probabilities.T)}


class Fills:
    """Successive rows with missing cells filled: once, or `n_tables` times with the number of the
    draw in front.

    Identifiers are as they stand in the file. `n_cells` holes have been filled so far.
    """

    def __init__(self, imputer: "Imputer", data: Path, n_tables: int):
        self._imputer, self._data, self._n_tables = imputer, data, n_tables
        self.n_cells = 0

    def __iter__(self) -> Iterator[Columns]:
        imputer = self._imputer
        for table, named in read_rows(
            self._data, imputer.estimator_.density_.columns.fields, "filling"
        ):
            if not self._n_tables:
                filled = imputer.fill(table)
                self._count(table, filled)
                yield _joined(filled, table, named)
                continue
            drawn = imputer.draw_tables(table, self._n_tables)
            self._count(table, drawn[0])
            for number, values in enumerate(drawn, start=1):
                yield {"draw": np.full(table.n_rows, number), **_joined(values, table, named)}

    def _count(self, table: Table, filled: np.ndarray) -> None:
        # A missing cell equals nothing.
        self.n_cells += int(np.sum((table.values != filled) & ~np.isnan(filled)))


def write_batches(path: Path, batches: Iterable[Columns], format: str | None = None) -> int:
    """Write batches of columns to one file, whole or not at all, or to standard output; returns the
    number of rows.

    Without a format the ending of the file says which.
    """
    if path.suffix.lower() == ".npy":
        return _write_array(path, batches)
    n_rows = 0
    with TableWriter(path, format=format) as writer:
        for columns in batches:
            n_rows += len(next(iter(columns.values())))
            writer.write(columns)
    return n_rows


def _write_array(path: Path, batches: Iterable[Columns]) -> int:
    """The same as an NPY file, of columns that are numbers all."""
    n_rows = 0
    with ArrayWriter(path) as writer:
        for columns in batches:
            values = np.column_stack(list(columns.values()))
            n_rows += len(values)
            writer.write(values)
    return n_rows


def _joined(values: np.ndarray, table: Table, named: Columns) -> Columns:
    """Cells as a reader of the file knows them, in the order of the columns of training."""
    decoded = decode_columns(values, table.fields) | named
    fields = (f for f in table.fields if f.kind != "identifier" or f.name in named)
    return {field.name: decoded[field.name] for field in fields}
