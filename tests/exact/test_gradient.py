"""Kind of truth: exact. The likelihood gradient against differences of -mean F(data) - log Z.

The negatives are the nodes of a grid weighted by p(x), so nothing is left to chance; the sampled
estimator is held to 5 standard errors. Theory, section 7. Seeds: data 0, negatives 1, keys 2 and 3.
"""

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute

from harmonium.errors import InvalidInputError
from harmonium.learning import log_likelihood_gradient
from harmonium.model import split_trainable

each_alphabet = pytest.mark.parametrize("alphabet", brute.ALPHABETS)
DATA = np.random.default_rng(0).normal(size=(7, 2)) + np.array([0.4, -0.6])


def differences(model, log_likelihood, step=1e-5):
    """Central finite differences of `log_likelihood(model)` in every parameter, the base left as it
    is."""
    parameters, static = split_trainable(model)
    flat, unravel = jax.flatten_util.ravel_pytree(parameters)
    flat = np.asarray(flat)

    def value(vector):
        return log_likelihood(eqx.combine(unravel(jnp.asarray(vector)), static))

    slopes = [
        (value(flat + step * unit) - value(flat - step * unit)) / (2 * step)
        for unit in np.eye(len(flat))
    ]
    return np.array(slopes)


def flatten(gradient):
    return np.asarray(jax.flatten_util.ravel_pytree(gradient)[0])


def weighted_nodes(model, n_points):
    nodes, _ = brute.grid(model.n_visible, half_width=7.0, n_points=n_points)
    return jnp.asarray(nodes), jnp.asarray(-brute.free_energies(model, nodes))


@each_alphabet
def test_every_parameter_of_an_affine_model(alphabet):
    # log Z in closed form: the mixture of theory, section 3.
    model = brute.affine_model(alphabet, n_visible=2, n_hidden=3)
    expected = differences(
        model,
        lambda m: -np.mean(brute.free_energies(m, DATA)) - brute.Mixture(m).log_partition,
    )
    nodes, log_weights = weighted_nodes(model, 121)
    gradient = log_likelihood_gradient(model, jnp.asarray(DATA), nodes, log_weights=log_weights)
    np.testing.assert_allclose(flatten(gradient), expected, atol=1e-6)
    # No parameter is left out: W, b, c and both halves of theta move the likelihood.
    leaves = jax.tree.leaves(gradient)
    assert len(leaves) == 5
    assert all(np.abs(np.asarray(leaf)).max() > 1e-3 for leaf in leaves)


@pytest.mark.parametrize(("n_visible", "n_points"), [(1, 241), (2, 81)])
@each_alphabet
def test_every_parameter_of_a_deep_model(alphabet, n_visible, n_points):
    model = brute.deep_model(alphabet, n_visible=n_visible, n_hidden=2, widths=(3, 2))
    data = DATA[:, :n_visible]
    expected = differences(
        model,
        lambda m: (
            -np.mean(brute.free_energies(m, data)) - brute.grid_log_partition(m, n_points=n_points)
        ),
    )
    nodes, log_weights = weighted_nodes(model, n_points)
    gradient = log_likelihood_gradient(model, jnp.asarray(data), nodes, log_weights=log_weights)
    np.testing.assert_allclose(flatten(gradient), expected, atol=1e-6)
    assert np.all(np.abs(expected) > 1e-8)


@each_alphabet
def test_one_row_gives_the_table_of_section_7(alphabet):
    # dF/dW = q fᵀ, dF/dc = -q, dF/db = -x, dF/dA = (Wᵀq) xᵀ, dF/dd = Wᵀq; negatives minus data.
    model = brute.affine_model(alphabet)
    weights, _, _ = brute.numbers(model)
    rows = np.random.default_rng(1).normal(size=(2, 3))
    q = brute.hidden_means(model, rows)
    f = brute.features(model, rows)
    pull = q @ weights
    gradient = log_likelihood_gradient(model, jnp.asarray(rows[:1]), jnp.asarray(rows[1:]))
    expected = {
        "weights": (gradient.weights, np.einsum("rk,rm->rkm", q, f)),
        "visible_bias": (gradient.visible_bias, -rows),
        "hidden_bias": (gradient.hidden_bias, -q),
        "matrix": (gradient.feature_map.matrix, np.einsum("rm,ri->rmi", pull, rows)),
        "offset": (gradient.feature_map.offset, pull),
    }
    for name, (actual, slopes) in expected.items():
        np.testing.assert_allclose(np.asarray(actual), slopes[1] - slopes[0], 1e-10, err_msg=name)


@each_alphabet
def test_zero_logits_have_a_gradient(alphabet):
    # A fresh start with zero biases: every logit is exactly 0, and q is 1/2 (or 0 for spins).
    model = brute.affine_model(alphabet)
    model = eqx.tree_at(
        lambda m: (m.weights, m.hidden_bias), model, (jnp.zeros((4, 5)), jnp.zeros(4))
    )
    rows = np.random.default_rng(1).normal(size=(2, 3))
    f = brute.features(model, rows)
    gradient = log_likelihood_gradient(model, jnp.asarray(rows[:1]), jnp.asarray(rows[1:]))
    q = {"bernoulli": 0.5, "spin": 0.0}[alphabet]
    expected = np.tile(q * (f[1] - f[0]), (4, 1))
    np.testing.assert_allclose(np.asarray(gradient.weights), expected, rtol=1e-10, atol=1e-12)


def test_log_weights_are_honored():
    model = brute.affine_model("bernoulli", n_visible=2)
    data = jnp.asarray(DATA)
    negatives = jnp.asarray(np.random.default_rng(1).normal(size=(3, 2)))
    # Weights 1 : 3 : 0, up to a constant that must not matter.
    log_weights = jnp.asarray([np.log(1.0), np.log(3.0), -np.inf]) + 50.0
    repeated = negatives[jnp.asarray([0, 1, 1, 1])]
    weighted = log_likelihood_gradient(model, data, negatives, log_weights=log_weights)
    plain = log_likelihood_gradient(model, data, repeated)
    np.testing.assert_allclose(flatten(weighted), flatten(plain), rtol=1e-10, atol=1e-12)
    unweighted = log_likelihood_gradient(model, data, negatives)
    assert np.abs(flatten(weighted) - flatten(unweighted)).max() > 1e-2


@each_alphabet
def test_sampled_hidden_units_are_unbiased(alphabet):
    model = brute.balanced_model(alphabet)
    data = jnp.asarray(DATA)
    negatives = jnp.asarray(np.random.default_rng(1).normal(size=(5, 2)))
    log_weights = jnp.asarray([0.0, -1.0, 0.5, 0.2, -0.4])

    def draw(key):
        return log_likelihood_gradient(
            model, data, negatives, "sampled", key=key, log_weights=log_weights
        )

    draws = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(2), 4000))
    marginal = log_likelihood_gradient(model, data, negatives, log_weights=log_weights)
    for name in ("weights", "hidden_bias"):
        brute.assert_within(getattr(draws, name), np.asarray(getattr(marginal, name)), label=name)
    for name in ("matrix", "offset"):
        expected = np.asarray(getattr(marginal.feature_map, name))
        brute.assert_within(getattr(draws.feature_map, name), expected, label=name)
    # The visible bias does not meet the hidden units: nothing is random there.
    assert np.ptp(np.asarray(draws.visible_bias), axis=0).max() < 1e-12


@each_alphabet
def test_sampling_the_hidden_units_costs_variance(alphabet):
    # Rao-Blackwell: the same fresh negatives, hidden units summed out or drawn.
    model = brute.balanced_model(alphabet)
    data = jnp.asarray(DATA)
    fresh = brute.Mixture(model).sample(np.random.default_rng(3), 1500 * 8).reshape(1500, 8, 2)
    keys = jax.random.split(jax.random.key(3), 1500)

    def both(key, negatives):
        marginal = log_likelihood_gradient(model, data, negatives)
        return marginal, log_likelihood_gradient(model, data, negatives, "sampled", key=key)

    marginal, sampled = jax.jit(jax.vmap(both))(keys, jnp.asarray(fresh))
    for name in ("weights", "hidden_bias"):
        of_marginal = np.var(np.asarray(getattr(marginal, name)), axis=0).sum()
        of_sampled = np.var(np.asarray(getattr(sampled, name)), axis=0).sum()
        # 1500 replicates know a variance to about 4 %; sampling adds far more than that.
        assert of_sampled > 1.3 * of_marginal, name


ROWS = jnp.ones((2, 2))
MISUSES = {
    "no key": (
        lambda m: log_likelihood_gradient(m, ROWS, ROWS, "sampled"),
        ('hidden="sampled" with a random key', "key=None"),
    ),
    "unknown estimator": (
        lambda m: log_likelihood_gradient(m, ROWS, ROWS, "mean"),
        ('hidden="marginal"', "hidden='mean'"),
    ),
    "one row": (
        lambda m: log_likelihood_gradient(m, ROWS[0], ROWS),
        ("data of shape (rows, 2)", "got shape (2,)"),
    ),
    "wide negatives": (
        lambda m: log_likelihood_gradient(m, ROWS, jnp.ones((2, 3))),
        ("negatives of shape (rows, 2)", "got shape (2, 3)"),
    ),
    "no rows": (
        lambda m: log_likelihood_gradient(m, jnp.ones((0, 2)), ROWS),
        ("at least one row", "got shape (0, 2)"),
    ),
}


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_is_worded(name, unannotated):
    call, words = MISUSES[name]
    with pytest.raises(InvalidInputError) as caught:
        call(brute.affine_model("bernoulli", n_visible=2))
    for word in ("log_likelihood_gradient(", *words):
        assert word in str(caught.value)
