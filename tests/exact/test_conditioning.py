"""Kind of truth: exact. A model given some coordinates against the model it came from.

Free energies differ by what the dummies of known coordinates add; log Z is that of a quadrature
over the open ones; kernels leave p(open | known) invariant. Seeds: models 0 and 1, mixtures 0.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute

import harmonium.model as hm
from harmonium.errors import InvalidInputError
from harmonium.model import condition, exact_log_partition, in_coordinates
from harmonium.sampling import HMC, MALA, Alternate, BlockGibbs, GibbsLangevin, Independence, sample
from harmonium.sampling.chains import init_chains, run_chains

KNOWN = np.array([0.7, np.nan, -0.4])
OPEN = np.isnan(KNOWN)
GRID = np.linspace(-9, 9, 20_001)
AFFINE = brute.affine_model("bernoulli", n_visible=3)
DEEP = brute.deep_model("spin", n_visible=3)
MODELS = {
    "affine": AFFINE,
    "deep": DEEP,
    "affine on a mixture": brute.on_mixture(AFFINE),
    "deep on a mixture": brute.on_mixture(DEEP),
}
each_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())


def along(model):
    """F of the model on the line through what is known, by its definition."""
    rows = np.tile(np.where(OPEN, 0.0, KNOWN), (len(GRID), 1))
    rows[:, OPEN] = GRID[:, None]
    return brute.free_energies(model, rows)


def distribution(model):
    """Log of the integral over the open coordinate, and its distribution function on the grid."""
    density = np.exp(-along(model))
    cumulative = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    cumulative *= GRID[1] - GRID[0]
    return np.log(cumulative[-1]), cumulative / cumulative[-1]


@each_model
def test_free_energies_differ_by_the_dummies_of_known_coordinates(model):
    given = condition(model, KNOWN)
    rows = np.random.default_rng(0).normal(size=(20, 3))
    completed = np.asarray(given.complete(jnp.asarray(rows)))
    np.testing.assert_array_equal(completed[:, ~OPEN], np.tile(KNOWN[~OPEN], (20, 1)))
    np.testing.assert_array_equal(completed[:, OPEN], rows[:, OPEN])
    # N(0, I/2): x·x + (1/2) log π of every known coordinate.
    dummies = np.sum(rows[:, ~OPEN] ** 2, axis=1) + 0.5 * (~OPEN).sum() * np.log(np.pi)
    expected = brute.free_energies(model, completed) + dummies + float(given.log_scale)
    found = jax.vmap(given.model.free_energy)(jnp.asarray(rows))
    np.testing.assert_allclose(np.asarray(found), expected, atol=1e-9)


@pytest.mark.parametrize("name", ["affine", "affine on a mixture"])
def test_log_partition_is_that_of_the_open_coordinates(name):
    given = condition(MODELS[name], KNOWN)
    expected, _ = distribution(MODELS[name])
    found = exact_log_partition(given.model) + float(given.log_scale)
    assert found == pytest.approx(expected, abs=1e-6)


@each_model
def test_everything_or_nothing_known(model):
    whole = condition(model, np.full(3, np.nan))
    rows = jnp.asarray(np.random.default_rng(1).normal(size=(9, 3)))
    expected = jax.vmap(model.free_energy)(rows)
    shifted = jax.vmap(whole.model.free_energy)(rows) - whole.log_scale
    np.testing.assert_allclose(np.asarray(shifted), np.asarray(expected), atol=1e-9)
    known = np.array([0.3, -0.2, 0.9])
    point = condition(model, known)
    # Nothing is left but the dummies, of which the integral is 1.
    free_energy = brute.free_energies(model, known[None])[0]
    dummies = 0.75 * 2 + 1.5 * np.log(np.pi)
    found = float(point.model.free_energy(jnp.full(3, np.sqrt(0.5)))) - dummies
    assert found - float(point.log_scale) == pytest.approx(free_energy, abs=1e-9)


@each_model
def test_other_coordinates_change_f_by_a_constant(model):
    rng = np.random.default_rng(5)
    matrix, offset = rng.normal(size=(3, 3)) + 2 * np.eye(3), rng.normal(size=3)
    log_scale, moved = in_coordinates(model, matrix, offset)
    rows = rng.normal(size=(20, 3))
    expected = brute.free_energies(model, rows @ matrix.T + offset)
    # log Z differs by `log_scale`, and dx is |det| dy.
    expected += log_scale - np.linalg.slogdet(matrix)[1]
    found = jax.vmap(moved.free_energy)(jnp.asarray(rows))
    np.testing.assert_allclose(np.asarray(found), expected, atol=1e-9)
    if model.is_affine:
        assert moved.is_affine
        whole = exact_log_partition(moved) + log_scale
        assert whole == pytest.approx(exact_log_partition(model), abs=1e-9)


KERNELS = {
    "BlockGibbs": (BlockGibbs(), "affine on a mixture"),
    "GibbsLangevin": (GibbsLangevin(0.2), "deep"),
    "MALA": (MALA(0.2), "affine"),
    "HMC": (HMC(0.3), "deep on a mixture"),
    "Independence": (Independence(), "deep on a mixture"),
    "Alternate": (Alternate(HMC(0.3)), "deep"),
}


@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_draws_what_is_open_given_what_is_known(name):
    kernel, family = KERNELS[name]
    model = MODELS[family]
    given = condition(model, KNOWN)
    _, cumulative = distribution(model)
    key_start, key_init, key_run = jax.random.split(jax.random.key(0), 3)
    n = 4000
    # Started in the right distribution, chains must stay in it: a shift would show at once.
    uniform = np.asarray(jax.random.uniform(key_start, (n,)))
    starts = np.zeros((n, 3))
    starts[:, OPEN] = np.interp(uniform, cumulative, GRID)[:, None]
    states = init_chains(key_init, given.model, kernel, jnp.asarray(starts))
    moved = run_chains(key_run, given.model, kernel, states, n_steps=12)
    x = np.asarray(given.complete(moved.states.position))[:, OPEN][:, 0]
    places = np.interp(x, GRID, cumulative)
    # Uniform where the draws are right; five standard errors of the mean and of the spread.
    assert abs(places.mean() - 0.5) < 5 * np.sqrt(1 / 12 / n)
    assert abs(np.mean((places - 0.5) ** 2) - 1 / 12) < 5 * np.sqrt(1 / 180 / n)
    assert np.mean(np.abs(x - starts[:, OPEN][:, 0]) > 0.05) > 0.5


def test_the_sampler_takes_it_like_any_other_model():
    model = MODELS["deep on a mixture"]
    given = condition(model, KNOWN)
    drawn = sample(given.model, 2000, key=jax.random.key(3))
    assert drawn.diagnostics.trusted
    _, cumulative = distribution(model)
    places = np.interp(np.asarray(drawn.samples)[:, OPEN][:, 0], GRID, cumulative)
    assert abs(places.mean() - 0.5) < 5 * np.sqrt(1 / 12 / 2000)


def test_what_is_given_is_checked():
    with pytest.raises(InvalidInputError, match=r"shape \(2,\)"):
        condition(AFFINE, np.zeros(2))
    with pytest.raises(InvalidInputError, match="inf"):
        condition(AFFINE, np.array([0.0, np.inf, np.nan]))
    assert isinstance(condition(AFFINE, KNOWN).model, hm.Harmonium)
