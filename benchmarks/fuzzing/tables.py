"""Ways to damage a table: by bytes, and by what spreadsheets, exports and people do."""

import gzip
import io
from collections.abc import Callable

import numpy as np

Rng = np.random.Generator

ODD_CELLS = (
    *('"', '""', '"open', "a,b", "\x00", "\r", "\n", "1e400", "-1e308", "9" * 400, "NaN", "inf"),
    *("0x1F", "1_000", "1,5", "½", "\ufeff", "é", "𝟙", "true", "2020-02-30", "2020-01-01T00:00Z"),
    *("=1+1", " ", "\t", "null", "x" * 100_000, "1" * 5000, "-", "+", ".", "e", "1e", "infinity"),
)


def csv_text(n_rows: int = 40) -> str:
    """A table of numbers, words and dates with gaps."""
    rng = np.random.default_rng(3)
    lines = ["size,color,day,code,note"]
    for i in range(n_rows):
        day = np.datetime64("2020-01-01") + int(rng.integers(400))
        color = ("red", "green", "bleu é", "")[rng.integers(4)]
        lines.append(f"{rng.normal():.6g},{color},{day},{rng.integers(1, 3)},row {i}")
    return "\n".join(lines) + "\n"


def damage_table(rng: Rng) -> tuple[str, str, bytes]:
    """What was done, the ending of the file, and its bytes."""
    ways = list(WAYS)
    way = ways[rng.integers(len(ways))]
    ending, content = WAYS[way](rng)
    return way, ending, content


def _bytes_of(rng: Rng) -> tuple[str, bytes]:
    text = csv_text()
    match int(rng.integers(5)):
        case 0 | 1:
            return ".csv", text.encode()
        case 2:
            return ".csv.gz", gzip.compress(text.encode())
        case 3:
            buffer = io.BytesIO()
            np.save(buffer, rng.normal(size=(40, 5)))
            return ".npy", buffer.getvalue()
        case _:
            return ".parquet", _parquet(text)


def _parquet(text: str) -> bytes:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    buffer = io.BytesIO()
    content = pyarrow.csv.read_csv(pa.BufferReader(text.encode()))
    pyarrow.parquet.write_table(content, buffer, compression="snappy")
    return buffer.getvalue()


def _flip(rng: Rng) -> tuple[str, bytes]:
    ending, content = _bytes_of(rng)
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
    return ending, bytes(changed)


def _flip_parquet(rng: Rng) -> tuple[str, bytes]:
    """Few bits of a Parquet file, whose texts and names need not be text then."""
    changed = bytearray(_parquet(csv_text()))
    for _ in range(int(rng.integers(1, 4))):
        changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
    return ".parquet", bytes(changed)


def _truncate(rng: Rng) -> tuple[str, bytes]:
    ending, content = _bytes_of(rng)
    return ending, content[: int(rng.integers(len(content)))]


def _insert(rng: Rng) -> tuple[str, bytes]:
    ending, content = _bytes_of(rng)
    at, extra = int(rng.integers(len(content))), rng.bytes(int(rng.integers(1, 40)))
    return ending, content[:at] + extra + content[at:]


def _wrong_ending(rng: Rng) -> tuple[str, bytes]:
    endings = (".csv", ".csv.gz", ".parquet", ".npy", ".npz", ".txt", "")
    return endings[rng.integers(len(endings))], _bytes_of(rng)[1]


def _encoding(rng: Rng) -> tuple[str, bytes]:
    names = ("utf-16", "utf-32", "latin-1", "cp1252", "utf-8-sig", "utf-7")
    return ".csv", csv_text().encode(names[rng.integers(len(names))])


def _cells(rng: Rng) -> tuple[str, bytes]:
    """Odd cells, anywhere, the header included."""
    rows = [line.split(",") for line in csv_text().splitlines()]
    for _ in range(int(rng.integers(1, 6))):
        row = rows[int(rng.integers(len(rows)))] if rng.integers(4) else rows[0]
        row[int(rng.integers(len(row)))] = ODD_CELLS[rng.integers(len(ODD_CELLS))]
    return ".csv", "\n".join(",".join(row) for row in rows).encode()


def _ragged(rng: Rng) -> tuple[str, bytes]:
    rows = [line.split(",") for line in csv_text().splitlines()]
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(rows)))
        rows[at] = rows[at][: int(rng.integers(5))] if rng.integers(2) else rows[at] + ["x"]
    return ".csv", "\n".join(",".join(row) for row in rows).encode()


def _names(rng: Rng) -> tuple[str, bytes]:
    odd = (
        *("size,size,day,code,note", ",,,,", "1,2,3,4,5", '"a\nb",color,day,code,note', "size"),
        *("size,color,day,code,note,", "SIZE,color,day,code,note", "a" * 200_000, "\x00,b,c,d,e"),
        *(",".join(f"c{i}" for i in range(20_000)), "size;color;day;code;note", "\ud83d\ude00,b"),
    )
    header = odd[rng.integers(len(odd))]
    body = csv_text().split("\n", 1)[1]
    return ".csv", f"{header}\n{body}".encode("utf-8", "surrogatepass")


def _few(rng: Rng) -> tuple[str, bytes]:
    contents = (
        b"",
        b"\n",
        b"\n\n\n",
        b",",
        b"a",
        b"a\n",
        b"a,b\n",
        b'"',
        b"\xef\xbb\xbf",
        b"\x1f\x8b",
    )
    endings = (".csv", ".csv.gz", ".parquet", ".npy", ".npz")
    return endings[rng.integers(len(endings))], contents[rng.integers(len(contents))]


def _types(rng: Rng) -> tuple[str, bytes]:
    """Parquet of the right names and other types."""
    import pyarrow as pa
    import pyarrow.parquet

    n = 40
    columns = (
        *(pa.nulls(n), pa.array([[1, 2]] * n), pa.array([{"a": 1}] * n), pa.array([b"\xff"] * n)),
        *(
            pa.array(["\x00"] * n),
            pa.array([2**63] * n, pa.uint64()),
            pa.array([True, None] * (n // 2)),
        ),
        *(
            pa.array([1e308] * n),
            pa.array([float("nan")] * n),
            pa.array(range(n), pa.duration("s")),
        ),
        *(pa.array(range(n), pa.time64("ns")), pa.array([2**62] * n, pa.timestamp("ms", "UTC"))),
        *(pa.array(["x"] * n).dictionary_encode(), pa.array(range(n), pa.int8())),
        *(pa.array(["1"] * n).cast(pa.decimal128(30, 10)), pa.array([b"ab"] * n, pa.binary(2))),
        *(pa.array([2**40] * n, pa.date64()), pa.array([None] * n, pa.string())),
    )
    names = ("size", "color", "day", "code", "note")
    chosen = {name: columns[rng.integers(len(columns))] for name in names}
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(chosen), buffer)
    return ".parquet", buffer.getvalue()


def _arrays(rng: Rng) -> tuple[str, bytes]:
    """NPY of other types and shapes, pickles among them."""
    arrays = (
        *(np.zeros(3), np.zeros((2, 2, 2)), np.zeros((0, 5)), np.zeros((5, 0)), np.float64(1.0)),
        *(np.array([["a", "b"]]), np.array([[1, None]], dtype=object), np.zeros((9, 5), complex)),
        *(
            np.full((9, 5), np.inf),
            np.full((9, 5), 1e300),
            np.zeros((9, 5), "M8[s]"),
            np.zeros((9, 5), "?"),
        ),
        *(
            np.zeros((9, 5), "f2"),
            np.zeros((9, 5), ">f8"),
            np.zeros(9, [("a", "f8")]),
            np.zeros((9, 5), "V8"),
        ),
    )
    buffer = io.BytesIO()
    np.save(buffer, arrays[rng.integers(len(arrays))], allow_pickle=True)
    content = buffer.getvalue()
    if rng.integers(3) == 0:
        content = content.replace(b"'shape': (", b"'shape': (99999999999, ", 1)
    return ".npy", content


WAYS: dict[str, Callable[[Rng], tuple[str, bytes]]] = {
    "bits flipped": _flip,
    "bits of Parquet flipped": _flip_parquet,
    "truncated": _truncate,
    "bytes inserted": _insert,
    "wrong ending": _wrong_ending,
    "encoding": _encoding,
    "odd cells": _cells,
    "ragged rows": _ragged,
    "odd names": _names,
    "next to nothing": _few,
    "types of Parquet": _types,
    "types of NPY": _arrays,
}
