"""Kind of truth: exact. The oracles against sums over states, rectangle rules and scipy.

`exact_samples` against the moments of the mixture at 5 sigma. Seeds: in the tables below.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute
from scipy.integrate import dblquad, quad
from scipy.special import logsumexp

import harmonium.model as hm
from harmonium.errors import InfeasibleError
from harmonium.model import (
    enumerated_log_partition,
    exact_log_partition,
    exact_samples,
    feature_maps,
    quadrature_log_partition,
)

each_alphabet = pytest.mark.parametrize("alphabet", brute.ALPHABETS)
each_base = pytest.mark.parametrize("has_modes", [False, True], ids=["Gaussian", "mixture"])


def based(model, has_modes):
    return brute.on_mixture(model) if has_modes else model


@pytest.mark.parametrize(("n_visible", "n_hidden", "seed"), [(1, 2, 0), (2, 5, 1), (6, 8, 2)])
@each_base
@each_alphabet
def test_enumeration_is_the_sum_over_all_states(alphabet, has_modes, n_visible, n_hidden, seed):
    model = based(brute.affine_model(alphabet, n_visible, n_hidden, seed=seed), has_modes)
    expected = brute.Mixture(model).log_partition
    assert enumerated_log_partition(model) == pytest.approx(expected, abs=1e-10)
    assert exact_log_partition(model) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("n_visible", [1, 2])
@each_base
@each_alphabet
def test_enumeration_is_the_integral(alphabet, has_modes, n_visible):
    model = based(brute.affine_model(alphabet, n_visible), has_modes)
    expected = brute.grid_log_partition(model, half_width=10.0, n_points=241)
    assert enumerated_log_partition(model) == pytest.approx(expected, abs=1e-10)
    assert quadrature_log_partition(model) == pytest.approx(expected, abs=1e-6)


@each_base
@each_alphabet
def test_quadrature_agrees_with_scipy_in_one_dimension(alphabet, has_modes):
    model = based(brute.deep_model(alphabet, n_visible=1, seed=3, scale=3.0), has_modes)
    # Shifted by F at one point, so that scipy sees numbers of order one.
    shift = brute.free_energies(model, np.zeros((1, 1)))[0]
    integral, _ = quad(
        lambda x: np.exp(shift - brute.free_energies(model, np.array([[x]]))[0]), -9, 9, limit=200
    )
    assert quadrature_log_partition(model) == pytest.approx(np.log(integral) - shift, abs=1e-6)


@each_alphabet
def test_quadrature_agrees_with_scipy_in_two_dimensions(alphabet):
    model = brute.deep_model(alphabet, n_visible=2, n_hidden=2)
    weights, visible_bias, hidden_bias = brute.numbers(model)
    layers = [
        (np.asarray(layer.weight), np.asarray(layer.bias)) for layer in model.feature_map.layers
    ]
    hidden = brute.states(model)

    def density(y, x):
        point = np.array([x, y])
        f = np.sqrt(2.0) * point
        for weight, bias in layers:
            z = weight @ f + bias
            f = z / (1 + np.exp(-z))
        terms = hidden @ (hidden_bias - weights @ f)
        return np.exp(visible_bias @ point - point @ point) * np.sum(np.exp(terms))

    integral, _ = dblquad(density, -6, 6, -6, 6, epsabs=1e-7, epsrel=1e-7)
    assert quadrature_log_partition(model) == pytest.approx(np.log(integral), abs=1e-5)
    assert exact_log_partition(model) == pytest.approx(np.log(integral), abs=1e-5)


@pytest.mark.parametrize("bias", [-60.0, 40.0])
def test_quadrature_follows_mass_far_from_the_origin(bias):
    model = brute.affine_model("bernoulli", n_visible=2, seed=5, scale=4.0)
    model = eqx.tree_at(lambda m: m.visible_bias, model, jnp.asarray([bias, -bias]))
    expected = brute.Mixture(model).log_partition
    assert quadrature_log_partition(model) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("n_visible", [1, 2])
def test_quadrature_finds_narrow_and_far_components(n_visible, deep):
    # Widths of 0.01 and 3, a thousand widths apart; the reference is a sum of integrals of their
    # own.
    sds, places = np.array([0.01, 3.0, 0.02]), np.array([-70.0, 0.0, 50.0])
    mixture = hm.Mixture.from_moments(
        np.array([0.3, 0.5, 0.2]),
        np.tile(places[:, None], n_visible),
        sds[:, None, None] ** 2 * np.eye(n_visible),
    )
    model = (brute.deep_model if deep else brute.affine_model)("spin", n_visible, scale=0.5)
    model = brute.on_mixture(model, mixture)
    model = eqx.tree_at(lambda m: m.visible_bias, model, 0.01 * model.visible_bias)
    total = []
    for weight, sd, place in zip([0.3, 0.5, 0.2], sds, places, strict=True):
        nodes, log_cell = brute.grid(n_visible, half_width=14 * sd, n_points=281, center=place)
        own = -np.sum(((nodes - place) / sd) ** 2, axis=1) / 2
        own += np.log(weight) - n_visible * np.log(sd * np.sqrt(2 * np.pi))
        rest = brute.base_energies(model, nodes) - brute.free_energies(model, nodes)
        total.append(logsumexp(own + rest) + log_cell)
    assert quadrature_log_partition(model) == pytest.approx(logsumexp(total), abs=1e-5)
    if not deep:
        exact = brute.Mixture(model).log_partition
        assert enumerated_log_partition(model) == pytest.approx(exact, abs=1e-8)


@each_alphabet
def test_fifteen_hidden_units_are_summed_in_blocks(alphabet):
    # Two blocks of 2^14; the reference holds all 2^15 states at once.
    model = brute.affine_model(alphabet, n_hidden=15, seed=6, scale=0.4)
    expected = brute.Mixture(model).log_partition
    assert enumerated_log_partition(model) == pytest.approx(expected, abs=1e-10)


@each_base
def test_a_float32_model_is_summed_in_double(has_modes):
    model = based(brute.affine_model("bernoulli", n_hidden=6, seed=7), has_modes)
    single = jax.tree.map(
        lambda leaf: leaf.astype(jnp.float32) if eqx.is_inexact_array(leaf) else leaf, model
    )
    rounded = jax.tree.map(
        lambda leaf: leaf.astype(jnp.float64) if eqx.is_inexact_array(leaf) else leaf, single
    )
    expected = brute.Mixture(rounded).log_partition
    assert enumerated_log_partition(single) == pytest.approx(expected, abs=1e-10)


@each_base
@each_alphabet
def test_exact_samples_have_the_moments_of_the_mixture(alphabet, has_modes):
    # On the mixture other seeds would make hidden units nearly constant.
    seed = {"bernoulli": 12, "spin": 13}[alphabet] if has_modes else 8
    model = based(brute.affine_model(alphabet, n_hidden=5, seed=seed, scale=0.3), has_modes)
    mixture = brute.Mixture(model)
    draws = np.asarray(exact_samples(jax.random.key(9), model, 20000))
    assert draws.shape == (20000, 3)
    brute.assert_within(draws, mixture.mean, label="mean")
    products = np.einsum("ri,rj->rij", draws, draws)
    brute.assert_within(products, mixture.second_moments, label="second moments")
    hidden = brute.hidden_means(model, draws)
    brute.assert_within(hidden, mixture.hidden_mean, label="hidden mean")


def wide(n_visible, n_hidden, deep=False):
    feature_map = feature_maps.MLP(n_visible, (2,), key=jax.random.key(0)) if deep else None
    return hm.Harmonium(n_visible, n_hidden, feature_map=feature_map, key=jax.random.key(0))


INFEASIBLE = {
    "deep and wide": (
        lambda: exact_log_partition(wide(3, 2, deep=True)),
        ("exact_log_partition(model)", "at most 2 visible", "got MLP with n_visible=3"),
    ),
    "many hidden units": (
        lambda: enumerated_log_partition(wide(3, 25)),
        ("enumerated_log_partition(model)", "at most 24 hidden", "got 25"),
    ),
    "both too large": (
        lambda: exact_log_partition(wide(3, 25)),
        ("at most 24 hidden units", "n_hidden=25"),
    ),
    "many visible units": (
        lambda: quadrature_log_partition(wide(3, 2)),
        ("quadrature_log_partition(model)", "up to 2 visible", "n_visible=3"),
    ),
    "many sampled": (
        lambda: exact_samples(jax.random.key(0), wide(3, 17), 4),
        ("exact_samples(key, model, n)", "at most 16 hidden units", "got 17"),
    ),
}


@pytest.mark.parametrize("name", INFEASIBLE)
def test_what_is_too_large_is_said(name):
    call, words = INFEASIBLE[name]
    with pytest.raises(InfeasibleError) as caught:
        call()
    for word in (*words, "Try:"):
        assert word in str(caught.value)


class Square(eqx.Module):
    """f(x) = -x·x: grows as fast as the Gaussian falls, so Z need not exist."""

    def __call__(self, x):
        """The negative square."""
        return -jnp.sum(x * x)[None]


def test_an_improper_model_has_no_quadrature():
    model = hm.Harmonium(1, 1, feature_map=Square(), key=jax.random.key(0))
    model = eqx.tree_at(lambda m: m.weights, model, jnp.asarray([[3.0]]))
    with pytest.raises(InfeasibleError, match="may grow as fast as"):
        quadrature_log_partition(model)
