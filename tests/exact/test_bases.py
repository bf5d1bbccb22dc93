"""Kind of truth: exact. Models on a mixture base: the identity with one more hidden unit, and what
is (not) trained.

Theory, section 6. Seeds: models 0 and 1, mixtures 0, rows 2.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute
from scipy.special import logsumexp

import harmonium.model as hm
from harmonium.learning import fit, log_likelihood_gradient
from harmonium.learning.negatives import Negatives
from harmonium.learning.rows import CompleteRows
from harmonium.learning.selection import _without_interaction
from harmonium.learning.trust_region import limit_update
from harmonium.model import split_trainable
from harmonium.sampling.tuning import centered_path

DATA = np.random.default_rng(2).normal(size=(7, 2)) + np.array([0.4, -0.6])
each_alphabet = pytest.mark.parametrize("alphabet", brute.ALPHABETS)
FAMILIES = {"affine": brute.affine_model, "deep": brute.deep_model}
each_family = pytest.mark.parametrize("build", FAMILIES.values(), ids=FAMILIES.keys())


class WithRatio(eqx.Module):
    """The features of a map, and r(x) = log q(x) + x·x + (n/2) log π as one more."""

    feature_map: object
    mixture: hm.Mixture

    def __call__(self, x):
        """(f(x), r(x))."""
        ratio = self.mixture.log_density(x) + x @ x + x.shape[0] / 2 * jnp.log(jnp.pi)
        return jnp.append(self.feature_map(x), ratio)


class OwnUnits(hm.AbstractHiddenUnits):
    """Spins of which the last unit is a Bernoulli unit all the same."""

    values = (-1.0, 1.0)

    def log_normalizer(self, logits):
        """Unit by unit."""
        return jnp.append(
            hm.Spin().log_normalizer(logits[:-1]), hm.Bernoulli().log_normalizer(logits[-1:])
        )

    def mean(self, logits):
        """Unit by unit."""
        return jnp.append(hm.Spin().mean(logits[:-1]), hm.Bernoulli().mean(logits[-1:]))

    def sample(self, key, logits):
        """Not needed here."""
        raise NotImplementedError


LOGIT = 1.2


def one_more_unit(model, mixture):
    """A model on the Gaussian base with one more hidden unit that switches to the mixture."""
    n_hidden, n_features = model.weights.shape
    weights = np.zeros((n_hidden + 1, n_features + 1))
    weights[:-1, :-1] = model.weights
    weights[-1, -1] = -1.0
    is_spin = isinstance(model.hidden_units, hm.Spin)
    larger = hm.Harmonium(
        model.n_visible,
        n_hidden + 1,
        feature_map=WithRatio(model.feature_map, mixture),
        hidden_units=OwnUnits() if is_spin else hm.Bernoulli(),
        key=jax.random.key(0),
    )
    leaves = (jnp.asarray(weights), model.visible_bias, jnp.append(model.hidden_bias, LOGIT))
    return eqx.tree_at(lambda m: (m.weights, m.visible_bias, m.hidden_bias), larger, leaves)


def with_gaussian_share(mixture):
    """The mixture (1 - ε) q + ε N(0, I/2), ε = 1/(1 + exp(c))."""
    weights, means, covariances = brute.mixture_parts(mixture)
    share = 1 / (1 + np.exp(LOGIT))
    n = mixture.n_visible
    return hm.Mixture.from_moments(
        np.append((1 - share) * weights, share),
        np.concatenate([means, np.zeros((1, n))]),
        np.concatenate([covariances, np.eye(n)[None] / 2]),
    )


@pytest.mark.parametrize("has_weights", [False, True])
@each_alphabet
@each_family
def test_a_mixture_base_is_one_more_hidden_unit(build, alphabet, has_weights):
    model = build(alphabet, n_visible=2)
    if not has_weights:
        model = eqx.tree_at(lambda m: m.weights, model, jnp.zeros_like(model.weights))
    mixture = brute.random_mixture(2)
    larger = one_more_unit(model, mixture)
    based = brute.on_mixture(model, with_gaussian_share(mixture))
    nodes, log_cell = brute.grid(2, half_width=9.0, n_points=241)
    rows = jnp.asarray(nodes)
    energies = [np.asarray(jax.vmap(m.free_energy)(rows)) for m in (larger, based)]
    # exp(-x·x)(1 + exp(c + r(x))) = pi^(n/2) (1 + exp(c)) times the mixture.
    constant = np.log(np.pi) + np.log1p(np.exp(LOGIT))
    near = energies[1] < energies[1].min() + 30
    np.testing.assert_allclose((energies[1] - energies[0])[near], constant, atol=1e-10)
    log_partitions = [logsumexp(-energy) + log_cell for energy in energies]
    assert log_partitions[0] - log_partitions[1] == pytest.approx(constant, abs=1e-10)
    if build is brute.affine_model:
        exact = hm.exact_log_partition(based) + constant
        assert log_partitions[0] == pytest.approx(exact, abs=1e-10)
    if not has_weights:
        # In closed form, tilted by b too.
        exact = float(hm.base_log_partition(based)) + constant
        assert log_partitions[0] == pytest.approx(exact, abs=1e-10)
    check_posterior(larger, mixture)


def check_posterior(larger, mixture):
    """p(h_0 = 1|x) is the posterior probability that a row comes from q and not from N(0, I/2)."""
    wide = hm.Mixture.from_moments(np.ones(1), np.zeros((1, 2)), np.eye(2)[None] / 2)
    log_odds = brute.mixture_log_density(mixture, DATA) - brute.mixture_log_density(wide, DATA)
    found = np.asarray(jax.vmap(larger.hidden_mean)(jnp.asarray(DATA)))[:, -1]
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-LOGIT - log_odds)), atol=1e-10)


@each_alphabet
def test_a_mixture_of_the_gaussian_base_alone_is_the_gaussian_base(alphabet):
    # Normalized, so log Z differs by (n/2) log pi.
    model = brute.affine_model(alphabet)
    gaussian = hm.Mixture.from_moments(np.ones(1), np.zeros((1, 3)), np.eye(3)[None] / 2)
    based = brute.on_mixture(model, gaussian)
    constant = 1.5 * np.log(np.pi)
    assert hm.exact_log_partition(based) == pytest.approx(
        hm.exact_log_partition(model) - constant, abs=1e-10
    )
    rows = jnp.asarray(np.random.default_rng(2).normal(size=(5, 3)))
    difference = jax.vmap(based.free_energy)(rows) - jax.vmap(model.free_energy)(rows)
    np.testing.assert_allclose(np.asarray(difference), constant, atol=1e-10)
    hidden = brute.states(model)[3]
    one, other = (m.conditional_visible(jnp.asarray(hidden)) for m in (model, based))
    np.testing.assert_allclose(np.asarray(one.mean), np.asarray(other.mean), atol=1e-12)
    np.testing.assert_allclose(np.asarray(one.variance), np.asarray(other.variance), atol=1e-12)


# What is trained


@each_family
def test_the_base_is_no_part_of_the_parameters(build):
    model = brute.on_mixture(build("bernoulli", n_visible=2))
    parameters, static = split_trainable(model)
    assert not jax.tree.leaves(parameters.base)
    names = {path[0].name for path, _ in jax.tree_util.tree_leaves_with_path(parameters)}
    assert names == {"weights", "visible_bias", "hidden_bias", "feature_map"}
    arrays = [leaf for leaf in jax.tree.leaves(static) if eqx.is_array(leaf)]
    assert len(arrays) == len(jax.tree.leaves(model.base)) == 4
    assert eqx.tree_equal(eqx.combine(parameters, static), model)


@pytest.mark.parametrize("hidden", ["marginal", "sampled"])
def test_gradients_have_no_leaf_for_the_base(hidden):
    model = brute.on_mixture(brute.deep_model("bernoulli"))
    key = jax.random.key(0)
    rows = jnp.asarray(DATA)
    gradient = log_likelihood_gradient(model, rows, rows[::-1] + 0.1, hidden, key=key)
    parameters, _ = split_trainable(model)
    assert jax.tree.structure(gradient) == jax.tree.structure(parameters)
    zeros = jnp.zeros(len(DATA))
    limited = limit_update(model, gradient, Negatives(rows, zeros), 0.1)
    assert jax.tree.structure(limited.update) == jax.tree.structure(parameters)


@each_alphabet
def test_the_gradient_is_the_slope_of_the_likelihood(alphabet):
    model = brute.on_mixture(brute.affine_model(alphabet, n_visible=2, n_hidden=3))
    nodes, _ = brute.grid(2, half_width=9.0, n_points=181)
    log_weights = jnp.asarray(-brute.free_energies(model, nodes))
    gradient = log_likelihood_gradient(
        model, jnp.asarray(DATA), jnp.asarray(nodes), log_weights=log_weights
    )
    parameters, static = split_trainable(model)
    flat, unravel = jax.flatten_util.ravel_pytree(parameters)

    def log_likelihood(vector):
        moved = eqx.combine(unravel(jnp.asarray(vector)), static)
        return -np.mean(brute.free_energies(moved, DATA)) - brute.Mixture(moved).log_partition

    step, flat = 1e-5, np.asarray(flat)
    slopes = [
        (log_likelihood(flat + step * unit) - log_likelihood(flat - step * unit)) / (2 * step)
        for unit in np.eye(len(flat))
    ]
    actual = np.asarray(jax.flatten_util.ravel_pytree(gradient)[0])
    np.testing.assert_allclose(actual, slopes, atol=1e-6)


def test_a_fit_leaves_the_base_alone(usual_promotion):
    """Rows of the mixture itself: nothing is to be learned, and the base without a tilt is a
    candidate."""
    mixture = brute.random_mixture(2)
    model = hm.Harmonium(2, 3, base=hm.MixtureBase(mixture), key=jax.random.key(0))
    rows = mixture.sample(jax.random.key(1), 400)
    result = fit(model, rows, key=jax.random.key(2), n_updates=40)
    assert eqx.tree_equal(result.model.base, model.base)
    exact = brute.Mixture(result.model).log_partition
    assert result.log_partition.value == pytest.approx(exact, abs=1e-6)
    log_likelihood = -np.mean(brute.free_energies(result.model, np.asarray(rows))) - exact
    assert log_likelihood > np.mean(brute.mixture_log_density(mixture, np.asarray(rows))) - 0.05


def test_the_candidate_without_interaction_is_the_base_itself():
    rows = jnp.asarray(DATA)
    model = brute.deep_model("bernoulli")
    for candidate, bias in ((model, 2 * DATA.mean(axis=0)), (brute.on_mixture(model), np.zeros(2))):
        parameters, _ = split_trainable(candidate)
        found = _without_interaction(parameters, CompleteRows(rows))
        assert not np.any(np.asarray(found.weights))
        np.testing.assert_allclose(np.asarray(found.visible_bias), bias)


def test_a_path_from_a_mixture_has_no_center():
    model = brute.deep_model("bernoulli")
    assert centered_path(model, jnp.asarray(DATA)).center is not None
    path = centered_path(brute.on_mixture(model), jnp.asarray(DATA))
    assert path.center is None
    assert not np.any(np.asarray(path.base.weights))
    np.testing.assert_array_equal(np.asarray(path.base.visible_bias), model.visible_bias)
