"""Imputation on real tables, numeric and mixed: ours beside what scikit-learn offers, forests and
miceforest.

`python -m benchmarks.imputation [--seeds 1] [--only cardio ...] [--methods ...] [--summary]`

Of at most 3000 rows, a fifth of the observed cells is hidden, completely at random (mcar) or, at
random, where the first complete numeric column is high (mar). Every method sees the holed table and
fills it. Continuous cells: root mean squared error in standard deviations of their column.
Categories, and whatever has two values: share that is wrong. A method's rank in a table is the mean
of its ranks by these two. Completed tables: share of hidden continuous cells inside the central
90 % of the draws, and the energy distance of completed to true rows. Tables of fewer than 1000 rows
have five seeds. A peer that fails has no figures.
Every result is one line of results/imputation_runs.jsonl as soon as it is there, and is not
computed again.
"""

import argparse
import json
import subprocess
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist

from benchmarks.imputation_peers import (
    Coded,
    Filled,
    by_chained_regressions,
    by_forests,
    by_mean,
    by_miceforest,
    by_neighbors,
    by_posterior_regressions,
    is_text,
)
from benchmarks.report import publish, record
from benchmarks.tables import SURVEYS, TABLES
from harmonium import DensityEstimator, Imputer

RUNS = Path(__file__).with_name("results") / "imputation_runs.jsonl"
MAX_ROWS, FEW_ROWS, SEEDS_OF_FEW = 3000, 1000, 5
HIDDEN = 0.2
N_DRAWS = 64
SCHEMES = ("mcar", "mar")
# Completed tables of which central intervals of 90 % can be taken.
FEWEST_DRAWS = 19
# Rows whose energy distance is taken, and completed tables whose mean it is.
ENERGY_ROWS, ENERGY_TABLES = 1000, 5
# The ten tables of the first comparison, by which targets are stated.
TEN = tuple(name for name in TABLES if name != "penguins")
EVERY = TABLES | SURVEYS


def hide(table: pd.DataFrame, scheme: str, rng: np.random.Generator) -> np.ndarray:
    """Which observed cells to hide, (rows, columns)."""
    seen = table.notna().to_numpy()
    if scheme == "mcar":
        return seen & (rng.random(table.shape) < HIDDEN)
    numeric = [i for i, c in enumerate(table) if table[c].dtype.kind in "if"]
    driver = next(i for i in numeric if seen[:, i].all())
    place = table.iloc[:, driver].rank(pct=True).to_numpy()
    hidden = seen & (rng.random(table.shape) < 2 * HIDDEN * place[:, None])
    hidden[:, driver] = False
    return hidden


def by_harmonium(table: pd.DataFrame, seed: int, effort: str = "quick") -> Filled:
    """Ours with its default settings; text columns are said to be categorical, for some hold
    digits.
    """
    kinds = {n: "categorical" for n, text in zip(table, is_text(table), strict=True) if text}
    estimator = DensityEstimator(kinds=kinds or None, effort=effort, random_state=seed)
    imputer = Imputer(n_draws=N_DRAWS, estimator=estimator, random_state=seed).fit(table)
    return imputer.transform(table), lambda: imputer.draws(table)


def by_trained(table: pd.DataFrame, seed: int) -> Filled:
    """Ours with a residual energy where held-out rows want one."""
    return by_harmonium(table, seed, "normal")


METHODS: dict[str, Callable[..., Filled]] = {
    "harmonium": by_harmonium,
    "trained": by_trained,
    "forests": by_forests,
    "miceforest": by_miceforest,
    "iterative": by_chained_regressions,
    "posterior": by_posterior_regressions,
    "knn": by_neighbors,
    "mean": by_mean,
}


def energy_distance(
    table: pd.DataFrame, hidden: np.ndarray, completed: list[pd.DataFrame], seed: int
) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| of completed rows X and true rows Y, in standard
    deviations and indicators; of columns that are complete in truth, or nearly so.
    """
    kept = table.columns[table.isna().mean() < 0.05]
    rows = np.flatnonzero(table[kept].notna().all(axis=1) & hidden.any(axis=1))
    rows = np.random.default_rng(seed).permutation(rows)[:ENERGY_ROWS]
    truth, found = table[kept].iloc[rows], []
    for own in completed[:ENERGY_TABLES]:
        drawn: Any = own[kept].iloc[rows].astype(truth.dtypes.to_dict())
        both = Coded(pd.concat([truth, drawn], ignore_index=True)).values
        y, x = both[: len(rows)], both[len(rows) :]
        found.append(2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean())
    return float(np.mean(found))


def measure(name: str, scheme: str, method: str, seed: int) -> dict[str, Any]:
    """One method on one holed table."""
    rng = np.random.default_rng(seed)
    table = EVERY[name]()
    table = table.sample(min(len(table), MAX_ROWS), random_state=seed).reset_index(drop=True)
    # Two values are two categories, however they are coded.
    counts: Any = table.nunique()
    flags = list(counts.index[counts == 2])
    table[flags] = table[flags].astype(object).where(table[flags].isna(), table[flags].astype(str))
    hidden = hide(table, scheme, rng)
    # Floats can hold the holes of integers.
    numeric = [not text for text in is_text(table)]
    table = table.astype({c: float for c, n in zip(table, numeric, strict=True) if n})
    holed = table.mask(hidden)
    started = time.monotonic()
    filled, draws = METHODS[method](holed, seed)
    filled_after = time.monotonic() - started
    try:
        completed = None if draws is None else draws()
    except subprocess.CalledProcessError as failure:
        # miceforest stops at categories whose predicted probabilities are 0 or 1.
        print(failure.stderr.decode().strip().splitlines()[-1])
        completed = None
    drawn_after = time.monotonic() - started
    errors, wrong, covered = [], [], []
    for i, column in enumerate(table):
        holes = hidden[:, i]
        if not holes.any():
            continue
        truth = table[column].to_numpy()[holes]
        if filled is not None and not numeric[i]:
            own = filled[column].to_numpy()[holes].astype(str)
            wrong.append(float(np.mean(own != truth.astype(str))))
        if filled is not None and numeric[i]:
            spread = float(np.nanstd(table[column].to_numpy(float)))
            guess = filled[column].to_numpy(float)[holes]
            errors.append(float(np.sqrt(np.mean((guess - truth) ** 2))) / spread)
        if completed is not None and len(completed) >= FEWEST_DRAWS and numeric[i]:
            drawn = np.stack([d[column].to_numpy(float)[holes] for d in completed])
            # So that a value that is one more draw is inside with probability 0.9.
            low, high = np.quantile(drawn, [0.05, 0.95], axis=0, method="weibull")
            covered.append(float(np.mean((truth >= low) & (truth <= high))))
    energy = None if completed is None else energy_distance(table, hidden, completed, seed)
    return {
        "set": name,
        "scheme": scheme,
        "method": method,
        "seed": seed,
        "rows": len(table),
        "columns": table.shape[1],
        "rmse": float(np.mean(errors)) if errors else None,
        "wrong": float(np.mean(wrong)) if wrong else None,
        "coverage": float(np.mean(covered)) if covered else None,
        "energy": energy,
        "seconds": None if filled is None else filled_after,
        "seconds_drawn": None if completed is None else drawn_after,
    }


def summarize() -> None:
    """Print and save the tables of stored runs."""
    runs: Any = pd.DataFrame([json.loads(line) for line in RUNS.read_text().splitlines()])
    _fills(runs, "imputation", "Imputation of ten tables, a fifth of the cells hidden", TEN)
    _fills(runs, "imputation_all", "Imputation of all tables", tuple(EVERY))
    _completed(runs)


def _fills(runs: Any, name: str, title: str, sets: tuple[str, ...]) -> None:
    """Single fills: every seed of a table counts as a share of the table."""
    runs = runs[runs["set"].isin(sets) & runs["rmse"].notna()].copy()
    keys = ["scheme", "set", "seed"]
    # Ranks only compare methods that all met the same tables.
    counts = runs.groupby(keys)["method"].transform("nunique")
    runs = runs[counts == counts.max()].copy()
    for figure in ("rmse", "wrong"):
        runs[f"rank_{figure}"] = runs.groupby(keys)[figure].rank()
    runs["rank"] = runs[["rank_rmse", "rank_wrong"]].mean(axis=1)
    figures = ["rmse", "wrong", "rank", "rank_rmse", "rank_wrong", "seconds"]
    per_set = runs.groupby(["scheme", "method", "set"])[figures].mean()
    table = per_set.groupby(["scheme", "method"]).mean().reset_index()
    for figure in ("rmse", "wrong", "seconds"):
        print(per_set[figure].unstack("method").dropna(how="all").round(3).to_string())
    rows = table.sort_values(["scheme", "rank"]).to_dict("records")
    publish(name, title, rows, {"tables": len(per_set.index.unique("set"))})


def _completed(runs: Any) -> None:
    """Completed tables: coverage of central 90 %, and energy distances."""
    runs = runs[runs["energy"].notna()]
    figures = ["coverage", "energy", "seconds_drawn"]
    per_set = runs.groupby(["scheme", "method", "set"])[figures].mean()
    for figure in ("coverage", "energy"):
        print(per_set[figure].unstack("method").round(4).to_string())
    grouped = per_set.groupby(["scheme", "method"])
    table = grouped.mean()
    table["least_coverage"] = grouped["coverage"].min()
    rows = table.reset_index().sort_values(["scheme", "energy"]).to_dict("records")
    publish("imputation_draws", "Multiple imputation, a fifth of the cells hidden", rows)


def main() -> None:
    """Run what is missing, then summarize."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--only", nargs="*", choices=list(EVERY), default=list(EVERY), metavar="SET"
    )
    parser.add_argument("--methods", nargs="*", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--schemes", nargs="*", choices=SCHEMES, default=list(SCHEMES))
    parser.add_argument("--summary", action="store_true", help="only publish what is stored")
    options = parser.parse_args()
    RUNS.touch()
    names = ("set", "scheme", "method", "seed")
    done = {tuple(json.loads(line)[n] for n in names) for line in RUNS.read_text().splitlines()}
    for name in [] if options.summary else options.only:
        is_small = len(EVERY[name]()) < FEW_ROWS
        for seed in range(max(options.seeds, SEEDS_OF_FEW if is_small else 1)):
            for scheme in options.schemes:
                for method in options.methods:
                    if (name, scheme, method, seed) in done:
                        continue
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        found = measure(name, scheme, method, seed)
                    record(RUNS, found)
    summarize()


if __name__ == "__main__":
    main()
