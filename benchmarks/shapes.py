"""Hard shapes of tables from known normals: few rows, more columns than rows, many columns.

`python -m benchmarks.shapes [--only 50x3 ...] [--seeds 1] [--time-budget S]`

Rows come from a standard normal, or from one whose columns i and j correlate by 0.8^|i - j|. All
figures are mean log-densities of 2000 fresh rows, nats per row. "shrunk" is the Gaussian with
Ledoit and Wolf's covariance, "columns" the Gaussian of independent columns, "over best" what ours
has over the better of the two. A fit that is refused or fails stays in the table.
"""

import argparse
import time

import numpy as np
from sklearn.covariance import LedoitWolf

from benchmarks.ours import chosen, log_z
from benchmarks.report import Row, publish
from benchmarks.targets import NormalMixture, normal
from harmonium import DensityEstimator
from harmonium.errors import HarmoniumError

SHAPES = {
    f"{n_rows}x{n_columns}": (n_rows, n_columns)
    for n_rows, n_columns in ((50, 3), (100, 120), (300, 500), (10, 4), (5000, 200))
}
CORRELATIONS = {"standard": 0.0, "correlated": 0.8}
N_TEST = 2000


def truth_of(n_columns: int, correlation: float) -> NormalMixture:
    """The normal that rows come from."""
    index = np.arange(n_columns)
    return normal(correlation ** np.abs(index[:, None] - index[None, :]).astype(float))


def shrunk(training: np.ndarray) -> NormalMixture:
    """The Gaussian with Ledoit and Wolf's covariance."""
    fitted = LedoitWolf().fit(training)
    return NormalMixture(np.ones(1), fitted.location_[None], fitted.covariance_[None])


def independent(training: np.ndarray) -> NormalMixture:
    """The Gaussian of independent columns."""
    variances = training.var(axis=0, ddof=1)
    return NormalMixture(np.ones(1), training.mean(axis=0)[None], np.diag(variances)[None])


def fitted_row(training: np.ndarray, test: np.ndarray, seed: int, time_budget: float | None) -> Row:
    """Ours, or why there is none."""
    estimator = DensityEstimator(time_budget=time_budget, random_state=seed)
    started = time.monotonic()
    try:
        estimator.fit(training)
    except HarmoniumError as error:
        return {"seconds": time.monotonic() - started, "failed": str(error)}
    seconds = time.monotonic() - started
    return {
        "ours": estimator.score(test),
        "seconds": seconds,
        "log Z": log_z(estimator),
        "trusted": estimator.log_partition_.trusted,
        "chosen": chosen(estimator),
    }


def measure(shape: str, rows_from: str, seed: int, time_budget: float | None) -> Row:
    """Ours and the simple ones on one table."""
    n_rows, n_columns = SHAPES[shape]
    truth = truth_of(n_columns, CORRELATIONS[rows_from])
    rng = np.random.default_rng(1000 + seed)
    training, test = truth.sample(rng, n_rows), truth.sample(rng, N_TEST)
    row: Row = {
        "table": shape,
        "normal": rows_from,
        "seed": seed,
        "truth": float(truth.log_density(test).mean()),
        "shrunk": float(shrunk(training).log_density(test).mean()),
        "columns": float(independent(training).log_density(test).mean()),
    }
    ours = fitted_row(training, test, seed, time_budget)
    if "ours" in ours:
        row["ours"] = ours["ours"]
        row["over best"] = ours["ours"] - max(row["shrunk"], row["columns"])
    return row | ours


def main() -> None:
    """Run all cases and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--time-budget", type=float, help="seconds of each fit; none by default")
    options = parser.parse_args()
    rows = [
        measure(shape, rows_from, seed, options.time_budget)
        for shape in options.only
        for rows_from in CORRELATIONS
        for seed in range(options.seeds)
    ]
    publish("shapes", "Hard shapes of known normals, nats per fresh row", rows)


if __name__ == "__main__":
    main()
