"""Kind of truth: structure. Every product that enters F or its derivatives is in full precision on
any device."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import harmonium as hm
from harmonium.model import feature_maps, temper
from harmonium.sampling import HMC, MALA

FULL = (jax.lax.Precision.HIGHEST, jax.lax.Precision.HIGHEST)


class OwnMap(eqx.Module):
    """A feature map as a user writes it, with a plain product."""

    matrix: jax.Array

    def __call__(self, x):
        return jnp.tanh(self.matrix @ x)


def products(jaxpr):
    """All matrix products of a jaxpr and of what is inside it."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")
        ):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from products(inner)


def model(feature_map):
    key = jax.random.key(0)
    made = hm.Harmonium(3, 4, feature_map=feature_map, key=key)
    return eqx.tree_at(lambda m: m.weights, made, jax.random.normal(key, made.weights.shape))


MODELS = {
    "own": model(OwnMap(jnp.ones((5, 3)))),
    "mlp": model(feature_maps.MLP(3, (5, 5), key=jax.random.key(1))),
    "identity": model(None),
}


def mean_free_energy(model, rows):
    return jnp.mean(jax.vmap(model.free_energy)(rows))


def one_step(kernel):
    def move(model, rows):
        key = jax.random.key(0)
        state = kernel.init(key, model, rows[0])
        return kernel.step(key, model, state)[0].position

    return move


FUNCTIONS = {
    "free energy": mean_free_energy,
    "score": lambda model, rows: jax.vmap(model.score)(rows),
    "gradient": lambda model, rows: eqx.filter_grad(mean_free_energy)(model, rows).weights,
    "tempered": lambda model, rows: mean_free_energy(temper(model, 0.5), rows),
    "energy": lambda model, rows: model.energy(rows[0], jnp.ones(4)),
    "MALA": one_step(MALA()),
    "HMC": one_step(HMC()),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("kind", MODELS)
def test_products_are_in_full_precision(kind, name):
    arrays, static = eqx.partition(MODELS[kind], eqx.is_array)
    traced = jax.make_jaxpr(lambda a, rows: FUNCTIONS[name](eqx.combine(a, static), rows))
    found = list(products(traced(arrays, jnp.ones((2, 3))).jaxpr))
    assert found
    assert all(equation.params["precision"] == FULL for equation in found)


def test_products_of_the_caller_are_left_alone():
    def both(x):
        return jnp.ones((2, 3)) @ x + MODELS["identity"].free_energy(x)

    traced = jax.make_jaxpr(both)(jnp.ones(3)).jaxpr
    assert next(equation.params["precision"] for equation in products(traced)) is None
