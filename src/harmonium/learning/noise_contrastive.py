"""Noise-contrastive estimation: telling rows from draws of the base, with log Z as a parameter."""

from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from harmonium.learning.gradient import value_and_gradient
from harmonium.learning.negatives import Chains, training_kernel
from harmonium.learning.objectives import AbstractObjective, Ascent
from harmonium.model import Harmonium, Path, base_log_partition
from harmonium.model.precision import full_precision
from harmonium.sampling.importance import draw_weighted
from harmonium.sampling.population import effective_sample_size, log_mean_exp
from harmonium.typing import Batch, PerRow, Positions, RandomKey, Scalar, Visible

# Share of a Newton step that log Z takes at an update: it averages over some 20 batches.
LOG_PARTITION_RATE = 0.05


class NoiseState(NamedTuple):
    """Draws of the base to train on (noise, visible) and to judge by (held, visible), and log(Z /
    Z_base).
    """

    noise: Positions
    held: Positions
    log_ratio: Scalar


class NoiseContrastive(AbstractObjective):
    """Noise-contrastive estimation against the base (Gutmann and Hyvärinen 2010, eq. 3).

    The noise is drawn from the base itself, U tilted by nothing, so that an untrained model is
    already the best answer and training learns what the base lacks. What tells a row from noise is
    R(x) = b·x + sum_k log_normalizer(logit_k(x)) - log Z + log Z_base alone: U cancels.
    `noise_ratio` is the number of draws per row of a batch. Batches take their noise from a pool of
    `pool_size` draws; log Z is judged by importance weights of `held_size` others. The noise
    starves where the model is far from its base: the effective sample size of the weights says so.
    """

    draws_from_base: ClassVar[bool] = True
    noise_ratio: int = eqx.field(static=True, default=2)
    pool_size: int = eqx.field(static=True, default=65_536)
    held_size: int = eqx.field(static=True, default=16_384)

    def init(self, key: RandomKey, model: Harmonium, data: Batch) -> NoiseState:
        """Draw the noise; log Z is that of W = 0, exact for an untrained model."""
        path = Path(
            eqx.tree_at(lambda m: m.visible_bias, model, jnp.zeros_like(model.visible_bias))
        )
        drawn = draw_weighted(key, path, self.pool_size + self.held_size).positions
        noise, held = drawn[: self.pool_size], drawn[self.pool_size :][: self.held_size]
        return NoiseState(noise, held, _log_ratio(model))

    def ascend(self, key: RandomKey, model: Harmonium, batch: Batch, carry: NoiseState) -> Ascent:
        """Gradient of the log-probability of telling rows from noise; log Z takes a Newton step."""
        n_rows = batch.shape[0]
        n_noise = self.noise_ratio * n_rows
        # Neighbors in the pool are independent: one random place will do for all.
        start = jax.random.randint(key, (), 0, carry.noise.shape[0] - n_noise + 1)
        noise = jax.lax.dynamic_slice_in_dim(carry.noise, start, n_noise)
        both = jnp.concatenate([batch, noise])

        def objective(model: Harmonium, log_ratio: Scalar) -> Scalar:
            logits = jax.vmap(lambda x: log_weight(model, x))(both) - log_ratio
            logits = logits - jnp.log(self.noise_ratio).astype(logits.dtype)
            recognized = jax.nn.log_sigmoid(logits[:n_rows])
            return jnp.mean(recognized) + self.noise_ratio * jnp.mean(
                jax.nn.log_sigmoid(-logits[n_rows:])
            )

        value, gradient = value_and_gradient(lambda m: objective(m, carry.log_ratio), model)
        slope, curvature = _derivatives(lambda r: objective(model, r), carry.log_ratio)
        step = jnp.clip(slope / jnp.maximum(-curvature, 1e-3), -1.0, 1.0)
        log_ratio = carry.log_ratio + LOG_PARTITION_RATE * step
        return Ascent(gradient, None, carry._replace(log_ratio=log_ratio), {"loss": -value})

    def log_partition(self, model: Harmonium, carry: NoiseState) -> tuple[Scalar, Scalar]:
        """By importance weights of the held draws, one standard error above the estimate.

        The error grows as the model leaves its base; an estimate that is too low would let a worse
        model look better.
        """
        log_weights = log_weights_of(model, carry.held)
        ess = effective_sample_size(log_weights)
        base, _ = model.base.tilted(jnp.zeros_like(model.visible_bias))
        error = jnp.sqrt(jnp.maximum(1 / ess - 1 / carry.held.shape[0], 0))
        return base + log_mean_exp(log_weights) + error, ess

    def chains(self, model: Harmonium, carry: NoiseState) -> Chains:
        """None are kept; the kernel is the one that likelihood training would use."""
        return Chains(training_kernel(model), None)


@full_precision
def log_weight(model: Harmonium, x: Visible) -> Scalar:
    """U(x) - F(x) = b·x + sum_k log_normalizer(logit_k): what the model adds to its base."""
    log_sum = jnp.sum(model.hidden_units.log_normalizer(model.hidden_logits(x)))
    return model.visible_bias @ x + log_sum


def log_weights_of(model: Harmonium, rows: Positions) -> PerRow:
    """`log_weight` of rows (rows, visible)."""
    return jax.vmap(lambda x: log_weight(model, x))(rows)


@eqx.filter_jit
def _log_ratio(model: Harmonium) -> Scalar:
    """log Z of W = 0 over that of the base that is tilted by nothing."""
    base, _ = model.base.tilted(jnp.zeros_like(model.visible_bias))
    return base_log_partition(model) - base


def _derivatives(function, at: Scalar) -> tuple[Scalar, Scalar]:
    """First and second derivative."""
    return jax.grad(function)(at), jax.grad(jax.grad(function))(at)
