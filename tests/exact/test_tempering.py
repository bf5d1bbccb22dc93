"""Kind of truth: exact (closed form, summation) and, for `sample_base`, statistical at 5 sigma.

Theory, section 6. Seeds: models 0 and 1, draws key(5).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute

from harmonium.model import base_free_energy, base_log_partition, sample_base, temper

MODELS = {
    f"{build.__name__} {alphabet}": build(alphabet)
    for build in (brute.affine_model, brute.deep_model)
    for alphabet in brute.ALPHABETS
}
MODELS |= {f"{name} on a mixture": brute.on_mixture(model) for name, model in MODELS.items()}
each_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())


def without_weights(model):
    return eqx.tree_at(lambda m: m.weights, model, jnp.zeros_like(model.weights))


@each_model
def test_base_log_partition_is_the_closed_form(model):
    _, visible_bias, hidden_bias = brute.numbers(model)
    if type(model.hidden_units).__name__ == "Bernoulli":
        units = np.sum(np.log(1 + np.exp(hidden_bias)))
    else:
        units = np.sum(np.log(2 * np.cosh(hidden_bias)))
    log_mass, weights, means, covariances = brute.base_parts(model)
    # Of the Gaussian: (n/2) log pi + |b|²/4.
    spreads = np.einsum("i,kij,j->k", visible_bias, covariances, visible_bias)
    expected = log_mass + np.log(weights @ np.exp(means @ visible_bias + spreads / 2)) + units
    np.testing.assert_allclose(float(base_log_partition(model)), expected, rtol=1e-12)


@each_model
def test_base_log_partition_is_the_sum_over_states_and_the_integral(model):
    base = without_weights(model)
    actual = float(base_log_partition(model))
    np.testing.assert_allclose(actual, brute.Mixture(base).log_partition, rtol=1e-10)
    if model.n_visible == 2:
        np.testing.assert_allclose(actual, brute.grid_log_partition(base), rtol=1e-10)


@each_model
def test_base_free_energy_is_that_of_the_model_without_weights(model):
    rows = np.random.default_rng(3).normal(size=(20, model.n_visible))
    actual = jax.vmap(base_free_energy, in_axes=(None, 0))(model, jnp.asarray(rows))
    expected = brute.free_energies(without_weights(model), rows)
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-12)


@each_model
def test_sample_base_has_the_moments_of_the_tilted_base(model):
    draws = np.asarray(sample_base(jax.random.key(5), model, 100_000))
    truth = brute.Mixture(without_weights(model))
    brute.assert_within(draws, truth.mean, label="mean")
    products = np.einsum("ri,rj->rij", draws, draws)
    brute.assert_within(products, truth.second_moments, label="second moments")
    # A wrong shape of the same width would show in E[(x - m)^4] = 3 v² + 6 v d² + d⁴ of a part at
    # the distance d.
    distances = (truth.means - truth.mean) ** 2
    variances = np.diagonal(truth.covariances, axis1=1, axis2=2)
    fourth = truth.probabilities @ (3 * variances**2 + 6 * variances * distances + distances**2)
    brute.assert_within((draws - truth.mean) ** 4, fourth, label="fourth moment")


@each_model
@pytest.mark.parametrize("beta", [0.0, 0.25, 1.0])
def test_tempered_free_energy_is_the_formula(model, beta):
    # F_beta(x) = U(x) - b·x - sum_k log_normalizer(c_k - beta w_k·f(x))
    weights, visible_bias, hidden_bias = brute.numbers(model)
    rows = np.random.default_rng(0).normal(size=(5, model.n_visible))
    logits = hidden_bias - beta * brute.features(model, rows) @ weights.T
    if type(model.hidden_units).__name__ == "Bernoulli":
        units = np.log1p(np.exp(logits))
    else:
        units = np.log(2 * np.cosh(logits))
    expected = brute.base_energies(model, rows) - rows @ visible_bias - units.sum(axis=1)
    actual = jax.vmap(temper(model, beta).free_energy)(jnp.asarray(rows))
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-10)


@each_model
def test_tempering_to_one_is_the_model_and_leaves_the_original_alone(model):
    before = np.array(model.weights)
    tempered = temper(model, 1.0)
    same = jax.tree.map(lambda a, b: bool(jnp.all(a == b)), tempered, model)
    assert all(jax.tree.leaves(same))
    temper(model, 0.5)
    assert np.array_equal(before, np.asarray(model.weights))
