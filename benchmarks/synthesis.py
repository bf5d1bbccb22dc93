"""Drawn rows by their distribution: one half of a table is fitted, draws are compared to the rest.

`python -m benchmarks.synthesis [--only magic ...] [--methods ...] [--seeds 1] [--summary]`

Of at most 3000 rows of a mixed table, or of all normal rows of magic.gamma. Figures, by
`harmonium.estimators.comparison`: boosting and logistic, 2 (1 - AUROC) of classifiers that are to
tell draws from rows, at most 1; shape and trend, means over columns and pairs of columns as
sdmetrics defines them; nearer, the share of draws nearer to a training row than to any of as many
others, 0.5 without copying. Of cells that draws have: impossible, the share of rows with a pair of
categories that no training row has; invalid, the share of rows with a number of other decimals, or
of another sign, than all training cells, or with a new category. Draws are complete, and lose the
cells that rows like them miss; methods other than ours get training rows whose missing cells were
filled by cells of other rows. "rows" are the training rows themselves. Every result is one line of
results/synthesis_runs.jsonl as soon as it is there.
"""

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri
from sklearn.mixture import GaussianMixture

from benchmarks.imputation import Coded, is_text
from benchmarks.report import publish, record
from benchmarks.tables import TABLES
from harmonium import DensityEstimator
from harmonium.data import Columns, as_table
from harmonium.estimators.comparison import holed, likeness, nearer_training

RUNS = Path(__file__).with_name("results") / "synthesis_runs.jsonl"
FOREST, NETWORK = (Path(__file__).with_name(f"synthesis_{own}.py") for own in ("forest", "gan"))
# Each alone, because they need older versions of what the other benchmarks use.
ENVIRONMENTS = Path(__file__).parents[1] / ".cache" / "synthesis"
PINS = {
    FOREST: ("arfpy==0.1.1", "numpy==2.4.6", "scikit-learn==1.9.1"),
    NETWORK: ("ctgan==0.12.1", "torch==2.13.0", "pandas==2.3.3", "numpy==2.4.6"),
}
MAX_ROWS = {"magic": 20_000}
MIXED = ("diamonds", "penguins", "flchain", "GBSG2")
SIZES = (1, 2, 4, 8, 16, 32)
# More decimals than these are none that a table keeps to.
MOST_DECIMALS = 6

Sampler = Callable[[pd.DataFrame, int, int], pd.DataFrame]


def filled(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Missing cells taken from other rows of their column."""
    rng, whole = np.random.default_rng(seed), table.copy()
    for name in table:
        gaps = table[name].isna().to_numpy()
        whole.loc[gaps, name] = rng.choice(table[name].dropna().to_numpy(), gaps.sum())
    return whole


def by_harmonium(effort: str, *, keep_unseen: bool = False) -> Sampler:
    """Ours; text columns are said to be categorical, for some hold digits."""

    def draw(train: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
        kinds = {c: "categorical" for c, text in zip(train, is_text(train), strict=True) if text}
        estimator = DensityEstimator(kinds=kinds or None, effort=effort, random_state=seed)
        return estimator.fit(train).sample(n, keep_unseen=keep_unseen)

    return draw


def by_copula(train: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """A Gaussian copula with the columns' own quantiles; categories by frequency, in intervals."""
    rng, whole = np.random.default_rng(seed), filled(train, seed)
    orders, places = {}, []
    for name, text in zip(whole, is_text(whole), strict=True):
        column = whole[name]
        ranking: Any = {c: i for i, c in enumerate(column.value_counts().index)}
        keys = (column.map(ranking) if text else column).to_numpy(float)
        orders[name] = column.to_numpy()[np.argsort(keys, kind="stable")]
        ranks = np.argsort(np.lexsort((rng.random(len(keys)), keys)))
        places.append(ndtri((ranks + rng.random(len(keys))) / len(keys)))
    factor = np.linalg.cholesky(np.corrcoef(places) + 1e-9 * np.eye(len(places)))
    shares = ndtr(rng.standard_normal((n, len(places))) @ factor.T)
    index = np.minimum((shares * len(whole)).astype(int), len(whole) - 1)
    return pd.DataFrame({c: orders[c][index[:, j]] for j, c in enumerate(whole)})


def by_mixture(train: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """scikit-learn's GaussianMixture by BIC; the largest indicator is the category."""
    whole = filled(train, seed)
    coded = Coded(whole)
    fits = [
        GaussianMixture(size, reg_covar=1e-3, random_state=seed).fit(coded.values)
        for size in SIZES
        if size * 2 <= len(whole)
    ]
    best = min(fits, key=lambda fit: fit.bic(coded.values))
    coded.table = pd.DataFrame(np.nan, index=range(n), columns=whole.columns).astype(object)
    drawn, start, columns = best.sample(n)[0], 0, {}
    for name, categories in coded.parts:
        width = max(len(categories), 1)
        part = drawn[:, start : start + width]
        start += width
        if categories:
            columns[name] = np.array(categories, dtype=object)[part.argmax(axis=1)]
        else:
            columns[name] = part[:, 0] * whole[name].std() + whole[name].mean()
    return pd.DataFrame(columns)


def peer_python(script: Path) -> Path:
    """The python of the environment of a script, which is made first if it is not complete."""
    folder = ENVIRONMENTS / script.stem
    python, stamp = folder / "bin" / "python", folder / "complete.txt"
    pins = "\n".join(PINS[script])
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != pins:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PINS[script]], check=True)
        stamp.write_text(pins, encoding="utf-8")
    return python


def by_peer(script: Path, **settings: str) -> Sampler:
    """A peer in an environment of its own."""

    def draw(train: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
        whole = filled(train, seed)
        columns = {c: whole[c].tolist() for c in whole}
        request = json.dumps({"columns": columns, "n": n, "seed": seed} | settings)
        call = [str(peer_python(script)), str(script)]
        done = subprocess.run(call, input=request, check=True, capture_output=True, text=True)
        return pd.DataFrame(json.loads(done.stdout.splitlines()[-1]))

    return draw


def by_columns(train: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """Every cell from a row of its own."""
    rng, whole = np.random.default_rng(seed), filled(train, seed)
    return pd.DataFrame({c: rng.choice(whole[c].to_numpy(), n) for c in whole})


def by_rows(train: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """The training rows: what chance leaves of a perfect method, which copies."""
    rows = np.resize(np.random.default_rng(seed).permutation(len(train)), n)
    return pd.DataFrame(train.iloc[rows]).reset_index(drop=True)


METHODS: dict[str, Sampler] = {
    "harmonium": by_harmonium("normal"),
    "harmonium, quick": by_harmonium("quick"),
    "harmonium, quick, unseen kept": by_harmonium("quick", keep_unseen=True),
    "copula": by_copula,
    "mixture": by_mixture,
    "forest": by_peer(FOREST),
    "gan": by_peer(NETWORK, kind="gan"),
    "vae": by_peer(NETWORK, kind="vae"),
    "columns": by_columns,
    "rows": by_rows,
}


def impossible(train: np.ndarray, drawn: np.ndarray, columns: Columns) -> float:
    """The share of drawn rows with a pair of categories that no training row has."""
    coded = [i for i in columns.modeled_index if columns.levels[i] is not None]
    hit = np.zeros(len(drawn), dtype=bool)
    for pair in map(list, combinations(coded, 2)):
        known = ~np.isnan(drawn[:, pair]).any(axis=1)
        seen = {tuple(row) for row in train[:, pair]}
        hit |= known & np.array([tuple(row) not in seen for row in drawn[:, pair]])
    return float(hit.mean())


def invalid(train: np.ndarray, drawn: np.ndarray, columns: Columns) -> float:
    """The share of drawn rows with a cell that the training column tells to be none of its own."""
    hit = np.zeros(len(drawn), dtype=bool)
    for i in columns.modeled_index:
        cells, own = drawn[:, i], train[~np.isnan(train[:, i]), i]
        known = ~np.isnan(cells)
        if columns.levels[i] is not None:
            hit |= known & ~np.isin(cells, own)
            continue
        fewest = range(MOST_DECIMALS + 1)
        decimals = next((d for d in fewest if np.allclose(own, np.round(own, d), atol=0)), None)
        if decimals is not None:
            hit |= known & ~np.isclose(cells, np.round(cells, decimals), rtol=1e-9, atol=1e-9)
        hit |= known & (((own >= 0).all() & (cells < 0)) | ((own <= 0).all() & (cells > 0)))
    return float(hit.mean())


def measure(name: str, method: str, seed: int) -> dict[str, Any]:
    """One method on one half of one table."""
    table: Any = TABLES[name]()
    n_rows = min(len(table), MAX_ROWS.get(name, 3000))
    table = table.sample(n_rows, random_state=seed)
    half = len(table) // 2
    train, test = table[:half].reset_index(drop=True), table[half:].reset_index(drop=True)
    kinds = {c: "categorical" for c, text in zip(table, is_text(table), strict=True) if text}
    coded = as_table(train, call="train", kinds=kinds)
    columns, fields = Columns.fit(coded), coded.fields
    started = time.monotonic()
    drawn = METHODS[method](train, len(test), seed)
    seconds = time.monotonic() - started
    known, others, rows = (
        as_table(part, call=method, fields=fields).values for part in (train, test, drawn)
    )
    like = rows if method == "rows" else holed(rows, others, seed=seed)
    found = likeness(others, like, columns, seed=seed)
    return {
        "set": name,
        "method": method,
        "seed": seed,
        "boosting": found.boosting,
        "logistic": found.logistic,
        "shape": found.shape,
        "trend": found.trend,
        "nearer": nearer_training(rows, known, others, columns, seed=seed),
        "impossible": impossible(known, like, columns),
        "invalid": invalid(known, like, columns),
        "seconds": seconds,
    }


def summarize() -> None:
    """Print and store the stored runs: by table, and the mean of the mixed ones."""
    runs: Any = pd.DataFrame([json.loads(line) for line in RUNS.read_text().splitlines()])
    figures = [c for c in runs if c not in ("set", "method", "seed")]
    table = runs.groupby(["set", "method"])[figures].mean().reset_index()
    mixed = table[table["set"].isin(MIXED)].groupby("method")[figures].mean().reset_index()
    table = pd.concat([table, mixed.assign(set="mean of mixed")])
    table = table.sort_values(["set", "boosting"], ascending=[True, False])
    publish("synthesis", "Drawn rows beside the other half", table.to_dict("records"))


def main() -> None:
    """Run what is missing, then summarize."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    names = ("magic", *MIXED)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=names, default=names, metavar="SET")
    parser.add_argument("--methods", nargs="*", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--summary", action="store_true", help="only publish what is stored")
    options = parser.parse_args()
    RUNS.touch()
    lines = map(json.loads, RUNS.read_text().splitlines())
    done = {(own["set"], own["method"], own["seed"]) for own in lines}
    for seed in range(0 if options.summary else options.seeds):
        for name in options.only:
            for method in options.methods:
                if (name, method, seed) in done:
                    continue
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found = measure(name, method, seed)
                record(RUNS, found)
    summarize()


if __name__ == "__main__":
    main()
