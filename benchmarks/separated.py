"""Default fits to two modes 8 standard deviations apart: found, with their shares, and told?

`python -m benchmarks.separated [--seeds 1] [--columns 2 10 50] [--time-budget S]`

The modes have shares 0.3 and 0.7 and part along one column, or along the diagonal, where each
column shows 8/sqrt(columns) of it. "nats below truth" is the mean over fresh rows of the true
log-density minus ours. "errors off" counts standard errors of the share of the smaller mode among
the draws: those of independent draws and of the training rows together; 3 are let pass. "travel"
says whether the verdict leaves standing that chains agree and travel between modes.
"""

import argparse
import math
import time

import numpy as np

from benchmarks.ours import chains_travel, chosen, log_z
from benchmarks.report import Row, publish
from benchmarks.targets import NormalMixture
from harmonium import DensityEstimator

SHARES = np.array([0.3, 0.7])
DISTANCE = 8.0
COLUMNS = (2, 10, 50)
DIRECTIONS = ("column", "diagonal")
N_TRAINING = 4000
N_TEST = 4000
N_DRAWS = 4000
MAX_ERRORS = 3.0


def two_modes(n_columns: int, direction: str) -> NormalMixture:
    """Round Gaussians of standard deviation 1, 8 apart."""
    axis = np.ones(n_columns) if direction == "diagonal" else np.eye(n_columns)[0]
    half = DISTANCE / 2 * axis / np.linalg.norm(axis)
    covariances = np.tile(np.eye(n_columns), (2, 1, 1))
    return NormalMixture(SHARES, np.stack([-half, half]), covariances)


def measure(n_columns: int, direction: str, seed: int, time_budget: float | None) -> Row:
    """One default fit."""
    truth = two_modes(n_columns, direction)
    rng = np.random.default_rng(1000 + seed)
    training, test = truth.sample(rng, N_TRAINING), truth.sample(rng, N_TEST)
    estimator = DensityEstimator(time_budget=time_budget, random_state=seed)
    started = time.monotonic()
    estimator.fit(training)
    seconds = time.monotonic() - started
    below = truth.log_density(test) - estimator.score_samples(test)
    draws = np.asarray(estimator.sample(N_DRAWS))
    share = float(np.mean(truth.label(draws) == 0))
    error = math.sqrt(SHARES.prod() * (1 / N_DRAWS + 1 / N_TRAINING))
    off = abs(share - SHARES[0]) / error
    return {
        "columns": n_columns,
        "apart along": direction,
        "seed": seed,
        "nats below truth": float(below.mean()),
        "standard error": float(below.std() / math.sqrt(N_TEST)),
        "share": share,
        "errors off": float(off),
        "share holds": bool(off <= MAX_ERRORS),
        "travel": chains_travel(estimator),
        "draws trusted": estimator.draw_diagnostics_.trusted,
        "log Z": log_z(estimator),
        "trusted": estimator.log_partition_.trusted,
        "chosen": chosen(estimator),
        "seconds": seconds,
        "verdict": estimator.verdict_,
    }


def main() -> None:
    """Run all cases and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--columns", type=int, nargs="*", default=list(COLUMNS))
    parser.add_argument("--directions", nargs="*", choices=DIRECTIONS, default=list(DIRECTIONS))
    parser.add_argument("--time-budget", type=float, help="seconds of each fit; none by default")
    options = parser.parse_args()
    rows = [
        measure(n_columns, direction, seed, options.time_budget)
        for n_columns in options.columns
        for direction in options.directions
        for seed in range(options.seeds)
    ]
    case = ("columns", "apart along", "seed")
    verdicts = [
        {name: row[name] for name in case} | {"verdict": row.pop("verdict")} for row in rows
    ]
    publish("separated", "Two modes 8 sd apart, shares 0.3 and 0.7, default fits", rows)
    publish("separated_verdicts", "Two modes 8 sd apart: verdicts of default fits", verdicts)


if __name__ == "__main__":
    main()
