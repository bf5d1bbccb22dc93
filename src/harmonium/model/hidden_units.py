"""The two binary alphabets of a hidden unit, each summed out in closed form (theory, sections 2 and
4).
"""

from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from harmonium.model.softplus import softplus
from harmonium.typing import Hidden, RandomKey


class AbstractHiddenUnits(eqx.Module):
    """A binary alphabet. With logit a, one unit has p(h|x) proportional to exp(h a).

    Subclasses give the two values and the log-normalizer, the mean and a sampler; every
    method is elementwise over an array of logits.
    """

    values: eqx.AbstractClassVar[tuple[float, float]]

    @abstractmethod
    def log_normalizer(self, logits: Hidden) -> Hidden:
        """Log of the sum of exp(h a) over the two values of h, in nats."""

    @abstractmethod
    def mean(self, logits: Hidden) -> Hidden:
        """E[h|x], the derivative of the log-normalizer."""

    @abstractmethod
    def sample(self, key: RandomKey, logits: Hidden) -> Hidden:
        """One draw of each unit, as floating-point values of the alphabet."""


class Bernoulli(AbstractHiddenUnits):
    """Hidden units in {0, 1}: log-normalizer softplus(a), mean sigmoid(a)."""

    values: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def log_normalizer(self, logits: Hidden) -> Hidden:
        """softplus(a) = log(1 + exp(a))."""
        return softplus(logits)

    def mean(self, logits: Hidden) -> Hidden:
        """sigmoid(a) = p(h = 1 | x)."""
        return jax.nn.sigmoid(logits)

    def sample(self, key: RandomKey, logits: Hidden) -> Hidden:
        """0 or 1, with p(1) = sigmoid(a)."""
        return jax.random.bernoulli(key, self.mean(logits)).astype(logits.dtype)


class Spin(AbstractHiddenUnits):
    """Hidden units in {-1, +1}: log-normalizer log(2 cosh a), mean tanh(a)."""

    values: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def log_normalizer(self, logits: Hidden) -> Hidden:
        """log(2 cosh a) = softplus(2 a) - a."""
        return softplus(2 * logits) - logits

    def mean(self, logits: Hidden) -> Hidden:
        """tanh(a)."""
        return jnp.tanh(logits)

    def sample(self, key: RandomKey, logits: Hidden) -> Hidden:
        """-1 or +1, with p(+1) = sigmoid(2 a)."""
        up = jax.random.bernoulli(key, jax.nn.sigmoid(2 * logits))
        return jnp.where(up, 1.0, -1.0).astype(logits.dtype)
