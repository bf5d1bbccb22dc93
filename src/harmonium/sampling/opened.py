"""Rows of which some coordinates are known, in coordinates of their own for the others."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from harmonium.typing import RandomKey, Scalar, Visible

Rows = Float[Array, "rows visible"]
Matrix = Float[Array, "visible visible"]


class Given(NamedTuple):
    """What is known of rows: bounds (rows, visible) of every coordinate.

    `low` = `high` for a known value, -inf and inf for an open coordinate, anything else for an interval.
    """

    low: Array
    high: Array


class Opened(eqx.Module):
    """One row in coordinates t in which the reference is a standard normal, or logistic in an interval.

    A known coordinate is no function of t. An open one is mean + factor t, the Gaussian reference given all known
    coordinates, where an interval counts as known at its middle.
    """

    low: Visible
    high: Visible
    mean: Visible
    factor: Matrix
    log_volume: Scalar

    @property
    def is_known(self) -> Array:
        """Which coordinates are known."""
        return self.low == self.high

    @property
    def is_interval(self) -> Array:
        """Which coordinates are bounded to an interval, on one side at least."""
        return ~self.is_known & (jnp.isfinite(self.low) | jnp.isfinite(self.high))

    @property
    def is_open(self) -> Array:
        """Which coordinates may be anywhere."""
        return ~self.is_known & ~self.is_interval

    def position(self, t: Visible) -> Visible:
        """The row in its own coordinates."""
        inside, _ = _into_interval(self.low, self.high, t)
        free = self.mean + self.factor @ jnp.where(self.is_open, t, 0)
        return jnp.where(self.is_known, self.low, jnp.where(self.is_interval, inside, free))

    def log_jacobian(self, t: Visible) -> Scalar:
        """log |d position / d t| over open coordinates and intervals."""
        _, log_slopes = _into_interval(self.low, self.high, t)
        return self.log_volume + jnp.sum(jnp.where(self.is_interval, log_slopes, 0))

    def reference_energy(self, t: Visible) -> Scalar:
        """Minus the log-density of the reference, which is normalized in t."""
        normal = 0.5 * t**2 + 0.5 * jnp.log(2 * jnp.pi).astype(t.dtype)
        logistic = -jax.nn.log_sigmoid(t) - jax.nn.log_sigmoid(-t)
        terms = jnp.where(self.is_open, normal, jnp.where(self.is_interval, logistic, 0))
        return jnp.sum(terms)

    def draw_reference(self, key: RandomKey) -> Visible:
        """One draw of t from the reference; 0 in known coordinates."""
        key_normal, key_logistic = jax.random.split(key)
        shape, dtype = self.low.shape, self.mean.dtype
        normal = jax.random.normal(key_normal, shape, dtype)
        logistic = jax.random.logistic(key_logistic, shape, dtype)
        return jnp.where(self.is_open, normal, jnp.where(self.is_interval, logistic, 0))


def open_rows(given: Given, matrix: Matrix, center: Visible) -> Opened:
    """The coordinates t of every row, stacked.

    Factors are found by NumPy: batches of small matrices inside compiled loops can lock up XLA on few processor cores.
    """
    low, high = (np.asarray(end, np.float64) for end in given)
    matrix64, center64 = np.asarray(matrix, np.float64), np.asarray(center, np.float64)
    precision = 2 * matrix64.T @ matrix64
    is_open = ~np.isfinite(low) & ~np.isfinite(high)
    middles, _ = jax.vmap(_into_interval)(*given, jnp.zeros_like(given.low))
    middle = np.asarray(middles, np.float64)
    known = np.where(low == high, low, np.where(is_open, center64, middle))
    both = is_open[:, :, None] & is_open[:, None, :]
    lower = np.linalg.cholesky(np.where(both, precision, np.eye(len(center64))))
    factor = np.where(both, np.linalg.inv(lower).transpose(0, 2, 1), 0.0)
    pull = np.where(is_open, (known - center64) @ precision, 0.0)
    shift = np.einsum("rij,rkj,rk->ri", factor, factor, pull, optimize=True)
    mean = np.where(is_open, center64 - shift, known)
    log_volume = -np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
    parts = (jnp.asarray(part, center.dtype) for part in (mean, factor, log_volume))
    return jax.vmap(Opened)(*given, *parts)


def _into_interval(low: Visible, high: Visible, t: Visible) -> tuple[Visible, Visible]:
    """An increasing map of the line onto each interval, and the log of its slope; finite where there is none."""
    below, above = jnp.isfinite(low), jnp.isfinite(high)
    start, end = jnp.where(below, low, 0), jnp.where(above, high, 0)
    width = jnp.where(below & above & (end > start), end - start, 1)
    two_sided = start + width * jax.nn.sigmoid(t)
    one_sided = jnp.where(below, start + jax.nn.softplus(t), end - jax.nn.softplus(-t))
    log_slope = jax.nn.log_sigmoid(t) + jax.nn.log_sigmoid(-t) + jnp.log(width)
    log_side = jnp.where(below, jax.nn.log_sigmoid(t), jax.nn.log_sigmoid(-t))
    both = below & above
    return jnp.where(both, two_sided, one_sided), jnp.where(both, log_slope, log_side)
