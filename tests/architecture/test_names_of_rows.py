"""Kind of truth: structure. By how many names a row goes on its way from `fit` to the update.

A tiny fit is traced: which parameters of which functions of the library are bound to an array that
has the shape of the table, of a part of it, or of a batch of it. Glossary: X is what a user gives,
`values` are cells in data units, `points` and `u` lie in u, `rows` and `data` are in model units,
and `batch` is a draw of these.
"""

import sys

import jax
import numpy as np
import pytest

from harmonium.estimators import DensityEstimator
from harmonium.learning import NoiseContrastive

N_ROWS, N_COLUMNS, BATCH = 203, 5, 48
# All rows, training rows and those held out, both padded, and a batch.
LENGTHS = {N_ROWS, 183, 20, 256, 128, BATCH}
# Ends of cells, places in them, masks, and trees of any shape: arrays like rows that are none.
OTHER = {"low", "high", "place", "missing", "tree"}
MOST_NAMES = 8


def looks_like_rows(value):
    is_array = isinstance(value, np.ndarray | jax.Array)
    return is_array and value.ndim == 2 and value.shape[1] == N_COLUMNS and len(value) in LENGTHS


def names_in(fit):
    """Parameters that rows are bound to, with the functions that have them, up to the end of
    training.
    """
    found = {}

    def look(frame, event, _):
        code = frame.f_code
        if event != "call" or "/harmonium/" not in code.co_filename:
            return
        if code.co_name == "conclude":
            sys.setprofile(None)
            return
        for name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
            if looks_like_rows(frame.f_locals.get(name)):
                found.setdefault(name, set()).add(code.co_qualname)

    sys.setprofile(look)
    try:
        fit()
    finally:
        sys.setprofile(None)
    return found


@pytest.mark.usefixtures("unannotated", "usual_promotion")
def test_a_row_has_few_names_between_fit_and_the_update():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(N_ROWS, N_COLUMNS)) @ rng.normal(size=(N_COLUMNS, N_COLUMNS))
    estimator = DensityEstimator(
        2,
        "identity",
        base="gaussian",
        objective=NoiseContrastive(pool_size=512, held_size=300),
        marginals="affine",
        n_updates=2,
        batch_size=BATCH,
    )
    found = names_in(lambda: estimator.fit(table))
    # What is traced has to reach the update.
    assert {"X", "values", "batch"} <= set(found)
    names = {name: sorted(where) for name, where in found.items() if name not in OTHER}
    print(f"{len(names)} names of a row of {MOST_NAMES} at most")  # noqa: T201
    assert len(names) <= MOST_NAMES, names
