"""Our default fit to a table of the density benchmark, in a process that compiles all anew.

`python -m benchmarks.density_fit REQUEST`, a JSON object of "folder" (with train.npy,
validation.npy and test.npy), "method" ("quick" for effort="quick"), "seed" and "seconds" (a time
budget, or null), prints a JSON object: the mean log-density of the test rows, its standard error,
the seconds of the fit and of scoring, compilation included, log Z with its interval, whether it is
trusted, and what was chosen. Training and validation rows go to one call of `fit`. The columns are
stated to be continuous, as the protocol has it: where a value repeats (pendigits), all methods then
score a density, and none a probability.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import harmonium as hm
from benchmarks.ours import chosen, log_z_facts


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Fit and score."""
    folder = Path(request["folder"])
    rows = np.concatenate([np.load(folder / f"{name}.npy") for name in ("train", "validation")])
    test = np.load(folder / "test.npy")
    kinds = {f"x{i + 1}": "continuous" for i in range(rows.shape[1])}
    estimator = hm.DensityEstimator(
        kinds=kinds,
        effort="quick" if request["method"] == "quick" else "normal",
        random_state=request["seed"],
        time_budget=request["seconds"],
    )
    started = time.perf_counter()
    estimator.fit(rows)
    fitted = time.perf_counter()
    found = estimator.score_samples(test)
    scored = time.perf_counter()
    return {
        "log-likelihood": float(found.mean()),
        "standard error": float(found.std(ddof=1) / len(found) ** 0.5),
        "fit seconds": fitted - started,
        "score seconds": scored - fitted,
        **log_z_facts(estimator),
        "chosen": chosen(estimator),
        "verdict": estimator.verdict_,
    }


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
