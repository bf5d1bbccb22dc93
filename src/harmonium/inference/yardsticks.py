"""Plain densities fitted to the same rows: what a model has to beat to be worth its cost."""

from collections.abc import Callable

import numpy as np
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from harmonium.inference.density import Density, average_over_cells, cell_places

N_COPIES = 16


def yardsticks(
    density: Density, training: np.ndarray, held_out: np.ndarray, *, seed: int
) -> dict[str, np.ndarray]:
    """Log-densities of `held_out` rows (rows, columns) under simple densities, nats, data units.

    A full-covariance Gaussian and a Gaussian mixture of 10 full-covariance components, both by maximum
    likelihood on the modeled columns of `training`. Grid columns are dequantized in training and averaged
    over their cells in scoring, and rules are added, exactly as for the model.
    """
    columns = density.columns
    rng = np.random.default_rng(seed)
    copies = N_COPIES if columns.is_discrete.any() else 1
    rows = columns.dequantize(np.tile(training, (copies, 1)), rng)
    mixture = GaussianMixture(10, covariance_type="full", random_state=seed).fit(rows)
    covariance = np.atleast_2d(np.cov(rows.T, bias=True))
    gaussian = multivariate_normal(rows.mean(axis=0), covariance)  # pyright: ignore[reportArgumentType]
    fitted: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "gaussian": gaussian.logpdf,
        "gaussian mixture (10)": mixture.score_samples,
    }
    rule = columns.log_rule(held_out)
    places = cell_places(columns, density.transform)
    return {
        name: average_over_cells(log_density, columns, held_out, places) + rule
        for name, log_density in fitted.items()
    }
