"""Kind of truth: closed form. Mixtures against scipy.stats, rectangle rules and the block formulas
of Gaussians.

In float64 to 1e-8; draws and float32 as told. Seeds: mixtures 0 to 3, rows 5, draws key(6).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute
from scipy import stats
from scipy.special import logsumexp

from harmonium.errors import InvalidInputError
from harmonium.model import Mixture, with_wide_component

TOLERANCE = 1e-8
NAN = np.nan

MIXTURES = {
    f"n={n} k={k}": brute.random_mixture(n, k, seed=seed)
    for seed, (n, k) in enumerate([(1, 1), (1, 4), (2, 3), (4, 3)])
}
each_mixture = pytest.mark.parametrize("mixture", MIXTURES.values(), ids=MIXTURES.keys())
PLANE, SPACE = MIXTURES["n=2 k=3"], MIXTURES["n=4 k=3"]


def rows_for(n_visible, n=7):
    return 1.5 * np.random.default_rng(5).normal(size=(n, n_visible))


def close(actual, expected):
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=TOLERANCE, atol=TOLERANCE)


def moments(mixture):
    """Mean and covariance of a whole mixture."""
    weights, means, covariances = brute.mixture_parts(mixture)
    mean = weights @ means
    apart = means - mean
    return mean, np.einsum("k,kij->ij", weights, covariances) + apart.T @ (weights[:, None] * apart)


def check_consistent(mixture):
    """Weights add up to 1, factors are those of Cholesky, inverses are their inverses."""
    assert logsumexp(np.asarray(mixture.log_weights)) == pytest.approx(0.0, abs=1e-12)
    factors, inverses = np.asarray(mixture.factors), np.asarray(mixture.inverses)
    unit = np.broadcast_to(np.eye(mixture.n_visible), factors.shape)
    close(inverses @ factors, unit)
    assert np.array_equal(factors, np.tril(factors)) and np.array_equal(inverses, np.tril(inverses))
    assert np.all(np.diagonal(factors, axis1=1, axis2=2) > 0)


@each_mixture
def test_densities_are_those_of_scipy(mixture):
    rows = rows_for(mixture.n_visible)
    log_density = jax.vmap(mixture.log_density)(jnp.asarray(rows))
    close(log_density, brute.mixture_log_density(mixture, rows))
    joint = jax.vmap(mixture.joint_log_densities)(jnp.asarray(rows))
    for k, (weight, mean, covariance) in enumerate(zip(*brute.mixture_parts(mixture), strict=True)):
        expected = np.log(weight) + stats.multivariate_normal(mean, covariance).logpdf(rows)
        close(joint[:, k], expected)


@each_mixture
def test_moments_are_those_of_the_parts(mixture):
    mean, covariance = moments(mixture)
    close(mixture.mean, mean)
    close(mixture.variance, np.diag(covariance))
    close(mixture.covariances, brute.mixture_parts(mixture)[2])


@each_mixture
def test_draws_have_the_moments(mixture):
    """Statistical, 5 standard errors."""
    draws = np.asarray(mixture.sample(jax.random.key(6), 50_000))
    assert draws.shape == (50_000, mixture.n_visible)
    mean, covariance = moments(mixture)
    brute.assert_within(draws, mean, label="mean")
    apart = draws - mean
    brute.assert_within(np.einsum("ri,rj->rij", apart, apart), covariance, label="covariance")
    # What moments do not see: which component, and its shape.
    log_density = jax.vmap(mixture.log_density)(jnp.asarray(draws))
    truth = reference_draws(mixture, 50_000)
    expected = brute.mixture_log_density(mixture, truth)
    error = np.hypot(np.std(log_density), np.std(expected)) / np.sqrt(50_000)
    assert abs(np.mean(log_density) - np.mean(expected)) < 5 * error


def reference_draws(mixture, n):
    """Draws by NumPy."""
    rng = np.random.default_rng(6)
    weights, means, covariances = brute.mixture_parts(mixture)
    counts = rng.multinomial(n, weights)
    parts = zip(means, covariances, counts, strict=True)
    return np.concatenate([rng.multivariate_normal(m, s, size=c) for m, s, c in parts])


def test_one_draw_is_one_row():
    assert PLANE.sample(jax.random.key(0), 1).shape == (1, 2)


@pytest.mark.parametrize("mixture", [MIXTURES["n=1 k=4"], PLANE], ids=["line", "plane"])
def test_tilted_is_the_integral(mixture):
    tilt = np.array([0.7, -1.3])[: mixture.n_visible]
    nodes, log_cell = brute.grid(mixture.n_visible, half_width=12.0, n_points=481)
    weighted = brute.mixture_log_density(mixture, nodes) + nodes @ tilt
    expected = logsumexp(weighted) + log_cell
    log_partition, tilted = mixture.tilted(jnp.asarray(tilt))
    assert float(log_partition) == pytest.approx(expected, abs=TOLERANCE)
    rows = rows_for(mixture.n_visible)
    log_density = jax.vmap(tilted.log_density)(jnp.asarray(rows))
    close(log_density, brute.mixture_log_density(mixture, rows) + rows @ tilt - expected)
    check_consistent(tilted)


def test_a_tilt_that_leaves_one_component_keeps_the_others_usable():
    # Weights of exp(-2000) have a logarithm, but no value.
    _, tilted = with_far_component().tilted(jnp.asarray([200.0, 0.0]))
    assert np.exp(float(tilted.log_weights.min())) == 0.0
    known = np.array([0.1, NAN])
    for made in (tilted.marginal([0]), tilted.mapped(2 * np.eye(2)), tilted.conditional(known)[1]):
        assert np.all(np.isfinite(np.asarray(made.log_weights)))
        check_consistent(made)


def with_far_component():
    covariances = np.stack([0.01 * np.eye(2), 0.01 * np.eye(2)])
    return Mixture.from_moments(np.array([0.5, 0.5]), np.array([[-5.0, 0], [5.0, 0]]), covariances)


@each_mixture
def test_mapped_has_the_density_of_the_image(mixture):
    rng = np.random.default_rng(1)
    n = mixture.n_visible
    matrix, offset = rng.normal(size=(n, n)) + np.eye(n), rng.normal(size=n)
    mapped = mixture.mapped(matrix, offset)
    rows = rows_for(n)
    images = jnp.asarray(rows @ matrix.T + offset)
    expected = brute.mixture_log_density(mixture, rows) - np.linalg.slogdet(matrix)[1]
    close(jax.vmap(mapped.log_density)(images), expected)
    centered = jax.vmap(mixture.mapped(matrix).log_density)(images - jnp.asarray(offset)[None])
    close(centered, expected)
    check_consistent(mapped)


@pytest.mark.parametrize("coordinates", [[0], [3, 1], [2, 0, 1], [0, 1, 2, 3]])
def test_marginals_are_blocks(coordinates):
    marginal = SPACE.marginal(coordinates)
    weights, means, covariances = brute.mixture_parts(SPACE)
    expected = Mixture.from_moments(
        weights, means[:, coordinates], covariances[:, coordinates][:, :, coordinates]
    )
    rows = rows_for(len(coordinates))
    log_density = jax.vmap(marginal.log_density)(jnp.asarray(rows))
    close(log_density, brute.mixture_log_density(expected, rows))
    check_consistent(marginal)


PATTERNS = {
    "one known": [NAN, 0.4, NAN, NAN],
    "two known": [-0.3, NAN, NAN, 1.2],
    "three known": [-0.3, 0.2, NAN, 1.2],
    "none known": [NAN, NAN, NAN, NAN],
    "all known": [-0.3, 0.2, 0.9, 1.2],
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_conditionals_are_the_block_formulas(pattern):
    known = np.array(PATTERNS[pattern])
    o, k = np.isnan(known), ~np.isnan(known)
    log_mass, conditional = SPACE.conditional(known)
    log_terms, opened, within = [], [], []
    for weight, mean, cov in zip(*brute.mixture_parts(SPACE), strict=True):
        gain = cov[np.ix_(o, k)] @ np.linalg.inv(cov[np.ix_(k, k)])
        own = (
            stats.multivariate_normal(mean[k], cov[np.ix_(k, k)]).logpdf(known[k]) if k.any() else 0
        )
        log_terms.append(np.log(weight) + own)
        opened.append(mean[o] + gain @ (known[k] - mean[k]))
        within.append(cov[np.ix_(o, o)] - gain @ cov[np.ix_(k, o)])
    assert log_mass == pytest.approx(logsumexp(log_terms), abs=TOLERANCE)
    close(conditional.log_weights, log_terms - logsumexp(log_terms))
    close(conditional.means, opened)
    close(conditional.covariances, within)
    check_consistent(conditional)


def test_a_conditional_of_nearly_dependent_coordinates_is_no_less_exact():
    # The open variance is 1e-10 of the whole: as a difference of covariances it would keep six
    # digits.
    root = np.array([[1.0, 0.0], [1.0, 1e-5]])
    mixture = Mixture.from_roots(np.zeros(1), np.zeros((1, 2)), root[None])
    _, conditional = mixture.conditional(np.array([0.3, NAN]))
    np.testing.assert_allclose(np.asarray(conditional.factors).ravel(), 1e-5, rtol=1e-9)
    np.testing.assert_allclose(np.asarray(conditional.means).ravel(), 0.3, rtol=1e-9)


@each_mixture
def test_column_surprisals_are_differences_of_marginal_densities(mixture):
    rows = rows_for(mixture.n_visible)
    actual = jax.vmap(mixture.column_surprisals)(jnp.asarray(rows))
    whole = brute.mixture_log_density(mixture, rows)
    for column in range(mixture.n_visible):
        others = [i for i in range(mixture.n_visible) if i != column]
        rest = 0.0
        if others:
            weights, means, covariances = brute.mixture_parts(mixture)
            blocks = covariances[:, others][:, :, others]
            marginal = Mixture.from_moments(weights, means[:, others], blocks)
            rest = brute.mixture_log_density(marginal, rows[:, others])
        close(actual[:, column], rest - whole)


@each_mixture
def test_a_wide_component_has_the_moments_asked_for(mixture):
    wide = with_wide_component(mixture, share=0.1, spread=1.5)
    weights, means, covariances = brute.mixture_parts(wide)
    mean, covariance = moments(mixture)
    close(weights, [*0.9 * brute.mixture_parts(mixture)[0], 0.1])
    close(means, [*brute.mixture_parts(mixture)[1], mean])
    close(covariances, [*brute.mixture_parts(mixture)[2], 1.5**2 * covariance])
    check_consistent(wide)


@pytest.mark.parametrize(
    ("share", "spread"), [(0.0, 1.3), (1.0, 1.3), (0.05, 0.0), (NAN, 1.3), (0.05, np.inf)]
)
def test_a_wide_component_that_is_none_is_refused(share, spread):
    with pytest.raises(InvalidInputError, match=f"got share={share}, spread={spread}"):
        with_wide_component(PLANE, share, spread)


HALF, ORIGIN, UNIT = np.array([0.5, 0.5]), np.zeros((2, 2)), np.stack([np.eye(2)] * 2)
REFUSED = {
    "weights": ((np.array([0.5, 0.6]), ORIGIN, UNIT), "positive weights that add up to 1"),
    "a weight of 0": ((np.array([1.0, 0.0]), ORIGIN, UNIT), "positive weights"),
    "a weight of NaN": ((np.array([0.5, NAN]), ORIGIN, UNIT), "positive weights"),
    "means": ((HALF, ORIGIN * NAN, UNIT), "finite means"),
    "covariances": ((HALF, ORIGIN, np.inf * np.ones((2, 2, 2))), "finite means and covariances"),
    "indefinite": ((HALF, ORIGIN, UNIT - 2 * np.eye(2)), "positive definite"),
    "shape": ((HALF, ORIGIN, np.stack([np.eye(3)] * 2)), r"weights \(k,\)"),
    "one mean": ((HALF, np.zeros(2), UNIT), r"weights \(k,\), means \(k, n\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_mixture_is_refused(name, unannotated):
    moments, words = REFUSED[name]
    with pytest.raises(InvalidInputError, match=words):
        Mixture.from_moments(*moments)


def test_single_precision_is_enough_for_narrow_components():
    """Coordinates of order 1 and standard deviations from 0.01 on, to 0.01 nats in twelve
    columns."""
    rng = np.random.default_rng(2)
    n, k = 12, 8
    sds = 10 ** rng.uniform(-2, 0, size=(k, n))
    turns = np.linalg.qr(rng.normal(size=(k, n, n)))[0]
    mixture = Mixture.from_roots(
        np.log(np.full(k, 1 / k)), rng.normal(size=(k, n)), turns * sds[:, None, :]
    )
    draws = mixture.sample(jax.random.key(6), 400)
    single = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), mixture)
    rows = draws.astype(jnp.float32)
    actual = jax.vmap(single.log_density)(rows)
    assert actual.dtype == jnp.float32
    expected = brute.mixture_log_density(mixture, np.asarray(rows, np.float64))
    np.testing.assert_allclose(np.asarray(actual), expected, atol=0.01)
    tilt = jnp.asarray(rng.normal(size=n))
    log_partition, _ = single.tilted(tilt.astype(jnp.float32))
    assert float(log_partition) == pytest.approx(float(mixture.tilted(tilt)[0]), abs=1e-4)
    surprisals = jax.vmap(single.column_surprisals)(rows)
    wide = jax.vmap(mixture.column_surprisals)(rows.astype(jnp.float64))
    np.testing.assert_allclose(np.asarray(surprisals), np.asarray(wide), atol=0.02)
