"""When to use which objective: one density estimator, every objective, the same number of updates.

`python -m benchmarks.objectives [--seeds 1] [--only fault ...] [--updates 2000]`

Clean splits of ADBench sets (half of the normal rows train). "gain" is the mean log-density of the
normal test rows over that of the untrained model, the base alone, in nats; "log Z error" its
standard error. "trusted" is what the fit itself says of its log-densities. AUROC ranks all test
rows by -F, which needs no log Z. Needs ../shared/data/adbench.
"""

import argparse
import sys
import time
import warnings

import numpy as np
from sklearn.metrics import roc_auc_score

import harmonium as hm
from benchmarks.detection import FOLDER, adbench_sets, clean_split
from benchmarks.report import Row, publish
from harmonium.errors import HarmoniumError
from harmonium.inference.density import untrained
from harmonium.inference.settings import OBJECTIVES

SETS = ("annthyroid", "cardio", "letter", "pendigits")


def measure(objective: str, name: str, seed: int, n_updates: int) -> Row:
    """One fit; one that ends in an error stays in the table."""
    split = clean_split(name, seed)
    row: Row = {"set": name, "objective": objective, "seed": seed}
    started = time.monotonic()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator = hm.DensityEstimator(
                objective=objective, n_updates=n_updates, random_state=seed
            ).fit(split.train)
    except HarmoniumError as error:
        return row | {"outcome": f"{type(error).__name__}: {str(error)[:60]}"}
    seconds = time.monotonic() - started
    density, normals = estimator.density_, split.test[split.y == 0]
    gain = density.log_density(normals).mean() - untrained(density).log_density(normals).mean()
    return row | {
        "gain": float(gain),
        "log Z error": density.log_partition.standard_error,
        "trusted": density.trusted,
        "AUROC": 100 * float(roc_auc_score(split.y, estimator.free_energy(split.test))),
        "seconds": seconds,
        "outcome": "ok",
    }


def closing(rows: list[Row]) -> list[Row]:
    """Means over the fits of every objective."""
    means: list[Row] = []
    for objective in dict.fromkeys(row["objective"] for row in rows):
        own = [row for row in rows if row["objective"] == objective and row["outcome"] == "ok"]
        mean: Row = {"set": "mean", "objective": objective}
        for key in ("gain", "AUROC", "seconds"):
            mean[key] = float(np.mean([row[key] for row in own])) if own else ""
        means.append(mean | {"trusted": f"{sum(row['trusted'] for row in own)} of {len(own)}"})
    return means


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(SETS), metavar="SET")
    parser.add_argument("--updates", type=int, default=2000)
    arguments = parser.parse_args()
    if not adbench_sets():
        sys.exit(f"objectives: the ADBench files are not at {FOLDER}; nothing was measured")
    if unknown := set(arguments.only) - set(adbench_sets()):
        sys.exit(f"objectives: no set {sorted(unknown)}; there are {sorted(adbench_sets())}")
    rows: list[Row] = []
    for name in arguments.only:
        for objective in (name for name in OBJECTIVES if name != "auto"):
            for seed in range(arguments.seeds):
                rows.append(measure(objective, name, seed, arguments.updates))
                print(rows[-1], flush=True)
    title = (
        f"Objectives at {arguments.updates} updates: nats per row over the base, AUROC in percent"
    )
    publish("objectives", title, rows + closing(rows))


if __name__ == "__main__":
    main()
