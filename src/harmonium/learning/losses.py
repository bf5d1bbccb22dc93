"""Any loss of a batch as an objective."""

from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp

from harmonium.learning.gradient import value_and_gradient
from harmonium.learning.negatives import Chains, training_kernel, unknown_log_partition
from harmonium.learning.objectives import AbstractObjective, Ascent
from harmonium.model import Harmonium
from harmonium.typing import Batch, RandomKey, Scalar


class MinimizedLoss(AbstractObjective):
    """What minimizes a loss of a model and a batch, for objectives without chains and without Z.

    `loss(key, model, batch)` is the mean over the rows of a batch (batch, visible) in model units
    of what is to be small. It is a function, or a callable `equinox.Module` whose arrays are
    constants of the training.
    """

    draws_from_base: ClassVar[bool] = False
    loss: Callable[[RandomKey, Harmonium, Batch], Scalar]

    def init(self, key: RandomKey, model: Harmonium, data: Batch) -> None:
        """Nothing is carried."""

    def ascend(self, key: RandomKey, model: Harmonium, batch: Batch, carry: None) -> Ascent:
        """Minus the gradient of the loss."""
        loss, gradient = value_and_gradient(lambda m: self.loss(key, m, batch), model)
        return Ascent(jax.tree.map(jnp.negative, gradient), None, None, {"loss": loss})

    def log_partition(self, model: Harmonium, carry: None) -> tuple[Scalar, Scalar]:
        """Unknown."""
        return unknown_log_partition(model)

    def chains(self, model: Harmonium, carry: None) -> Chains:
        """None are kept; the kernel is the one that likelihood training would use."""
        return Chains(training_kernel(model), None)
