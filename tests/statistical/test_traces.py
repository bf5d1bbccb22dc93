"""Kind of truth: statistics, against enumeration; and ArviZ's own numbers of the same chains."""

import itertools
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from arviz_stats.base import array_stats

import harmonium as hm
from harmonium.errors import InvalidInputError


@pytest.fixture(scope="module")
def model():
    """A Gaussian-Bernoulli machine with several hidden states that matter."""
    plain = hm.Harmonium(2, 3, key=jax.random.key(0))
    weights = jnp.array([[1.2, -0.4], [-0.9, 1.1], [0.5, 0.8]])
    return eqx.tree_at(
        lambda m: (m.weights, m.visible_bias), plain, (weights, jnp.array([0.4, -0.6]))
    )


@pytest.fixture(scope="module")
def chains(model):
    return hm.draw_chains(model, 6, 500, key=jax.random.key(7), n_burn_in=50)


def enumerated_means(model):
    """E[x] and E[h] by all hidden states: x given h is N((b - Wᵀh)/2, I/2)."""
    states = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
    tilts = np.asarray(model.visible_bias) - states @ np.asarray(model.weights)
    logs = states @ np.asarray(model.hidden_bias) + (tilts**2).sum(axis=1) / 4
    shares = np.exp(logs - np.logaddexp.reduce(logs))
    return shares @ tilts / 2, shares @ states


def test_means_are_those_of_the_model(model, chains):
    visible, hidden = enumerated_means(model)
    spread = chains.positions.std(axis=(0, 1))
    assert np.all(chains.bulk_ess > 400)
    error = spread / np.sqrt(chains.bulk_ess)
    assert np.all(np.abs(chains.positions.mean(axis=(0, 1)) - visible) < 5 * error)
    # The mean of E[h|x] varies less than x; 5 standard errors at the smallest sample size.
    error = chains.hidden_mean.std(axis=(0, 1)) / np.sqrt(chains.bulk_ess.min())
    assert np.all(np.abs(chains.hidden_mean.mean(axis=(0, 1)) - hidden) < 5 * error)
    assert np.all(chains.r_hat < 1.05)


def test_free_energies_are_those_of_the_positions(model, chains):
    expected = jax.vmap(jax.vmap(model.free_energy))(jnp.asarray(chains.positions))
    np.testing.assert_allclose(chains.free_energy, expected, rtol=1e-9)
    assert chains.acceptance.shape == (6, 500)


def test_convergence_is_arviz_s(chains):
    traces = np.moveaxis(chains.positions, 2, 0)
    np.testing.assert_allclose(chains.r_hat, array_stats.rhat(traces, method="rank"))
    np.testing.assert_allclose(chains.bulk_ess, array_stats.ess(traces, method="bulk"))


def test_a_tree_holds_the_chains(chains):
    pytest.importorskip("arviz_base", reason="needs arviz-base")
    tree = hm.to_inference_data(chains)
    found = tree["posterior"]["x"]
    assert found.dims == ("chain", "draw", "visible")
    np.testing.assert_array_equal(found.values, chains.positions)
    np.testing.assert_array_equal(tree["sample_stats"]["lp"].values, -chains.free_energy)
    by_axes = {"chain_axis": 0, "draw_axis": 1}
    np.testing.assert_allclose(
        array_stats.rhat(found.values, **by_axes, method="rank"), chains.r_hat
    )
    np.testing.assert_allclose(
        array_stats.ess(found.values, **by_axes, method="bulk"), chains.bulk_ess
    )


def test_what_is_missing_or_wrong_is_named(model, chains, monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz_base", None)
    with pytest.raises(InvalidInputError, match=r"pip install 'harmonium\[arviz\]'"):
        hm.to_inference_data(chains)
    with pytest.raises(InvalidInputError, match="n_chains=1"):
        hm.draw_chains(model, 1, key=jax.random.key(0))


def test_chains_have_a_card(chains):
    assert "6 chains of 500 draws of 2 units" in chains._repr_html_()
