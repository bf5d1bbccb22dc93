"""Anomaly detection on labeled tables: eight protocols, the classical detectors beside ours.

`python -m benchmarks.detection [--protocol clean] [--seeds 3] [--only glass ...] [--methods ...]`

    clean         shuffled half of the normals trains, the rest and all anomalies test
    oddbench      36 tables of OddBench with real anomalies, split as published
    dte           the published split, faults included; only to stand beside published numbers
    contaminated  the clean split, with anomalies among the training rows
    reasons       one cell, or two of them, corrupted: does the explanation name the columns?
    pvalues       simulated rows: are p-values uniform, is the false discovery rate kept?
    speed         rows fitted, scored and explained per second, after compilation
    dagmm         the table of the DAGMM paper (KDD Cup only with `--only kddcup`)

Needs the ADBench files in ../shared/data/adbench (dagmm: also ../shared/data/dagmm; pvalues and
speed: neither). Every result is one line of results/detection_runs.jsonl as soon as it is there,
and is not computed again: remove the lines of a protocol after a change of the detector.
`--summary` publishes the tables from that file alone. A run that ended in an exception stays in the
table, counted as constant scores, and is tried again by the next call with the same seed. Peak
memory is the high-water mark of the process up to the end of that run.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.io import loadmat
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from scipy.stats import kstest, kstwobign
from sklearn.covariance import LedoitWolf
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import OneClassSVM

import harmonium as hm
from benchmarks.peers import peer_python
from benchmarks.report import RESULTS, Row, publish
from harmonium.inference.conformal import benjamini_hochberg, p_values

FOLDER = Path(__file__).parents[2] / "shared" / "data" / "adbench"
RUNS = RESULTS / "detection_runs.jsonl"

Array = np.ndarray
Scorer = Callable[[Array], Array]  # rows to scores, higher is more normal


# Methods: each is fitted on normal rows and gives a scorer.


def harmonium(X: Array, seed: int, contamination: float | None = None) -> Scorer:
    """Our detector as it comes, or told the share of anomalies among its training rows."""
    return detector(X, seed, contamination).score_samples


def detector(X: Array, seed: int, contamination: float | None = None) -> Any:
    """The fitted estimator itself."""
    share = "auto" if contamination is None else contamination
    return hm.AnomalyDetector(contamination=share, random_state=seed).fit(X)


def knn(X: Array, seed: int) -> Scorer:
    """Distance to the fifth neighbor."""
    neighbors = NearestNeighbors(n_neighbors=5).fit(X)
    return lambda rows: -neighbors.kneighbors(rows)[0][:, -1]


def neighbors(X: Array, seed: int) -> Scorer:
    """Mean distance to five neighbors, on standardized columns."""
    scaler = StandardScaler().fit(X)
    found = NearestNeighbors(n_neighbors=5).fit(scaler.transform(X))
    return lambda rows: -found.kneighbors(scaler.transform(rows))[0].mean(axis=1)


def kernels(X: Array, seed: int) -> Scorer:
    """Density of Gaussian kernels at the training rows, bandwidth 0.1 on standardized columns."""
    scaler = StandardScaler().fit(X)
    at = scaler.transform(X)

    def score(rows: Array) -> Array:
        # KernelDensity of scikit-learn loses the order of rows far from all kernels.
        blocks = np.array_split(scaler.transform(rows), max(1, len(rows) // 500))
        exponents = (-cdist(block, at, "sqeuclidean") / 0.02 for block in blocks)
        found = [np.asarray(logsumexp(own, axis=1)) for own in exponents]
        return np.concatenate(found)

    return score


def fitted_mixture(X: Array, seed: int) -> GaussianMixture:
    """Gaussian mixture with as many components as the rows can carry, at most ten."""
    n_components = max(1, min(10, len(X) // (5 * X.shape[1])))
    mixture = GaussianMixture(n_components, reg_covar=1e-3, max_iter=100, random_state=seed)
    return mixture.fit(X)


def gmm(X: Array, seed: int) -> Scorer:
    """Its log-density."""
    return fitted_mixture(X, seed).score_samples


def lof(X: Array, seed: int) -> Scorer:
    """Local outlier factor, 20 neighbors."""
    return LocalOutlierFactor(n_neighbors=20, novelty=True).fit(X).score_samples


def iforest(X: Array, seed: int) -> Scorer:
    """Isolation forest, defaults."""
    return IsolationForest(random_state=seed).fit(X).score_samples


def gauss(X: Array, seed: int) -> Scorer:
    """Mahalanobis distance under the Ledoit-Wolf covariance."""
    covariance = LedoitWolf().fit(X)
    return lambda rows: -covariance.mahalanobis(rows)


def ocsvm(X: Array, seed: int) -> Scorer:
    """One-class support vector machine."""
    return OneClassSVM(gamma="auto", nu=0.5).fit(X).score_samples


class PyOD:
    """A PyOD detector with its defaults, fitted and run in the peers' environment."""

    def __init__(self, name: str):
        self.name = name

    def __call__(self, X: Array, seed: int) -> Scorer:
        """Fitting waits until rows are scored: both happen in one process."""
        return lambda rows: self.run(X, rows, seed)

    def run(self, train: Array, test: Array, seed: int) -> Array:
        """Scores with our sign. The time of a run includes the start of its process."""
        script = Path(__file__).with_name("pyod_scores.py")
        with tempfile.TemporaryDirectory() as folder:
            split, scores = Path(folder) / "split.npz", Path(folder) / "scores.npz"
            np.savez(split, train=train, test=test)
            call = [peer_python(), script, self.name, str(seed), split, scores]
            done = subprocess.run(call, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(done.stderr.strip().splitlines()[-1])
            with np.load(scores) as stored:
                return -stored["scores"]


METHODS: dict[str, Callable[..., Scorer]] = {
    "harmonium": harmonium,
    "neighbors": neighbors,
    "kernels": kernels,
    "knn": knn,
    "gmm": gmm,
    "lof": lof,
    "iforest": iforest,
    "gauss": gauss,
    "ocsvm": ocsvm,
    **{f"pyod-{name}": PyOD(name) for name in ("inne", "cblof", "ecod", "lunar", "autoencoder")},
}


# Data and splits.


class Split(NamedTuple):
    """Training rows, test rows and the labels of the test rows (1 = anomaly)."""

    train: Array
    test: Array
    y: Array


@cache
def adbench_sets() -> dict[str, Path]:
    """File of every set, by lower-case name."""
    files = sorted(FOLDER.glob("*.npz"), key=lambda path: path.stem.split("_", 1)[1].lower())
    return {path.stem.split("_", 1)[1].lower(): path for path in files}


@cache
def table(name: str) -> tuple[Array, Array]:
    """Rows and labels of a set."""
    with np.load(adbench_sets()[name]) as stored:
        return stored["X"].astype(float), stored["y"].astype(int)


def scaled(train: Array, test: Array, y: Array, scaler: Any = None) -> Split:
    """Columns scaled by what the training rows say."""
    scaler = (scaler or StandardScaler()).fit(train)
    return Split(scaler.transform(train), scaler.transform(test), y)


def clean_rows(name: str, seed: int) -> Split:
    """The clean split, not yet scaled."""
    X, y = table(name)
    rng = np.random.default_rng(seed)
    if len(X) > 10_000:
        kept = rng.choice(len(X), 10_000, replace=False)
        X, y = X[kept], y[kept]
    normals = rng.permutation(np.flatnonzero(y == 0))
    n_train = round(0.5 * len(normals))
    tested = np.concatenate([normals[n_train:], np.flatnonzero(y == 1)])
    return Split(X[normals[:n_train]], X[tested], y[tested])


def clean_split(name: str, seed: int) -> Split:
    """Half of the shuffled normals trains."""
    return scaled(*clean_rows(name, seed))


def dte_split(name: str, seed: int) -> Split:
    """The published split: small sets bootstrapped first, normals in file order."""
    X, y = table(name)
    random = np.random.RandomState(seed)
    if len(X) < 1000:
        drawn = random.choice(len(X), 1000, replace=True)
        X, y = X[drawn], y[drawn]
    if len(X) > 50_000:
        drawn = random.choice(len(X), 50_000, replace=False)
        X, y = X[drawn], y[drawn]
    normals = np.flatnonzero(y == 0)
    n_train = round(0.5 * len(normals))
    tested = np.concatenate([normals[n_train:], np.flatnonzero(y == 1)])
    split = scaled(X[normals[:n_train]], X[tested], y[tested])
    return Split(filled(split.train), filled(split.test), split.y)


def filled(X: Array) -> Array:
    """Missing cells replaced by the mean of their column."""
    missing = np.isnan(X)
    present = np.maximum((~missing).sum(axis=0), 1)
    return np.where(missing, np.nansum(X, axis=0) / present, X)


# One detector on one split.


def score_split(method: str, split: Split, seed: int, **options: Any) -> tuple[Array, Row]:
    """Scores of the test rows, and what fitting and scoring took; a failure scores all rows 0."""
    constant = np.zeros(len(split.test))
    started = time.monotonic()
    try:
        scorer = METHODS[method](split.train, seed, **options)
        fitted = time.monotonic()
        scores = np.asarray(scorer(split.test), dtype=float)
    except Exception as error:  # whatever it was, the table has to say so and the other runs go on
        return constant, {"outcome": f"failed: {type(error).__name__}: {str(error)[:300]}"}
    facts: Row = {
        "outcome": "ok" if np.isfinite(scores).all() else "not finite",
        "fit_seconds": fitted - started,
        "rows_per_second": len(scores) / max(time.monotonic() - fitted, 1e-9),
        "peak_mib": peak_mib(),
        "distinct_scores": len(np.unique(scores)),
        "distinct_rows": len(np.unique(split.test, axis=0)),
    }
    verdict = getattr(getattr(scorer, "__self__", None), "verdict_", None)
    facts |= {} if verdict is None else {"verdict": str(verdict)}
    return (scores if facts["outcome"] == "ok" else constant), facts


def peak_mib() -> float:
    """High-water mark of this process (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def judged(y: Array, scores: Array) -> Row:
    """How well low scores find the anomalies, in percent."""
    _, _, f1 = at_top(y, scores, int(y.sum()))
    return {
        "auroc": 100 * float(roc_auc_score(y, -scores)),
        "aupr": 100 * float(average_precision_score(y, -scores)),
        "f1": 100 * f1,
    }


def at_top(y: Array, scores: Array, n_predicted: int) -> tuple[float, float, float]:
    """Precision, recall and F1 when the lowest scores are called anomalies."""
    hits = float(y[np.argsort(scores, kind="stable")[:n_predicted]].sum())
    return hits / n_predicted, hits / y.sum(), 2 * hits / (n_predicted + y.sum())


# The protocols: one measurement each, and the rows of its table.


def measure_clean(method: str, name: str, seed: int) -> Row:
    """One detector on one clean split."""
    split = clean_split(name, seed)
    scores, facts = score_split(method, split, seed)
    return facts | judged(split.y, scores)


MOST_TRAINED, MOST_TESTED = 5000, 8000


def oddbench_sets() -> tuple[str, ...]:
    """The names of the tables."""
    return tuple(sorted(path.stem for path in (FOLDER.parent / "oddbench").glob("*.npz")))


def oddbench_split(name: str) -> Split:
    """As published, at most so many training and test rows at random; columns as they are."""
    with np.load(FOLDER.parent / "oddbench" / f"{name}.npz") as stored:
        train, test = stored["train"].astype(float), stored["test"].astype(float)
        y = stored["test_labels"].astype(int)
    rng = np.random.default_rng(0)
    if len(train) > MOST_TRAINED:
        train = train[rng.choice(len(train), MOST_TRAINED, replace=False)]
    if len(test) > MOST_TESTED:
        kept = rng.choice(len(test), MOST_TESTED, replace=False)
        test, y = test[kept], y[kept]
    return Split(train, test, y)


def measure_oddbench(method: str, name: str, seed: int) -> Row:
    """One detector on one table."""
    split = oddbench_split(name)
    scores, facts = score_split(method, split, seed)
    return facts | judged(split.y, scores)


def measure_dte(method: str, name: str, seed: int) -> Row:
    """One detector on one published split."""
    split = dte_split(name, seed)
    scores, facts = score_split(method, split, seed)
    return facts | judged(split.y, scores)


def contaminated_rows(name: str, seed: int) -> tuple[Split, Array, float]:
    """The clean rows less the drawn anomalies, training rows that contain those, their share.

    A tenth of the training rows is replaced; with too few anomalies, half of them are used.
    """
    train, test, y = clean_rows(name, seed)
    rng = np.random.default_rng(seed)
    anomalies = np.flatnonzero(y == 1)
    n_drawn = min(round(0.1 * len(train)), len(anomalies) // 2)
    drawn = rng.choice(anomalies, n_drawn, replace=False)
    polluted = train.copy()
    polluted[rng.choice(len(train), n_drawn, replace=False)] = test[drawn]
    rest = Split(train, np.delete(test, drawn, axis=0), np.delete(y, drawn))
    return rest, polluted, n_drawn / len(train)


def measure_contaminated(method: str, name: str, seed: int) -> Row:
    """The same test rows after clean training, polluted training and training told the share."""
    clean, polluted, share = contaminated_rows(name, seed)
    variants: dict[str, tuple[Array, dict[str, float]]] = {
        "clean": (clean.train, {}),
        "contaminated": (polluted, {}),
    }
    if method == "harmonium":
        variants["told"] = (polluted, {"contamination": share})
    row: Row = {"outcome": "ok", "share": share}
    for variant, (train, options) in variants.items():
        split = scaled(train, clean.test, clean.y)
        scores, facts = score_split(method, split, seed, **options)
        row |= {f"{key}_{variant}": value for key, value in facts.items()}
        row |= {f"{key}_{variant}": value for key, value in judged(split.y, scores).items()}
        if facts["outcome"] != "ok":
            row["outcome"] = f"{variant} {facts['outcome']}"
    return row


CORRUPTED_ROWS = 100
SHIFT = 4.0  # standard deviations
FAR = 1.0  # standard deviations


def corrupted(
    X: Array, train: Array, way: str, rng: np.random.Generator
) -> tuple[Array, list[int]]:
    """One random cell of every row made wrong, and its column; both tables standardized."""
    X, columns = X.copy(), np.flatnonzero(np.ptp(train, axis=0) > 1e-9)
    changed = []
    for row in X:
        column, value = int(rng.choice(columns)), 0.0
        if way == "shift":
            value = row[column] + SHIFT * rng.choice([-1.0, 1.0])
        else:
            value = train[rng.integers(len(train)), column]
            while abs(value - row[column]) < 1e-9:
                column = int(rng.choice(columns))
                value = train[rng.integers(len(train)), column]
        row[column] = value
        changed.append(column)
    return X, changed


def with_foreign_pairs(X: Array, train: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Two random cells of every row replaced by those of one training row, both of them changed,
    and their columns (rows, 2), in order; both tables standardized.
    """
    X, columns = X.copy(), np.flatnonzero(np.ptp(train, axis=0) > 1e-9)
    pairs = []
    for row in X:
        pair, other = rng.choice(columns, 2, replace=False), row
        while np.min(np.abs(other - row)[pair]) < 1e-9:
            pair = rng.choice(columns, 2, replace=False)
            other = train[rng.integers(len(train))]
        row[pair] = other[pair]
        pairs.append(np.sort(pair))
    return X, np.array(pairs)


def top_shares(blame: Array, columns: list[int]) -> tuple[float, float]:
    """Share of rows whose corrupted column has the most blame, and one of the three most.

    Ties and missing numbers count against the explanation.
    """
    blame = np.nan_to_num(np.asarray(blame, dtype=float), nan=-np.inf)
    own = blame[np.arange(len(columns)), columns][:, None]
    ranks = (blame >= own).sum(axis=1)
    return float(np.mean(ranks <= 1)), float(np.mean(ranks <= 3))


def measure_reasons(method: str, name: str, seed: int) -> Row:
    """Does the explanation name the corrupted column or columns, and does the size of the cell?"""
    split = clean_split(name, seed)
    rng = np.random.default_rng(seed)
    normals = np.flatnonzero(split.y == 0)
    started = time.monotonic()
    fitted = detector(split.train, seed)
    row: Row = {"outcome": "ok", "fit_seconds": time.monotonic() - started, "explain_seconds": 0.0}
    rows = split.test[rng.choice(normals, min(CORRUPTED_ROWS, len(normals)), replace=False)]
    for way in ("swap", "shift"):
        wrong, columns = corrupted(rows, split.train, way, rng)
        started = time.monotonic()
        blame = np.asarray(fitted.explain(wrong).contributions)
        row["explain_seconds"] += time.monotonic() - started
        row[f"{way}_top1"], row[f"{way}_top3"] = top_shares(blame, columns)
        row[f"{way}_z_top1"], row[f"{way}_z_top3"] = top_shares(np.abs(wrong), columns)
        # A swap for nearly the same value leaves nothing to be found.
        far = np.max(np.abs(wrong - rows), axis=1) >= FAR
        own = [column for column, is_far in zip(columns, far, strict=True) if is_far]
        row[f"{way}_far"] = float(np.mean(far))
        row[f"{way}_far_top1"], row[f"{way}_far_top3"] = top_shares(blame[far], own)
        if not np.isfinite(blame).all():
            row["outcome"] = "not finite"
    wrong, pairs = with_foreign_pairs(rows, split.train, rng)
    started = time.monotonic()
    groups = np.sort(fitted.explain(wrong, group_size=2).group, axis=1)
    row["pair_explain_seconds"] = time.monotonic() - started
    n_named = np.array([len(np.intersect1d(*both)) for both in zip(groups, pairs, strict=True)])
    far = np.all(np.take_along_axis(np.abs(wrong - rows), pairs, axis=1) >= FAR, axis=1)
    row["pair_found"], row["pair_part"] = float(np.mean(n_named == 2)), float(np.mean(n_named > 0))
    row["pair_far"] = float(np.mean(far))
    row["pair_far_found"] = float(np.mean(n_named[far] == 2))
    row["pair_far_part"] = float(np.mean(n_named[far] > 0))
    return row | {"peak_mib": peak_mib()}


N_FIT, N_CALIBRATION, N_TEST, REPETITIONS = 2000, 2000, 200, 200
OUTLIER_SHARE = 0.1
LEVELS = (0.05, 0.1, 0.2)


class Mixture:
    """Three Gaussians in eight dimensions; outliers spread like it, twice as far."""

    def __init__(self) -> None:
        rng = np.random.default_rng(2024)
        self.means = 3 * rng.standard_normal((3, 8))
        self.factors = rng.standard_normal((3, 8, 8)) / np.sqrt(8)

    def normals(self, n: int, rng: np.random.Generator) -> Array:
        """Rows of the mixture."""
        which = rng.integers(3, size=n)
        noise = rng.standard_normal((n, 8))
        return self.means[which] + np.einsum("nij,nj->ni", self.factors[which], noise)

    def outliers(self, n: int, rng: np.random.Generator) -> Array:
        """Rows of a Gaussian with the center of the mixture and twice its spread."""
        crowd = self.normals(5000, np.random.default_rng(0))
        return crowd.mean(axis=0) + 2 * crowd.std(axis=0) * rng.standard_normal((n, 8))


def uniformity(p: Array, n_calibration: int) -> tuple[float, float]:
    """Kolmogorov-Smirnov p-value of uniformity: plain, and with the shared calibration counted.

    The p-values of one repetition share their calibration rows, which by itself spreads their
    empirical distribution; the second value is that of two samples, m test and n calibration rows.
    """
    test = kstest(p, "uniform")
    size = len(p) * n_calibration / (len(p) + n_calibration)
    return float(test.pvalue), float(kstwobign.sf(np.sqrt(size) * test.statistic))


def discoveries(chosen: Array, outlier: Array) -> tuple[float, float]:
    """False share of the discoveries (0 if there are none), and share of the outliers found."""
    false = float((chosen & ~outlier).sum())
    return false / max(int(chosen.sum()), 1), float(chosen[outlier].mean())


def repetition(scorer: Scorer, mixture: Mixture, rng: np.random.Generator) -> Row:
    """Fresh calibration and test rows: uniformity among normals, discoveries with outliers."""
    calibration = np.asarray(scorer(mixture.normals(N_CALIBRATION, rng)))
    normals = np.asarray(scorer(mixture.normals(N_TEST, rng)))
    p = np.asarray(p_values(calibration, normals))
    plain, shared = uniformity(p - rng.random(len(p)) / (len(calibration) + 1), len(calibration))
    n_outliers = round(OUTLIER_SHARE * N_TEST)
    outlier = np.arange(N_TEST) < n_outliers
    mixed = np.concatenate([scorer(mixture.outliers(n_outliers, rng)), normals[n_outliers:]])
    p = np.asarray(p_values(calibration, mixed))
    row: Row = {"plain": plain < 0.01, "shared": shared < 0.01}
    for level in LEVELS:
        chosen = np.asarray(benjamini_hochberg(p, level))
        row[f"fdr {level}"], row[f"power {level}"] = discoveries(chosen, outlier)
    return row


def measure_pvalues(method: str, name: str, seed: int) -> Row:
    """One fit, many fresh calibration and test tables."""
    mixture, rng = Mixture(), np.random.default_rng(seed)
    started = time.monotonic()
    scorer = METHODS[method](mixture.normals(N_FIT, rng), seed)
    fitted = time.monotonic()
    rows = [repetition(scorer, mixture, rng) for _ in range(REPETITIONS)]
    result: Row = {"outcome": "ok", "fit_seconds": fitted - started}
    for key in rows[0]:
        values = np.array([row[key] for row in rows], dtype=float)
        result[key] = float(values.mean())
        result[f"{key} error"] = float(values.std(ddof=1) / np.sqrt(len(values)))
    return result


SPEED_ROWS = 100_000


def measure_speed(method: str, name: str, seed: int) -> Row:
    """Seconds of a fit with compilation; scoring and explaining after it; columns as the name
    says.
    """
    rng = np.random.default_rng(seed)
    n_columns = int(name.split()[0])
    mixing = rng.standard_normal((n_columns, n_columns))
    rows = rng.standard_normal((SPEED_ROWS, n_columns)) @ mixing
    started = time.monotonic()
    fitted = detector(rows[:N_FIT], seed)
    row: Row = {"outcome": "ok", "fit_seconds": time.monotonic() - started}
    fitted.score_samples(rows)
    started = time.monotonic()
    fitted.score_samples(rows)
    row["rows_per_second"] = SPEED_ROWS / (time.monotonic() - started)
    fitted.explain(rows[:1])
    started = time.monotonic()
    for one in rows[1:6]:
        fitted.explain(one[None])
    row["explain_one_seconds"] = (time.monotonic() - started) / 5
    return row | {"peak_mib": peak_mib()}


ANOMALY_SHARES = {"thyroid": 0.025, "arrhythmia": 0.15, "kddcup": 0.20}
KDDCUP_FITTED = 5000
# F1 of Table 2 of the DAGMM paper (Zong et al., ICLR 2018), in percent.
PUBLISHED_F1 = {
    "OC-SVM, published": {"kddcup": 79.54, "thyroid": 38.87, "arrhythmia": 45.81},
    "DSEBM-r, published": {"kddcup": 73.28, "thyroid": 4.03, "arrhythmia": 15.10},
    "DSEBM-e, published": {"kddcup": 73.99, "thyroid": 13.19, "arrhythmia": 46.01},
    "PAE-GMM, published": {"kddcup": 73.17, "thyroid": 46.88, "arrhythmia": 46.84},
    "DAGMM, published": {"kddcup": 93.69, "thyroid": 47.82, "arrhythmia": 49.83},
}


@cache
def dagmm_table(name: str) -> tuple[Array, Array]:
    """Rows and labels of a set of the DAGMM table."""
    folder = FOLDER.parent / "dagmm"
    if name == "thyroid":
        return table(name)
    if name == "arrhythmia":
        stored = loadmat(folder / "arrhythmia.mat")
        return stored["X"].astype(float), stored["y"].ravel().astype(int)
    frame = pd.read_csv(folder / "kddcup.data_10_percent.gz", header=None)
    y = (frame.pop(41) == "normal.").to_numpy().astype(int)
    X = pd.get_dummies(frame, columns=[1, 2, 3, 6, 11, 20, 21]).to_numpy(dtype=np.float32)
    return X[:, np.ptp(X, axis=0) > 0], y


def dagmm_split(name: str, seed: int) -> Split:
    """Random halves; the normal rows of the first train, all rows of the second test."""
    X, y = dagmm_table(name)
    rows = np.random.default_rng(seed).permutation(len(X))
    trained, tested = rows[: len(X) // 2], rows[len(X) // 2 :]
    trained = trained[y[trained] == 0]
    if name == "kddcup":
        return scaled(X[trained[:KDDCUP_FITTED]], X[tested], y[tested], MinMaxScaler())
    return scaled(X[trained], X[tested], y[tested])


def measure_dagmm(method: str, name: str, seed: int) -> Row:
    """Precision, recall and F1 with the stated share of the test rows called anomalies."""
    split = dagmm_split(name, seed)
    scores, facts = score_split(method, split, seed)
    n_predicted = round(ANOMALY_SHARES[name] * len(split.y))
    precision, recall, f1 = at_top(split.y, scores, n_predicted)
    auroc = judged(split.y, scores)["auroc"]
    found = {"precision": 100 * precision, "recall": 100 * recall, "f1": 100 * f1, "auroc": auroc}
    return facts | found


# Tables.


def values(runs: list[Row], key: str, **where: Any) -> list[Any]:
    """A field of the runs that match, where it is there."""
    return [run[key] for run in runs if key in run and all(run[k] == v for k, v in where.items())]


def unique(runs: list[Row], key: str) -> list[Any]:
    """Distinct values of a field, in order of appearance."""
    return list(dict.fromkeys(run[key] for run in runs))


def mean(numbers: list[float]) -> float | str:
    """The mean of what there is, or nothing where there is none."""
    found = [number for number in numbers if number != ""]
    return float(np.mean(found)) if found else ""


def means_over_sets(runs: list[Row], key: str) -> list[float]:
    """Mean over the sets for every seed that has all sets of the table."""
    sets = set(unique(runs, "set"))
    by_seed = [
        [run for run in runs if run["seed"] == seed and key in run] for seed in unique(runs, "seed")
    ]
    complete = [of_seed for of_seed in by_seed if {run["set"] for run in of_seed} == sets]
    return [float(np.mean(values(of_seed, key))) for of_seed in complete]


def closing_rows(runs: list[Row], columns: dict[str, tuple[str, str]]) -> list[Row]:
    """Mean over the sets and its standard deviation over seeds; columns: (method, field)."""
    sets = set(unique(runs, "set"))
    last: Row = {"set": f"mean of {len(sets)}"}
    spread: Row = {"set": "sd over seeds"}
    for heading, (method, key) in columns.items():
        own = [run for run in runs if run["method"] == method]
        overall = means_over_sets(own, key) if set(unique(own, "set")) == sets else []
        last[heading] = mean(overall)
        spread[heading] = float(np.std(overall, ddof=1)) if len(overall) > 1 else ""
    return [last, spread]


def costs(runs: list[Row]) -> Row:
    """Seconds, speed, memory and soundness of the runs of one detector."""
    return {
        "fit s": max(values(runs, "fit_seconds"), default=""),
        "rows/s": min(values(runs, "rows_per_second"), default=""),
        "peak MiB": max(values(runs, "peak_mib"), default=""),
    } | soundness(runs)


def soundness(runs: list[Row]) -> Row:
    """The least share of distinct scores, and how many runs failed."""
    distinct = [
        run["distinct_scores"] / run["distinct_rows"] for run in runs if "distinct_scores" in run
    ]
    return {
        "distinct": min(distinct, default=""),
        "failed": sum(run["outcome"] != "ok" for run in runs),
    }


def _is_pyod(method: str) -> bool:
    """Whether it runs in a process of its own, whose start and memory say nothing of it (see
    benchmarks.scoring).
    """
    return isinstance(METHODS[method], PyOD)


def summarize_detection(runs: list[Row], keys: tuple[str, ...] = ("auroc", "aupr")) -> list[Row]:
    """A row per set: figures of every method, costs of the first (ours, if it ran)."""
    methods = [method for method in METHODS if method in unique(runs, "method")]
    columns = {f"{method} {key.upper()}": (method, key) for method in methods for key in keys}
    rows: list[Row] = []
    for name in sorted(unique(runs, "set")):
        row: Row = {"set": name}
        for heading, (method, key) in columns.items():
            row[heading] = mean(values(runs, key, set=name, method=method))
        first = [run for run in runs if run["set"] == name and run["method"] == methods[0]]
        rows.append(row | {"seeds": len(first)} | costs(first))
    ending = closing_rows(runs, columns)
    ending[0] |= costs([run for run in runs if run["method"] == methods[0]])
    return rows + ending


N_BOOTSTRAPS = 10_000


def by_set(runs: list[Row], key: str, method: str) -> dict[str, float]:
    """The mean over seeds of a figure of one detector, by set."""
    found = {name: values(runs, key, set=name, method=method) for name in unique(runs, "set")}
    return {name: float(np.mean(own)) for name, own in found.items() if own}


def summarize_leads(runs: list[Row]) -> list[Row]:
    """By how much ours leads each detector: the mean over sets, with a paired bootstrap interval.

    Seeds of a set are averaged first; sets are drawn with replacement.
    """
    rows: list[Row] = []
    for method in unique(runs, "method"):
        if method == "harmonium":
            continue
        row: Row = {"beside": method}
        for key in ("auroc", "aupr"):
            ours, theirs = (by_set(runs, key, own) for own in ("harmonium", method))
            both = [name for name in theirs if name in ours]
            if not both:
                continue
            leads = np.array([ours[name] - theirs[name] for name in both])
            drawn = np.random.default_rng(0).choice(leads, (N_BOOTSTRAPS, len(leads)))
            low, high = np.quantile(drawn.mean(axis=1), (0.025, 0.975))
            row |= {key.upper(): float(leads.mean()), f"{key.upper()} low": float(low)}
            row |= {f"{key.upper()} high": float(high), "sets": len(both)}
        rows.append(row)
    return rows


def summarize_costs(runs: list[Row]) -> list[Row]:
    """A row per method: what it takes over all sets."""
    return [
        {"method": method, "runs": len(own)} | (soundness(own) if _is_pyod(method) else costs(own))
        for method in METHODS
        if (own := [run for run in runs if run["method"] == method])
    ]


def summarize_dte(runs: list[Row]) -> list[Row]:
    """As for the clean split, with F1 at the true number of anomalies."""
    return summarize_detection(runs, ("auroc", "aupr", "f1"))


def summarize_contaminated(runs: list[Row]) -> list[Row]:
    """AUROC and AUPR on the same test rows, by what was in the training table."""
    columns = {
        f"{method} {variant} {key.upper()}": (method, f"{key}_{variant}")
        for method in METHODS
        for key in ("auroc", "aupr")
        for variant in ("clean", "contaminated", "told")
        if values(runs, f"{key}_{variant}", method=method)
    }
    rows: list[Row] = []
    for name in sorted(unique(runs, "set")):
        row: Row = {"set": name, "share": mean(values(runs, "share", set=name))}
        for heading, (method, key) in columns.items():
            row[heading] = mean(values(runs, key, set=name, method=method))
        failed = sum(outcome != "ok" for outcome in values(runs, "outcome", set=name))
        rows.append(row | {"seeds": len({*values(runs, "seed", set=name)}), "failed": failed})
    return rows + closing_rows(runs, columns)


def summarize_reasons(runs: list[Row]) -> list[Row]:
    """Shares of rows in which the corrupted column is found, by set and way."""
    columns = {
        "top 1": "top1",
        "|z| top 1": "z_top1",
        "top 3": "top3",
        "|z| top 3": "z_top3",
        "moved 1 sd or more": "far",
        "of those top 1": "far_top1",
        "of those top 3": "far_top3",
    }
    rows: list[Row] = [
        {"set": name, "way": way}
        | {
            heading: mean(values(runs, f"{way}_{key}", set=name))
            for heading, key in columns.items()
        }
        | {
            "seeds": len(values(runs, "seed", set=name)),
            "explain s": mean(values(runs, "explain_seconds", set=name)),
            "failed": sum(outcome != "ok" for outcome in values(runs, "outcome", set=name)),
        }
        for name in sorted(unique(runs, "set"))
        for way in ("swap", "shift")
    ]
    for way in ("swap", "shift", "both"):
        own = [row for row in rows if way in ("both", row["way"]) and row["set"] != "mean"]
        closing: Row = {"set": "mean", "way": way}
        rows.append(closing | {heading: mean([row[heading] for row in own]) for heading in columns})
    return rows


def summarize_pairs(runs: list[Row]) -> list[Row]:
    """Shares of rows in which the pair of corrupted columns is found, or one of it, by set."""
    columns = {
        "pair": "pair_found",
        "one of it": "pair_part",
        "both moved 1 sd or more": "pair_far",
        "of those pair": "pair_far_found",
        "of those one of it": "pair_far_part",
        "explain s": "pair_explain_seconds",
    }
    rows: list[Row] = [
        {"set": name}
        | {heading: mean(values(runs, key, set=name)) for heading, key in columns.items()}
        | {"seeds": len(values(runs, "seed", set=name))}
        for name in sorted(unique(runs, "set"))
    ]
    return [*rows, {"set": "mean"} | {own: mean([row[own] for row in rows]) for own in columns}]


def summarize_pvalues(runs: list[Row]) -> list[Row]:
    """A row per fit and figure: what was promised, what came out, its Monte-Carlo error."""
    null_share = 1 - OUTLIER_SHARE
    figures = [
        ("KS rejects at 1 %, plain", "plain", 0.01),
        ("KS rejects at 1 %, shared calibration counted", "shared", 0.01),
        *((f"FDR at {level}", f"fdr {level}", null_share * level) for level in LEVELS),
        *((f"outliers found at {level}", f"power {level}", "") for level in LEVELS),
    ]
    return [
        {
            "figure": text,
            "method": run["method"],
            "seed": run["seed"],
            "expected": expected,
            "realized": run[key],
            "Monte-Carlo error": run[f"{key} error"],
        }
        for run in runs
        for text, key, expected in figures
    ]


def summarize_speed(runs: list[Row]) -> list[Row]:
    """A row per width of the table."""
    return [
        {
            "table": run["set"],
            "fit s, compilation included": run["fit_seconds"],
            "rows scored per s": run["rows_per_second"],
            "s to explain one row": run["explain_one_seconds"],
            "peak MiB": run["peak_mib"],
        }
        for run in runs
    ]


def summarize_dagmm(runs: list[Row]) -> list[Row]:
    """F1 of every method beside the published ones."""
    sets = [name for name in ANOMALY_SHARES if name in unique(runs, "set")]
    rows: list[Row] = [
        {"method": method}
        | {
            f"{name} {key}": value
            for name in sets
            for key, value in (("F1", f1s[name]), ("sd", ""))
        }
        for method, f1s in PUBLISHED_F1.items()
    ]
    for method in (method for method in METHODS if method in unique(runs, "method")):
        row: Row = {"method": method}
        for name in sets:
            f1 = values(runs, "f1", set=name, method=method)
            row[f"{name} F1"] = mean(f1)
            row[f"{name} sd"] = float(np.std(f1, ddof=1)) if len(f1) > 1 else ""
        own = [run for run in runs if run["method"] == method]
        rows.append(row | {"runs": len(own)} | costs(own))
    return rows


@dataclass(frozen=True)
class Protocol:
    """What is measured for (method, set, seed), by default on what, and how it is told."""

    title: str
    measure: Callable[[str, str, int], Row]
    summarize: Callable[[list[Row]], list[Row]]
    seeds: int
    sets: tuple[str, ...] | None = None  # None: every file of the folder
    methods: tuple[str, ...] = tuple(METHODS)


OURS = ("harmonium",)
# Those that read columns as they are; the others would need a scaler.
ON_ODDBENCH = ("harmonium", "neighbors", "kernels", "iforest", "pyod-ecod")
EXPLAINED = ("annthyroid", "cardio", "magic.gamma", "pendigits", "satellite")
PROTOCOLS = {
    "clean": Protocol(
        "Protocol clean: AUROC / AUPR in percent, mean over seeds",
        measure_clean,
        summarize_detection,
        3,
    ),
    "oddbench": Protocol(
        "Protocol oddbench: AUROC / AUPR in percent",
        measure_oddbench,
        summarize_detection,
        1,
        oddbench_sets(),
        ON_ODDBENCH,
    ),
    "dte": Protocol(
        "Protocol dte: percent, mean over seeds; published AUROC, mean of 22: DTE-NP 84.81, "
        "kNN 84.75, ICL 83.69, LOF 83.45, DTE-C 83.35",
        measure_dte,
        summarize_dte,
        5,
    ),
    "contaminated": Protocol(
        "AUROC and AUPR in percent on the same test rows: training clean, contaminated, and told "
        "the share",
        measure_contaminated,
        summarize_contaminated,
        3,
        methods=OURS,
    ),
    "reasons": Protocol(
        "Share of rows whose corrupted column has the largest (three largest) contribution; "
        f"explain s: {2 * CORRUPTED_ROWS} rows",
        measure_reasons,
        summarize_reasons,
        3,
        EXPLAINED,
        OURS,
    ),
    "pvalues": Protocol(
        f"Conformal p-values of one fit, {REPETITIONS} tables of {N_CALIBRATION} calibration and "
        f"{N_TEST} test rows of a mixture in 8 dimensions",
        measure_pvalues,
        summarize_pvalues,
        1,
        ("mixture",),
        OURS,
    ),
    "speed": Protocol(
        f"Time of {N_FIT} rows fitted, {SPEED_ROWS} scored, one explained; the last two after "
        "compilation",
        measure_speed,
        summarize_speed,
        1,
        ("20 columns", "50 columns"),
        OURS,
    ),
    "dagmm": Protocol(
        "The DAGMM table: F1 in percent, anomalies are the stated share of the test rows",
        measure_dagmm,
        summarize_dagmm,
        20,
        ("thyroid", "arrhythmia"),
    ),
}
KDDCUP_SEEDS = 3
# Fields named in the line of a run, by how they begin.
TOLD = (
    "fit_seconds",
    "auroc",
    "aupr",
    "f1",
    "swap",
    "shift",
    "pair",
    "plain",
    "shared",
    "fdr",
    "power",
)


# The runs file and the command line.


def stored_runs() -> dict[tuple[str, str, str, int], Row]:
    """Results by (protocol, method, set, seed); the last line of a key counts."""
    if not RUNS.exists():
        return {}
    runs = [json.loads(line) for line in RUNS.read_text(encoding="utf-8").splitlines() if line]
    return {(run["protocol"], run["method"], run["set"], run["seed"]): run for run in runs}


def remember(run: Row) -> None:
    """Append a result."""
    RESULTS.mkdir(exist_ok=True)
    with RUNS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(run) + "\n")


def jobs(protocol: Protocol, arguments: argparse.Namespace) -> Iterator[tuple[str, str, int]]:
    """Every (method, set, seed) asked for, a whole seed before the next."""
    sets = arguments.only or protocol.sets or tuple(adbench_sets())
    seeds = {
        name: arguments.seeds or (KDDCUP_SEEDS if name == "kddcup" else protocol.seeds)
        for name in sets
    }
    for seed in range(max(seeds.values())):
        for name in sets:
            for method in arguments.methods or protocol.methods:
                if seed < seeds[name]:
                    yield method, name, seed


def run_all(label: str, arguments: argparse.Namespace) -> None:
    """Compute what is asked for and not yet stored; exceptions of an earlier call again."""
    protocol, done = PROTOCOLS[label], stored_runs()
    for method, name, seed in jobs(protocol, arguments):
        earlier = done.get((label, method, name, seed))
        if earlier and "failed" not in earlier["outcome"]:
            continue
        result = protocol.measure(method, name, seed)
        key = {"protocol": label, "method": method, "set": name, "seed": seed}
        remember(key | {"version": hm.__version__} | result)
        told = {k: v for k, v in result.items() if k.startswith(TOLD)}
        figures = ", ".join(f"{k} {v:.4g}" for k, v in told.items() if not k.endswith("error"))
        print(f"{label} {name} {method} seed {seed}: {result['outcome']}; {figures}", flush=True)


def summarize(label: str) -> None:
    """Publish the tables of a protocol from the stored runs."""
    runs = [run for key, run in stored_runs().items() if key[0] == label]
    if not runs:
        sys.exit(f"detection: no runs of protocol {label} in {RUNS}")
    protocol = PROTOCOLS[label]
    publish(f"detection_{label}", protocol.title, protocol.summarize(runs))
    if label == "reasons":
        publish(
            "detection_reasons_pairs",
            "Share of rows with two cells of another row, whose columns are the likeliest pair; "
            f"explain s: {CORRUPTED_ROWS} rows",
            summarize_pairs(runs),
        )
    if label in ("clean", "oddbench", "dte"):
        publish(
            f"detection_{label}_leads",
            f"Protocol {label}: lead of ours, points, with 95 % intervals over sets",
            summarize_leads(runs),
        )
        publish(
            f"detection_{label}_costs",
            f"Protocol {label}: slowest fit, slowest scoring, peak memory of the process",
            summarize_costs(runs),
        )


def check(label: str, arguments: argparse.Namespace) -> None:
    """End with a clear message where data or names are missing."""
    if label in ("pvalues", "speed"):
        known = set(PROTOCOLS[label].sets or ())
    elif not adbench_sets():
        sys.exit(f"detection: the ADBench files are not at {FOLDER}; nothing was measured")
    else:
        named = {"dagmm": set(ANOMALY_SHARES), "oddbench": set(oddbench_sets())}
        known = named.get(label, set(adbench_sets()))
    if label == "oddbench" and not known:
        sys.exit(f"detection: no files at {FOLDER.parent / 'oddbench'}; nothing was measured")
    if label == "dagmm" and not (FOLDER.parent / "dagmm").is_dir():
        sys.exit(f"detection: no files at {FOLDER.parent / 'dagmm'}; nothing was measured")
    if unknown := set(arguments.only or ()) - known:
        sys.exit(f"detection: no set {sorted(unknown)}; there are {sorted(known)}")
    if label in ("reasons", "speed") and set(arguments.methods or OURS) != set(OURS):
        sys.exit(f"detection: protocol {label} is of harmonium only")


def main() -> None:
    """Run a protocol, then publish its tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--protocol", default="clean", choices=list(PROTOCOLS))
    parser.add_argument("--seeds", type=int, help="how many; default: as the protocol says")
    parser.add_argument("--only", nargs="*", metavar="SET", help="default: as the protocol says")
    parser.add_argument("--methods", nargs="*", choices=list(METHODS))
    parser.add_argument("--summary", action="store_true", help="publish what is stored")
    arguments = parser.parse_args()
    if not arguments.summary:
        check(arguments.protocol, arguments)
        run_all(arguments.protocol, arguments)
    summarize(arguments.protocol)


if __name__ == "__main__":
    main()
