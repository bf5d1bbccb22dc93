"""Imputation on ten real tables, numeric and mixed: ours beside what scikit-learn offers and random
forests.

`python -m benchmarks.imputation [--seeds 1] [--only cardio ...] [--methods ...] [--summary]`

Of at most 3000 rows, a fifth of the observed cells is hidden, completely at random (mcar) or, at
random, where the first complete numeric column is high (mar). Every method sees the holed table and
fills it. Continuous cells: root mean squared error in standard deviations of their column.
Categories, and whatever has two values: share that is wrong. A method's rank in a table is the mean
of its ranks by these two. Intervals: share of hidden continuous cells inside the central 90 % of 64
draws. Every result is one line of results/imputation_runs.jsonl as soon as it is there, and is not
computed again.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer

from benchmarks.report import publish
from benchmarks.tables import TABLES
from harmonium import DensityEstimator, Imputer

RUNS = Path(__file__).with_name("results") / "imputation_runs.jsonl"
MAX_ROWS = 3000
HIDDEN = 0.2
N_DRAWS = 64
N_UPDATES = 2000
FOREST_ROUNDS = 4
SCHEMES = ("mcar", "mar")


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


def is_text(table: pd.DataFrame) -> list[bool]:
    """Which columns hold categories."""
    return [table[column].dtype.kind not in "if" for column in table]


class Coded:
    """The table as standardized numbers and indicators, for methods that know nothing else, and the
    way back.
    """

    def __init__(self, table: pd.DataFrame):
        self.table = table
        self.parts: list[tuple[str, list[Any]]] = []
        columns = []
        for name, text in zip(table, is_text(table), strict=True):
            column = table[name]
            if text:
                categories = sorted(column.dropna().unique())
                coded = np.stack([(column == c).to_numpy(float) for c in categories], axis=1)
                coded[column.isna().to_numpy()] = np.nan
                self.parts.append((name, categories))
                columns.append(coded)
            else:
                self.parts.append((name, []))
                columns.append(((column - column.mean()) / column.std()).to_numpy(float)[:, None])
        self.values = np.concatenate(columns, axis=1)

    def decode(self, values: np.ndarray) -> pd.DataFrame:
        """A filled table from filled numbers; the largest indicator is the category."""
        filled = self.table.copy()
        start = 0
        for name, categories in self.parts:
            width = max(len(categories), 1)
            part = values[:, start : start + width]
            start += width
            column = self.table[name]
            if categories:
                new = np.array(categories, dtype=object)[part.argmax(axis=1)]
            else:
                new = part[:, 0] * column.std() + column.mean()
            filled[name] = column.where(column.notna(), pd.Series(new, index=column.index))
        return filled


def by_mean(table: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, None]:
    """Mean, or most frequent category."""
    fills: dict[str, Any] = {}
    for name, text in zip(table, is_text(table), strict=True):
        column: Any = table[name]
        fills[name] = column.mode().iloc[0] if text else column.mean()
    return table.fillna(fills), None


def by_neighbors(table: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, None]:
    """scikit-learn's KNNImputer on standardized numbers and indicators."""
    coded = Coded(table)
    return coded.decode(KNNImputer(n_neighbors=10).fit_transform(coded.values)), None


def by_chained_regressions(table: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, None]:
    """scikit-learn's IterativeImputer (Bayesian ridge regressions) on the same coding."""
    coded = Coded(table)
    imputer = IterativeImputer(random_state=seed, max_iter=20)
    return coded.decode(np.asarray(imputer.fit_transform(coded.values))), None


def by_forests(table: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, None]:
    """MissForest: random forests for every column in turn, categories by votes (Stekhoven and
    Buehlmann 2012).
    """
    filled, _ = by_mean(table, seed)
    missing: Any = table.isna()
    text = dict(zip(table, is_text(table), strict=True))
    order = [name for name in missing.sum().sort_values().index if missing[name].any()]
    for turn in range(FOREST_ROUNDS):
        for name in order:
            others = Coded(filled.drop(columns=name)).values
            kind = RandomForestClassifier if text[name] else RandomForestRegressor
            forest = kind(n_estimators=60, min_samples_leaf=2, n_jobs=2, random_state=seed + turn)
            holes = missing[name].to_numpy()
            forest.fit(others[~holes], filled.loc[~holes, name])
            filled[name] = filled[name].astype(object if text[name] else float)
            filled.loc[holes, name] = forest.predict(others[holes])
    return filled, None


def by_harmonium(table: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """Ours, with two thirds of the default updates; text columns are said to be categorical, for
    some hold digits.
    """
    kinds = {n: "categorical" for n, text in zip(table, is_text(table), strict=True) if text}
    estimator = DensityEstimator(kinds=kinds or None, n_updates=N_UPDATES, random_state=seed)
    imputer = Imputer(n_draws=N_DRAWS, estimator=estimator, random_state=seed).fit(table)
    return imputer.transform(table), imputer.draws(table)


METHODS: dict[str, Callable[..., Any]] = {
    "harmonium": by_harmonium,
    "forests": by_forests,
    "iterative": by_chained_regressions,
    "knn": by_neighbors,
    "mean": by_mean,
}


def measure(name: str, scheme: str, method: str, seed: int) -> dict[str, Any]:
    """One method on one holed table."""
    rng = np.random.default_rng(seed)
    table = TABLES[name]()
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
    seconds = time.monotonic() - started
    errors, wrong, covered = [], [], []
    for i, column in enumerate(table):
        holes = hidden[:, i]
        if not holes.any():
            continue
        truth = table[column].to_numpy()[holes]
        if not numeric[i]:
            wrong.append(
                float(np.mean(filled[column].to_numpy()[holes].astype(str) != truth.astype(str)))
            )
            continue
        spread = float(np.nanstd(table[column].to_numpy(float)))
        guess = filled[column].to_numpy(float)[holes]
        errors.append(float(np.sqrt(np.mean((guess - truth) ** 2))) / spread)
        if draws is not None:
            drawn = np.stack([d[column].to_numpy(float)[holes] for d in draws])
            # So that a value that is one more draw is inside with probability 0.9.
            low, high = np.quantile(drawn, [0.05, 0.95], axis=0, method="weibull")
            covered.append(float(np.mean((truth >= low) & (truth <= high))))
    return {
        "set": name,
        "scheme": scheme,
        "method": method,
        "seed": seed,
        "rows": len(table),
        "columns": table.shape[1],
        "rmse": float(np.mean(errors)),
        "wrong": float(np.mean(wrong)) if wrong else None,
        "coverage": float(np.mean(covered)) if covered else None,
        "seconds": seconds,
    }


def summarize() -> None:
    """Print and save the table of stored runs."""
    runs: Any = pd.DataFrame([json.loads(line) for line in RUNS.read_text().splitlines()])
    keys = ["set", "scheme", "seed"]
    # Ranks only compare methods that all met the same tables.
    counts = runs.groupby(keys)["method"].transform("nunique")
    runs = runs[counts == counts.max()]
    for figure in ("rmse", "wrong"):
        runs[f"rank_{figure}"] = runs.groupby(keys)[figure].rank()
    runs["rank"] = runs[["rank_rmse", "rank_wrong"]].mean(axis=1)
    figures = ["rmse", "wrong", "rank", "rank_rmse", "rank_wrong", "coverage", "seconds"]
    table = runs.groupby(["scheme", "method"])[figures].mean().reset_index()
    table = table.sort_values(["scheme", "rank"])
    per_set = runs.groupby(["scheme", "set", "method"])[["rmse", "wrong", "coverage"]].mean()
    wide = per_set["rmse"].unstack("method")
    print(wide.round(3).to_string())
    print(per_set["wrong"].unstack("method").dropna().round(3).to_string())
    print(per_set["coverage"].dropna().round(3).to_string())
    publish("imputation", "Imputation, a fifth of the cells hidden", table.to_dict("records"))


def main() -> None:
    """Run what is missing, then summarize."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--only", nargs="*", choices=list(TABLES), default=list(TABLES), metavar="SET"
    )
    parser.add_argument("--methods", nargs="*", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--schemes", nargs="*", choices=SCHEMES, default=list(SCHEMES))
    parser.add_argument("--summary", action="store_true", help="only publish what is stored")
    options = parser.parse_args()
    RUNS.touch()
    names = ("set", "scheme", "method", "seed")
    done = {tuple(json.loads(line)[n] for n in names) for line in RUNS.read_text().splitlines()}
    for seed in range(0 if options.summary else options.seeds):
        for name in options.only:
            for scheme in options.schemes:
                for method in options.methods:
                    if (name, scheme, method, seed) in done:
                        continue
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        found = measure(name, scheme, method, seed)
                    print(
                        {k: round(v, 3) if isinstance(v, float) else v for k, v in found.items()},
                        flush=True,
                    )
                    with RUNS.open("a") as file:
                        file.write(json.dumps(found) + "\n")
    summarize()


if __name__ == "__main__":
    main()
