"""Our default fit to two moons, ended after some updates, in a process of its own so that nothing
is compiled before.

`python -m benchmarks.moons_fit FOLDER N_UPDATES SEED` reads train.npy and test.npy of the folder
and prints a JSON object: the seconds after which the training stood at that update, and those after
which the estimator was ready (log Z is estimated and chains are compared in between); both again
for a second fit in the same process, whose programs are compiled; and the mean log-density of the
test rows, normalized anew by quadrature over a box, so that our own log Z does not enter. The fit
is the one of 3000 updates, up to that update: nothing but the moment of its end is chosen.
"""

import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

import harmonium as hm
from harmonium.data import Table
from harmonium.learning.result import Record

HALF_WIDTH, N_POINTS = 4.0, 401


class Spent(NamedTuple):
    """Seconds from the call of `fit` until training had come so far, and until it returned."""

    training: float
    whole: float


def fit(estimator: hm.DensityEstimator, train: np.ndarray, n_updates: int) -> Spent:
    """Fit, and end training with the first evaluation that has so many updates behind it."""
    started, stood = time.perf_counter(), []

    def end(record: Record) -> bool:
        if float(record["update"]) < n_updates:
            return False
        stood.append(time.perf_counter() - started)
        return True

    estimator.fit_table(Table(train, ("x", "y")), report=end)
    return Spent(stood[0], time.perf_counter() - started)


def log_likelihood(estimator: hm.DensityEstimator, test: np.ndarray) -> float:
    """In nats per row, with the integral over the box taken to be 1."""
    axis = np.linspace(-HALF_WIDTH, HALF_WIDTH, N_POINTS)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    area = (axis[1] - axis[0]) ** 2
    log_integral = logsumexp(estimator.score_samples(grid)) + np.log(area)
    return float(np.mean(estimator.score_samples(test)) - log_integral)


def main() -> None:
    """Fit twice, judge, print."""
    folder, n_updates, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    train, test = np.load(folder / "train.npy"), np.load(folder / "test.npy")
    estimator = hm.DensityEstimator(random_state=seed)
    cold, compiled = (fit(estimator, train, n_updates) for _ in range(2))
    found = {
        "seconds": cold.training,
        "seconds_whole": cold.whole,
        "seconds_compiled": compiled.training,
        "seconds_compiled_whole": compiled.whole,
        "log_likelihood": log_likelihood(estimator, test),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
