"""Compiled: drawing the columns of rows one after the other, each truncated to its interval.

Rows come with their mixtures given what is known of them (`patterns`). Given a component, column t
is normal around what the columns before it say; it is drawn between its bounds, and the weight
takes up the mass between them (Geweke 1991, Hajivassiliou and Keane: "GHK").
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from harmonium.model.precision import full_precision
from harmonium.sampling.truncated_normal import truncated_normal

# This share of a row's draws goes by what is known alone, in case the pilot missed a component.
DEFENSE = 0.01

PerDraw = Float[Array, "rows draws"]
Positions = Float[Array, "rows draws columns"]
Chosen = Int[Array, "rows draws"]
Points = Float[Array, "draws columns"]
Step = Int[Array, ""]


class RowBatch(NamedTuple):
    """Rows with their columns in the order of their patterns.

    Columns that are no intervals have infinite bounds; `width` is `high` - `low`. `log_joint`,
    `means`, `factors` and `patterns` are those of `patterns.Conditioned`, `log_joint` up to a
    constant of each row.
    """

    log_joint: Float[Array, "rows components"]
    means: Float[Array, "rows components columns"]
    factors: Float[Array, "patterns components columns columns"]
    patterns: Int[Array, "rows"]
    low: Float[Array, "rows columns"]
    high: Float[Array, "rows columns"]
    width: Float[Array, "rows columns"]
    n_intervals: Int[Array, "rows"]


@jax.jit
@full_precision
def draw_in_boxes(
    batch: RowBatch,
    points: Points,
    marks: Float[Array, "draws"],
    pilot_points: Float[Array, "pilots columns"],
    n_steps: Step,
) -> tuple[Positions, PerDraw]:
    """Draws of the first `n_steps` columns, 0 in the others, and their log-weights.

    Both are in the order of the patterns; positions keep their bounds up to rounding. The mean of
    exp(log-weights) is an unbiased estimate of each row's mass if `points` are uniform in (0, 1)
    and `marks`, which choose the components, are a systematic sample of (0, 1).
    """
    proposal = _component_probabilities(batch, pilot_points)
    cumulative = jnp.cumsum(proposal, axis=1)[:, None, :]
    chosen = jnp.sum(cumulative <= marks[None, :, None] * cumulative[:, :, -1:], axis=2)
    positions, log_mass = _sweep(batch, chosen, points, n_steps)
    log_ratio = batch.log_joint - jnp.log(proposal)
    return positions, log_mass + jnp.take_along_axis(log_ratio, chosen, axis=1)


def _component_probabilities(
    batch: RowBatch, pilot_points: Float[Array, "pilots columns"]
) -> Float[Array, "rows components"]:
    """Nearly the posterior probabilities of the components, from a pilot run over all of them.

    Exact where there is at most one interval. Elsewhere a share goes by the known columns alone,
    so that weights stay bounded where the pilot underestimates the mass of a component.
    """
    (n_rows, n_components), n_pilots = batch.log_joint.shape, pilot_points.shape[0]
    every = jnp.tile(jnp.repeat(jnp.arange(n_components), n_pilots), (n_rows, 1))
    points = jnp.tile(pilot_points, (n_components, 1))
    _, log_mass = _sweep(batch, every, points, jnp.max(batch.n_intervals))
    log_mass = log_mass.reshape(n_rows, n_components, n_pilots)
    found = batch.log_joint + jax.nn.logsumexp(log_mass, axis=2) - math.log(n_pilots)
    share = jnp.where(batch.n_intervals > 1, DEFENSE, 0.0)[:, None].astype(found.dtype)
    known = jax.nn.softmax(batch.log_joint, axis=1)
    return (1 - share) * jax.nn.softmax(found, axis=1) + share * known


def _sweep(
    batch: RowBatch, chosen: Chosen, points: Points, n_steps: Step
) -> tuple[Positions, PerDraw]:
    """Draws of the first columns given the chosen components, and the log-mass of their bounds."""
    n_components, n_columns = batch.means.shape[1:]
    factors = batch.factors.reshape(-1, n_columns, n_columns)
    which = batch.patterns[:, None] * n_components + chosen

    def draw_column(t: Step, carry: tuple[Positions, Positions, PerDraw]):
        noise, positions, log_mass = carry
        loadings = _column(factors, t, 1)[which]
        own_mean = jnp.take_along_axis(_column(batch.means, t, 2), chosen, axis=1)
        center = own_mean + jnp.sum(loadings * noise, axis=2)
        scale = _column(loadings, t, 2)
        low, high, width = (_column(x, t, 1)[:, None] for x in (batch.low, batch.high, batch.width))
        share = jnp.broadcast_to(_column(points, t, 1), center.shape)
        own_mass, own_noise = truncated_normal(
            (low - center) / scale, (high - center) / scale, width / scale, share
        )
        return (
            jax.lax.dynamic_update_index_in_dim(noise, own_noise, t, 2),
            jax.lax.dynamic_update_index_in_dim(positions, center + scale * own_noise, t, 2),
            log_mass + own_mass,
        )

    none = jnp.zeros((*chosen.shape, n_columns), points.dtype)
    start = (none, none, jnp.zeros(chosen.shape, points.dtype))
    _, positions, log_mass = jax.lax.fori_loop(0, n_steps, draw_column, start)
    return positions, log_mass


def _column(array: Array, t: Step, axis: int) -> Array:
    return jax.lax.dynamic_index_in_dim(array, t, axis, keepdims=False)
