"""Peers that fill the holes of a table: scikit-learn's, forests as MissForest grows them, and
miceforest. Every one takes a table with holes, text where it holds categories, and a seed; it
returns one filled table, if it fills singly, and what makes completed tables that are draws, if it
draws.
"""

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer

from benchmarks.peers import peer_python

# Central intervals of 90 % need 19 draws; miceforest would take hours for so many.
N_COMPLETED, N_BOOSTED = 20, 5
FOREST_ROUNDS = 4

Draws = Callable[[], list[pd.DataFrame]]
Filled = tuple[pd.DataFrame | None, Draws | None]


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


def by_mean(table: pd.DataFrame, seed: int) -> Filled:
    """Mean, or most frequent category."""
    fills: dict[str, Any] = {}
    for name, text in zip(table, is_text(table), strict=True):
        column: Any = table[name]
        fills[name] = column.mode().iloc[0] if text else column.mean()
    return table.fillna(fills), None


def by_neighbors(table: pd.DataFrame, seed: int) -> Filled:
    """scikit-learn's KNNImputer on standardized numbers and indicators."""
    coded = Coded(table)
    return coded.decode(KNNImputer(n_neighbors=10).fit_transform(coded.values)), None


def by_chained_regressions(table: pd.DataFrame, seed: int) -> Filled:
    """scikit-learn's IterativeImputer (Bayesian ridge regressions) on the same coding."""
    coded = Coded(table)
    imputer = IterativeImputer(random_state=seed, max_iter=20)
    return coded.decode(np.asarray(imputer.fit_transform(coded.values))), None


def by_posterior_regressions(table: pd.DataFrame, seed: int) -> Filled:
    """The same with draws from the posterior of every regression."""
    coded = Coded(table)

    def complete(number: int) -> pd.DataFrame:
        imputer = IterativeImputer(
            random_state=1000 * seed + number, max_iter=5, sample_posterior=True
        )
        return coded.decode(np.asarray(imputer.fit_transform(coded.values)))

    return None, lambda: [complete(number) for number in range(N_COMPLETED)]


def by_forests(table: pd.DataFrame, seed: int) -> Filled:
    """MissForest: random forests for every column in turn, categories by votes (Stekhoven and
    Buehlmann 2012).
    """
    filled, _ = by_mean(table, seed)
    assert filled is not None
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


def by_miceforest(table: pd.DataFrame, seed: int) -> Filled:
    """miceforest 6 by default: chained boosted trees and predictive mean matching."""

    def complete() -> list[pd.DataFrame]:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "holed.parquet"
            text = [name for name, own in zip(table, is_text(table), strict=True) if own]
            table.astype(dict.fromkeys(text, "str")).to_parquet(source)
            script = Path(__file__).with_name("miceforest_fills.py")
            call = [peer_python(), script, source, folder, str(N_BOOSTED), str(seed)]
            subprocess.run(list(map(str, call)), check=True, capture_output=True)
            paths = [Path(folder) / f"{number}.parquet" for number in range(N_BOOSTED)]
            return [pd.read_parquet(path) for path in paths]

    return None, complete
