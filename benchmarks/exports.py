"""Exported scorers beside the estimators that they are made of, on real tables.

`python -m benchmarks.exports [--tables wilt …] [--rest] [--rows 500] [--effort quick]`

Density tables are those of `benchmarks.density` (test rows are scored) and the mixed ones of
`benchmarks.tables`; detection tables are all of ../shared/data/adbench. A line per table:

    double       largest difference, in nats, of onnxruntime from harmonium in double precision
    single       the same from harmonium as users run it, in single precision
    relative     the same divided by the score, where that is larger than 1
    stablehlo    the same of StableHLO by jax.export from onnxruntime
    left out     rows of which the export says NaN, though harmonium has a score
    kB           of the programs in both formats
    load         seconds until a process that has its modules can score: read, and for StableHLO
                 compile
    rows/s       by onnxruntime, by StableHLO and by harmonium itself, each one a second time

Each table has a process of its own, which is ended after --seconds. onnxruntime and JAX use the
threads that they choose. Lines are kept in results/exports_runs.jsonl; the printed table has the
last one of every table, and with --rest only tables without one are measured.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import onnxruntime

import harmonium as hm
from benchmarks.density import SHARED, load_tool
from benchmarks.report import RESULTS, Row, publish
from benchmarks.tables import ADBENCH, TABLES
from harmonium.data import as_table
from harmonium.export.scorers import in_double

MIXED = ("penguins", "GBSG2", "whas500", "actg320")
RUNS = RESULTS / "exports_runs.jsonl"
DENSITY, DETECTOR = "density", "detector"
Score = Callable[[np.ndarray], np.ndarray]


def tables(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Kind and name of all tables, or of those that were asked for."""
    tool = load_tool(options.shared)
    found = [(DENSITY, name) for name in (tool.NAMES if tool else ())]
    found += [(DENSITY, f"mixed {name}") for name in MIXED]
    found += [(DETECTOR, path.stem) for path in sorted(ADBENCH.glob("*.npz"))]
    found += [(DETECTOR, f"mixed {name}") for name in MIXED]
    wanted = options.tables
    done = {(row["kind"], row["table"]) for row in stored()} if options.rest else set()
    return [
        own
        for own in found
        if own not in done and (not wanted or own[1] in wanted or own[0] in wanted)
    ]


def parts_of(kind: str, name: str, shared: Path) -> tuple[Any, Any]:
    """Rows to fit to, and rows to score."""
    rng = np.random.default_rng(0)
    if name.startswith("mixed "):
        table = TABLES[name.removeprefix("mixed ")]()
        return table, table.sample(frac=1.0, random_state=0)
    if kind == DENSITY:
        tool = load_tool(shared)
        assert tool is not None
        train, validation, test = tool.table(name, str(shared / "data" / "adbench"))
        return np.concatenate([train, validation]), test
    with np.load(ADBENCH / f"{name}.npz") as data:
        rows, labels = data["X"], data["y"]
    return rows[labels == 0][:20_000], rows[rng.permutation(len(rows))]


def fitted(kind: str, train: Any, effort: str) -> Any:
    """The estimator; columns of arrays are continuous for densities, as in `benchmarks.density`."""
    if kind == DETECTOR:
        return hm.AnomalyDetector().fit(train)
    kinds = None
    if isinstance(train, np.ndarray):
        kinds = {f"x{i + 1}": "continuous" for i in range(train.shape[1])}
    return hm.DensityEstimator(effort=effort, kinds=kinds).fit(train)


def in_double_precision(kind: str, estimator: Any, values: np.ndarray) -> np.ndarray:
    """Scores by the same code in double precision."""
    with jax.enable_x64(True):
        if kind == DENSITY:
            density = estimator.density_
            return replace(density, model=in_double(density.model)).log_density(values)
        spaces = [replace(s, mixtures=in_double(s.mixtures)) for s in estimator.detector_.spaces]
        return replace(estimator.detector_, spaces=tuple(spaces)).scores(values)


def open_onnx(folder: Path) -> Score:
    """The exported scorer by onnxruntime, as score.py opens it."""
    return _opened(folder, lambda path: _session(path.with_suffix(".onnx")))


def open_stablehlo(folder: Path) -> Score:
    """The exported scorer by JAX, as score.py opens it."""

    def program(path: Path) -> Score:
        data = bytearray(path.with_suffix(".stablehlo").read_bytes())
        call = jax.jit(jax.export.deserialize(data).call)

        def padded(values: np.ndarray) -> np.ndarray:
            size = 1 << max(len(values) - 1, 0).bit_length()
            more = np.tile(values[:1], (size - len(values), 1))
            with jax.enable_x64(True):
                return np.asarray(call(np.concatenate([values, more])))[: len(values)]

        return padded

    return _opened(folder, program)


def _session(path: Path) -> Score:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda values: np.asarray(session.run(None, {"values": values})[0])


def _opened(folder: Path, program: Callable[[Path], Score]) -> Score:
    described = json.loads((folder / "columns.json").read_text(encoding="utf-8"))
    parts = [(program(folder / part["file"]), part["rows"]) for part in described["parts"]]

    def score(values: np.ndarray) -> np.ndarray:
        found = np.full(len(values), np.nan)
        for run, n_rows in parts:
            left = np.flatnonzero(np.isnan(found))
            for start in range(0, len(left), n_rows):
                own = left[start : start + n_rows]
                found[own] = run(values[own])
        return found

    return score


def timed(call: Callable[[], np.ndarray]) -> tuple[np.ndarray, float, float]:
    """The result, the seconds of the first call and those of the second."""
    started = time.perf_counter()
    call()
    again = time.perf_counter()
    found = call()
    return found, again - started, time.perf_counter() - again


def largest(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference where both have a score."""
    gaps = np.abs(one - other)
    return float(np.nanmax(gaps)) if np.isfinite(gaps).any() else float("nan")


def measure(request: dict[str, Any]) -> Row:
    """One table: fit, export, score in every way."""
    kind, name = request["kind"], request["name"]
    train, test = parts_of(kind, name, Path(request["shared"]))
    estimator = fitted(kind, train, request["effort"])
    inner = estimator.density_ if kind == DENSITY else estimator.detector_
    values = as_table(test, call="score", fields=inner.columns.fields).values
    values = values[: request["rows"]]
    row: Row = {"kind": kind, "table": name, "rows": len(values), "columns": values.shape[1]}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "export"
        started = time.perf_counter()
        written = estimator.export(folder)
        exporting = time.perf_counter() - started
        scores: dict[str, np.ndarray] = {}
        rates, loads = {}, {}
        for way, opened in (("onnx", open_onnx), ("stablehlo", open_stablehlo)):
            before = time.perf_counter()
            score = opened(folder)
            opening = time.perf_counter() - before
            scores[way], first, second = timed(lambda score=score: score(values))
            # What the first call takes beyond the second is what it compiles.
            loads[way] = opening + max(first - second, 0.0)
            rates[way] = len(values) / second
    plain = inner.log_density if kind == DENSITY else inner.scores
    own, _, seconds = timed(lambda: plain(values))
    double = in_double_precision(kind, estimator, values)
    size = np.maximum(np.abs(double), 1)
    sizes = {way: sum(n for f, n in written.files.items() if f.endswith(way)) for way in rates}
    return row | {
        "effort": request["effort"] if kind == DENSITY else "",
        "residual": getattr(inner, "has_residual", ""),
        "double": largest(scores["onnx"], double),
        "single": largest(scores["onnx"], own),
        "relative": largest(scores["onnx"] / size, own / size),
        "stablehlo": largest(scores["onnx"], scores["stablehlo"]),
        "left out": int(np.sum(np.isnan(scores["onnx"]) & ~np.isnan(own))),
        "onnx kB": sizes["onnx"] / 1000,
        "stablehlo kB": sizes["stablehlo"] / 1000,
        "export s": exporting,
        "onnx load s": loads["onnx"],
        "stablehlo load s": loads["stablehlo"],
        "onnx rows/s": rates["onnx"],
        "stablehlo rows/s": rates["stablehlo"],
        "harmonium rows/s": len(values) / seconds,
    }


def run(table: Row, options: argparse.Namespace) -> Row:
    """The line of one table, or the last line of what was said where it failed."""
    request = table | {
        "rows": options.rows,
        "effort": options.effort,
        "shared": str(options.shared),
    }
    call = [sys.executable, "-W", "ignore", "-m", "benchmarks.exports", "--request"]
    found = {"kind": table["kind"], "table": table["name"]}
    try:
        done = subprocess.run(
            [*call, json.dumps(request)],
            check=False,
            capture_output=True,
            text=True,
            timeout=options.seconds,
        )
    except subprocess.TimeoutExpired:
        return found | {"failed": f"not done in {options.seconds:g} s"}
    if done.returncode:
        return found | {"failed": (done.stderr.strip().splitlines() or ["no words"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def stored() -> list[Row]:
    """The last line of every table."""
    if not RUNS.exists():
        return []
    rows = [json.loads(line) for line in RUNS.read_text(encoding="utf-8").splitlines()]
    return list({(row["kind"], row["table"]): row for row in rows}.values())


def keep(row: Row) -> None:
    """Add a line, which is valid in the place of earlier ones of the same table."""
    with RUNS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def main() -> None:
    """Print a line per table, and store the whole."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", nargs="*", default=[])
    parser.add_argument("--rest", action="store_true")
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--effort", default="normal")
    parser.add_argument("--seconds", type=float, default=900.0)
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--request", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.request:
        print(json.dumps(measure(json.loads(options.request))))
        return
    for kind, name in tables(options):
        row = run({"kind": kind, "name": name}, options)
        print(json.dumps(row), flush=True)
        keep(row)
    publish("exports", "Exported scorers beside harmonium", stored())


if __name__ == "__main__":
    main()
