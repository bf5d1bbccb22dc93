"""Whitening. Kind of truth: closed forms, linear algebra, and Gaussians of known correlations."""

import json
import re

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from harmonium.data import Whitening
from harmonium.data.whitening import auto_shrinkage
from harmonium.errors import InvalidInputError

SHAPES = ("full", "partial", "diagonal")


def points(n=400, seed=0):
    """Correlated rows of three columns, none of mean 0 and standard deviation 1."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(n, 3)) @ np.array([[1, 0.5, 0.2], [0, 1, -0.7], [0, 0, 0.6]])
    return mixed * [1.1, 0.9, 0.5] + [0.1, -0.2, 0.3]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shrink", ["auto", 0.0, 0.3])
def test_inverse_of_forward_is_the_identity(shape, shrink):
    whitening = Whitening.fit(points(), shape, shrink=shrink)
    u = points(50, seed=1)
    np.testing.assert_allclose(whitening.inverse(whitening.forward(u)), u, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(whitening.matrix @ whitening.inverse_matrix, np.eye(3), atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_map_is_its_matrix_and_log_det(shape):
    whitening = Whitening.fit(points(), shape)
    u = points(5, seed=2)
    np.testing.assert_allclose(whitening.forward(u), (u - whitening.center) @ whitening.matrix)
    assert whitening.log_det == pytest.approx(np.linalg.slogdet(whitening.matrix)[1], abs=1e-12)


def test_training_rows_have_covariance_one_half():
    z = Whitening.fit(points(), shrink=0.0).forward(points())
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.cov(z.T, bias=True), np.eye(3) / 2, atol=1e-12)


def test_other_shapes_keep_correlations():
    diagonal = Whitening.fit(points(), "diagonal").forward(points())
    np.testing.assert_allclose(np.corrcoef(diagonal.T), np.corrcoef(points().T), atol=1e-12)
    np.testing.assert_allclose(diagonal.var(axis=0), 0.5, atol=1e-12)
    partial = Whitening.fit(points(), "partial", shrink=0.0).forward(points())
    assert partial.var(axis=0).mean() == pytest.approx(0.5, abs=1e-12)
    own = np.linalg.eigvalsh(np.cov(partial.T, bias=True))
    given = np.linalg.eigvalsh(np.corrcoef(points().T))
    np.testing.assert_allclose(own / own.sum(), np.sqrt(given) / np.sqrt(given).sum(), rtol=1e-9)


def test_the_base_pulled_back_is_the_gaussian_fit():
    whitening = Whitening.fit(points(), shrink=0.0)
    u = points(20, seed=3)
    mean, covariance = points().mean(axis=0), np.cov(points().T, bias=True)
    np.testing.assert_allclose(whitening.moments.mean, mean, atol=1e-12)
    np.testing.assert_allclose(whitening.moments.covariance, covariance, atol=1e-12)
    z = whitening.forward(u)
    density = -np.sum(z**2, axis=1) - 1.5 * np.log(np.pi) + whitening.log_det
    np.testing.assert_allclose(density, multivariate_normal(mean, covariance).logpdf(u), rtol=1e-10)


@pytest.mark.parametrize(("n", "n_columns"), [(10, 4), (100, 120), (20, 1), (30, 30)])
def test_few_rows_give_no_nonsense(n, n_columns):
    """Statistical: seed 6. Fresh rows of independent columns are not far out under the base."""
    rng = np.random.default_rng(6)
    whitening = Whitening.fit(rng.normal(size=(n, n_columns)))
    z = whitening.forward(rng.normal(size=(1000, n_columns)))
    assert np.all(np.isfinite(z))
    # Without shrinking the mean square, 1/2 for the truth, is beyond all bounds in 100 x 120.
    assert 0.3 < np.mean(z**2) < 1.0


def test_the_shrinkage_is_near_the_best():
    """Statistical: seed 7, means over 200 tables of the squared distance to the truth."""
    rng = np.random.default_rng(7)
    truth = 0.5 ** np.abs(np.subtract.outer(np.arange(8), np.arange(8)))
    root = np.linalg.cholesky(truth)
    weights = np.linspace(0, 1, 51)
    losses, own = np.zeros(51), 0.0
    for _ in range(200):
        found = np.corrcoef((rng.normal(size=(25, 8)) @ root.T).T)
        shrunk = (1 - weights[:, None, None]) * found + weights[:, None, None] * np.eye(8)
        losses += np.sum((shrunk - truth) ** 2, axis=(1, 2)) / 200
        chosen = auto_shrinkage(found, 25)
        own += np.sum(((1 - chosen) * found + chosen * np.eye(8) - truth) ** 2) / 200
    assert own < 1.15 * losses.min() < 0.85 * losses[0]


def test_much_data_is_hardly_shrunk_and_no_correlation_wholly():
    assert Whitening.fit(points(20_000)).shrinkage < 1e-3
    assert auto_shrinkage(np.eye(4), 50) == 1.0
    assert auto_shrinkage(np.ones((1, 1)), 50) == 1.0


def test_missing_cells_do_not_bias():
    """The second column is missing where the first is high. Statistical: seed 8."""
    u = points(20_000, seed=8)
    holes = u.copy()
    holes[u[:, 0] > 0.5, 1] = np.nan
    whitening = Whitening.fit(holes)
    np.testing.assert_allclose(whitening.moments.mean, u.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(whitening.moments.covariance, np.cov(u.T), atol=0.03)
    assert abs(np.nanmean(holes[:, 1]) - u[:, 1].mean()) > 0.1
    assert np.isnan(whitening.forward(holes)).any(axis=1).tolist() == np.isnan(holes[:, 1]).tolist()


def test_state_round_trip():
    whitening = Whitening.fit(points(), floor=0.01)
    config, arrays = whitening.to_state()
    again = Whitening.from_state(json.loads(json.dumps(config)), arrays)
    np.testing.assert_array_equal(again.forward(points()), whitening.forward(points()))
    assert (again.floor, again.shrinkage) == (whitening.floor, whitening.shrinkage)


DAMAGE = [
    ({"n_columns": 0}, {}, "n_columns ≥ 1"),
    ({"n_columns": True}, {}, "n_columns ≥ 1"),
    ({"floor": 0.0}, {}, "a floor in (0, 1]"),
    ({"shrinkage": 1.5}, {}, "a shrinkage in [0, 1]"),
    ({"shrinkage": None}, {}, "a shrinkage in [0, 1]"),
    ({"extra": 1}, {}, "config with the keys"),
    ({}, {"spread": np.zeros(3)}, "positive spreads"),
    ({}, {"eigenvalues": -np.ones(3)}, "eigenvalues of at least 0"),
    ({}, {"eigenvectors": np.ones((3, 3))}, "orthonormal"),
    ({}, {"center": np.full(3, np.nan)}, "finite center"),
    ({}, {"center": np.zeros(2)}, "center of shape (3,)"),
]


@pytest.mark.parametrize(("settings", "changes", "words"), DAMAGE)
def test_damaged_state_is_refused(settings, changes, words):
    config, arrays = Whitening.fit(points()).to_state()
    with pytest.raises(InvalidInputError, match=re.escape(words)):
        Whitening.from_state(config | settings, arrays | changes)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((points(), "round"), {}, "a shape among"),
        ((points(),), {"floor": 2.0}, "a floor in (0, 1]"),
        ((points(),), {"shrink": "much"}, "a share in [0, 1]"),
        ((points(),), {"shrink": -0.1}, "a share in [0, 1]"),
        ((np.zeros((0, 3)),), {}, "rows (rows, columns)"),
        ((points() * [1, 0, 1],), {}, "column 2 with a standard deviation of 0.0"),
        ((points() * [1, 1, np.nan],), {}, "column 3"),
        ((points() * [1, 1, np.inf],), {}, "column 3"),
    ],
)
def test_refusals_say_what_was_needed(arguments, options, words):
    with np.errstate(invalid="ignore"), pytest.raises(InvalidInputError, match=re.escape(words)):
        Whitening.fit(*arguments, **options)


def test_other_widths_are_refused():
    whitening = Whitening.fit(points())
    for call in (whitening.forward, whitening.inverse):
        with pytest.raises(InvalidInputError, match="values of shape"):
            call(points()[:, :2])
