"""Plain densities fitted to the same rows: what a model has to beat to be worth its cost."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from harmonium.data import Columns

N_COPIES = 16


def compare_baselines(
    columns: Columns, training: np.ndarray, held_out: np.ndarray, *, seed: int
) -> dict[str, np.ndarray]:
    """Log-densities of `held_out` rows (rows, columns) of numbers under simple densities, nats,
    data units.

    A full-covariance Gaussian and a Gaussian mixture of 10 full-covariance components, both by
    maximum likelihood on the modeled columns of `training`. Cells of a lattice are filled with
    uniform noise in training and averaged over 16 places in scoring, and rules are added, exactly
    as for the model.
    """
    rng = np.random.default_rng(seed)
    step = columns.step[columns.modeled_index]
    copies = N_COPIES if step.any() else 1

    def placed(values: np.ndarray) -> np.ndarray:
        cells = values[:, columns.modeled_index]
        return cells + step * rng.uniform(-0.5, 0.5, cells.shape)

    rows = placed(np.tile(training, (copies, 1)))
    mixture = GaussianMixture(10, covariance_type="full", random_state=seed).fit(rows)
    covariance = np.atleast_2d(np.cov(rows.T, bias=True))
    moments: tuple[Any, Any] = rows.mean(axis=0), covariance
    gaussian = multivariate_normal(*moments)
    fitted: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "gaussian": gaussian.logpdf,
        "gaussian mixture (10)": mixture.score_samples,
    }
    rule, places = columns.log_rule(held_out), [placed(held_out) for _ in range(copies)]
    return {
        name: np.logaddexp.reduce([log_density(own) for own in places]) - np.log(copies) + rule
        for name, log_density in fitted.items()
    }
