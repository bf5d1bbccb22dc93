"""Modelled p-values far out: how often normal rows get so small ones.

`python -m benchmarks.tails [--rows 1000000]`

Ten simulated tables, correlated, clustered, curved, heavy-tailed, bounded, of counts and mixed. A
detector with default settings is fitted to 5000 rows of each, and many fresh ones are scored: of
these, a share `level` should have a modelled p-value of at most `level`. Conformal p-values of the
500 calibration rows end at 1/501.
"""

import argparse
from collections.abc import Callable, Iterator

import numpy as np

import harmonium as hm
from benchmarks.report import Row, publish

N_TRAINING, CHUNK = 5000, 100_000
LEVELS = (1e-3, 1e-4, 1e-5)

Sampler = Callable[[np.random.Generator, int], np.ndarray]


def _mixing(n: int) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, n))


def normal(rng: np.random.Generator, n: int) -> np.ndarray:
    """Five correlated columns."""
    return rng.normal(size=(n, 5)) @ _mixing(5)


def wide(rng: np.random.Generator, n: int) -> np.ndarray:
    """Twenty correlated columns."""
    return rng.normal(size=(n, 20)) @ _mixing(20)


def clusters(rng: np.random.Generator, n: int) -> np.ndarray:
    """Three clusters of eight columns, of different widths."""
    label = rng.choice(3, p=(0.6, 0.3, 0.1), size=n)
    centers = 4 * np.random.default_rng(1).normal(size=(3, 8))
    return centers[label] + np.array([1.0, 0.5, 2.0])[label, None] * rng.normal(size=(n, 8))


def student(rng: np.random.Generator, n: int) -> np.ndarray:
    """Heavy tails: t with 5 degrees of freedom, one common scale per row."""
    return (rng.normal(size=(n, 6)) @ _mixing(6)) / np.sqrt(rng.chisquare(5, size=(n, 1)) / 5)


def lognormal(rng: np.random.Generator, n: int) -> np.ndarray:
    """Skewed positive columns."""
    return np.exp(0.5 * normal(rng, n) / 2)


def uniform(rng: np.random.Generator, n: int) -> np.ndarray:
    """A cube, which ends at once."""
    return rng.random((n, 4))


def curved(rng: np.random.Generator, n: int) -> np.ndarray:
    """A parabola with noise, and two columns of noise."""
    x = rng.normal(size=(n, 4))
    x[:, 1] = x[:, 0] ** 2 + 0.2 * x[:, 1]
    return x


def sums(rng: np.random.Generator, n: int) -> np.ndarray:
    """Exponential columns and their sum with a little noise."""
    x = rng.exponential(size=(n, 4))
    return np.column_stack([x, x.sum(axis=1) + 0.1 * rng.normal(size=n)])


def counts(rng: np.random.Generator, n: int) -> np.ndarray:
    """Counts that share a rate."""
    rate = rng.gamma(4.0, size=(n, 1))
    return rng.poisson(rate * np.array([0.5, 2.0, 8.0, 20.0])).astype(float)


def mixed(rng: np.random.Generator, n: int) -> np.ndarray:
    """Numbers that depend on a category, and the category."""
    level = rng.choice(4, p=(0.4, 0.3, 0.2, 0.1), size=n)
    x = rng.normal(size=(n, 3)) + 2 * level[:, None] * np.array([1.0, -1.0, 0.5])
    return np.column_stack([x, level])


TABLES: tuple[Sampler, ...] = (
    normal,
    wide,
    clusters,
    student,
    lognormal,
    uniform,
    curved,
    sums,
    counts,
    mixed,
)


def measure(n_rows: int) -> Iterator[Row]:
    """One line per table: shares of fresh rows below every level, over the level."""
    for sampler in TABLES:
        rng = np.random.default_rng(0)
        fitted = hm.AnomalyDetector().fit(sampler(rng, N_TRAINING))
        below = np.zeros(len(LEVELS))
        for start in range(0, n_rows, CHUNK):
            p = fitted.modelled_p_values(sampler(rng, min(CHUNK, n_rows - start)))
            below += [np.sum(p <= level) for level in LEVELS]
        ratios = below / n_rows / LEVELS
        row: Row = {"table": sampler.__name__, "shape": fitted.detector_.tail.excesses.shape}
        yield row | {f"frequency / {level:g}": r for level, r in zip(LEVELS, ratios, strict=True)}


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    rows = []
    for row in measure(options.rows):
        print(row, flush=True)
        rows.append(row)
    publish("tails", f"Normal rows with modelled p-values, of {options.rows} fresh ones", rows)


if __name__ == "__main__":
    main()
