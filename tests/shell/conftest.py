"""The shell is tested as users run it, in single precision, on one small fitted model.

Annotations are checked where the mathematics is tested: here they would take half of the time of
fits of mixtures.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from harmonium.estimators import DensityEstimator
from harmonium.inference import Density
from harmonium.likelihood.result import exact_result
from harmonium.model import exact_log_partition


def make_rows(n: int = 200, seed: int = 0) -> np.ndarray:
    """A bent cloud in two continuous columns, an integer column, and a constant."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=n)
    second = first**2 + 0.3 * rng.normal(size=n)
    return np.stack([first, second, rng.poisson(3.0, n), np.full(n, 4.0)], axis=1)


def with_residual(density: Density, scale: float = 0.5) -> Density:
    """The density with hidden units that respond, made up instead of trained; f has to be
    affine."""
    weights = scale * np.random.default_rng(0).normal(size=density.model.weights.shape)
    weights = jnp.asarray(weights, density.model.weights.dtype)
    model = eqx.tree_at(lambda m: m.weights, density.model, weights)
    log_partition = exact_result(float(exact_log_partition(model)), "exact")
    chosen = replace(density.chosen, residual=True)
    return replace(density, model=model, log_partition=log_partition, chosen=chosen)


@contextmanager
def as_users_run_it() -> Iterator[None]:
    # Optax itself relies on standard dtype promotion.
    checked = not jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        yield
    jaxtyping.config.update("jaxtyping_disable", not checked)


# Module scope: set before the module's own fixtures are made, and undone before another folder
# runs.
@pytest.fixture(scope="module", autouse=True)
def single_precision():
    with as_users_run_it():
        yield


@pytest.fixture(scope="session")
def rows() -> np.ndarray:
    return make_rows()


@pytest.fixture(scope="session")
def fitted(rows: np.ndarray) -> DensityEstimator:
    """A density whose residual energy pays, of few and large updates."""
    estimator = DensityEstimator(
        *(8, "mlp"), width=8, base="gaussian", marginals="affine", n_updates=40, learning_rate=0.1
    )
    with as_users_run_it(), pytest.warns(UserWarning, match="x4"):
        return estimator.fit(rows)
