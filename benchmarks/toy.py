"""Two-dimensional densities with known truth, default settings.

`python -m benchmarks.toy [--time-budget 60] [--seeds 1] [--only NAME ...]`

"nats below truth" is the mean over fresh rows of the true log-density minus ours, which has a
smaller error than the mean of ours alone. Modes: the share of the draws that lies in or nearest to
each, and how many standard errors the worst of them is off: those of independent draws and of the
training rows together.
"""

import argparse
import time

import numpy as np

from benchmarks.ours import chosen, log_z
from benchmarks.report import Row, publish
from benchmarks.targets import PLANE, Modes
from harmonium.estimators import DensityEstimator

N_TRAINING = 20_000
N_TEST = 20_000
N_DRAWS = 4000
# What the other library's protocol says.
OTHER_SIZES = {"two moons (ebmkit)": 8192}


def mode_shares(modes: Modes, draws: np.ndarray, n_training: int) -> Row:
    """The share of each mode among the draws, beside the truth."""
    n_modes = len(modes.shares)
    shares = np.bincount(modes.label(draws), minlength=n_modes) / len(draws)
    errors = np.sqrt(modes.shares * (1 - modes.shares) * (1 / len(draws) + 1 / n_training))
    return {
        "shares of modes": " ".join(f"{share:.3f}" for share in shares),
        "errors off": float(np.max(np.abs(shares - modes.shares) / errors)),
    }


def measure(name: str, *, seed: int, time_budget: float | None) -> Row:
    """Fit one case, compare log-densities of fresh rows with the truth, and count draws by mode."""
    target = PLANE[name]()
    rng = np.random.default_rng(1000 + seed)
    training = target.sample(rng, OTHER_SIZES.get(name, N_TRAINING))
    test = target.sample(rng, N_TEST)
    estimator = DensityEstimator(time_budget=time_budget, random_state=seed)
    started = time.monotonic()
    estimator.fit(training)
    seconds = time.monotonic() - started
    log_density = estimator.score_samples(test)
    below = target.log_density(test) - log_density
    row: Row = {
        "density": name,
        "seed": seed,
        "truth": -target.entropy,
        "log-likelihood": float(log_density.mean()),
        "nats below truth": float(below.mean()),
        "standard error": float(below.std() / np.sqrt(N_TEST)),
        "log Z": log_z(estimator),
        "trusted": estimator.log_partition_.trusted,
        "chosen": chosen(estimator),
        "fit seconds": seconds,
    }
    if target.modes is None:
        return row
    started = time.monotonic()
    draws = np.asarray(estimator.sample(N_DRAWS))
    row["draw seconds"] = time.monotonic() - started
    return row | mode_shares(target.modes, draws, len(training))


def main() -> None:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--time-budget", type=float, default=60.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(PLANE), choices=list(PLANE))
    arguments = parser.parse_args()
    rows = [
        measure(name, seed=seed, time_budget=arguments.time_budget)
        for name in arguments.only
        for seed in range(arguments.seeds)
    ]
    publish("toy", "Two-dimensional densities, default settings, nats per row", rows)


if __name__ == "__main__":
    main()
