"""One point of `benchmarks.growth`, in a process of its own so that its peak of memory is its own.

`python -m benchmarks.growth_point SETTINGS`, a JSON object of rows, columns, hidden, chains, steps
and "what" ("update" or "fit"), prints a JSON object: seconds of an update, or of a fit of 40
updates whose programs are compiled, and the peak of the resident set in MB.
"""

import json
import resource
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import harmonium as hm
from benchmarks import our_updates
from benchmarks.our_updates import Work
from benchmarks.peer_models import with_random_parameters

# Of both layers of f, whatever the number of hidden units is.
WIDTH = 64
N_FIT_UPDATES = 40


def update_seconds(rows: np.ndarray, settings: dict[str, Any]) -> float:
    """Of one update as shipped."""
    n_columns, n_hidden = settings["columns"], settings["hidden"]
    feature_map = hm.feature_maps.MLP(n_columns, (WIDTH, WIDTH), key=jax.random.key(1))
    model = hm.Harmonium(n_columns, n_hidden, feature_map=feature_map, key=jax.random.key(0))
    model = with_random_parameters(model, n_hidden**-0.5)
    work = Work(chains=settings["chains"], batch=256, steps=settings["steps"])
    turn = our_updates.start(model, jnp.asarray(rows), work, *our_updates.shipped(work))
    return 1 / float(np.median([turn() for _ in range(3)]))


def fit_seconds(rows: np.ndarray) -> float:
    """Of the second of two like fits."""
    seconds = 0.0
    for _ in range(2):
        started = time.perf_counter()
        hm.DensityEstimator(objective="noise-contrastive", n_updates=N_FIT_UPDATES).fit(rows)
        seconds = time.perf_counter() - started
    return seconds


def main() -> None:
    """Measure and print."""
    settings = json.loads(sys.argv[1])
    shape = (settings["rows"], settings["columns"])
    rows = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    is_fit = settings["what"] == "fit"
    seconds = fit_seconds(rows) if is_fit else update_seconds(rows, settings)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps({"seconds": seconds, "peak_mb": peak}))


if __name__ == "__main__":
    main()
