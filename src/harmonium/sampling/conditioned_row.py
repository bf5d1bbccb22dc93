"""Rows of which some coordinates are known, in coordinates of their own for the others."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from harmonium.model import Harmonium
from harmonium.model.precision import full_precision
from harmonium.sampling.population import log_mean_exp
from harmonium.typing import PerRow, RandomKey, Scalar, Visible

Rows = Float[Array, "rows visible"]
IsOpen = Bool[Array, "rows visible"]
Matrix = Float[Array, "visible visible"]


class ConditionedRow(eqx.Module):
    """One row in coordinates t in which the reference of its open coordinates is standard normal.

    The row is `mean` + `factor` t: a known coordinate is no function of t, and the others are the
    Gaussian reference given the known ones. `log_volume` is the logarithm of the determinant of
    `factor` over the open coordinates.
    """

    mean: Visible
    factor: Matrix
    is_open: Bool[Array, "visible"]
    log_volume: Scalar

    def position(self, t: Visible) -> Visible:
        """The row in its own coordinates."""
        return self.mean + self.factor @ t

    def reference_energy(self, t: Visible) -> Scalar:
        """Minus the log-density of the reference, which is normalized in t."""
        normal = 0.5 * t**2 + 0.5 * jnp.log(2 * jnp.pi).astype(t.dtype)
        return jnp.sum(jnp.where(self.is_open, normal, 0))

    def draw_reference(self, key: RandomKey) -> Visible:
        """One draw of t from the reference; 0 in known coordinates."""
        normal = jax.random.normal(key, self.mean.shape, self.mean.dtype)
        return jnp.where(self.is_open, normal, 0)


def open_rows(rows: Rows, is_open: IsOpen, matrix: Matrix) -> ConditionedRow:
    """The coordinates t of every row y (rows, visible), stacked; open cells of `rows` are not read.

    The reference is the Gaussian of y for which x = `matrix` y has the distribution N(0, I/2).
    Factors are found by NumPy: batches of small matrices inside compiled loops can lock up XLA on
    few processor cores.
    """
    gaps = np.asarray(is_open)
    known = np.where(gaps, 0.0, np.asarray(rows, np.float64))
    matrix64 = np.asarray(matrix, np.float64)
    precision = 2 * matrix64.T @ matrix64
    both = gaps[:, :, None] & gaps[:, None, :]
    lower = np.linalg.cholesky(np.where(both, precision, np.eye(len(precision))))
    factor = np.where(both, np.linalg.inv(lower).transpose(0, 2, 1), 0.0)
    pull = np.where(gaps, known @ precision, 0.0)
    mean = known - np.einsum("rij,rkj,rk->ri", factor, factor, pull, optimize=True)
    log_volume = -np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
    mean, factor, log_volume = (
        jnp.asarray(part, rows.dtype) for part in (mean, factor, log_volume)
    )
    return jax.vmap(ConditionedRow)(mean, factor, is_open, log_volume)


@full_precision
@eqx.filter_jit
def open_log_masses(
    key: RandomKey, model: Harmonium, matrix: Matrix, opened: ConditionedRow, n_draws: int
) -> PerRow:
    """log ∫ exp(-F) over the open coordinates of rows `matrix` y, (rows,), in nats.

    By importance sampling from the reference: low by about half of the variance of the estimate.
    """

    def log_weight(key: RandomKey, opened: ConditionedRow) -> Scalar:
        t = opened.draw_reference(key)
        free_energy = model.free_energy(matrix @ opened.position(t))
        return opened.reference_energy(t) + opened.log_volume - free_energy

    def of_row(keys: Array, opened: ConditionedRow) -> Scalar:
        return log_mean_exp(jax.vmap(lambda key: log_weight(key, opened))(keys))

    keys = jax.random.split(key, (opened.mean.shape[0], n_draws))
    return jax.vmap(of_row)(keys, opened)
