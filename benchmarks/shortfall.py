"""Whether trees that look at the base spare the trainings that gain nothing, and no others.

`python -m benchmarks.shortfall [--tables penguins ...] [--seeds 0 1]`

Two densities are fitted to so many rows of each table: one with default settings, which trains an
energy only where boosted trees tell held-out rows from draws of the base, and one that always
trains one (`objective="noise-contrastive"`). "gain" is what the energy of the latter adds to the
base on up to 2000 fresh rows, in nats per row, 0 where held-out rows refused it, empty where the
table has no further rows. Every fit begins without compiled code in memory but with what the user's
cache has: run it a second time for the seconds of second fits. Packages with tables are downloaded
once.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

import harmonium as hm
from benchmarks.few_rows import rings
from benchmarks.first_anomaly import write_table
from benchmarks.report import Row, publish
from benchmarks.tables import TABLES, normal_rows
from benchmarks.targets import PLANE

# Rows to fit to.
SIZES = {
    "first_anomaly": 500,
    "penguins": 400,
    "two moons": 500,
    "actg320": 1000,
    "GBSG2": 600,
    "diamonds": 3000,
    "Stamps": 250,
    "Wilt": 1000,
    "mammography": 3000,
    "thyroid": 3000,
    "annthyroid": 5000,
    "vowels": 1300,
    "magic.gamma": 3000,
    "pendigits": 4000,
    "rings": 1000,
}
N_FRESH = 2000


def rows_of(name: str, seed: int) -> pd.DataFrame:
    """All rows of a table, in an order of their own for every seed."""
    if name == "first_anomaly":
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "table.csv"
            write_table(path, SIZES[name] + N_FRESH, seed)
            return pd.read_csv(path)
    if name == "rings":
        return pd.DataFrame(rings(SIZES[name] + N_FRESH, seed)).rename(columns="x{}".format)
    if name == "two moons":
        drawn = PLANE[name]().sample(np.random.default_rng(seed), SIZES[name] + N_FRESH)
        return pd.DataFrame(drawn, columns=["x1", "x2"])
    table = TABLES[name]() if name in TABLES else normal_rows(name)
    return table.sample(frac=1.0, random_state=seed, ignore_index=True)


def timed_fit(table: pd.DataFrame, seed: int, **settings: Any) -> tuple[hm.DensityEstimator, float]:
    """A density, and the seconds of its fit."""
    jax.clear_caches()
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = hm.DensityEstimator(random_state=seed, **settings).fit(table)
    return fitted, time.perf_counter() - started


def measure(name: str, seed: int) -> Row:
    """Both fits of one table."""
    table = rows_of(name, seed)
    training, fresh = table.iloc[: SIZES[name]], table.iloc[SIZES[name] :][:N_FRESH]
    default, seconds = timed_fit(training, seed)
    always, seconds_always = timed_fit(training, seed, objective="noise-contrastive")
    gain: float | str = 0.0 if len(fresh) else ""
    if always.chosen_.residual and len(fresh):
        base, _ = timed_fit(training, seed, effort="quick")
        gain = always.score(fresh) - base.score(fresh)
    return {
        "table": name,
        "rows": len(training),
        "columns": training.shape[1],
        "seed": seed,
        "trained": bool(default.history_),
        "kept": default.chosen_.residual,
        "seconds": seconds,
        "kept, always trained": always.chosen_.residual,
        "gain": gain,
        "seconds, always trained": seconds_always,
    }


def measure_all(options: argparse.Namespace) -> Iterator[Row]:
    """One row per table and seed."""
    for seed in options.seeds:
        for name in options.tables:
            yield measure(name, seed)


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="*", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    found = []
    hm.enable_cache()
    for row in measure_all(parser.parse_args()):
        print(row, flush=True)
        found.append(row)
    publish("shortfall", "Energies that are trained, and what they gain", found)


if __name__ == "__main__":
    main()
