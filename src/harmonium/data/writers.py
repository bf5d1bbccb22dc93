"""Files out: CSV, Parquet, Arrow, NPY; whole or not at all, and batch by batch.

Arrow is imported inside the functions, so that importing harmonium stays cheap.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from harmonium.data.fields import Field
from harmonium.data.frames import decode_columns
from harmonium.data.partial import AtomicFile, StandardOutput
from harmonium.data.problems import problem, quote

# In the place of a path: standard output.
STANDARD = "-"
FORMATS = ("csv", "parquet", "arrow")


class TableWriter:
    """Writes a table of any length as CSV, Parquet or Arrow, batch by batch, whole or not at all.

    A context manager: the file appears at its end, in place of an older one, and not at all if an
    exception ends it. The first batch fixes names and types of the columns, except for the types,
    those of Arrow, that `types` gives by name: it must where cells of the first batch are all
    missing, or whole numbers where fractions follow. `format` is one of `FORMATS`; without it, the
    ending of `path` says which. The path "-" is standard output, which has to be told, gets Arrow
    as a stream, and gets every batch at once. `call` starts every message.

    Raises `InvalidInputError` for an unknown extension, a folder that cannot be written to, batches
    that do not fit together, and if there is none.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        format: str | None = None,
        types: Mapping[str, Any] | None = None,
        call: str | None = None,
    ):
        self._path = Path(path)
        self._call = call or f"TableWriter({str(self._path)!r})"
        self._format = format or self._path.suffix.lower().removeprefix(".")
        self._types = dict(types or {})
        self._schema: Any = None
        self._sink: Any = None
        self._partial: AtomicFile | StandardOutput | None = None
        if self._format not in FORMATS:
            got = f"{self._path.name!r}"
            raise problem(self._call, "a file ending in .csv, .parquet or .arrow", got)

    @property
    def _is_streamed(self) -> bool:
        return str(self._path) == STANDARD

    def __enter__(self) -> "TableWriter":
        place = StandardOutput(self._call) if self._is_streamed else None
        self._partial = place or AtomicFile(self._path, self._call)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._partial is not None
        partial, sink = self._partial, self._sink
        self._partial = self._sink = None
        with partial:
            # The end of a stream that an error has cut must not look like an end.
            if sink is not None and not (kind and self._is_streamed):
                with partial.refusals():
                    sink.close()
            if kind is not None:
                return
            if sink is None:
                raise problem(self._call, "at least one batch of rows", "none")
            partial.keep()

    def write(self, columns: Mapping[str, Any]) -> None:
        """Append rows: by column name an Arrow array, a NumPy array or a list, of one length each.

        Columns after the first batch may come in any order.
        """
        if self._partial is None:
            got = "a call outside of it"
            raise problem(self._call, "write inside a with block", got, "with TableWriter(path)")
        table = self._table({name: _array(column) for name, column in columns.items()})
        with self._partial.refusals():
            if self._sink is None:
                self._sink = self._opened(self._partial.file, table.schema)
            self._sink.write_table(table)

    def _opened(self, file: IO[bytes], schema: Any) -> Any:
        """Arrow's writer of the format."""
        if self._format == "csv":
            return pyarrow.csv.CSVWriter(file, schema)
        if self._format == "parquet":
            return pyarrow.parquet.ParquetWriter(file, schema)
        return (pa.ipc.new_stream if self._is_streamed else pa.ipc.new_file)(file, schema)

    def _table(self, arrays: dict[str, Any]) -> Any:
        """An Arrow table of the schema, which the first batch makes."""
        if self._format == "arrow":
            arrays = {name: _plain(array) for name, array in arrays.items()}
        if self._schema is None:
            known = [(name, self._types.get(name, own.type)) for name, own in arrays.items()]
            self._schema = pa.schema(known)
        if sorted(arrays) != sorted(self._schema.names):
            expected = f"the columns {quote(self._schema.names)} in every batch"
            raise problem(self._call, expected, quote(list(arrays)))
        cast = {field.name: self._cast(arrays[field.name], field) for field in self._schema}
        lengths = {name: len(array) for name, array in cast.items()}
        if len(set(lengths.values())) > 1:
            raise problem(self._call, "columns of one length", f"{lengths}")
        return pa.table(cast, schema=self._schema)

    def _cast(self, array: Any, field: Any) -> Any:
        """Cells of one batch in the type of their column."""
        try:
            return array.cast(field.type)
        except pa.ArrowException as error:
            expected = f"cells of type {field.type} in column {field.name!r}, as in the first batch"
            hint = f"state a type for all batches, types={{{field.name!r}: ...}}"
            got = f"{array.type} ({str(error).rstrip('.')})"
            raise problem(self._call, expected, got, hint) from error


class ArrayWriter:
    """Writes rows of numbers of any length as NPY, batch by batch, whole or not at all.

    A context manager like `TableWriter`; the first batch, of shape (rows, columns), fixes the
    number of columns. Raises `InvalidInputError` for a folder that cannot be written to, other
    shapes, and if there is no batch.
    """

    def __init__(self, path: str | os.PathLike[str], *, call: str | None = None):
        self._path = Path(path)
        self._call = call or f"ArrayWriter({str(self._path)!r})"
        self._partial: AtomicFile | None = None
        self._shape: tuple[int, int] | None = None

    def __enter__(self) -> "ArrayWriter":
        self._partial = AtomicFile(self._path, self._call)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._partial is not None
        partial, self._partial = self._partial, None
        with partial:
            if kind is not None:
                return
            if self._shape is None:
                raise problem(self._call, "at least one batch of rows", "none")
            with partial.refusals():
                partial.file.seek(0)
                self._write_header(partial.file)
            partial.keep()

    def write(self, values: np.ndarray) -> None:
        """Append rows, (rows, columns)."""
        assert self._partial is not None
        values = np.ascontiguousarray(values, dtype="<f8")
        n_rows, n_columns = self._shape or (0, values.shape[-1])
        if values.ndim != 2 or values.shape[1] != n_columns:
            raise problem(self._call, f"rows of {n_columns} columns", f"shape {values.shape}")
        with self._partial.refusals():
            if self._shape is None:
                self._shape = (0, n_columns)
                self._write_header(self._partial.file)
            self._shape = (n_rows + len(values), n_columns)
            self._partial.file.write(values.tobytes())

    def _write_header(self, file: IO[bytes]) -> None:
        # NumPy leaves room in a header for the number of rows to grow.
        header = {"descr": "<f8", "fortran_order": False, "shape": self._shape}
        np.lib.format.write_array_header_1_0(file, header)


def write_table(path: str | os.PathLike[str], values: np.ndarray, fields: Sequence[Field]) -> None:
    """Write values of shape (rows, columns) as CSV, Parquet, Arrow or NPY, whole or not at all.

    Every column is decoded by its field; an NPY file needs numbers alone, and holds integers only
    if all are. Raises `InvalidInputError` for an unknown extension, a folder that cannot be written
    to, text or dates in an NPY file, and codes that stand for no category.
    """
    path = Path(path)
    call = f"write_table({str(path)!r})"
    ending = path.suffix.lower()
    if ending not in (".csv", ".parquet", ".arrow", ".npy"):
        raise problem(call, "a file ending in .csv, .parquet, .arrow or .npy", f"{path.name!r}")
    if ending == ".npy":
        _check_numbers(fields, call)
    columns = decode_columns(np.asarray(values), fields, call=call)
    if ending == ".npy":
        _write_npy(path, columns, call)
    else:
        with TableWriter(path, call=call) as writer:
            writer.write(columns)


def write_columns(
    path: str | os.PathLike[str], columns: Mapping[str, Sequence[float] | Sequence[str]]
) -> None:
    """Write named columns of one length, numbers or words, as CSV, Parquet or Arrow, whole or not
    at all.

    Raises `InvalidInputError` for an unknown extension or a folder that cannot be written to.
    """
    with TableWriter(path, call=f"write_columns({str(path)!r})") as writer:
        writer.write(columns)


def _array(column: Any) -> Any:
    """A column as an Arrow array."""
    if isinstance(column, pa.Array | pa.ChunkedArray):
        return column
    return pa.array(column if isinstance(column, list) else np.asarray(column))


def _plain(array: Any) -> Any:
    """An array without a dictionary, which in an Arrow file all batches would have to share."""
    is_coded = pa.types.is_dictionary(array.type)
    return array.cast(array.type.value_type) if is_coded else array


def _check_numbers(fields: Sequence[Field], call: str) -> None:
    """Raise if a column has other than numbers to write."""
    other = [field.name for field in fields if not field.is_number]
    if other:
        got = f"text, dates or identifiers in {quote(other)}"
        raise problem(call, "columns of numbers alone", got, "write .csv or .parquet")


def _write_npy(path: Path, columns: Mapping[str, Any], call: str) -> None:
    # Truth values with gaps would become Python objects, and the file a pickle.
    arrays = [
        (column.cast(pa.float64()) if pa.types.is_boolean(column.type) else column).to_numpy(
            zero_copy_only=False
        )
        for column in columns.values()
    ]
    with AtomicFile(path, call) as partial:
        with partial.refusals():
            np.save(partial.file, np.column_stack(arrays), allow_pickle=False)
        partial.keep()
