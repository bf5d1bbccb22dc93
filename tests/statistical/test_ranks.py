"""Draws of missing cells are what the truth might have been (simulation-based calibration).

Kind of truth: rows of a known mixture, of which cells are hidden and others are known as intervals
only. The rank of the hidden value among its draws is uniform (Talts et al. 2018); 200 tables of
rows with patterns of their own, chi-square at the 1 % level, shared among the columns. NumPy
seed 0.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from harmonium.data import Bounds, Whitening
from harmonium.inference.conditional import BoxDensity
from harmonium.model import Harmonium, MixtureBase
from harmonium.model.mixture import Mixture

N_TABLES, N_ROWS, N_COLUMNS = 200, 10, 4
# Draws of a row are quasi-random together; some of many are as good as independent.
N_DRAWS, N_RANKED = 64, 7
CUTS = np.array([-np.inf, -1.0, -0.2, 0.6, np.inf])


def known_mixture(rng):
    roots = 0.6 * rng.normal(size=(3, N_COLUMNS, N_COLUMNS)) + 0.4 * np.eye(N_COLUMNS)
    covariances = roots @ np.swapaxes(roots, 1, 2)
    return Mixture.from_moments(
        np.array([0.5, 0.3, 0.2]), 1.5 * rng.normal(size=(3, N_COLUMNS)), covariances
    )


def draws_of(mixture, rng, n):
    components = rng.choice(3, size=n, p=np.exp(np.asarray(mixture.log_weights, float)))
    noise = rng.standard_normal((n, N_COLUMNS))
    factors = np.asarray(mixture.factors, float)[components]
    return np.asarray(mixture.means, float)[components] + np.einsum("nij,nj->ni", factors, noise)


@pytest.fixture(scope="module")
def ranks():
    """Ranks of hidden values among their draws, (rows, columns); -1 of cells that are known."""
    rng = np.random.default_rng(0)
    mixture = known_mixture(rng)
    truth = draws_of(mixture, rng, N_TABLES * N_ROWS)
    low, high = truth.copy(), truth.copy()
    cell = np.searchsorted(CUTS, truth[:, -1]) - 1
    low[:, -1], high[:, -1] = CUTS[cell], CUTS[cell + 1]
    hidden = np.repeat(rng.random((N_TABLES, N_COLUMNS)) < 0.5, N_ROWS, axis=0)
    hidden[:, -1] = False
    low[hidden], high[hidden] = -np.inf, np.inf
    model = Harmonium(N_COLUMNS, 1, base=MixtureBase(mixture), key=jax.random.key(0))
    model = eqx.tree_at(lambda m: (m.weights, m.visible_bias), model, replace_fn=jnp.zeros_like)
    ones = np.ones(N_COLUMNS)
    # Model units have half the variance of u.
    units = Whitening(0 * ones, ones / np.sqrt(2), ones, np.eye(N_COLUMNS), 1e-3, 0.0)
    np.testing.assert_allclose(units.matrix, np.eye(N_COLUMNS))
    density = BoxDensity(model, units)
    below = np.empty(truth.shape, int)
    for table, rows in enumerate(np.split(np.arange(len(truth)), N_TABLES)):
        bounds = Bounds(low[rows], high[rows])
        drawn = density.draw(bounds, N_DRAWS, seed=table).points[:, :N_RANKED]
        below[rows] = np.sum(drawn < truth[rows, None], axis=1)
    return np.where(hidden, below, -1)


@pytest.mark.parametrize("column", range(N_COLUMNS - 1))
def test_ranks_are_uniform(ranks, column):
    own = ranks[:, column]
    counts = np.bincount(own[own >= 0], minlength=N_RANKED + 1)
    assert counts.sum() > 500
    assert chisquare(counts).pvalue > 0.01 / (N_COLUMNS - 1)
