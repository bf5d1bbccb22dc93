"""The path beta -> p_beta that puts an inverse temperature on W alone, and its exact base (theory, section 6)."""

import equinox as eqx
import jax
import jax.numpy as jnp

from harmonium.model.harmonium import Harmonium
from harmonium.typing import Positions, RandomKey, Scalar


def temper(model: Harmonium, inverse_temperature: Scalar | float) -> Harmonium:
    """The model p_beta with free energy x·x - b·x - sum_k log_normalizer(c_k - beta w_k·f(x)).

    beta = 1 is the model itself, beta = 0 its base: an exactly known Gaussian.
    """
    scaled = model.weights * jnp.asarray(inverse_temperature, model.weights.dtype)
    return eqx.tree_at(lambda m: m.weights, model, scaled)


def base_log_partition(model: Harmonium) -> Scalar:
    """Log Z of the base (beta = 0): (n/2) log pi + |b|²/4 + sum_k log_normalizer(c_k), in nats."""
    bias = model.visible_bias
    gaussian = 0.5 * model.n_visible * jnp.log(jnp.pi) + bias @ bias / 4
    return gaussian + jnp.sum(model.hidden_units.log_normalizer(model.hidden_bias))


def sample_base(key: RandomKey, model: Harmonium, n_chains: int) -> Positions:
    """Exact draws of the base N(b/2, I/2), shape (chains, visible)."""
    noise = jax.random.normal(key, (n_chains, model.n_visible), model.visible_bias.dtype)
    return model.visible_bias[None, :] / 2 + noise * jnp.sqrt(0.5).astype(noise.dtype)
