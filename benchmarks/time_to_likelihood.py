"""Seconds until the exact test log-likelihood on two moons passes what each method of ebmkit ends
with.

Data, units and protocol are ebmkit's (its README); log Z is by quadrature on both sides. Ours is
`hm.DensityEstimator()` with nothing chosen, ended after some updates: one fit per number of them,
each in a process of its own. "seconds" are those of training, from the rows to that update,
compilation included; "whole" has also our estimate of log Z and the comparison of chains, which a
fit ends with and theirs does not; "cached" are those of training in a new process with JAX's
compilation cache filled; "compiled" and "compiled, whole" are the same fit again in the same
process. Fits of both sides alternate; medians over seeds. For every method of theirs, "passed
after" are the seconds of our shortest fit that does as well or better, and "x" is the time of the
method over it.

`python -m benchmarks.time_to_likelihood [--repetitions 1] [--updates 75 150 600 3000] [--steps
3000]`
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

from benchmarks.peer_process import PeerProcess
from benchmarks.peers import ROOT, peer_versions
from benchmarks.plots import curves
from benchmarks.report import Row, publish
from benchmarks.startup import CACHE, STORE_ALL

Fits = dict[str, list[dict[str, float]]]

OURS_ALONE = {
    "seconds_whole": "whole",
    "seconds_cached": "cached",
    "seconds_compiled": "compiled",
    "seconds_compiled_whole": "compiled, whole",
}


def own_fit(
    folder: str, n_updates: int, seed: int, cache: dict[str, str] | None = None
) -> dict[str, float]:
    """One fit of ours in its own process, with the variables of a compilation cache or none."""
    call = [sys.executable, "-W", "ignore", "-m", "benchmarks.moons_fit", folder]
    surroundings = {name: value for name, value in os.environ.items() if name != CACHE}
    done = subprocess.run(
        [*call, str(n_updates), str(seed)],
        cwd=ROOT,
        env=surroundings | (cache or {}),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def own_fits(folder: str, n_updates: int, seed: int, cache: dict[str, str]) -> dict[str, float]:
    """Cold, and with the programs of earlier fits at hand."""
    cold = own_fit(folder, n_updates, seed)
    return cold | {"seconds_cached": own_fit(folder, n_updates, seed, cache)["seconds"]}


def alternate(options: argparse.Namespace, folder: str) -> tuple[Fits, Fits]:
    """All fits of theirs and of ours, seed after seed."""
    with PeerProcess("ebmkit_moons.py") as peer:
        written = peer.ask({"write": folder})
        theirs: Fits = {method: [] for method in options.methods or written["methods"]}
        for method in theirs:  # A first step pays for what is loaded late.
            peer.ask({"method": method, "seed": 0, "steps": 1})
        ours: Fits = {str(n): [] for n in options.updates}
        cache = STORE_ALL | {CACHE: f"{folder}/cache"}
        # Fills the cache: all lengths run the same programs.
        own_fit(folder, options.updates[0], 0, cache)
        for seed in range(options.repetitions):
            for method, fits in theirs.items():
                fits.append(peer.ask({"method": method, "seed": seed, "steps": options.steps}))
            for n_updates, fits in ours.items():
                fits.append(own_fits(folder, int(n_updates), seed, cache))
    return theirs, ours


def line(who: str, fits: list[dict[str, float]]) -> Row:
    """Medians over the seeds."""
    middle = {name: float(np.median([fit[name] for fit in fits])) for name in fits[0]}
    row: Row = {
        "who": who,
        "seconds": middle["seconds"],
        "log-likelihood": middle["log_likelihood"],
    }
    for name, column in OURS_ALONE.items():
        if name in middle:
            row[column] = middle[name]
    return row


def compare(theirs: list[Row], ours: list[Row]) -> None:
    """When each method of theirs was passed, if it was."""
    for row in theirs:
        better = [own for own in ours if own["log-likelihood"] >= row["log-likelihood"]]
        if better:
            row["passed after"] = min(own["seconds"] for own in better)
            row["x"] = row["seconds"] / row["passed after"]


def main() -> None:
    """Measure, publish, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=1)
    parser.add_argument("--updates", type=int, nargs="*", default=[75, 150, 600, 3000])
    parser.add_argument("--steps", type=int, default=3000, help="of ebmkit's trainings")
    parser.add_argument("--methods", nargs="*", help="of ebmkit; all of them by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        their_fits, our_fits = alternate(options, folder)
    theirs = [line(f"ebmkit {method}", fits) for method, fits in their_fits.items()]
    ours = [line(f"harmonium, {n} updates", fits) for n, fits in our_fits.items()]
    compare(theirs, ours)
    title = f"Time to likelihood on two moons, nats per row; {options.repetitions} seed(s)"
    publish("time_to_likelihood", title, theirs + ours, peer_versions())
    points = {row["who"]: ([row["seconds"]], [row["log-likelihood"]]) for row in theirs}
    points["harmonium"] = (
        [row["seconds"] for row in ours],
        [row["log-likelihood"] for row in ours],
    )
    curves("time_to_likelihood", {"log-likelihood": points}, x="seconds", xscale="log")


if __name__ == "__main__":
    main()
