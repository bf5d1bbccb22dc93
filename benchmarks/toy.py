"""Two-dimensional densities with known truth, default settings, log Z by quadrature.

`python -m benchmarks.toy [--time-budget 60] [--seeds 1] [--only NAME ...]`
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from sklearn.datasets import make_moons

from benchmarks.report import Row, publish
from harmonium.estimators import DensityEstimator

N_TRAINING = 20_000
N_TEST = 20_000

Sampler = Callable[[np.random.Generator, int], np.ndarray]


def eight_gaussians(rng: np.random.Generator, n: int) -> np.ndarray:
    """Centers on a circle of radius 1.3, standard deviation 0.13."""
    angle = rng.integers(0, 8, n) * np.pi / 4
    centers = 1.3 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return centers + 0.13 * rng.normal(size=(n, 2))


def checkerboard(rng: np.random.Generator, n: int) -> np.ndarray:
    """Eight filled squares of a 4 x 4 board."""
    first = rng.uniform(-2, 2, n)
    second = rng.uniform(0, 1, n) - 2 * rng.integers(0, 2, n) + np.floor(first) % 2
    return np.stack([first, second], axis=1) / 1.2


def two_moons(rng: np.random.Generator, n: int) -> np.ndarray:
    """scikit-learn's moons with noise 0.1, centered and scaled."""
    rows, _ = make_moons(n, noise=0.1, random_state=int(rng.integers(2**31)))
    return (rows - [0.5, 0.25]) / [0.87, 0.5]


def three_gaussians(rng: np.random.Generator, n: int) -> np.ndarray:
    """The toy of the Gaussian-Bernoulli literature: three far modes of standard deviation 1."""
    centers = np.array([[-5.0, -5.0], [5.0, -5.0], [0.0, 5.0]])
    return centers[rng.integers(0, 3, n)] + rng.normal(size=(n, 2))


def ebmkit_moons(rng: np.random.Generator, n: int) -> np.ndarray:
    """Two moons of another library: the arcs of radius 1, noise 0.1, not rescaled.

    The upper arc is (cos t, sin t), the lower (1 - cos t, 1/2 - sin t); centered at (0.5, 0.25).
    """
    t = rng.uniform(0, np.pi, n)
    upper = np.arange(n) < n // 2
    x = np.where(upper, np.cos(t), 1 - np.cos(t))
    y = np.where(upper, np.sin(t), 0.5 - np.sin(t))
    return np.stack([x - 0.5, y - 0.25], axis=1) + 0.1 * rng.normal(size=(n, 2))


# Name: sampler, training rows, true negative log-likelihood (or None), log-likelihood to reach.
CASES: dict[str, tuple[Sampler, int, float | None]] = {
    "8 gaussians": (eight_gaussians, N_TRAINING, 0.837),
    "checkerboard": (checkerboard, N_TRAINING, 1.715),
    "two moons": (two_moons, N_TRAINING, 1.840),
    "3 gaussians": (three_gaussians, N_TRAINING, 3.936),
    "two moons (ebmkit)": (ebmkit_moons, 8192, None),
}


def measure(name: str, *, seed: int, time_budget: float) -> Row:
    """Fit one case and compare the test log-likelihood with the truth."""
    sampler, n_training, truth = CASES[name]
    rng = np.random.default_rng(1000 + seed)
    training, test = sampler(rng, n_training), sampler(rng, N_TEST)
    started = time.monotonic()
    estimator = DensityEstimator(time_budget=time_budget, random_state=seed).fit(training)
    seconds = time.monotonic() - started
    log_density = estimator.score_samples(test)
    excess = "" if truth is None else float(-log_density.mean() - truth)
    return {
        "density": name,
        "seed": seed,
        "log-likelihood": float(log_density.mean()),
        "standard error": float(log_density.std() / np.sqrt(N_TEST)),
        "nats below truth": excess,
        "Gaussian start": float(estimator.history_[0]["validation_log_likelihood"]),
        "log Z by": estimator.log_partition_.method,
        "updates": int(estimator.history_[-1]["update"]),
        "fit seconds": seconds,
    }


def main() -> None:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--time-budget", type=float, default=60.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(CASES), choices=list(CASES))
    arguments = parser.parse_args()
    rows = [
        measure(name, seed=seed, time_budget=arguments.time_budget)
        for name in arguments.only
        for seed in range(arguments.seeds)
    ]
    publish("toy", "Two-dimensional densities, default settings, exact log Z", rows)


if __name__ == "__main__":
    main()
