"""Kind of truth: closed form. The weights that a fit begins with leave the model beside its
base."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute

from harmonium.inference.settings import DensitySettings
from harmonium.model import GaussianBase, MixtureBase

BASES = {"Gaussian": GaussianBase(4), "mixture": MixtureBase(brute.random_mixture(4))}


def untrained(n_hidden, base):
    return DensitySettings(n_hidden=n_hidden, width=5).build_model(jax.random.key(0), BASES[base])


@pytest.mark.parametrize("n_hidden", [6, 7])
def test_partners_have_opposite_signs(n_hidden):
    model = untrained(n_hidden, "Gaussian")
    first, second = model.weights[0:6:2], model.weights[1:6:2]
    np.testing.assert_array_equal(first, -second)
    assert np.linalg.matrix_rank(np.asarray(model.weights)) == min(-(-n_hidden // 2), 5)


@pytest.mark.parametrize("base", BASES)
def test_free_energy_is_that_of_the_base_to_first_order(base):
    """With hidden biases 0, d F / d beta = 0 at beta = 0 along W -> beta W."""
    model = untrained(6, base)
    model = eqx.tree_at(lambda m: m.hidden_bias, model, jnp.zeros(6))
    x = jax.random.normal(jax.random.key(1), (4,))

    def free_energy(beta):
        return eqx.tree_at(lambda m: m.weights, model, beta * model.weights).free_energy(x)

    _, slope = jax.jvp(free_energy, (jnp.zeros(()),), (jnp.ones(()),))
    assert abs(slope) < 1e-12
    assert abs(free_energy(jnp.ones(())) - free_energy(jnp.zeros(()))) > 1e-6
