"""Kind of truth: exact, on grid nodes weighted by p(x); finite differences for the change of F.

Theory, section 8: the trust region bounds the standard deviation of F' - F, and with it
KL(p || p') = Var(F' - F) / 2 to leading order. Seeds: updates 0.
"""

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute
from scipy.special import logsumexp

from harmonium.learning import Negatives
from harmonium.learning.trust_region import limit_update

MODELS = {
    "affine": brute.balanced_model("bernoulli"),
    "deep": brute.deep_model("spin"),
}
each_model = pytest.mark.parametrize("name", MODELS)


def random_update(model, size):
    parameters = eqx.filter(model, eqx.is_inexact_array)
    flat, unravel = jax.flatten_util.ravel_pytree(parameters)
    return unravel(jnp.asarray(size * np.random.default_rng(0).normal(size=flat.shape)))


def weighted_nodes(model):
    nodes, _ = brute.grid(2, half_width=6.0, n_points=81)
    free_energies = brute.free_energies(model, nodes)
    weight = np.exp(-free_energies - logsumexp(-free_energies))
    return nodes, free_energies, weight


def spread_per_unit(model, update, nodes, weight, step=1e-6):
    """Weighted standard deviation of dF along the update, by central differences."""
    ahead, behind = (
        brute.free_energies(
            eqx.apply_updates(model, jax.tree.map(lambda leaf, s=sign: s * step * leaf, update)),
            nodes,
        )
        for sign in (1, -1)
    )
    slope = (ahead - behind) / (2 * step)
    return np.sqrt(weight @ (slope - weight @ slope) ** 2)


@each_model
@pytest.mark.parametrize("radius", [0.02, 0.1])
def test_large_updates_end_on_the_radius(name, radius):
    model = MODELS[name]
    nodes, free_energies, weight = weighted_nodes(model)
    update = random_update(model, 0.5)
    negatives = Negatives(jnp.asarray(nodes), jnp.asarray(-free_energies))
    limited = limit_update(model, update, negatives, radius)
    spread = spread_per_unit(model, update, nodes, weight)
    assert float(limited.spread) == pytest.approx(spread, rel=1e-6)
    assert float(limited.factor) == pytest.approx(radius / spread, rel=1e-6)
    assert spread_per_unit(model, limited.update, nodes, weight) == pytest.approx(radius, rel=1e-6)
    # Scaled as a whole: the direction is kept in every leaf.
    for scaled, leaf in zip(jax.tree.leaves(limited.update), jax.tree.leaves(update), strict=True):
        np.testing.assert_allclose(np.asarray(scaled), float(limited.factor) * np.asarray(leaf))


@each_model
def test_small_updates_are_untouched(name):
    model = MODELS[name]
    nodes, free_energies, _ = weighted_nodes(model)
    negatives = Negatives(jnp.asarray(nodes), jnp.asarray(-free_energies))
    update = random_update(model, 1e-4)
    limited = limit_update(model, update, negatives, 0.1)
    assert float(limited.factor) == 1.0 and 0 < float(limited.spread) < 0.1
    for scaled, leaf in zip(jax.tree.leaves(limited.update), jax.tree.leaves(update), strict=True):
        np.testing.assert_array_equal(np.asarray(scaled), np.asarray(leaf))


def test_no_update_stays_no_update():
    model = MODELS["affine"]
    nodes, free_energies, _ = weighted_nodes(model)
    negatives = Negatives(jnp.asarray(nodes), jnp.asarray(-free_energies))
    limited = limit_update(model, random_update(model, 0.0), negatives, 0.1)
    assert float(limited.factor) == 1.0 and float(limited.spread) == 0.0


def test_weights_of_the_chains_count():
    # All weight on two nodes: the spread is half the difference of their slopes.
    model = MODELS["affine"]
    update = random_update(model, 0.5)
    nodes = np.array([[0.5, -1.0], [-1.5, 2.0], [3.0, 3.0]])
    weight = np.array([0.5, 0.5, 0.0])
    negatives = Negatives(jnp.asarray(nodes), jnp.asarray([7.0, 7.0, -np.inf]))
    spread = float(limit_update(model, update, negatives, 0.1).spread)
    assert spread == pytest.approx(spread_per_unit(model, update, nodes, weight), rel=1e-6)
    even = Negatives(jnp.asarray(nodes), jnp.zeros(3))
    assert abs(float(limit_update(model, update, even, 0.1).spread) - spread) > 1e-2


@each_model
def test_the_radius_bounds_the_divergence(name):
    # KL(p || p') is Var(F' - F) / 2 up to third order in the update.
    model = MODELS[name]
    nodes, free_energies, weight = weighted_nodes(model)
    negatives = Negatives(jnp.asarray(nodes), jnp.asarray(-free_energies))
    limited = limit_update(model, random_update(model, 0.5), negatives, 0.02)
    after = brute.free_energies(eqx.apply_updates(model, limited.update), nodes)
    log_before = -free_energies - logsumexp(-free_energies)
    divergence = weight @ (log_before - (-after - logsumexp(-after)))
    assert divergence == pytest.approx(0.02**2 / 2, rel=0.1)
