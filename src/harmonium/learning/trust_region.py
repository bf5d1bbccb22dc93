"""The trust region of an update: how far the model may outrun its chains (theory, section 8)."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from harmonium.learning.negatives import Negatives
from harmonium.model import Harmonium, split_trainable
from harmonium.typing import PerChain, Scalar


class Limited(NamedTuple):
    """An update scaled into the trust region, the factor, and the spread it would have had."""

    update: Harmonium
    factor: Scalar
    spread: Scalar


def limit_update(
    model: Harmonium, update: Harmonium, negatives: Negatives, radius: Scalar | float
) -> Limited:
    """Scale `update` so that the weighted standard deviation of F' - F over the chains is at most
    `radius`.

    KL(p || p') is about half the variance of F' - F under p. The change of F is taken to first
    order, by one forward-mode derivative along the update.
    """
    weight = jax.nn.softmax(negatives.log_weights)
    parameters, static = split_trainable(model)

    def free_energies(parameters: Harmonium) -> PerChain:
        return jax.vmap(eqx.combine(parameters, static).free_energy)(negatives.positions)

    _, change = jax.jvp(free_energies, (parameters,), (update,))
    spread = jnp.sqrt(weight @ jnp.square(change - weight @ change))
    factor = jnp.minimum(1.0, radius / jnp.maximum(spread, 1e-12))
    return Limited(jax.tree.map(lambda leaf: factor * leaf, update), factor, spread)
