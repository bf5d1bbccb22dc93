"""What mixtures of Gaussians share, whatever form their covariances have."""

import math
from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from harmonium.model.precision import full_precision
from harmonium.typing import Positions, RandomKey, Scalar, Visible

LOG_2PI = math.log(2 * math.pi)
# Draws at a time: each takes a copy of the factor of its component.
CHUNK = 1024

Components = Float[Array, "components"]
Means = Float[Array, "components visible"]


class AbstractMixture(eqx.Module):
    """A normalized mixture of Gaussians over x (visible,), sum_k w_k N(x; m_k, S_k).

    `log_weights` (components,) and `means` (components, visible); how the covariances S_k are
    stored is up to the class. Methods take ONE row. Densities are in nats.
    """

    log_weights: eqx.AbstractVar[Components]
    means: eqx.AbstractVar[Means]

    @abstractmethod
    def joint_log_densities(self, x: Visible) -> Components:
        """log w_k N(x; m_k, S_k) of every component."""

    @abstractmethod
    def from_noise(self, noise: Float[Array, "_"]) -> Visible:
        """The draw made of visible + 1 standard normal numbers, of which the last picks the
        component.
        """

    @abstractmethod
    def tilted(self, tilt: Visible) -> "tuple[Scalar, AbstractMixture]":
        """log ∫ exp(tilt·x) q(x) dx, and the normalized mixture proportional to the integrand."""

    @abstractmethod
    def _variances(self) -> Means:
        """The variance of every coordinate in every component."""

    @property
    def n_components(self) -> int:
        """How many Gaussians there are."""
        return self.log_weights.shape[0]

    @property
    def n_visible(self) -> int:
        """Number of visible units."""
        return self.means.shape[1]

    @property
    @full_precision
    def mean(self) -> Visible:
        """The mean of the mixture."""
        return jnp.exp(self.log_weights) @ self.means

    @property
    @full_precision
    def variance(self) -> Visible:
        """The variance of every coordinate."""
        apart = jnp.square(self.means - self.mean[None, :])
        return jnp.exp(self.log_weights) @ (self._variances() + apart)

    @eqx.filter_jit
    def log_density(self, x: Visible) -> Scalar:
        """Log of the density at x."""
        return jax.nn.logsumexp(self.joint_log_densities(x))

    @eqx.filter_jit
    def sample(self, key: RandomKey, n: int) -> Positions:
        """Exact independent draws, (n, visible)."""
        if n <= CHUNK:
            return self._sample_chunk(key, n)
        keys = jax.random.split(key, -(-n // CHUNK))
        chunks = jax.lax.map(lambda key: self._sample_chunk(key, CHUNK), keys)
        return chunks.reshape(-1, self.n_visible)[:n]

    def _sample_chunk(self, key: RandomKey, n: int) -> Positions:
        noise = jax.random.normal(key, (n, self.n_visible + 1), self.means.dtype)
        return jax.vmap(self.from_noise)(noise)

    def _picked(self, noise: Scalar) -> Int[Array, ""]:
        """The component that a standard normal number picks."""
        cumulative = jnp.cumsum(jnp.exp(self.log_weights))
        point = jax.scipy.special.ndtr(noise) * cumulative[-1]
        return jnp.sum(point > cumulative[:-1])
