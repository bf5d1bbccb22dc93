"""Kind of truth: contract. Every objective through the same battery; a new objective is one row.

Ascent is checked by finite differences where an objective has a value that its metrics show.
Seeds: rows 0, keys 0 to 3.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts.registry import final_subclasses
from exact import brute

from harmonium.learning import (
    AbstractObjective,
    DenoisingScoreMatching,
    ExactSamples,
    MaximumLikelihood,
    MinimizedLoss,
    NoiseContrastive,
)
from harmonium.model import split_trainable


def squared(key, model, batch):
    """A loss of a user's own."""
    return jnp.mean(jnp.square(jax.vmap(model.free_energy)(batch) - 1))


OBJECTIVES = {
    "MaximumLikelihood": MaximumLikelihood(ExactSamples(n_chains=16)),
    "NoiseContrastive": NoiseContrastive(pool_size=128, held_size=64),
    "DenoisingScoreMatching": DenoisingScoreMatching.between(0.3),
    "MinimizedLoss": MinimizedLoss(squared),
}
# The metric that goes down along the ascent, with the key of the same update.
DESCENDING = {
    "NoiseContrastive": "loss",
    "DenoisingScoreMatching": "loss",
    "MinimizedLoss": "loss",
}
each_objective = pytest.mark.parametrize("name", OBJECTIVES)
MODEL = brute.affine_model("bernoulli", n_visible=2)
ROWS = jnp.asarray(np.random.default_rng(0).normal(size=(16, 2)))
SMALL = 1e-6


@eqx.filter_jit
def ascend(objective, model, carry):
    return objective.ascend(jax.random.key(1), model, ROWS, carry)


def carry_of(name):
    return OBJECTIVES[name].init(jax.random.key(0), MODEL, ROWS)


def test_every_objective_has_a_row():
    assert final_subclasses(AbstractObjective, "learning") == set(OBJECTIVES)


@each_objective
def test_an_ascent_has_the_structure_of_what_is_trained(name):
    carry = carry_of(name)
    ascent = ascend(OBJECTIVES[name], MODEL, carry)
    parameters, _ = split_trainable(MODEL)
    assert jax.tree.structure(ascent.gradient) == jax.tree.structure(parameters)
    for leaf, like in zip(
        jax.tree.leaves(ascent.gradient), jax.tree.leaves(parameters), strict=True
    ):
        assert (leaf.shape, leaf.dtype) == (like.shape, like.dtype)
        assert np.all(np.isfinite(np.asarray(leaf)))
    # Updates are scanned: the carry keeps its structure, and metrics are scalars.
    before, after = (eqx.filter(tree, eqx.is_array) for tree in (carry, ascent.carry))
    assert jax.tree.structure(before) == jax.tree.structure(after)
    assert all(value.shape == () for value in ascent.metrics.values())


@pytest.mark.parametrize("name", DESCENDING)
def test_the_loss_falls_along_the_ascent_at_its_own_rate(name):
    """d loss / d step = -|gradient|², by central differences; the key holds the noise still.

    NoiseContrastive's log Z is held, too: it takes a step of its own.
    """
    objective, carry = OBJECTIVES[name], carry_of(name)
    gradient = ascend(objective, MODEL, carry).gradient
    squares = sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(gradient))

    def loss_after(step):
        moved = eqx.apply_updates(MODEL, jax.tree.map(lambda leaf: step * leaf, gradient))
        return float(ascend(objective, moved, carry).metrics[DESCENDING[name]])

    slope = (loss_after(SMALL) - loss_after(-SMALL)) / (2 * SMALL)
    if name == "DenoisingScoreMatching":
        # One level: its weight is a constant.
        assert objective.levels.shape == (1,)
    assert slope == pytest.approx(-squares, rel=1e-4)


@each_objective
def test_log_partition_and_chains_are_what_the_loop_reads(name):
    objective, carry = OBJECTIVES[name], carry_of(name)
    value, ess = objective.log_partition(MODEL, carry)
    assert value.shape == ess.shape == ()
    assert float(ess) >= 0 and (np.isfinite(float(value)) or float(ess) == 0)
    chains = objective.chains(MODEL, carry)
    assert chains.kernel.is_exact
    assert isinstance(type(objective).draws_from_base, bool)


@each_objective
def test_the_same_key_gives_the_same_ascent(name):
    carry = carry_of(name)
    first, again = (ascend(OBJECTIVES[name], MODEL, carry).gradient for _ in range(2))
    assert eqx.tree_equal(first, again)


@each_objective
def test_pytree_round_trip(name):
    leaves, structure = jax.tree.flatten(OBJECTIVES[name])
    again = jax.tree.unflatten(structure, leaves)
    assert type(again) is type(OBJECTIVES[name]) and name in repr(again)
