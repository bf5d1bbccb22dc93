"""One default fit of ours to two moons, in a process of its own so that nothing is compiled before.

`python -m benchmarks.moons_fit FOLDER N_UPDATES SEED` reads train.npy and test.npy of the folder and prints a JSON object: the seconds
of the fit, those of a second one in the same process, whose programs are compiled, and the mean log-density of the test
rows, normalized anew by quadrature over a box, so that our own log Z does not enter.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from scipy.special import logsumexp

import harmonium as hm

HALF_WIDTH, N_POINTS = 4.0, 401


def fit_seconds(estimator: hm.DensityEstimator, train: np.ndarray) -> float:
    """Of one fit."""
    started = time.perf_counter()
    estimator.fit(train)
    return time.perf_counter() - started


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
    estimator = hm.DensityEstimator(n_updates=n_updates, random_state=seed)
    seconds, seconds_compiled = (fit_seconds(estimator, train) for _ in range(2))
    found = {
        "seconds": seconds,
        "seconds_compiled": seconds_compiled,
        "log_likelihood": log_likelihood(estimator, test),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
