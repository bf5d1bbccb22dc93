"""Updates per second of restricted Boltzmann machines beside rbms, learnergy and scikit-learn at
equal shapes.

Ours is the Gaussian-Bernoulli machine (f the identity) under block Gibbs. An update is 512 chains,
a batch of 512 rows, and 1 or 10 steps of the chains; float32.

    harmonium equal     persistent chains, without trust region; plain gradient descent, as the
                        peers have
    harmonium shipped   two weighted populations of 256 chains, trust region, AdamW
    rbms                BINARY visible units (it has no Gaussian ones with binary hidden units):
                        persistent chains
    learnergy fit       Gaussian visible units, without noise; chains from the batch; its own loop,
                        with its loader and metrics
    learnergy steps     the same without loader and metrics
    scikit-learn        BINARY visible units, persistent chains, one step only

Peers run with torch's number of threads or with one, whichever is faster. Turns alternate. "x ours"
is the rate of our equal algorithm over that of the line, at the same shape and the same number of
steps.

Run this alone: beside other busy processes torch's threads wait for each other.

`python -m benchmarks.gaussian_bernoulli [--repetitions 5] [--only small large] [--steps 1 10]`
"""

import argparse
import os
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import our_updates
from benchmarks.our_updates import LEARNING_RATE, TURN_SECONDS, Turn, Work
from benchmarks.peer_models import with_random_parameters
from benchmarks.peer_process import PeerProcess
from benchmarks.peers import peer_versions
from benchmarks.plots import bars
from benchmarks.report import Row, publish
from harmonium.model import Harmonium
from harmonium.sampling import BlockGibbs

CASES = {"small": (64, 64), "large": (784, 512)}
# Of ours in one compiled run.
N_UPDATES = 10
N_ROWS = 4096
PEERS = ("rbms", "learnergy fit", "learnergy steps", "scikit-learn")


def own(n_visible: int, n_hidden: int, rows: np.ndarray, steps: int) -> dict[str, Turn]:
    """Turns of ours, both ways."""
    work = Work(steps=steps, n_updates=N_UPDATES)
    model = Harmonium(n_visible, n_hidden, key=jax.random.key(0))
    model = with_random_parameters(model, 0.01)
    objective, _ = our_updates.equal(work, BlockGibbs())
    made = {
        "harmonium equal": (objective, optax.sgd(LEARNING_RATE)),
        "harmonium shipped": our_updates.shipped(work, BlockGibbs()),
    }
    data = jnp.asarray(rows)
    return {name: our_updates.start(model, data, work, *parts) for name, parts in made.items()}


def theirs(peer: PeerProcess, n_hidden: int, steps: int) -> dict[str, Turn]:
    """Turns of the peers."""
    turns: dict[str, Turn] = {}
    for name in PEERS:
        if name == "scikit-learn" and steps > 1:
            continue
        run = f"{name}, {steps}"
        settings = {"n_hidden": n_hidden, "steps": steps, "chains": Work.chains}
        peer.ask({"start": run, "peer": name, **settings})
        turns[name] = _turn(peer, run)
    return turns


def _turn(peer: PeerProcess, run: str) -> Turn:
    return lambda: peer.ask({"continue": run, "seconds": TURN_SECONDS})["rate"]


def measure(name: str, steps: int, repetitions: int) -> list[Row]:
    """All lines of one shape and number of steps."""
    n_visible, n_hidden = CASES[name]
    rows = np.random.default_rng(0).normal(size=(N_ROWS, n_visible)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.npy"
        np.save(path, rows)
        with PeerProcess("torch_rbms.py", path) as peer:
            turns = own(n_visible, n_hidden, rows, steps) | theirs(peer, n_hidden, steps)
            rates = [[turn() for turn in turns.values()] for _ in range(repetitions)]
    medians = dict(zip(turns, np.median(rates, axis=0).tolist(), strict=True))
    ours = medians["harmonium equal"]
    return [
        {
            "shape": f"{n_visible} x {n_hidden}, {steps} step(s)",
            "who": who,
            "updates/s": rate,
            "x ours": ours / rate,
        }
        for who, rate in medians.items()
    ]


def main() -> None:
    """Measure, publish, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--steps", nargs="*", type=int, default=[1, 10])
    options = parser.parse_args()
    facts = peer_versions() | {"load at start": os.getloadavg()[0]}
    rows: list[Row] = []
    for name in options.only:
        for steps in options.steps:
            rows += measure(name, steps, options.repetitions)
    title = f"Updates per second, f = id; medians of {options.repetitions} alternating turns"
    publish("gaussian_bernoulli", title, rows, facts)
    panels: dict[str, dict[str, float]] = {}
    for row in rows:
        panels.setdefault(row["shape"], {})[row["who"]] = row["updates/s"]
    bars("gaussian_bernoulli", "updates per second", panels)


if __name__ == "__main__":
    main()
