"""Whether drawn rows are like those of a table: what classifiers, columns and pairs of columns say.

A classifier that is trained to tell two tables apart does no better than chance where they are of
one distribution (Lopez-Paz and Oquab 2017). Its score is 2 (1 - AUROC), at most 1.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from harmonium.data import Columns, as_table
from harmonium.errors import InvalidInputError, describe
from harmonium.estimators.density import DensityEstimator
from harmonium.inference import Density
from harmonium.inference.likeness import shape_likeness, trend_likeness
from harmonium.typing import Values

# More rows tell no more than they take time.
MOST_ROWS = 20_000
FEWEST_ROWS = 20
N_FOLDS = 5
# Categories of a column: those that trees can tell apart, and those that have an indicator.
MOST_CODES, MOST_INDICATORS = 250, 50
# Rows of a leaf that lend their gaps to draws.
SMALLEST_LEAF = 5


@dataclass(frozen=True)
class Likeness:
    """How alike two tables are; 1 where they cannot be told apart.

    `boosting` and `logistic` are 2 (1 - AUROC) of boosted trees and of a logistic regression that
    are to tell their rows apart, by five folds; `shape` and `trend` are means over columns and over
    pairs of columns (`harmonium.inference.likeness`).
    """

    boosting: float
    logistic: float
    shape: float
    trend: float


@dataclass(frozen=True)
class SampleComparison:
    """Drawn rows beside those of a table: `samples`; and two halves of the table beside each other,
    `halves`, as a yardstick.

    `nearer_training` is the share of draws that are nearer to a training row than to any of as many
    rows of the table: 0.5 where nothing was copied, 1 where every draw is a copy; None without
    training rows.
    """

    n_rows: int
    samples: Likeness
    halves: Likeness
    nearer_training: float | None


def compare_samples(
    estimator: DensityEstimator, X: Any, training: Any = None, *, random_state: int = 0
) -> SampleComparison:
    """Compare as many draws of a fitted estimator as X has rows with X, rows that it has not seen.

    `training` are the rows of the fit, by which copies are found. Of draws those cells are hidden
    that rows like them miss. Raises `InvalidInputError` for fewer than 20 rows.
    """
    density = estimator._fitted()
    call, fields = "compare_samples(estimator, X)", density.columns.fields
    values = as_table(X, call=call, fields=fields).values
    known = None if training is None else as_table(training, call=call, fields=fields).values
    return judge_samples(density, values, known, seed=random_state)


def judge_samples(
    density: Density, values: Values, training: Values | None, *, seed: int
) -> SampleComparison:
    """The same of a density and coded rows (rows, columns)."""
    if len(values) < FEWEST_ROWS:
        expected, got = f"at least {FEWEST_ROWS} rows to compare with", f"{len(values)}"
        raise InvalidInputError(
            describe("compare_samples(estimator, X)", expected=expected, got=got)
        )
    rng = np.random.default_rng(seed)
    values = rng.permutation(values)[:MOST_ROWS]
    drawn = density.sample(len(values), seed=seed)[0]
    half = len(values) // 2
    nearer = None
    if training is not None:
        nearer = nearer_training(drawn, training, values, density.columns, seed=seed)
    return SampleComparison(
        n_rows=len(values),
        samples=likeness(values, holed(drawn, values, seed=seed), density.columns, seed=seed),
        halves=likeness(values[:half], values[half:], density.columns, seed=seed),
        nearer_training=nearer,
    )


def holed(drawn: Values, values: Values, *, seed: int) -> Values:
    """Draws without cells that rows like them miss.

    What a row misses may hang on its other cells: of rows in one leaf of a tree, grown on the
    columns that are always known, one lends its gaps to a draw.
    """
    from sklearn.tree import DecisionTreeClassifier

    is_missing = np.isnan(values)
    is_known = ~is_missing.any(axis=0)
    if is_known.all():
        return drawn
    rng = np.random.default_rng(seed)
    lenders = rng.integers(len(values), size=len(drawn))
    if is_known.any():
        patterns = np.unique(is_missing, axis=0, return_inverse=True)[1].reshape(-1)
        tree = DecisionTreeClassifier(min_samples_leaf=SMALLEST_LEAF, random_state=seed)
        tree.fit(values[:, is_known], patterns)
        leaves, wanted = (tree.apply(rows[:, is_known]) for rows in (values, drawn))
        order = np.argsort(leaves, kind="stable")
        first, last = (np.searchsorted(leaves[order], wanted, side) for side in ("left", "right"))
        lenders = order[(first + rng.random(len(drawn)) * (last - first)).astype(np.int64)]
    return np.where(is_missing[lenders], np.nan, drawn)


def likeness(real: Values, drawn: Values, columns: Columns, *, seed: int) -> Likeness:
    """How alike two tables of coded rows (rows, columns) are, by the modeled columns."""
    from sklearn import ensemble, linear_model, pipeline, preprocessing

    real, drawn = (rows[:, columns.modeled_index] for rows in (real, drawn))
    is_category = _is_category(columns)
    rows = np.concatenate([real, drawn])
    is_drawn = np.arange(len(rows)) >= len(real)
    can_split = is_category & (np.nanmax(rows, axis=0, initial=0) < MOST_CODES)
    trees = ensemble.HistGradientBoostingClassifier(
        categorical_features=can_split, random_state=seed
    )
    plane = pipeline.make_pipeline(
        preprocessing.StandardScaler(), linear_model.LogisticRegression(max_iter=1000)
    )
    return Likeness(
        boosting=_told_apart(trees, rows, is_drawn, seed),
        logistic=_told_apart(plane, _indicated(rows, is_category), is_drawn, seed),
        shape=shape_likeness(real, drawn, is_category),
        trend=trend_likeness(real, drawn, is_category),
    )


def nearer_training(
    drawn: Values, training: Values, others: Values, columns: Columns, *, seed: int
) -> float:
    """The share of draws nearer to a training row than to any of as many other rows.

    Of standardized numbers and indicators of categories, missing cells at their mean; of equal
    distances half are counted.
    """
    from sklearn.neighbors import NearestNeighbors

    rng = np.random.default_rng(seed)
    n = min(len(training), len(others), MOST_ROWS)
    parts = [rng.permutation(training)[:n], rng.permutation(others)[:n], drawn]
    modeled = [rows[:, columns.modeled_index] for rows in parts]
    points = _indicated(np.concatenate(modeled), _is_category(columns))
    scale = points[: 2 * n].std(axis=0)
    points /= np.where(scale > 0, scale, 1.0)
    of_training, of_others, of_draws = np.split(points, [n, 2 * n])
    near, far = (
        NearestNeighbors(n_neighbors=1).fit(rows).kneighbors(of_draws)[0][:, 0]
        for rows in (of_training, of_others)
    )
    return float(np.mean(near < far) + 0.5 * np.mean(near == far))


def _told_apart(model: Any, features: Values, is_drawn: np.ndarray, seed: int) -> float:
    """2 (1 - AUROC) of a classifier on rows that it has not seen, at most 1."""
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed)
    auroc = cross_val_score(model, features, is_drawn, cv=folds, scoring="roc_auc").mean()
    return float(min(1.0, 2 * (1 - auroc)))


def _is_category(columns: Columns) -> np.ndarray:
    return np.array([columns.levels[i] is not None for i in columns.modeled_index])


def _indicated(rows: Values, is_category: np.ndarray) -> Values:
    """Numbers, missing ones at their mean and marked; indicators of frequent categories."""
    parts = []
    for column, coded in zip(rows.T, is_category, strict=True):
        missing = np.isnan(column)
        if coded:
            codes, counts = np.unique(column[~missing], return_counts=True)
            frequent = codes[np.argsort(-counts, kind="stable")][:MOST_INDICATORS]
            parts.append(column[:, None] == frequent)
        else:
            mean = column[~missing].mean() if not missing.all() else 0.0
            parts.append(np.where(missing, mean, column)[:, None])
        if missing.any():
            parts.append(missing[:, None])
    return np.concatenate(parts, axis=1).astype(np.float64)
