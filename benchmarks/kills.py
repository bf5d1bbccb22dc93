"""Fits that are killed at random moments: does every one go on, and end like the one that was left
alone?

`python -m benchmarks.kills [--kills 50] [--seed 0]`

One run is fitted whole. Others are begun and killed (SIGKILL) at a moment drawn at random in the
first half of the time that the whole one took, resumed, killed again, and so on, until each comes
to its end (what comes late in a fit is met after resuming, when less is left to do); model file and
history must equal those of the whole run, byte by byte, but for the seconds in the history. Two
runs go side by side.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.report import Row, publish

N_ROWS = 600
FIT = (
    "--updates",
    "800",
    "--objective",
    "noise-contrastive",
    "--hidden",
    "16",
    "--kind",
    "c=categorical",
    "--no-detector",
    "--no-report",
)
SIDE_BY_SIDE = 2
# Kills of one run before it is left alone.
MOST_KILLS = 5


def write_table(path: Path) -> None:
    """Two dependent columns and categories, with missing cells."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=N_ROWS)
    b = a**2 + 0.3 * rng.normal(size=N_ROWS)
    c = np.where(rng.random(N_ROWS) < 0.5 + 0.3 * np.tanh(a), "u", "v")
    lines = [
        f"{x:.5f},{'' if i % 9 == 0 else f'{y:.5f}'},{z}"
        for i, (x, y, z) in enumerate(zip(a, b, c, strict=True))
    ]
    path.write_text("\n".join(["a,b,c", *lines]) + "\n")


def fit(arguments: list[str], cache: Path) -> subprocess.Popen[str]:
    """One call of `harmonium fit`; compiled code is kept between calls."""
    code = "from harmonium.cli import main; main()"
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    return subprocess.Popen(
        [sys.executable, "-c", code, "fit", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


def whole_run(table: Path, output: Path, cache: Path) -> float:
    """Seconds of a run that is left alone."""
    started = time.monotonic()
    process = fit([str(table), "-o", str(output), *FIT], cache)
    _, words = process.communicate()
    assert process.returncode == 0, words
    return time.monotonic() - started


def is_same(a: Path, b: Path) -> bool:
    """Whether two runs came to the same end."""
    models = [(run / "model.safetensors").read_bytes() for run in (a, b)]
    histories = [pq.read_table(run / "history.parquet").drop(["seconds"]) for run in (a, b)]
    return models[0] == models[1] and histories[0].equals(histories[1])


def killed_run(
    table: Path, output: Path, cache: Path, longest: float, rng: np.random.Generator
) -> Row:
    """One run, killed up to `MOST_KILLS` times."""
    done, begun, states = 0, False, []
    while True:
        resumes = begun and (output / "config.toml").exists()
        where = ["--resume", str(output)] if resumes else ["-o", str(output), *FIT]
        if begun and output.exists() and not resumes:
            where.append("--overwrite")
        process = fit([str(table), *where], cache)
        begun = True
        try:
            _, words = process.communicate(
                timeout=None if done >= MOST_KILLS else float(rng.uniform(0, longest / 2))
            )
            return {
                "kills": done,
                "checkpoints at each": states,
                "exit code": process.returncode,
                "words": words[-200:] if process.returncode else "",
            }
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            done += 1
            saved = (output / "checkpoints").glob("*.safetensors")
            numbers = [int(path.stem.rpartition("-")[2]) for path in saved]
            states.append(max(numbers, default=0))


def main() -> None:
    """Kill until there were as many kills as asked for, or a few more."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table, cache, whole = folder / "table.csv", folder / "cache", folder / "whole"
        write_table(table)
        whole_run(table, whole, cache)  # Compiles.
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            wholes = [folder / f"whole{i}" for i in range(SIDE_BY_SIDE)]
            longest = max(pool.map(lambda output: whole_run(table, output, cache), wholes))
            assert all(is_same(whole, output) for output in wholes)

            def one(number: int) -> Row:
                output, rng = folder / f"run{number}", np.random.default_rng([options.seed, number])
                row = killed_run(table, output, cache, longest, rng)
                same = row["exit code"] == 0 and is_same(whole, output)
                print(row := {"run": number} | row | {"same": same}, flush=True)
                return row

            while sum(row["kills"] for row in rows) < options.kills:
                rows += pool.map(one, range(len(rows), len(rows) + SIDE_BY_SIDE))
    total = sum(row["kills"] for row in rows)
    told = [{**row, "checkpoints at each": str(row["checkpoints at each"])} for row in rows]
    publish("kills", f"{total} kills; the whole run takes {longest:.0f} s", told)


if __name__ == "__main__":
    main()
