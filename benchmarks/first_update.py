"""What a user does first, ended by the first update: `python -m benchmarks.first_update`, timed
from outside.

The digits of the demo with its default model. One update between evaluations makes the same program
as many: what is compiled does not depend on their number.
"""

import os

import numpy as np
from sklearn.datasets import load_digits

import harmonium as hm
from harmonium.data import Table
from harmonium.learning.result import Record

N_TRAINED = 1450


def end_after_update(record: Record) -> None:
    """End the process with the first record that has an update behind it."""
    if float(record["update"]) > 0:
        os._exit(0)


def main() -> None:
    """Fit until the first update."""
    pixels = np.asarray(load_digits(return_X_y=True)[0], float)[:N_TRAINED]
    names = tuple(f"pixel_{i}" for i in range(pixels.shape[1]))
    estimator = hm.DensityEstimator(objective="noise-contrastive", n_updates=40, random_state=0)
    estimator.fit_table(Table(pixels, names), report=end_after_update)
    raise RuntimeError("the fit ended without an update")


if __name__ == "__main__":
    main()
