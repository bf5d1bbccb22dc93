"""Draws of the parameters of a base. Kind of truth: moments of the posterior, by statistics of 5
standard errors; NumPy seeds 0 to 3.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from harmonium.compiling import as_floats
from harmonium.inference.parameter_draws import draw_parameters, drawn_parameters
from harmonium.model import GaussianBase, MixtureBase
from harmonium.model.mixture import Mixture

MEANS = np.array([[0.0, 1.0], [5.0, -2.0]])
COVARIANCES = np.array([[[1.0, 0.5], [0.5, 2.0]], [[0.3, 0.0], [0.0, 0.1]]])
N_DRAWS = 4000


def mixture(weights=(0.3, 0.7)):
    return Mixture.from_moments(np.array(weights), MEANS, COVARIANCES)


@pytest.fixture(scope="module")
def draws():
    """Weights, means and covariances of many draws, of 400 rows of which a column misses half."""
    rng = np.random.default_rng(0)
    found = [drawn_parameters(mixture(), 400, np.array([1.0, 0.5]), rng) for _ in range(N_DRAWS)]
    weights = np.exp([np.asarray(own.log_weights) for own in found])
    means, covariances = (np.stack([getattr(own, name) for own in found]) for name in NAMES)
    return weights, means, covariances


NAMES = ("means", "covariances")


def assert_mean(draws, truth):
    error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    z = (draws.mean(axis=0) - truth) / error
    assert np.all(np.abs(z) < 5), z


def test_draws_lie_around_the_fit(draws):
    weights, means, covariances = draws
    # The prior of the weights, half a row for each, moves them a little.
    assert_mean(weights[:, 0], (0.3 * 300 + 0.5) / 301)
    assert_mean(means, MEANS)
    assert_mean(covariances, COVARIANCES)


def test_means_differ_as_much_as_rows_tell(draws):
    """Variance S / n: of 300 cells in the mean, twice as many in one column as in the other."""
    means = draws[1]
    rows = 300 * np.array([0.3, 0.7]) + 2
    truth = COVARIANCES[:, [0, 1], [0, 1]] / rows[:, None] * (0.75 / np.array([1.0, 0.5]))
    assert_mean((means - MEANS) ** 2, truth)


def test_covariances_differ_as_an_inverse_wishart_matrix(draws):
    """The variance of a diagonal element: 2 S² / (f - d - 3), of f degrees of freedom."""
    freedom = 300 * np.array([0.3, 0.7]) + 2 + 3
    truth = 2 * COVARIANCES[:, 0, 0] ** 2 / (freedom - 2 - 3)
    assert_mean((draws[2][:, :, 0, 0] - COVARIANCES[:, 0, 0]) ** 2, truth)


def stand_in(base, of):
    """A density as far as it is needed here."""
    return SimpleNamespace(
        model=SimpleNamespace(base=base),
        boxes=SimpleNamespace(base=of),
        columns=SimpleNamespace(n_rows=100),
    )


def test_every_draw_is_of_one_fit_of_the_bag():
    """Six fits of one component each, far apart: draws go round them."""
    means = 100.0 * np.arange(6)[:, None] + np.zeros((6, 2))
    bag = Mixture.from_moments(np.full(6, 1 / 6), means, np.tile(np.eye(2), (6, 1, 1)))
    density = stand_in(MixtureBase(bag), bag)
    found = draw_parameters(density, np.ones(2), 8, np.random.default_rng(1))
    assert [own.n_components for own in found] == [1] * 8
    places = np.array([np.asarray(own.means)[0, 0] for own in found])
    np.testing.assert_allclose(places, 100 * (np.arange(8) % 6), atol=2)


@pytest.mark.parametrize("base", [GaussianBase(2), MixtureBase(mixture())], ids=["one", "own"])
def test_other_bases_are_one_fit(base):
    found = draw_parameters(stand_in(base, mixture()), np.ones(2), 2, np.random.default_rng(2))
    assert [own.n_components for own in found] == [2, 2]
    assert not np.allclose(as_floats(found[0].means), as_floats(found[1].means))
