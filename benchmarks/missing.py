"""What missing cells cost: detection with holes in the test rows, density with holes in the
training rows.

`python -m benchmarks.missing [--protocol detection density] [--only cardio ...] [--summary]`

    detection  the clean split of benchmarks.detection; one detector scores the test rows whole, and
               with a fifth of their cells hidden: AUROC of both, and those of the Gaussian mixture
               of benchmarks.detection, whose marginals are exact: what it loses is lost with the
               cells
    density    a fifth of the cells of the training rows is hidden: mean log-density of whole test
               rows, after a fit to whole and to holed rows, beside the Gaussian fit of the whole
               rows

Every result is one line of results/missing_runs.jsonl as soon as it is there, and is not computed
again.
"""

import argparse
import json
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp
from sklearn.mixture import GaussianMixture

from benchmarks.detection import adbench_sets, clean_split, fitted_mixture, judged
from benchmarks.report import RESULTS, Row, publish
from benchmarks.tables import TABLES
from harmonium import AnomalyDetector, DensityEstimator
from harmonium.inference.density import gaussian

RUNS = RESULTS / "missing_runs.jsonl"
HIDDEN = 0.2
MAX_ROWS = 4000
# Nats per row.
LEAST_GAIN = 0.1
DENSITY_SETS = ("wilt", "cardio", "magic", "pendigits", "diamonds")


def detection(name: str) -> Row:
    """AUROC of one detector on whole and on holed test rows."""
    split = clean_split(name, 0)
    detector = AnomalyDetector(random_state=0).fit(split.train)
    holes = np.random.default_rng(0).random(split.test.shape) < HIDDEN
    # A row without any cell says nothing.
    holes[holes.all(axis=1), 0] = False
    holed = np.where(holes, np.nan, split.test)
    mixture = fitted_mixture(split.train, 0)
    found: Row = {}
    for who, score in (
        ("", detector.score_samples),
        ("mixture ", lambda rows: log_marginals(mixture, rows)),
    ):
        whole, missing = (judged(split.y, score(rows))["auroc"] for rows in (split.test, holed))
        found |= {f"{who}whole": whole, f"{who}holed": missing, f"{who}lost": whole - missing}
    return found


def log_marginals(mixture: GaussianMixture, rows: np.ndarray) -> np.ndarray:
    """Log-density of the observed cells of every row (rows,)."""
    fitted: Any = mixture
    parts = list(zip(fitted.weights_, fitted.means_, fitted.covariances_, strict=True))
    found = np.zeros(len(rows))
    for i, row in enumerate(rows):
        seen = ~np.isnan(row)
        found[i] = logsumexp(
            [
                np.log(weight) + log_normal(row[seen] - mean[seen], covariance[np.ix_(seen, seen)])
                for weight, mean, covariance in parts
            ]
        )
    return found


def log_normal(offset: np.ndarray, covariance: np.ndarray) -> float:
    """Log-density of a Gaussian at an offset from its mean."""
    factor = np.linalg.cholesky(covariance)
    standard = np.linalg.solve(factor, offset)
    log_det = 2 * np.log(np.diag(factor)).sum() + len(offset) * np.log(2 * np.pi)
    return -0.5 * (float(standard @ standard) + log_det)


def density(name: str) -> Row:
    """Mean log-density of test rows after fits to whole and to holed training rows."""
    table = TABLES[name]().dropna()
    table = table.sample(min(len(table), MAX_ROWS), random_state=0)
    numbers = table.astype({c: float for c in table if table[c].dtype.kind in "if"})
    test, train = numbers.iloc[: len(table) // 5], numbers.iloc[len(table) // 5 :]
    holed = train.mask(np.random.default_rng(0).random(train.shape) < HIDDEN)
    kinds = {c: "categorical" for c in table if table[c].dtype.kind not in "if"}
    fits = [DensityEstimator(kinds=kinds or None).fit(rows) for rows in (train, holed)]
    whole, missing = (fitted.score(test) for fitted in fits)
    plain = gaussian(fits[0].density_)
    start = float(np.mean(plain.log_density(fits[0]._values("score", test))))
    gain = whole - start
    return {
        "rows": len(train),
        "gaussian": start,
        "whole": whole,
        "holed": missing,
        # A fit that kept the Gaussian has nothing to lose.
        "share of the gain lost": (whole - missing) / gain if gain > LEAST_GAIN else float("nan"),
        "trusted": all(fitted.density_.trusted for fitted in fits),
    }


PROTOCOLS: dict[str, tuple[Callable[[str], Row], tuple[str, ...]]] = {
    "detection": (detection, tuple(adbench_sets())),
    "density": (density, DENSITY_SETS),
}


def summarize(protocols: list[str]) -> None:
    """Publish the tables of the stored runs, with their means."""
    runs: Any = pd.DataFrame([json.loads(line) for line in RUNS.read_text().splitlines()])
    for protocol in protocols:
        rows = runs[runs["protocol"] == protocol].drop(columns="protocol").dropna(axis=1, how="all")
        means = rows.mean(numeric_only=True).to_dict() | {"set": f"mean of {len(rows)}"}
        publish(
            f"missing_{protocol}",
            f"A fifth of the cells missing: {protocol}",
            [*rows.to_dict("records"), means],
        )


def main() -> None:
    """Run what is missing, then summarize."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--protocol", nargs="*", choices=list(PROTOCOLS), default=list(PROTOCOLS))
    parser.add_argument("--only", nargs="*", metavar="SET")
    parser.add_argument("--summary", action="store_true", help="only publish what is stored")
    options = parser.parse_args()
    RUNS.touch()
    stored = [json.loads(line) for line in RUNS.read_text().splitlines()]
    done = {(run["protocol"], run["set"]) for run in stored}
    for protocol in [] if options.summary else options.protocol:
        measure, names = PROTOCOLS[protocol]
        for name in names:
            if (options.only and name not in options.only) or (protocol, name) in done:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = {"protocol": protocol, "set": name} | measure(name)
            print(found, flush=True)
            with RUNS.open("a") as file:
                file.write(json.dumps(found) + "\n")
    summarize(options.protocol)


if __name__ == "__main__":
    main()
