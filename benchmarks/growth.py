"""How time and memory grow with rows, columns, hidden units, chains and MCMC steps, each over two
decades.

One quantity grows, the others stay at 4096 rows, 16 columns, 64 hidden units, 256 chains (two
populations of 128) and 10 steps; f has two layers of 64. Rows are those of a fit of 40 updates
whose programs are compiled, with everything around the updates; all others are judged by one update
as shipped. Every point is a process of its own.

"time ^" and "memory ^" are the exponents of a power law fitted to all points of a quantity, and,
"at the end", to the last two. Memory is the peak of the process over that of the smallest process
of all, which is the cost of the libraries.

`python -m benchmarks.growth [--only rows columns hidden chains steps] [--points 4]`
"""

import argparse
import json
import subprocess
import sys
from typing import Any

import numpy as np

from benchmarks.peers import ROOT
from benchmarks.plots import curves
from benchmarks.report import Row, publish

BASE = {"rows": 4096, "columns": 16, "hidden": 64, "chains": 256, "steps": 10}
RANGES = {
    "rows": (1_000, 100_000),
    "columns": (4, 400),
    "hidden": (16, 1600),
    "chains": (64, 6400),
    "steps": (1, 100),
}
# MB: below this a difference of peaks is noise.
LEAST_MB = 1.0


def point(quantity: str, value: int) -> Row:
    """One process."""
    what = "fit" if quantity == "rows" else "update"
    settings: dict[str, Any] = {**BASE, quantity: value, "what": what}
    call = [sys.executable, "-W", "ignore", "-m", "benchmarks.growth_point", json.dumps(settings)]
    done = subprocess.run(call, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return {"quantity": quantity, "value": value, "what": what, **found}


def exponent(values: list[float], costs: list[float]) -> float:
    """The slope of log cost over log value."""
    return float(np.polyfit(np.log(values), np.log(costs), 1)[0])


def exponents(quantity: str, rows: list[Row]) -> Row:
    """Of time and of memory, over all points and at the end."""
    own = [row for row in rows if row["quantity"] == quantity]
    values = [row["value"] for row in own]
    least = min(row["peak_mb"] for row in rows)
    costs = {
        "time": [row["seconds"] for row in own],
        "memory": [max(row["peak_mb"] - least, LEAST_MB) for row in own],
    }
    found: Row = {"quantity": quantity, "value": f"{values[0]} to {values[-1]}"}
    for name, cost in costs.items():
        found[f"{name} ^"] = exponent(values, cost)
        found[f"{name} ^ at the end"] = exponent(values[-2:], cost[-2:])
    return found


def main() -> None:
    """Measure, publish, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", default=list(RANGES), choices=list(RANGES))
    parser.add_argument("--points", type=int, default=4)
    options = parser.parse_args()
    rows = [
        point(quantity, round(value))
        for quantity in options.only
        for value in np.geomspace(*RANGES[quantity], options.points)
    ]
    summary = [exponents(quantity, rows) for quantity in options.only]
    publish("growth", "Growth of time and memory", rows + summary)
    panels = {
        heading: {
            f"{quantity} ({'fit' if quantity == 'rows' else 'update'})": (
                [row["value"] / RANGES[quantity][0] for row in rows if row["quantity"] == quantity],
                [row[heading] for row in rows if row["quantity"] == quantity],
            )
            for quantity in options.only
        }
        for heading in ("seconds", "peak_mb")
    }
    curves("growth", panels, x="times the smallest", xscale="log", yscale="log")


if __name__ == "__main__":
    main()
