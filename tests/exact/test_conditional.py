"""Some coordinates given the others. Kind of truth: sums over h and rectangle rules, then 5 sigma for chains.

Models are enumerable and affine, coordinates those of x = M y with a matrix that is not symmetric. Seeds: models 5, keys
as written.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute
from scipy.special import logsumexp

import harmonium.model as hm
from harmonium.errors import InfeasibleError
from harmonium.model.conditionals import exact_conditional
from harmonium.sampling import conditional, opened
from harmonium.sampling.conditional import (
    draw_conditional,
    importance_log_mass,
    tune_conditional,
)
from harmonium.sampling.opened import Given, Opened, open_rows

NAN, INF = np.nan, np.inf
MATRIX = np.array([[1.1, 0.3, -0.2], [-0.4, 0.8, 0.1], [0.2, 0.5, 1.3]])
# Near the mean of the model, so that importance sampling has little variance, but not at it.
CENTER = np.array([0.1, -0.9, -0.2])
each_alphabet = pytest.mark.parametrize("alphabet", brute.ALPHABETS)


def small_model(alphabet="bernoulli"):
    """Three visible and three hidden units, asymmetric, with two modes that the open coordinates can tell."""
    scale = {"bernoulli": 0.9, "spin": 0.45}[alphabet]
    return brute.affine_model(alphabet, n_visible=3, n_hidden=3, seed=5, scale=scale)


each_base = pytest.mark.parametrize("has_modes", [False, True], ids=["Gaussian", "mixture"])


def based_model(alphabet="bernoulli", has_modes=True):
    """The same on a mixture base as wide as the Gaussian."""
    model = small_model(alphabet)
    mixture = brute.random_mixture(3, scale=0.4, spread=0.6)
    return brute.on_mixture(model, mixture) if has_modes else model


def without_interaction():
    """W = 0 with a bias: the Gaussian N(b/2, I/2) times a constant."""
    model = small_model()
    return eqx.tree_at(lambda m: m.weights, model, jnp.zeros_like(model.weights))


def numeric(model, known, matrix, half_width=9.0, n_points=121, low=None, high=None):
    """log-mass, mean and second moments of the open coordinates, by a rectangle rule over them.

    With `low` and `high` the open coordinates are bounded to these, by the midpoint rule.
    """
    is_open = np.isnan(known)
    axes, log_cell = [], 0.0
    for i in np.flatnonzero(is_open):
        start = -half_width if low is None or np.isinf(low[i]) else low[i]
        end = half_width if high is None or np.isinf(high[i]) else high[i]
        width = (end - start) / n_points
        axes.append(start + width * (np.arange(n_points) + 0.5))
        log_cell += np.log(width)
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    y = np.tile(np.where(is_open, 0.0, known), (len(nodes), 1))
    y[:, is_open] = nodes
    log_density = -brute.free_energies(model, y @ matrix.T)
    log_mass = logsumexp(log_density) + log_cell
    weights = np.exp(log_density + log_cell - log_mass)
    return log_mass, weights @ y, np.einsum("r,ri,rj->ij", weights, y, y)


def moments(mixture):
    """Mean and second moments of a mixture of conditional Gaussians."""
    between = np.einsum("s,si,sj->ij", mixture.weights, mixture.means, mixture.means)
    shares = mixture.weights.reshape(-1, len(mixture.roots)).sum(axis=0)
    within = np.einsum("k,kij,klj->il", shares, mixture.roots, mixture.roots)
    return mixture.weights @ mixture.means, between + within


# Closed form


@pytest.mark.parametrize(
    "known", [[0.3, NAN, -0.5], [NAN, 0.7, NAN], [-1.0, NAN, NAN]], ids=["one", "ends", "two"]
)
@pytest.mark.parametrize("matrix", [np.eye(3), MATRIX], ids=["identity", "matrix"])
@each_base
@each_alphabet
def test_the_closed_form_is_the_integral(alphabet, has_modes, matrix, known):
    model, known = based_model(alphabet, has_modes), np.array(known)
    found = exact_conditional(model, known, matrix)
    # A mixture that is tilted reaches further than the Gaussian.
    log_mass, mean, second = numeric(model, known, matrix, half_width=22.0, n_points=351)
    assert found.log_mass == pytest.approx(log_mass, abs=1e-9)
    found_mean, found_second = moments(found)
    np.testing.assert_allclose(found_mean, mean, atol=1e-8)
    np.testing.assert_allclose(found_second, second, atol=1e-8)
    assert found.weights.sum() == pytest.approx(1.0)


@each_base
@each_alphabet
def test_with_nothing_open_the_mass_is_that_of_the_row(alphabet, has_modes):
    model, known = based_model(alphabet, has_modes), np.array([0.3, -0.2, 1.1])
    found = exact_conditional(model, known, MATRIX)
    expected = -brute.free_energies(model, (MATRIX @ known)[None])[0]
    assert found.log_mass == pytest.approx(expected, abs=1e-10)
    np.testing.assert_array_equal(found.draw(4, np.random.default_rng(0)), np.tile(known, (4, 1)))


@each_base
@each_alphabet
def test_with_all_open_the_mass_is_z(alphabet, has_modes):
    model = based_model(alphabet, has_modes)
    found = exact_conditional(model, np.full(3, NAN), MATRIX)
    # The volume of y is that of x over |det M|.
    expected = brute.Mixture(model).log_partition - np.linalg.slogdet(MATRIX)[1]
    assert found.log_mass == pytest.approx(expected, abs=1e-10)


@each_base
def test_closed_form_draws_have_its_moments(has_modes):
    """Statistical, seed 1."""
    found = exact_conditional(based_model(has_modes=has_modes), np.array([0.4, NAN, NAN]), MATRIX)
    rows = found.draw(20_000, np.random.default_rng(1))
    mean, second = moments(found)
    np.testing.assert_array_equal(rows[:, 0], 0.4)
    brute.assert_within(rows[:, 1:], mean[1:], label="mean")
    products = np.einsum("ri,rj->rij", rows, rows)[:, 1:, 1:]
    brute.assert_within(products, second[1:, 1:], label="second moments")


def test_other_models_are_refused():
    with pytest.raises(InfeasibleError, match=r"exact_conditional\(model, known\).*got MLP"):
        exact_conditional(brute.deep_model("bernoulli"), np.full(2, NAN))
    many = hm.Harmonium(2, 17, key=jax.random.key(0))
    with pytest.raises(InfeasibleError, match="n_hidden=17"):
        exact_conditional(many, np.full(2, NAN))


# Opened rows


KNOWN = {
    "values": ([0.3, -INF, -INF], [0.3, INF, INF]),
    "all open": ([-INF, -INF, -INF], [INF, INF, INF]),
    "an interval": ([-0.5, -INF, 0.2], [1.0, INF, 0.2]),
    "one-sided": ([-0.5, -INF, -INF], [INF, -0.1, INF]),
}


def opened_row(name, center=CENTER):
    """The only row of these bounds."""
    low, high = (jnp.asarray([end]) for end in KNOWN[name])
    rows = open_rows(Given(low, high), jnp.asarray(MATRIX), jnp.asarray(center))
    return jax.tree.map(lambda leaf: leaf[0], rows)


@pytest.mark.parametrize("name", KNOWN)
def test_the_jacobian_is_that_of_the_position(name):
    row = opened_row(name)
    free = np.flatnonzero(~np.asarray(row.is_known))
    for seed in range(3):
        t = jnp.asarray(np.random.default_rng(seed).normal(size=3))
        jacobian = np.asarray(jax.jacobian(row.position)(t))[np.ix_(free, free)]
        assert row.log_jacobian(t) == pytest.approx(np.linalg.slogdet(jacobian)[1], abs=1e-10)


@pytest.mark.parametrize("name", KNOWN)
def test_positions_keep_to_their_bounds(name):
    row = opened_row(name)
    low, high = (np.array(end) for end in KNOWN[name])
    for t in (-30.0, 0.4, 30.0):
        position = np.asarray(row.position(jnp.full(3, t)))
        assert np.all((low <= position) & (position <= high))
    is_known = low == high
    np.testing.assert_array_equal(np.asarray(row.position(jnp.ones(3)))[is_known], low[is_known])


def test_the_reference_is_the_conditioned_gaussian():
    """Of N(center, (2 MᵀM)^-1) given the first coordinate, from the block formula; normalized in t."""
    row = opened_row("values")
    covariance = np.linalg.inv(2 * MATRIX.T @ MATRIX)
    gain = covariance[1:, :1] / covariance[0, 0]
    mean = CENTER[1:] + gain[:, 0] * (0.3 - CENTER[0])
    np.testing.assert_allclose(row.position(jnp.zeros(3))[1:], mean, rtol=1e-10)
    factor = np.asarray(row.factor)[1:, 1:]
    expected = covariance[1:, 1:] - gain @ covariance[:1, 1:]
    np.testing.assert_allclose(factor @ factor.T, expected, rtol=1e-10)
    axis = jnp.linspace(-8, 8, 161)
    nodes = jnp.stack(jnp.meshgrid(jnp.zeros(1), axis, axis), axis=-1).reshape(-1, 3)
    total = np.exp(-np.asarray(jax.vmap(row.reference_energy)(nodes))).sum() * 0.1**2
    assert total == pytest.approx(1.0, abs=1e-6)


# Chains


SETTINGS = {"matrix": jnp.asarray(MATRIX), "center": jnp.asarray(CENTER)}
N_ROWS = 64


def given(low, high, n_rows=N_ROWS):
    """The same bounds for every row: rows are independent, so that their spread is a standard error."""
    return Given(*(jnp.tile(jnp.asarray(end, float), (n_rows, 1)) for end in (low, high)))


def run_chains(key, model, bounds, space=SETTINGS, **settings):
    """Draws with settings that are always the same, so that they are compiled once."""
    fixed = {"n_chains": 32, "n_temperatures": 10, "n_kept": 2}
    return draw_conditional(jax.random.key(key), model, bounds, **fixed, **space, **settings)


def assert_moments(positions, mean, second, free):
    """Row by row, averaged over chains that descend from one another, to 5 standard errors."""
    rows = np.asarray(positions)
    rows = rows.reshape(len(rows), -1, rows.shape[-1])[:, :, free]
    brute.assert_within(rows.mean(axis=1), mean[free], label="mean")
    products = np.einsum("rci,rcj->rij", rows, rows) / rows.shape[1]
    brute.assert_within(products, second[np.ix_(free, free)], label="second moments")


def assert_mass(log_mass, expected):
    """exp(log_mass) is unbiased: its mean over rows agrees within 5 standard errors."""
    brute.assert_within(np.exp(np.asarray(log_mass) - expected), 1.0, label="mass")


@each_base
def test_chains_draw_from_the_conditional(has_modes):
    """Key 2. Values given, so that the closed form is the truth; the reference is a Gaussian whatever the base is."""
    low, high = KNOWN["values"]
    model = based_model(has_modes=has_modes)
    truth = exact_conditional(model, np.array([0.3, NAN, NAN]), MATRIX)
    found = draw_conditional(
        jax.random.key(2),
        model,
        given(low, high),
        n_chains=32,
        n_temperatures=10,
        n_kept=2,
        **SETTINGS,
    )
    assert found.positions.shape == (N_ROWS, 2, 32, 3)
    np.testing.assert_array_equal(found.positions[..., 0], 0.3)
    assert_mass(found.log_mass, truth.log_mass)
    mean, second = moments(truth)
    assert_moments(found.positions, mean, second, [1, 2])
    # It is no test if draws of the reference would pass it.
    row = open_rows(given(low, high), jnp.asarray(MATRIX), jnp.asarray(CENTER))
    keys = jax.random.split(jax.random.key(11), (N_ROWS, 32))
    reference = jax.vmap(lambda o, k: jax.vmap(lambda k: o.position(o.draw_reference(k)))(k))(
        row, keys
    )
    with pytest.raises(AssertionError, match="mean"):
        assert_moments(reference, mean, second, [1, 2])
    assert 0.5 < found.acceptance < 0.99
    assert np.all((found.ess > 1) & (found.ess <= 32))


@pytest.mark.parametrize("name", ["an interval", "one-sided"])
def test_chains_keep_to_intervals(name):
    """Keys 3 and 4, against rectangle rules over the region."""
    low, high = (np.array(end) for end in KNOWN[name])
    model = small_model()
    known = np.where(low == high, low, NAN)
    free = np.flatnonzero(np.isnan(known))
    n_points = 400 if len(free) == 2 else 130
    log_mass, mean, second = numeric(
        model, known, MATRIX, half_width=7.0, n_points=n_points, low=low, high=high
    )
    found = run_chains(3, model, given(low, high))
    positions = np.asarray(found.positions)
    assert np.all((low <= positions) & (positions <= high))
    assert_mass(found.log_mass, log_mass)
    assert_moments(found.positions, mean, second, free)
    importance = importance_log_mass(
        jax.random.key(4), model, given(low, high), n_draws=500, **SETTINGS
    )
    assert_mass(importance, log_mass)


def test_without_interaction_every_weight_is_the_mass():
    """The reference with the center b/2 in y is the model itself: no variance is left, whatever is open."""
    model = without_interaction()
    center = jnp.asarray(np.linalg.solve(MATRIX, np.asarray(model.visible_bias) / 2))
    low = np.array([[0.3, -INF, -INF], [-INF, -INF, 1.0], [-INF, -INF, -INF], [0.1, 0.2, 0.3]])
    high = np.where(np.isinf(low), INF, low)
    low, high = np.tile(low, (16, 1)), np.tile(high, (16, 1))
    bounds = Given(jnp.asarray(low), jnp.asarray(high))
    expected = [
        exact_conditional(model, np.where(np.isinf(row), NAN, row), MATRIX).log_mass for row in low
    ]
    space = {"matrix": SETTINGS["matrix"], "center": center}
    found = run_chains(5, model, bounds, space)
    np.testing.assert_allclose(found.log_mass, expected, atol=1e-10)
    np.testing.assert_allclose(found.ess, 32.0, rtol=1e-10)
    np.testing.assert_array_equal(found.positions[3], np.broadcast_to(low[3], (2, 32, 3)))
    one = importance_log_mass(jax.random.key(6), model, bounds, n_draws=1, **space)
    np.testing.assert_allclose(one, expected, atol=1e-10)


def test_importance_sampling_is_unbiased_too():
    """Key 7, with and without matrix and center."""
    low, high = KNOWN["values"]
    model = small_model()
    for space, matrix in ((SETTINGS, MATRIX), ({}, np.eye(3))):
        truth = exact_conditional(model, np.array([0.3, NAN, NAN]), matrix).log_mass
        found = importance_log_mass(
            jax.random.key(7), model, given(low, high), n_draws=500, **space
        )
        assert_mass(found, truth)


@pytest.mark.parametrize("fault", ["no slopes", "volume", "reference"])
def test_faults_are_caught(monkeypatch, fault):
    """What these tests rest on, wrong by a little on purpose."""
    model, (low, high) = small_model(), KNOWN["an interval"]
    region = np.where(np.array(low) == np.array(high), low, NAN)
    log_mass, _, _ = numeric(model, region, MATRIX, n_points=400, low=low, high=high)
    right = Opened.log_jacobian
    if fault == "no slopes":
        monkeypatch.setattr(Opened, "log_jacobian", lambda self, t: self.log_volume)
    elif fault == "volume":
        monkeypatch.setattr(Opened, "log_jacobian", lambda self, t: right(self, t) + 0.1)
    else:
        real = Opened.reference_energy
        monkeypatch.setattr(Opened, "reference_energy", lambda self, t: real(self, t - 0.1))
    jax.clear_caches()
    found = importance_log_mass(jax.random.key(8), model, given(low, high), n_draws=500, **SETTINGS)
    jax.clear_caches()
    with pytest.raises(AssertionError, match="mass"):
        assert_mass(found, log_mass)


def test_step_sizes_are_adapted_and_reused():
    low, high = KNOWN["values"]
    model, bounds = small_model(), given(low, high)
    steps = tune_conditional(jax.random.key(9), model, bounds, n_temperatures=10, **SETTINGS)
    assert steps.shape == (10,)
    assert steps[0] == pytest.approx(conditional.FIRST_STEP)
    assert np.all(steps > 0) and len(np.unique(steps)) > 1
    key_tune, _ = jax.random.split(jax.random.key(10))
    own = tune_conditional(key_tune, model, bounds, n_temperatures=10, **SETTINGS)
    runs = [
        run_chains(10, model, bounds, step_sizes=sizes).positions for sizes in (None, own, own / 2)
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_an_interval_of_nothing_known_is_in_no_block():
    """Intervals and known coordinates have no part in the factor of the open ones."""
    row = opened_row("an interval")
    factor = np.asarray(row.factor)
    assert np.count_nonzero(factor) == 1
    assert factor[1, 1] == pytest.approx(1 / np.sqrt(2 * np.sum(MATRIX[:, 1] ** 2)))
    assert isinstance(row, opened.Opened)


def test_chains_that_hardly_move_are_right_by_their_weights():
    """Key 12. One temperature and tiny steps: what is drawn from the reference is resampled, and that is all."""
    low, high = KNOWN["values"]
    model = small_model()
    mean, second = moments(exact_conditional(model, np.array([0.3, NAN, NAN]), MATRIX))
    found = draw_conditional(
        jax.random.key(12),
        model,
        given(low, high, 256),
        step_sizes=jnp.asarray([1e-4]),
        n_chains=32,
        n_between=1,
        **SETTINGS,
    )
    assert_moments(found.positions, mean, second, [1, 2])
