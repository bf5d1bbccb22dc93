"""Arrow streams in and out.

A stream of few bytes can stand for very many: what is compressed is refused, and rows and texts are
counted before anything is copied.
"""

import struct
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from harmonium.service.problems import ProblemError

# Of the tables of Arrow's flatbuffers (format/Message.fbs): positions of fields, and types.
_HEADER_TYPE, _HEADER = 1, 2
_DICTIONARY, _BATCH = 2, 3
_DICTIONARY_DATA, _COMPRESSION = 1, 3
# Bytes of text that cells may stand for, over those of the body.
MOST_EXPANDED = 8


def read_stream(body: bytes, most_rows: int) -> pa.Table:
    """The table in a body; raises `ProblemError` unless it is a plain stream of at most so many
    rows.
    """
    try:
        table = _read(body, most_rows)
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, struct.error, MemoryError) as error:
        got = str(error).partition("\n")[0][:200]
        raise ProblemError(400, f"expected an Arrow stream; got another body ({got}).") from None
    for name, column in zip(table.column_names, table.columns, strict=True):
        _check_column(name, column, MOST_EXPANDED * len(body))
    return table


def write_stream(columns: dict[str, Any], metadata: dict[str, bytes]) -> bytes:
    """Columns as an Arrow stream; `metadata` goes into its schema."""
    table = pa.table(columns).replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def _read(body: bytes, most_rows: int) -> pa.Table:
    for message in pa.ipc.MessageReader.open_stream(body):
        _refuse_compressed(message.metadata.to_pybytes())
    batches, n_rows = [], 0
    with pa.ipc.open_stream(body) as reader:
        for batch in reader:
            n_rows += batch.num_rows
            if n_rows > most_rows:
                raise too_many_rows(most_rows)
            batches.append(batch)
        return pa.Table.from_batches(batches, schema=reader.schema)


def too_many_rows(most_rows: int) -> ProblemError:
    """More rows than one request may have."""
    return ProblemError(413, f"expected at most {most_rows} rows; got more. Try: several requests.")


def _check_column(name: str, column: pa.ChunkedArray, most_bytes: int) -> None:
    kind = column.type
    is_coded = pa.types.is_dictionary(kind)
    plain = kind.value_type if is_coded else kind
    types = pa.types
    is_text = types.is_string(plain) or types.is_large_string(plain)
    is_other = types.is_temporal(plain) and not types.is_duration(plain)
    is_other |= types.is_boolean(plain) or types.is_null(plain) or types.is_decimal(plain)
    if not (is_text or types.is_integer(plain) or types.is_floating(plain) or is_other):
        raise ProblemError(
            422,
            f"column {name!r}: expected numbers, text, truth values or dates; got {kind}.",
            column=name,
        )
    if is_text and is_coded:
        longest = max((_longest(chunk.dictionary) for chunk in column.chunks), default=0)
        if longest * len(column) > most_bytes:
            raise ProblemError(413, f"column {name!r}: its categories are too long.", column=name)


def _longest(texts: pa.Array) -> int:
    lengths = pc.call_function("binary_length", [texts])
    return pc.call_function("max", [lengths]).as_py() or 0


def _refuse_compressed(metadata: bytes) -> None:
    root = struct.unpack_from("<I", metadata)[0]
    kind = _field(metadata, root, _HEADER_TYPE)
    header = _table(metadata, root, _HEADER)
    if kind is None or header is None:
        return
    batch: int | None = header
    if metadata[kind] == _DICTIONARY:
        batch = _table(metadata, header, _DICTIONARY_DATA)
    elif metadata[kind] != _BATCH:
        return
    if batch is not None and _field(metadata, batch, _COMPRESSION) is not None:
        raise ProblemError(
            415, "expected an Arrow stream without compression; got a compressed one."
        )


def _field(data: bytes, table: int, field: int) -> int | None:
    """Where a field of a table of a flatbuffer lies; None if it is not there."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    if vtable < 0 or 4 + 2 * field >= struct.unpack_from("<H", data, vtable)[0]:
        return None
    offset = struct.unpack_from("<H", data, vtable + 4 + 2 * field)[0]
    return table + offset if offset else None


def _table(data: bytes, table: int, field: int) -> int | None:
    at = _field(data, table, field)
    return None if at is None else at + struct.unpack_from("<I", data, at)[0]
