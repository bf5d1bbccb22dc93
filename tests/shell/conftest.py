"""The shell is tested as users run it, in single precision, on one small fitted model."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax
import numpy as np
import pytest

from harmonium.estimators import DensityEstimator


def make_rows(n: int = 200, seed: int = 0) -> np.ndarray:
    """A bent cloud in two continuous columns, an integer column, and a constant."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=n)
    second = first**2 + 0.3 * rng.normal(size=n)
    return np.stack([first, second, rng.poisson(3.0, n), np.full(n, 4.0)], axis=1)


@contextmanager
def as_users_run_it() -> Iterator[None]:
    # Optax itself relies on standard dtype promotion.
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        yield


# Module scope: set before the module's own fixtures are made, and undone before another folder runs.
@pytest.fixture(scope="module", autouse=True)
def single_precision():
    with as_users_run_it():
        yield


@pytest.fixture(scope="session")
def rows() -> np.ndarray:
    return make_rows()


@pytest.fixture(scope="session")
def fitted(rows: np.ndarray) -> DensityEstimator:
    estimator = DensityEstimator(8, "mlp", width=8, n_updates=20, random_state=0)
    with as_users_run_it(), pytest.warns(UserWarning, match="x4"):
        return estimator.fit(rows)
