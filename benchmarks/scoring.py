"""Rows per second and memory of scoring and of detection beside PyOD's detectors, from 1e3 to 1e6
rows of 20 columns.

All are fitted to the same 2000 rows, with their defaults but for the number of our updates, which
scoring does not feel; then they score tables of growing length. Turns alternate, each contender in
a process of its own but for ours, which share one. "peak MB" is what a call adds to the memory of
its process, the table itself not counted. A contender that would take longer than a minute for the
next length, by its rate so far, leaves the race ("seconds" of its last length say how far it came).

    log-density           score_samples of a DensityEstimator: data units in, nats out
    free energy           F in model units, without log-determinants
    scores, p-values      score_samples and p_values of an AnomalyDetector
    network alone         F of rows that already are in model units, compiled, in batches of 1024
    products alone        only the matrix products of the same network, in the same batches: what is
                          left if all else is free

"x products" divides the seconds of a line of ours by those of the products alone.

`python -m benchmarks.scoring [--repetitions 3] [--most 1000000] [--detectors ecod knn ...]`
"""

import argparse
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import harmonium as hm
from benchmarks.peak_memory import Cost, cost_of
from benchmarks.peer_process import PeerProcess
from benchmarks.peers import peer_versions
from benchmarks.plots import curves
from benchmarks.report import Row, publish
from harmonium.model import feature_maps

N_COLUMNS = 20
N_TRAINED = 2000
N_UPDATES = 100
SIZES = (1_000, 10_000, 100_000, 1_000_000)
BATCH = 1024
LONGEST = 60.0
DETECTORS = ("ecod", "copod", "hbos", "inne", "cblof", "iforest", "knn", "lof")

# Scores the table at a path.
Contender = Callable[[Path], Cost]


def table(n_rows: int, seed: int) -> np.ndarray:
    """Two bent clusters in 20 columns."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n_rows, N_COLUMNS))
    rows[:, 1] += rows[:, 0] ** 2
    rows[:, 2:4] += rng.choice([-2.0, 2.0], size=(n_rows, 1))
    return rows


def in_batches(function: Callable[[Any], Any], rows: np.ndarray) -> np.ndarray:
    """function(rows) of float32 rows, batch by batch, the last one padded."""
    rest = -len(rows) % BATCH
    padded = np.concatenate([rows, np.zeros((rest, rows.shape[1]))]).astype(np.float32)
    parts = [np.asarray(function(part)) for part in padded.reshape(-1, BATCH, rows.shape[1])]
    return np.concatenate(parts)[: len(rows)]


def products(model: hm.Harmonium) -> Callable[[Any], Any]:
    """The matrix products of the network, and nothing but a sum to keep them."""
    network = model.feature_map
    assert isinstance(network, feature_maps.MLP)
    matrices = [*(layer.weight.T for layer in network.layers), model.weights.T]

    @jax.jit
    def multiply(rows: Any) -> Any:
        for matrix in matrices:
            rows = rows @ matrix
        return jnp.sum(rows, axis=1)

    return multiply


def ours(train: np.ndarray) -> dict[str, Contender]:
    """Everything of ours that scores rows."""
    density = hm.DensityEstimator(feature_map="mlp", n_updates=N_UPDATES).fit(train)
    detector = hm.AnomalyDetector().fit(train)
    model = density.model_
    network, multiply = jax.jit(jax.vmap(model.free_energy)), products(model)
    calls: dict[str, Callable[[np.ndarray], Any]] = {
        "log-density": density.score_samples,
        "free energy": density.free_energy,
        "scores": detector.score_samples,
        "p-values": detector.p_values,
        "network alone": lambda rows: in_batches(network, rows),
        "products alone": lambda rows: in_batches(multiply, rows),
    }
    return {f"harmonium {name}": _contender(call) for name, call in calls.items()}


def _contender(call: Callable[[np.ndarray], Any]) -> Contender:
    def run(path: Path) -> Cost:
        rows = np.load(path)
        return cost_of(lambda: call(rows))

    return run


def _peer(process: PeerProcess) -> Contender:
    return lambda path: Cost(**process.ask({"table": str(path)}))


def race(contenders: dict[str, Contender], folder: Path, options: argparse.Namespace) -> list[Row]:
    """All lengths, as long as each contender lasts; a first call of every length is not counted."""
    rows: list[Row] = []
    left = dict(contenders)
    for size in (size for size in SIZES if size <= options.most):
        path = folder / "table.npy"
        np.save(path, table(size, seed=size))
        turns = [
            {name: run(path) for name, run in left.items()} for _ in range(options.repetitions + 1)
        ]
        for name in list(left):
            seconds = np.median([turn[name].seconds for turn in turns[1:]])
            rows.append(
                {
                    "who": name,
                    "rows": size,
                    "seconds": float(seconds),
                    "rows/s": float(size / seconds),
                    "peak MB": float(max(turn[name].peak_mb for turn in turns)),
                }
            )
            # The next table is ten times as long.
            if 10 * seconds > LONGEST:
                del left[name]
    return rows


def compare(rows: list[Row]) -> None:
    """Add the ratios to the products alone."""
    alone = {row["rows"]: row["seconds"] for row in rows if row["who"].endswith("products alone")}
    for row in rows:
        if row["who"].startswith("harmonium"):
            row["x products"] = row["seconds"] / alone[row["rows"]]


def main() -> None:
    """Measure, publish, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--most", type=int, default=SIZES[-1])
    parser.add_argument("--detectors", nargs="*", default=list(DETECTORS), choices=DETECTORS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        train = table(N_TRAINED, seed=0)
        np.save(folder / "train.npy", train)
        contenders = ours(train)
        for detector in options.detectors:
            process = PeerProcess("pyod_rates.py", detector, folder / "train.npy")
            contenders[f"pyod {detector}"] = _peer(stack.enter_context(process))
        rows = race(contenders, folder, options)
    compare(rows)
    title = f"Scoring {N_COLUMNS} columns; medians of {options.repetitions} alternating turns"
    publish("scoring", title, rows, peer_versions())
    panels = {
        heading: {
            who: (
                [row["rows"] for row in rows if row["who"] == who],
                [row[heading] for row in rows if row["who"] == who],
            )
            for who in contenders
        }
        for heading in ("rows/s", "peak MB")
    }
    curves("scoring", panels, x="rows", xscale="log", yscale="log")


if __name__ == "__main__":
    main()
