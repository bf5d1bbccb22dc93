"""Kind of truth: exact. Boxes whose masses have closed forms, by block formulas or per column.

Seeds: generators 0 to 5, in the tests.
"""

import jax
import numpy as np
import pytest
from exact import brute
from scipy.special import log_ndtr, logsumexp, ndtr

from harmonium.errors import InvalidInputError
from harmonium.model.mixture import Mixture
from harmonium.sampling.boxes import Boxes, TruncatedDraws
from harmonium.sampling.patterns import DoubleMixture, cell_kinds, condition, find_patterns
from harmonium.sampling.truncated import TruncatedSampler

INF = np.inf


def random_mixture(rng, n_components, n_columns):
    loadings = rng.normal(size=(n_components, n_columns, 2 * n_columns))
    covariances = loadings @ np.swapaxes(loadings, 1, 2) / n_columns + 0.1 * np.eye(n_columns)
    weights = rng.dirichlet(np.ones(n_components))
    return Mixture.from_moments(weights, rng.normal(size=(n_components, n_columns)), covariances)


def random_bounds(rng, values, probabilities):
    """Cells known, in an interval around the value, or open, with these probabilities."""
    kinds = rng.choice(3, size=values.shape, p=probabilities)
    below, above = rng.exponential(size=(2, *values.shape))
    one_sided = rng.random((2, *values.shape)) < 0.3
    low = np.where(one_sided[0], -INF, values - below)
    high = np.where(one_sided[1] & ~one_sided[0], INF, values + above)
    low = np.where(kinds == 0, values, np.where(kinds == 2, -INF, low))
    high = np.where(kinds == 0, values, np.where(kinds == 2, INF, high))
    return Boxes(low, high)


def known_values(bounds):
    return np.where(bounds.low == bounds.high, bounds.low, np.nan)


@pytest.mark.parametrize("n_components", [1, 3])
def test_known_and_open_columns_have_the_mass_of_the_block_formulas(n_components):
    rng = np.random.default_rng(0)
    mixture = random_mixture(rng, n_components, 5)
    values = rng.normal(size=(200, 5)) * 2
    values[rng.random(values.shape) < 0.4] = np.nan
    values[0], values[1] = np.nan, 1.0
    truth = [
        float(brute.mixture_log_density(mixture, row[None])[0])
        if np.isfinite(row).all()
        else mixture.conditional(row)[0]
        for row in values
    ]
    sampler = TruncatedSampler(mixture, n_draws=4)
    found = sampler.mass(Boxes.of_values(values))
    np.testing.assert_allclose(found.log_mass, truth, atol=1e-8)
    np.testing.assert_allclose(found.ess, 4)
    np.testing.assert_allclose(found.log_mass_error, 0, atol=1e-6)
    draws = sampler.draw(Boxes.of_values(values))
    np.testing.assert_allclose(draws.log_weights, np.tile(np.array(truth)[:, None], 4), atol=1e-8)
    is_known = np.broadcast_to(~np.isnan(values)[:, None, :], draws.positions.shape)
    kept = np.broadcast_to(values[:, None, :], draws.positions.shape)[is_known]
    assert np.array_equal(draws.positions[is_known], kept)


def test_conditions_are_those_of_the_block_formulas():
    rng = np.random.default_rng(1)
    mixture = random_mixture(rng, 3, 5)
    values = rng.normal(size=(60, 5))
    bounds = random_bounds(rng, values, [0.4, 0.3, 0.3])
    kinds, patterns = find_patterns(cell_kinds(bounds.low, bounds.high))
    known = known_values(bounds)
    given = condition(DoubleMixture.of(mixture), np.nan_to_num(known), kinds, patterns)
    for row in np.flatnonzero(np.isnan(known).any(axis=1)):
        log_mass, truth = mixture.conditional(known[row])
        assert logsumexp(given.log_joint[row]) == pytest.approx(log_mass, abs=1e-10)
        n_left = np.isnan(known[row]).sum()
        order = given.orders[patterns[row]]
        # Intervals, then open columns, then known ones.
        assert (np.diff(np.array([2, 0, 1])[kinds[patterns[row]][order]]) >= 0).all()
        place = np.searchsorted(np.flatnonzero(np.isnan(known[row])), order[:n_left])
        posterior = given.log_joint[row] - log_mass
        np.testing.assert_allclose(posterior, truth.log_weights, atol=1e-8)
        np.testing.assert_allclose(given.means[row][:, :n_left], truth.means[:, place], atol=1e-9)
        factors = given.factors[patterns[row]]
        covariances = (factors @ np.swapaxes(factors, 1, 2))[:, :n_left, :n_left]
        expected = np.asarray(truth.covariances)[:, place[:, None], place[None, :]]
        np.testing.assert_allclose(covariances, expected, atol=1e-9)


def test_a_single_interval_is_exact():
    rng = np.random.default_rng(2)
    mixture = random_mixture(rng, 4, 4)
    values = rng.normal(size=(50, 4))
    low, high = values.copy(), values.copy()
    low[:, 1], high[:, 1] = values[:, 1] - rng.exponential(size=50), values[:, 1] + 0.5
    low[:25, 2], high[:25, 2] = -INF, INF
    found = TruncatedSampler(mixture, n_draws=8).mass(Boxes(low, high))
    for row in range(50):
        known = known_values(Boxes(low[[row]], high[[row]]))[0]
        log_mass, given = mixture.conditional(known)
        sd = np.sqrt(np.asarray(given.covariances)[:, 0, 0])
        ends = (np.array([[low[row, 1]], [high[row, 1]]]) - np.asarray(given.means)[:, 0]) / sd
        inside = np.exp(np.asarray(given.log_weights)) @ (ndtr(ends[1]) - ndtr(ends[0]))
        assert found.log_mass[row] == pytest.approx(log_mass + np.log(inside), abs=1e-9)
    np.testing.assert_allclose(found.ess, 8)


def test_nearly_singular_covariances_are_not_squared():
    tiny = 1e-9
    mixture = Mixture.from_roots(
        np.zeros(1), np.zeros((1, 2)), np.array([[[1.0, 0.0], [1.0, tiny]]])
    )
    first, second = np.array([0.3, -1.2]), np.array([0.5, 2.0])
    values = np.stack([first, first + tiny * second], axis=1)
    found = TruncatedSampler(mixture).mass(Boxes.of_values(values))
    truth = -(first**2 + second**2) / 2 - np.log(2 * np.pi) - np.log(tiny)
    np.testing.assert_allclose(found.log_mass, truth, atol=1e-5)


def test_independent_columns_far_out():
    sd = np.array([0.5, 1.0, 2.0, 1.0])
    mixture = Mixture.from_moments(np.ones(1), np.zeros((1, 4)), np.diag(sd**2)[None])
    away = np.array([10.0, 30.0, 100.0, 1000.0])
    low = np.stack([away, away, -away - 1, away], axis=1) * sd
    high = np.stack([away + 1, np.full(4, INF), -away, away + 1e-3], axis=1) * sd
    found = TruncatedSampler(mixture).mass(Boxes(low, high))
    z = np.stack([low, high]) / sd
    one_unit = log_ndtr(-away) + np.log1p(-np.exp(log_ndtr(-away - 1) - log_ndtr(-away)))
    narrow = -((z[0, :, 3] + 5e-4) ** 2) / 2 - 0.5 * np.log(2 * np.pi) + np.log(1e-3)
    narrow += (1e-3 * away) ** 2 / 24
    truth = 2 * one_unit + log_ndtr(-away) + narrow
    np.testing.assert_allclose(found.log_mass, truth, rtol=1e-6)
    np.testing.assert_allclose(found.ess, 128)


@pytest.mark.parametrize("correlation", [0.0, 0.9, 0.999])
def test_single_precision_stays_finite_far_out(correlation):
    covariance = np.full((3, 3), correlation) + (1 - correlation) * np.eye(3)
    edges = np.array([-40.0, -10.0, 10.0, 25.0])
    corners = np.stack(np.meshgrid(edges, edges, edges), axis=-1).reshape(-1, 3)
    bounds = Boxes(corners, corners + 1)
    with jax.enable_x64(False):
        mixture = Mixture.from_moments(
            np.array([0.3, 0.7]), np.array([[0.0] * 3, [1.0] * 3]), np.stack([covariance] * 2)
        )
        draws = TruncatedSampler(mixture).draw(bounds)
    assert draws.positions.dtype == np.float32
    assert np.isfinite(draws.log_weights).all() and np.isfinite(draws.log_mass).all()
    assert (draws.positions >= bounds.low[:, None]).all()
    assert (draws.positions <= bounds.high[:, None]).all()
    # The most probable corner bounds the mass from above, a corner of the unit cube from below.
    precision = np.linalg.inv(covariance)
    offsets = np.stack(np.meshgrid(*[np.linspace(0, 1, 9)] * 3), axis=-1).reshape(-1, 3)
    points = corners[:, None] + offsets
    log_densities = logsumexp(
        [
            np.log(weight)
            - 0.5 * np.einsum("rpi,ij,rpj->rp", points - mean, precision, points - mean)
            - 0.5 * np.linalg.slogdet(2 * np.pi * covariance)[1]
            for weight, mean in ((0.3, 0.0), (0.7, 1.0))
        ],
        axis=0,
    )
    assert (draws.log_mass < log_densities.max(axis=1) * (1 - 1e-5) + 1).all()


@pytest.mark.parametrize("probabilities", [[0.3, 0.4, 0.3], [0.0, 1.0, 0.0]])
def test_rows_do_not_depend_on_the_others(probabilities):
    rng = np.random.default_rng(3)
    mixture = random_mixture(rng, 3, 6)
    values = np.asarray(mixture.sample(jax.random.key(0), 400))
    bounds = random_bounds(rng, values, probabilities)
    sampler = TruncatedSampler(mixture, n_draws=16)
    whole = sampler.draw(bounds)
    order = rng.permutation(400)
    turned = sampler.draw(Boxes(bounds.low[order], bounds.high[order]))
    np.testing.assert_allclose(turned.log_weights, whole.log_weights[order], rtol=1e-11)
    np.testing.assert_allclose(turned.positions, whole.positions[order], rtol=1e-9, atol=1e-10)
    for rows in (slice(0, 1), slice(17, 20), slice(100, 300)):
        part = sampler.draw(Boxes(bounds.low[rows], bounds.high[rows]))
        np.testing.assert_allclose(part.log_mass, whole.log_mass[rows], rtol=1e-11)
        np.testing.assert_allclose(part.positions, whole.positions[rows], rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(sampler.mass(bounds).log_mass, whole.log_mass, rtol=1e-11)
    np.testing.assert_allclose(sampler.mass(bounds).ess, whole.mass.ess, rtol=1e-9)
    again = TruncatedSampler(mixture, n_draws=16).mass(bounds)
    assert np.array_equal(again.log_mass, sampler.mass(bounds).log_mass)
    other = TruncatedSampler(mixture, n_draws=16, seed=1).mass(bounds)
    assert not np.allclose(other.log_mass, whole.log_mass, rtol=1e-6)


def test_draws_lie_in_their_boxes_and_follow_them():
    rng = np.random.default_rng(4)
    mixture = random_mixture(rng, 3, 6)
    bounds = random_bounds(rng, rng.normal(size=(300, 6)) * 3, [0.3, 0.5, 0.2])
    draws = TruncatedSampler(mixture).draw(bounds)
    assert draws.positions.shape == (300, 128, 6) and draws.log_weights.shape == (300, 128)
    assert (draws.positions >= bounds.low[:, None]).all()
    assert (draws.positions <= bounds.high[:, None]).all()
    assert np.isfinite(draws.positions).all() and np.isfinite(draws.log_weights).all()
    log_mean = logsumexp(draws.log_weights, axis=1) - np.log(128)
    np.testing.assert_allclose(draws.log_mass, log_mean, rtol=1e-12)
    assert (draws.mass.ess >= 1).all() and (draws.mass.ess <= 128 + 1e-9).all()


def test_factors_on_known_rows_are_exact_and_evaluated_once():
    rng = np.random.default_rng(5)
    mixture = random_mixture(rng, 2, 3)
    values = rng.normal(size=(70, 3))
    sizes = []

    def log_factor(positions):
        sizes.append(len(positions))
        return np.sin(positions).sum(axis=1)

    found = TruncatedSampler(mixture).mass(Boxes.of_values(values), log_factor)
    truth = brute.mixture_log_density(mixture, values) + np.sin(values).sum(axis=1)
    np.testing.assert_allclose(found.log_mass, truth, atol=1e-10)
    np.testing.assert_allclose(found.ess, 128)
    # One batch, padded to its length.
    assert sizes == [256]


def test_a_factor_enters_as_further_log_weights():
    rng = np.random.default_rng(0)
    mixture = random_mixture(rng, 2, 4)
    bounds = random_bounds(rng, rng.normal(size=(40, 4)), [0.3, 0.4, 0.3])
    sampler = TruncatedSampler(mixture, n_draws=16)
    draws = sampler.draw(bounds)
    factors = np.cos(draws.positions).sum(axis=2)
    tilted = draws.reweighted(factors)
    np.testing.assert_allclose(tilted.log_weights, draws.log_weights + factors)
    assert tilted.positions is draws.positions
    found = sampler.mass(bounds, lambda positions: np.cos(positions).sum(axis=1))
    np.testing.assert_allclose(found.log_mass, tilted.log_mass, rtol=1e-11)
    np.testing.assert_allclose(found.ess, tilted.mass.ess, rtol=1e-9)
    np.testing.assert_allclose(found.log_mass_error, tilted.mass.log_mass_error, atol=1e-9)


def test_resampling_follows_the_weights():
    positions = np.arange(8.0).reshape(2, 4, 1)
    log_weights = np.log(np.array([[0.5, 0.25, 0.25, 1e-300], [1e-300, 1.0, 1e-300, 3.0]]))
    draws = TruncatedDraws(positions, log_weights, np.zeros(2))
    np.testing.assert_allclose(draws.weights[1], [0, 0.25, 0, 0.75], atol=1e-12)
    np.testing.assert_allclose(draws.mass.ess, [1 / 0.375, 1.6])
    np.testing.assert_allclose(
        draws.mass.log_mass_error, np.sqrt((4 / draws.mass.ess - 1) / 3), rtol=1e-12
    )
    drawn = draws.resampled(400, seed=0)
    assert drawn.shape == (2, 400, 1)
    counts = [np.bincount(row[:, 0].astype(int), minlength=8) for row in drawn]
    # Systematic resampling rounds the expected numbers up or down.
    assert np.abs(counts[0] - [200, 100, 100, 0, 0, 0, 0, 0]).max() <= 1
    assert np.abs(counts[1] - [0, 0, 0, 0, 0, 100, 0, 300]).max() <= 1
    assert np.any(np.diff(drawn[0, :, 0]) < 0), "the order is random"
    assert np.array_equal(drawn, draws.resampled(400, seed=0))


def test_no_rows():
    sampler = TruncatedSampler(random_mixture(np.random.default_rng(0), 2, 3))
    nothing = Boxes(np.zeros((0, 3)), np.zeros((0, 3)))
    assert sampler.draw(nothing).positions.shape == (0, 128, 3)
    assert sampler.mass(nothing).log_mass.shape == (0,)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        ([[0.0, 2.0]], [[1.0, 1.0]], r"got \(2.0, 1.0\) in row 0, column 1"),
        ([[0.0, np.nan]], [[1.0, 1.0]], r"got \(nan, 1.0\) in row 0, column 1"),
        ([[INF, 0.0]], [[INF, 1.0]], r"got \(inf, inf\)"),
        ([[-INF, 0.0]], [[-INF, 1.0]], r"got \(-inf, -inf\)"),
        ([[0.0, 1e31]], [[1.0, 1e31]], "at most 1e30"),
        ([[0.0, 1.0]], [[1.0]], "shapes"),
        ([0.0], [1.0], "shapes"),
    ],
)
@pytest.mark.usefixtures("unannotated")
def test_bad_bounds_are_refused(low, high, words):
    with pytest.raises(InvalidInputError, match=words):
        Boxes(np.array(low), np.array(high))


@pytest.mark.parametrize("n_draws", [0, 1, 3, 48, -4])
def test_numbers_of_draws_are_powers_of_two(n_draws):
    mixture = random_mixture(np.random.default_rng(0), 1, 2)
    with pytest.raises(InvalidInputError, match=f"power of two, at least 2; got {n_draws}"):
        TruncatedSampler(mixture, n_draws=n_draws)


def test_bounds_of_other_columns_are_refused():
    sampler = TruncatedSampler(random_mixture(np.random.default_rng(0), 1, 2))
    with pytest.raises(InvalidInputError, match="2 columns, as the mixture has; got 3 columns"):
        sampler.mass(Boxes(np.zeros((1, 3)), np.ones((1, 3))))
    with pytest.raises(InvalidInputError, match="2 columns"):
        sampler.draw(Boxes(np.zeros((1, 3)), np.ones((1, 3))))
