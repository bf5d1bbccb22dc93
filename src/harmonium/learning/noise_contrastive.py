"""Noise-contrastive estimation: telling rows from Gaussian noise, with log Z as a parameter."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from harmonium.learning.gradient import value_and_gradient
from harmonium.learning.negatives import Chains, training_kernel
from harmonium.learning.objectives import AbstractObjective, Ascent
from harmonium.model import Harmonium, base_log_partition
from harmonium.typing import Batch, PerRow, RandomKey, Scalar

# Share of a Newton step that log Z takes at an update: it averages over some 20 batches.
LOG_PARTITION_RATE = 0.05


class NoiseContrastive(AbstractObjective):
    """Noise-contrastive estimation against N(0, spread² I/2) (Gutmann & Hyvärinen 2010, eq. 3).

    The model is normalized by a learned log Z, which is carried from update to update. The noise is
    the base of the model, widened by `spread`: it must cover the rows, and it is a poor contrast
    where columns are many.
    """

    spread: float = eqx.field(static=True, default=1.5)

    def init(self, key: RandomKey, model: Harmonium, data: Batch) -> Scalar:
        """Log Z of the model with W = 0, exact for an untrained model."""
        return base_log_partition(model)

    def ascend(self, key: RandomKey, model: Harmonium, batch: Batch, carry: Any) -> Ascent:
        """Gradient of the log-probability of telling rows from noise; log Z takes a Newton step."""
        sd = self.spread / jnp.sqrt(2.0)
        noise = sd * jax.random.normal(key, batch.shape, batch.dtype)

        def objective(model: Harmonium, log_z: Scalar) -> Scalar:
            data_logit = self._logits(model, batch, log_z)
            noise_logit = self._logits(model, noise, log_z)
            terms = jax.nn.log_sigmoid(data_logit) + jax.nn.log_sigmoid(-noise_logit)
            return jnp.mean(terms)

        value, gradient = value_and_gradient(lambda model: objective(model, carry), model)
        slope = jax.grad(objective, 1)(model, carry)
        both = jnp.concatenate([self._logits(model, rows, carry) for rows in (batch, noise)])
        curvature = 2 * jnp.mean(jax.nn.sigmoid(both) * jax.nn.sigmoid(-both))
        step = jnp.clip(slope / jnp.maximum(curvature, 1e-3), -1.0, 1.0)
        log_z = carry + LOG_PARTITION_RATE * step
        metrics = {"loss": -value, "log_partition": log_z}
        return Ascent(gradient, None, log_z, metrics)

    def _logits(self, model: Harmonium, rows: Batch, log_z: Scalar) -> PerRow:
        """log p(x) - log q(x)."""
        variance = self.spread**2 / 2
        constant = rows.shape[1] / 2 * jnp.log(2 * jnp.pi * variance)
        log_noise = -jnp.sum(rows * rows, axis=1) / (2 * variance) - constant
        return -jax.vmap(model.free_energy)(rows) - log_z - log_noise

    def log_partition(self, model: Harmonium, carry: Any) -> tuple[Scalar, Scalar]:
        """The learned log Z; it has no effective sample size."""
        return carry, jnp.zeros((), model.weights.dtype)

    def chains(self, model: Harmonium, carry: Any) -> Chains:
        """None are kept; the kernel is the one that likelihood training would use."""
        return Chains(training_kernel(model), None)
