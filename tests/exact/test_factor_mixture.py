"""Kind of truth: closed forms by SciPy's multivariate normal, finite differences, and statistics
within five standard errors.

Seeds: mixture 0, rows 1, draws 2, fits 3.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from harmonium.errors import InvalidInputError
from harmonium.inference.image_conditional import draw_hidden, truncated
from harmonium.model import Harmonium
from harmonium.model.factor_mixture import FactorBase, FactorMixture
from harmonium.model.factor_mixture_fit import (
    Analyzers,
    FactorSettings,
    fit_analyzers,
    pooled,
)

RNG = np.random.default_rng(0)
N, K, R = 5, 3, 2
WEIGHTS = np.array([0.5, 0.3, 0.2])
MEANS = RNG.normal(size=(K, N))
LOADINGS = RNG.normal(size=(K, N, R))
VARIANCES = RNG.uniform(0.2, 1.0, size=(K, N))
COVARIANCES = LOADINGS @ np.swapaxes(LOADINGS, 1, 2) + np.stack([np.diag(v) for v in VARIANCES])
ROWS = np.random.default_rng(1).normal(size=(7, N))


@pytest.fixture(scope="module")
def mixture():
    return FactorMixture.from_loadings(WEIGHTS, MEANS, LOADINGS, VARIANCES)


def log_density(rows, columns=slice(None)):
    """Of some columns, by SciPy."""
    index = np.arange(N)[columns]
    joint = [
        np.log(w) + multivariate_normal(m[index], c[np.ix_(index, index)]).logpdf(rows)
        for w, m, c in zip(WEIGHTS, MEANS, COVARIANCES, strict=True)
    ]
    return logsumexp(np.array(joint), axis=0)


def test_densities_are_those_of_the_covariances(mixture):
    found = jax.vmap(mixture.log_density)(jnp.asarray(ROWS))
    np.testing.assert_allclose(np.asarray(found), log_density(ROWS), rtol=1e-10)


def test_the_fit_has_the_same_densities():
    found = Analyzers(WEIGHTS, MEANS, LOADINGS, VARIANCES).log_density(ROWS)
    np.testing.assert_allclose(found, log_density(ROWS), rtol=1e-10)


def test_moments_are_those_of_the_mixture(mixture):
    mean = WEIGHTS @ MEANS
    spread = WEIGHTS @ (np.diagonal(COVARIANCES, axis1=1, axis2=2) + (MEANS - mean) ** 2)
    np.testing.assert_allclose(np.asarray(mixture.mean), mean, rtol=1e-10)
    np.testing.assert_allclose(np.asarray(mixture.variance), spread, rtol=1e-10)


def test_surprisals_are_ratios_of_densities(mixture):
    found = np.asarray(jax.vmap(mixture.surprisals)(jnp.asarray(ROWS)))
    for j in range(N):
        others = np.delete(np.arange(N), j)
        expected = log_density(ROWS[:, others], others) - log_density(ROWS)
        np.testing.assert_allclose(found[:, j], expected, rtol=1e-8, atol=1e-8)


def test_conditionals_are_those_of_the_covariances(mixture):
    known = ROWS[0].copy()
    known[[1, 3]] = np.nan
    log_mass, given = mixture.conditional(known)
    seen, hidden = np.array([0, 2, 4]), np.array([1, 3])
    assert log_mass == pytest.approx(log_density(known[seen], seen), rel=1e-10)
    points = np.random.default_rng(4).normal(size=(6, 2))
    whole = np.tile(known, (6, 1))
    whole[:, hidden] = points
    found = np.asarray(jax.vmap(given.log_density)(jnp.asarray(points)))
    np.testing.assert_allclose(found, log_density(whole) - log_mass, rtol=1e-8)


def test_a_conditional_of_fewer_coordinates_than_factors_is_exact(mixture):
    known = ROWS[0].copy()
    known[2] = np.nan
    log_mass, given = mixture.conditional(known)
    whole = np.tile(known, (3, 1))
    whole[:, 2] = [-1.0, 0.0, 2.0]
    found = np.asarray(jax.vmap(given.log_density)(jnp.asarray(whole[:, 2:3])))
    np.testing.assert_allclose(found, log_density(whole) - log_mass, rtol=1e-8)


def test_tilts_are_those_of_the_covariances(mixture):
    tilt = np.array([0.3, -0.5, 0.1, 0.7, -0.2])
    log_partition, tilted = FactorBase(mixture).tilted(jnp.asarray(tilt))
    terms = [
        np.log(w) + tilt @ m + tilt @ c @ tilt / 2
        for w, m, c in zip(WEIGHTS, MEANS, COVARIANCES, strict=True)
    ]
    assert float(log_partition) == pytest.approx(logsumexp(terms), rel=1e-10)
    found = np.asarray(jax.vmap(tilted.log_density)(jnp.asarray(ROWS)))
    np.testing.assert_allclose(found, log_density(ROWS) + ROWS @ tilt - logsumexp(terms), rtol=1e-8)


def test_draws_have_the_moments(mixture):
    n = 20_000
    drawn = np.asarray(mixture.sample(jax.random.key(2), n))
    mean = WEIGHTS @ MEANS
    apart = MEANS - mean
    total = np.einsum("k,kij->ij", WEIGHTS, COVARIANCES) + (WEIGHTS[:, None] * apart).T @ apart
    error = np.sqrt(np.diag(total) / n)
    assert np.all(np.abs(drawn.mean(axis=0) - mean) < 5 * error)
    products = (drawn - mean)[:, :, None] * (drawn - mean)[:, None, :]
    off = np.abs(products.mean(axis=0) - total)
    assert np.all(off < 5 * products.std(axis=0) / np.sqrt(n))


def test_a_model_without_weights_is_its_base(mixture):
    model = Harmonium(N, 2, base=FactorBase(mixture), key=jax.random.key(0))
    score = np.asarray(model.score(jnp.asarray(ROWS[0])))
    step = 1e-5
    for j in range(N):
        ahead, behind = ROWS[0].copy(), ROWS[0].copy()
        ahead[j] += step
        behind[j] -= step
        slope = (log_density(ahead) - log_density(behind)) / (2 * step)
        assert score[j] == pytest.approx(slope, rel=1e-6, abs=1e-7)


def test_a_fit_finds_the_covariances_and_never_falls():
    rng = np.random.default_rng(3)
    truth = np.linalg.cholesky(COVARIANCES[0])
    rows = np.concatenate(
        [rng.normal(size=(3000, N)) @ truth.T - 8, rng.normal(size=(1000, N)) @ truth.T + 8]
    )
    settings = FactorSettings(2, 2, shrinkage=0.0, floor=1e-3)
    scores = [
        fit_analyzers(rows, settings, np.random.default_rng(3), most_passes=n, tolerance=-1.0)
        .log_density(rows)
        .mean()
        for n in (1, 3, 10, 40)
    ]
    assert np.all(np.diff(scores) > -1e-3)
    fit = fit_analyzers(rows, settings, np.random.default_rng(3), most_passes=100, tolerance=1e-5)
    assert np.sort(fit.weights) == pytest.approx([0.25, 0.75], abs=0.001)
    larger = np.argmax(fit.weights)
    found = fit.loadings[larger] @ fit.loadings[larger].T + np.diag(fit.variances[larger])
    scale = np.sqrt(np.diag(COVARIANCES[0]))
    # Five standard errors of a covariance of 3000 rows, sqrt((1 + r²) / 3000) at most.
    assert np.abs((found - COVARIANCES[0]) / np.outer(scale, scale)).max() < 5 * (2 / 3000) ** 0.5


def test_a_pool_is_the_mean_of_the_densities_and_a_wide_component_stays_normalized():
    one = Analyzers(WEIGHTS, MEANS, LOADINGS, VARIANCES)
    other = Analyzers(WEIGHTS, MEANS + 1, LOADINGS, VARIANCES)
    both = logsumexp([one.log_density(ROWS), other.log_density(ROWS)], axis=0) - np.log(2)
    np.testing.assert_allclose(pooled([one, other]).log_density(ROWS), both, rtol=1e-10)
    wide = one.widened(ROWS, 0.1, 1.3)
    assert wide.weights.sum() == pytest.approx(1)
    assert np.all(wide.log_density(ROWS) >= np.log(0.9) + one.log_density(ROWS))


def test_hidden_coordinates_follow_known_intervals(mixture):
    """Beside draws of the mixture that fall into the intervals; five standard errors."""
    hidden = np.array([False, True, False, True, False])
    low = np.array([-0.5, -np.inf, -np.inf, -np.inf, 0.0])
    high = np.array([1.5, np.inf, 0.5, np.inf, np.inf])
    drawn = np.asarray(mixture.sample(jax.random.key(5), 60_000))
    inside = drawn[np.all((drawn > low) & (drawn < high), axis=1)]
    found = draw_hidden(mixture, low, high, hidden, 4000, np.random.default_rng(6))
    assert np.all((found >= low) & (found <= high))
    for power in (1, 2):
        ours, theirs = found**power, inside**power
        error = np.hypot(*(own.std(axis=0) / len(own) ** 0.5 for own in (ours, theirs)))
        assert np.all(np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) < 5 * error)


def test_far_intervals_keep_their_draws_inside():
    ends = np.array([[9.0, -40.0, -np.inf], [9.5, -39.0, np.inf]])
    drawn = truncated(np.zeros((500, 3)), np.ones((500, 3)), ends, np.random.default_rng(7))
    assert np.all((drawn >= ends[0]) & (drawn <= ends[1]))
    # Nine standard deviations out, a normal falls off like an exponential of rate 9.
    assert drawn[:, 0].mean() - 9 == pytest.approx(0.11, abs=0.02)


@pytest.mark.parametrize(
    ("parts", "word"),
    [
        ((WEIGHTS, MEANS, LOADINGS, -VARIANCES), "positive variances"),
        ((2 * WEIGHTS, MEANS, LOADINGS, VARIANCES), "add up to 1"),
        ((WEIGHTS, MEANS[:, :1], LOADINGS, VARIANCES), "loadings (k, n, r)"),
    ],
)
def test_misuse_is_worded(parts, word, unannotated):
    with pytest.raises(InvalidInputError) as caught:
        FactorMixture.from_loadings(*parts)
    assert word in str(caught.value)
