"""Start-up: imports, `harmonium --help`, and the first update of the demo's model, cold and with
compiled code at hand.

Every figure is the time of a whole process, from its start to its end, the interpreter included;
"python" alone is the first line; "CPU" is what it kept the cores busy. The first update is measured
three times: without JAX's persistent compilation cache, with an empty one that it fills, and with
the one just filled, which stores every program whatever its size. Turns alternate; the first of
each, which reads files that the machine has not in memory yet, is kept apart as "first".

`python -m benchmarks.startup [--repetitions 5]`
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.peers import ROOT, peer_python, peer_versions
from benchmarks.plots import bars
from benchmarks.report import Row, publish

CACHE = "JAX_COMPILATION_CACHE_DIR"
STORE_ALL = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
FIRST_UPDATE = ("-m", "benchmarks.first_update")
HELP = ("-c", "from harmonium.cli import main; main()", "--help")
# What a user of each imports to train or to score; the packages alone may load nothing.
PEERS = {
    "torch": "import torch",
    "ebmkit": "import ebm",
    "torchebm": "from torchebm.losses import ContrastiveDivergence",
    "rbms": "from rbms.bernoulli_bernoulli.classes import BBRBM",
    "learnergy": "from learnergy.models.gaussian import GaussianRBM",
    "scikit-learn": "from sklearn.neural_network import BernoulliRBM",
    "pyod": "from pyod.models.iforest import IForest",
}


class Cost(NamedTuple):
    """Seconds of a process, and those in which it kept a core busy."""

    seconds: float
    busy: float


@dataclass(frozen=True)
class Start:
    """A process to time: its name in the table, who runs it, the limit set for it (seconds), its
    surroundings.
    """

    name: str
    python: str | Path
    arguments: tuple[str, ...]
    limit: float | None = None
    variables: dict[str, str] = field(default_factory=dict)

    def run(self) -> Cost:
        """The cost of the whole process; an error if it fails."""
        surroundings = {name: value for name, value in os.environ.items() if name != CACHE}
        started = time.perf_counter()
        process = subprocess.Popen(
            [self.python, "-W", "ignore", *self.arguments],
            env=surroundings | self.variables,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        if os.waitstatus_to_exitcode(status) != 0:
            raise RuntimeError(f"{self.name}: the process failed; see its error above")
        return Cost(time.perf_counter() - started, usage.ru_utime + usage.ru_stime)


def ours() -> list[Start]:
    """What does not touch the compilation cache."""
    python = sys.executable
    return [
        Start("python", python, ("-c", "pass")),
        Start("import harmonium", python, ("-c", "import harmonium"), 1.5),
        Start("import harmonium, with fit", python, ("-c", "from harmonium import fit"), 1.5),
        Start("harmonium --help", python, HELP, 0.4),
        Start("harmonium, first update, no cache", python, FIRST_UPDATE, 6.0),
    ]


def with_cache(folder: str) -> list[Start]:
    """The first update twice, with one cache that is empty before."""
    variables = STORE_ALL | {CACHE: folder}
    return [
        Start(f"harmonium, first update, {state}", sys.executable, FIRST_UPDATE, limit, variables)
        for state, limit in (("empty cache", 6.0), ("filled cache", 2.0))
    ]


def theirs() -> list[Start]:
    """The imports of the peers, under their own python."""
    return [
        Start(f"import {name}", peer_python(), ("-c", statement))
        for name, statement in PEERS.items()
    ]


def measure(repetitions: int) -> tuple[dict[str, list[Cost]], dict[str, float | None]]:
    """Costs and limits by name; a first turn and the repetitions."""
    costs: dict[str, list[Cost]] = {}
    limits: dict[str, float | None] = {}
    for _ in range(repetitions + 1):
        with tempfile.TemporaryDirectory() as folder:
            for start in [*ours(), *with_cache(folder), *theirs()]:
                costs.setdefault(start.name, []).append(start.run())
                limits[start.name] = start.limit
    return costs, limits


def main() -> None:
    """Measure, publish, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    costs, limits = measure(options.repetitions)
    rows: list[Row] = [
        {
            "start": name,
            "seconds": float(np.median([cost.seconds for cost in spent[1:]])),
            "CPU": float(np.median([cost.busy for cost in spent[1:]])),
            "first": spent[0].seconds,
            "limit": limits[name] or "",
        }
        for name, spent in costs.items()
    ]
    title = f"Start-up, seconds of a process; medians of {options.repetitions} alternating turns"
    publish("startup", title, rows, peer_versions())
    bars("startup", "seconds", {"start-up": {row["start"]: row["seconds"] for row in rows}})


if __name__ == "__main__":
    main()
