"""Denoising score matching: learning the density of noised rows without any chains."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from harmonium.errors import InvalidInputError, describe
from harmonium.learning.gradient import value_and_gradient
from harmonium.learning.negatives import Chains, training_kernel, unknown_log_partition
from harmonium.learning.objectives import AbstractObjective, Ascent
from harmonium.model import Harmonium
from harmonium.typing import Batch, RandomKey, Scalar, Visible

N_LEVELS = 8


class DenoisingScoreMatching(AbstractObjective):
    """Denoising score matching with Gaussian noise of one scale or a mixture of scales.

    The score of the model at a noised row is drawn to that of the noise kernel given the row
    (Vincent 2011, "A connection between score matching and denoising autoencoders", eq. 12). What
    is learned is the density of the data convolved with the kernel. `levels` (levels,) are standard
    deviations in model units, where a column has variance 1/2; with several of them the kernel is
    their equal mixture. The small ones would then drown the others, so a noised row weighs 1 /
    (|score|²/n + 1/largest²), a constant to the gradient: a weight that depends on the noised row
    alone leaves the minimizer where it is, which a weight by level would not. `per_column`
    (visible,) multiplies the noise of each column, for a noise rule of your own.
    """

    draws_from_base: ClassVar[bool] = False
    levels: Float[Array, "levels"]
    per_column: Float[Array, "visible"] | None = None

    @staticmethod
    def between(lowest: float, highest: float | None = None) -> "DenoisingScoreMatching":
        """One scale, or eight from `lowest` to `highest` at equal ratios, in model units."""
        highest = lowest if highest is None else highest
        if not 0 < lowest <= highest < float("inf"):
            raise InvalidInputError(
                describe(
                    "DenoisingScoreMatching.between(lowest, highest)",
                    expected="0 < lowest <= highest",
                    got=f"{lowest} and {highest}",
                )
            )
        n_levels = 1 if lowest == highest else N_LEVELS
        return DenoisingScoreMatching(jnp.geomspace(lowest, highest, n_levels))

    def loss(self, key: RandomKey, model: Harmonium, batch: Batch) -> Scalar:
        """Mean over rows of weight · |score(x + noise) - score of the kernel|², with fresh noise.

        The weight is sd² with one level. Its own dependence on the model is no part of the
        gradient.
        """
        keys = jax.random.split(key, batch.shape[0])
        return jnp.mean(jax.vmap(lambda key, x: self._row_loss(key, model, x))(keys, batch))

    def _row_loss(self, key: RandomKey, model: Harmonium, x: Visible) -> Scalar:
        key_level, key_noise = jax.random.split(key)
        sd = self.levels[jax.random.randint(key_level, (), 0, self.levels.shape[0])]
        factor = jnp.ones_like(x) if self.per_column is None else self.per_column
        noise = sd * jax.random.normal(key_noise, x.shape, x.dtype)
        score = factor * model.score(x + factor * noise)
        residual = score + self._precision(noise) * noise
        return self._weight(jax.lax.stop_gradient(score)) * (residual @ residual)

    def _weight(self, score: Visible) -> Scalar:
        """About sd² where the score has the length that noise of this sd gives it."""
        if self.levels.shape[0] == 1:
            return self.levels[0] ** 2
        return 1 / (score @ score / score.shape[0] + 1 / jnp.max(self.levels) ** 2)

    def _precision(self, noise: Visible) -> Scalar:
        """E[1/sd²] over the levels that may have made this noise: the kernel's score is minus it
        times noise.
        """
        logits = -(noise @ noise) / (2 * self.levels**2) - noise.shape[0] * jnp.log(self.levels)
        return jnp.sum(jax.nn.softmax(logits) / self.levels**2)

    def init(self, key: RandomKey, model: Harmonium, data: Batch) -> Any:
        """Nothing is carried."""
        return None

    def ascend(self, key: RandomKey, model: Harmonium, batch: Batch, carry: Any) -> Ascent:
        """Minus the gradient of the loss."""
        loss, gradient = value_and_gradient(lambda m: self.loss(key, m, batch), model)
        ascent = jax.tree.map(jnp.negative, gradient)
        return Ascent(ascent, None, carry, {"loss": loss})

    def log_partition(self, model: Harmonium, carry: Any) -> tuple[Scalar, Scalar]:
        """Unknown: scores do not depend on Z."""
        return unknown_log_partition(model)

    def chains(self, model: Harmonium, carry: Any) -> Chains:
        """None are kept; the kernel is the one that likelihood training would use."""
        return Chains(training_kernel(model), None)
