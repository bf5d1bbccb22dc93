"""Density of eight real tables: ours beside mixtures, a spline flow, kernels and random forests.

`python -m benchmarks.density [--tables wilt ...] [--seeds 0 1 2] [--methods harmonium flow ...]
[--anew] [--summary]`

Tables and split are those of `tools/density_tables.py` in ../shared: 60 / 10 / 30 % of at most
12 000 normal rows, standardized by the training rows. Training and validation rows go to a method,
which chooses by the latter or in its own way; test rows are scored once. Figures are mean
log-densities of test rows, nats per row in these units, with their standard error. Ours is
`DensityEstimator(random_state=seed)`, "quick" that with effort="quick";
`benchmarks.density_peers` says what the others are. Every fit has a process of its own, one at a
time, so that compilation counts; the flow gets at most --flow-seconds. NRGBoost is left out: its
energies are not normalized, and its support ends at the outermost training rows.

Every result is one line of results/density_runs.jsonl as soon as it is there, and is computed
again only with --anew or under other limits. Times are comparable within one run on one machine:
compare those of old lines with care. A fit that fails stays in the tables, marked.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.peers import ROOT, peer_python, peer_versions
from benchmarks.report import RESULTS, Row, markdown, store
from benchmarks.startup import CACHE

RUNS = RESULTS / "density_runs.jsonl"
SHARED = ROOT.parent / "shared"
TOOL = "tools/density_tables.py"
OURS = "harmonium"
# effort="quick": marginals and base alone.
QUICK = "quick"
METHODS = (OURS, QUICK, "mixture", "flow", "kernel", "forest")
# Nothing random is in them: one seed says it all.
SEEDLESS = ("kernel",)
LINES_TITLE = "Density of real tables, mean log-likelihood of test rows, nats per row"
COMPARED_TITLE = "Ours beside the best, the flow and the mixture, nats per row"
KEY = ("table", "method", "seed")


def load_tool(shared: Path) -> ModuleType | None:
    """The module that makes the tables, or None where it is not there."""
    path = shared / TOOL
    if not path.exists():
        return None
    spec = importlib.util.spec_from_file_location("density_tables", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_table(tool: ModuleType, name: str, shared: Path, folder: Path) -> Row:
    """Write the three parts of a table for the processes that fit, and say how large it is."""
    parts = tool.table(name, str(shared / "data" / "adbench"))
    for part, rows in zip(("train", "validation", "test"), parts, strict=True):
        np.save(folder / f"{part}.npy", rows)
    return {"rows": len(parts[0]) + len(parts[1]), "columns": parts[0].shape[1]}


def call_of(request: dict[str, Any]) -> list[str]:
    """The process that fits a method."""
    if request["method"] in (OURS, QUICK):
        start = [sys.executable, "-W", "ignore", "-m", "benchmarks.density_fit"]
    else:
        start = [str(peer_python()), str(Path(__file__).with_name("density_peers.py"))]
    return [*start, json.dumps(request)]


def limits_of(method: str, options: argparse.Namespace) -> dict[str, Any]:
    """What ends a fit of this method early."""
    limits = {
        OURS: {"seconds": options.time_budget},
        QUICK: {"seconds": options.time_budget},
        "flow": {"seconds": options.flow_seconds, "epochs": options.flow_epochs},
    }
    return limits.get(method, {})


def run(request: dict[str, Any]) -> Row:
    """One fit in its own process, or the last line of what it said when it failed."""
    # Programs compiled by an earlier fit would hide what a first fit costs.
    surroundings = {name: value for name, value in os.environ.items() if name != CACHE}
    done = subprocess.run(
        call_of(request),
        cwd=ROOT,
        env=surroundings,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        return {"failed": (done.stderr.strip().splitlines() or ["no words"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def stored_runs() -> list[Row]:
    """All lines so far."""
    if not RUNS.exists():
        return []
    return [json.loads(line) for line in RUNS.read_text(encoding="utf-8").splitlines()]


def keep(row: Row) -> None:
    """Add a line, in the place of an earlier one of the same table, method and seed."""
    others = [old for old in stored_runs() if any(old[name] != row[name] for name in KEY)]
    lines = [json.dumps(line) for line in [*others, row]]
    RUNS.write_text("\n".join(lines) + "\n", encoding="utf-8")


def is_stored(row: Row) -> bool:
    """Whether there is a line of the same fit with the same limits."""
    names = (*KEY, "limits")
    return any(all(old[name] == row[name] for name in names) for old in stored_runs())


def planned(name: str, options: argparse.Namespace) -> Iterator[Row]:
    """The fits of a table that were asked for, seed after seed."""
    for seed in options.seeds:
        for method in options.methods:
            if method in SEEDLESS and seed != options.seeds[0]:
                continue
            row = {"table": name, "method": method, "seed": seed}
            yield row | {"limits": limits_of(method, options)}


def measure(tool: ModuleType, options: argparse.Namespace) -> None:
    """Run what is missing, or all of it anew."""
    for name in options.tables or tool.NAMES:
        rows = [row for row in planned(name, options) if options.anew or not is_stored(row)]
        with tempfile.TemporaryDirectory() as folder:
            size = write_table(tool, name, options.shared, Path(folder)) if rows else {}
            for row in rows:
                request = {"method": row["method"], "seed": row["seed"], **row["limits"]}
                found = row | size | run(request | {"folder": folder})
                print(json.dumps(found), flush=True)
                keep(found)


def mean_of(runs: list[Row], figure: str) -> float:
    """Over the runs that came to an end; NaN if none did."""
    values = [run[figure] for run in runs if "failed" not in run]
    return float(np.mean(values)) if values else float("nan")


def line(runs: list[Row]) -> Row:
    """All seeds of one method on one table."""
    ended = [run for run in runs if "failed" not in run]
    scores = [run["log-likelihood"] for run in ended]
    row: Row = {name: runs[0][name] for name in ("table", "rows", "columns", "method")}
    row |= {
        "seeds": len(runs),
        "log-likelihood": mean_of(runs, "log-likelihood"),
        "standard error": mean_of(runs, "standard error"),
        "sd over seeds": float(np.std(scores, ddof=1)) if len(scores) > 1 else "",
        "fit seconds": mean_of(runs, "fit seconds"),
        "score seconds": mean_of(runs, "score seconds"),
        "failed": len(runs) - len(ended),
        "chosen": "; ".join(dict.fromkeys(run["chosen"] for run in ended)),
    }
    if runs[0]["method"] in (OURS, QUICK):
        row["log Z"] = "; ".join(
            f"{run['log Z']:.3f} [{run['log Z low']:.3f}, {run['log Z high']:.3f}]" for run in ended
        )
        row["untrusted"] = sum(not run["trusted"] for run in ended)
    return row


def compare(lines: list[Row]) -> Row:
    """One table: who is best, and ours beside the flow and the mixture."""
    by_method = {row["method"]: row for row in lines}
    rivals = [row for row in lines if row["method"] != QUICK]
    scored = [row for row in rivals if np.isfinite(row["log-likelihood"])]
    best = max(scored, key=lambda row: row["log-likelihood"], default=None)
    row: Row = {
        "table": lines[0]["table"],
        "best": best["method"] if best else "",
        "best score": best["log-likelihood"] if best else float("nan"),
    }
    ours = by_method.get(OURS)
    if ours is None:
        return row
    row |= {"ours": ours["log-likelihood"], "untrusted": ours["untrusted"]}
    for peer in ("flow", "mixture"):
        if peer in by_method:
            row[f"over the {peer}"] = ours["log-likelihood"] - by_method[peer]["log-likelihood"]
    if QUICK in by_method:
        row["quick"] = by_method[QUICK]["log-likelihood"]
    if "flow" in by_method:
        flow_seconds = by_method["flow"]["fit seconds"]
        row["time / flow's"] = ours["fit seconds"] / flow_seconds
        if QUICK in by_method:
            row["quick time / flow's"] = by_method[QUICK]["fit seconds"] / flow_seconds
    return row


def totals(rows: list[Row]) -> Row:
    """The last line: means over tables, the median of ratios, the number of untrusted fits."""
    last: Row = {"table": f"all {len(rows)}"}
    won = sum(row["best"] == OURS for row in rows)
    last["best"] = f"{OURS} on {won}"
    for figure in ("ours", "quick", "over the flow", "over the mixture"):
        values = [row[figure] for row in rows if figure in row]
        if values:
            last[figure] = float(np.mean(values))
    for figure in ("time / flow's", "quick time / flow's"):
        ratios = [row[figure] for row in rows if figure in row]
        if ratios:
            last[figure] = float(np.median(ratios))
    last["untrusted"] = sum(row.get("untrusted", 0) for row in rows)
    return last


def summarize(runs: list[Row]) -> tuple[list[Row], list[Row]]:
    """A line for each table and method, and a line for each table with a last one for all."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in runs:
        groups.setdefault((row["table"], row["method"]), []).append(row)
    lines = [line(group) for group in groups.values()]
    lines.sort(key=lambda row: (row["table"], METHODS.index(row["method"])))
    tables = dict.fromkeys(row["table"] for row in lines)
    compared = [compare([row for row in lines if row["table"] == table]) for table in tables]
    return lines, [*compared, totals(compared)]


def publish_runs() -> None:
    """Store and print what all stored runs say."""
    runs = stored_runs()
    if not runs:
        print("benchmarks.density: there are no results yet.")
        return
    lines, compared = summarize(runs)
    store("density", LINES_TITLE, lines, peer_versions())
    facts = store("density_summary", COMPARED_TITLE, compared, peer_versions())
    print(f"\n{LINES_TITLE}\n\n{markdown(lines)}\n\n{COMPARED_TITLE}\n\n{markdown(compared)}\n")
    print(", ".join(f"{key} {value}" for key, value in facts.items()))


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="*")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=list(METHODS))
    parser.add_argument("--time-budget", type=float, help="seconds of our fits; none by default")
    parser.add_argument("--flow-seconds", type=float, default=150.0)
    parser.add_argument("--flow-epochs", type=int, default=400)
    parser.add_argument("--shared", type=Path, default=SHARED, help="where tools and data are")
    parser.add_argument("--anew", action="store_true", help="compute stored results again")
    parser.add_argument("--summary", action="store_true", help="only publish what is stored")
    return parser.parse_args()


def main() -> None:
    """Run, store, print."""
    options = parse()
    if not options.summary:
        tool = load_tool(options.shared)
        if tool is None:
            print(f"benchmarks.density: skipped, because {options.shared / TOOL} is not there.")
            return
        measure(tool, options)
    publish_runs()


if __name__ == "__main__":
    main()
