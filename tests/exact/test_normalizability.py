"""Kind of truth: exact (asymptotics). F(t v) / t² -> |v|² along every ray, so Z is finite.

Theory, section 6.

Parameters are far larger than any trained ones. Seeds: 0 to 2.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute

import harmonium.model as hm
from harmonium.model import feature_maps

KEY = jax.random.key(11)
MAPS = {
    "Identity": feature_maps.Identity(3),
    "Affine": feature_maps.Affine(jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)))),
    **{
        f"MLP {activation}": feature_maps.MLP(3, (6, 5), activation=activation, key=KEY)
        for activation in feature_maps.ACTIVATIONS
    },
    "ResidualMLP": feature_maps.ResidualMLP(3, 5, 2, key=KEY),
    "FourierFeatures": feature_maps.FourierFeatures(3, 4, key=KEY),
    "FourierFeatures with head": feature_maps.FourierFeatures(
        3, 4, head=feature_maps.MLP(8, (5,), key=KEY), key=KEY
    ),
}


def enlarged(feature_map, rng):
    """Every parameter of the map replaced by a normal number of standard deviation 3."""
    return jax.tree.map(
        lambda leaf: (
            jnp.asarray(3 * rng.normal(size=leaf.shape)) if eqx.is_inexact_array(leaf) else leaf
        ),
        feature_map,
    )


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("alphabet", brute.ALPHABETS)
@pytest.mark.parametrize("name", MAPS)
def test_free_energy_grows_quadratically_along_every_ray(name, alphabet, seed):
    rng = np.random.default_rng(seed)
    model = hm.Harmonium(
        3,
        4,
        feature_map=enlarged(MAPS[name], rng),
        hidden_units=brute.ALPHABETS[alphabet],
        key=KEY,
    )
    model = brute.with_parameters(model, rng, scale=20.0)
    rays = rng.normal(size=(8, 3))
    squares = np.sum(rays**2, axis=1)

    def excess(t):
        free_energy = np.asarray(jax.vmap(model.free_energy)(jnp.asarray(t * rays)))
        return np.abs(free_energy / t**2 - squares)

    near, far = excess(1e6), excess(1e8)
    # What is left over is of order |W| |f| / t: it shrinks in proportion to 1/t.
    assert np.all(far < 1e-3 * squares)
    assert np.all(far < near / 50 + 1e-9)
