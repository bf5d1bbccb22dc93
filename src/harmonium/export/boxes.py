"""Masses of boxes as a program: `BoxDensity.log_masses` with what NumPy does there, too.

A row's cells are known, intervals or open; which ones differs from row to row, so that orders and
factors are found for every row. Quasi-random points are those of harmonium itself.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from harmonium.inference.conditional import FEWEST_EFFECTIVE, MORE_DRAWS, N_DRAWS, BoxDensity
from harmonium.model.abstract_mixture import LOG_2PI
from harmonium.sampling.patterns import INTERVAL, KNOWN, LEAST_PIVOT, OPEN, DoubleMixture
from harmonium.sampling.sequential import RowBatch, draw_in_boxes
from harmonium.sampling.truncated import LEAST_LOG_DENSITY, TruncatedSampler

Bounds = Float[Array, "rows columns"]
Flags = Bool[Array, "rows columns"]
PerRow = Float[Array, "rows"]
Orders = Int[Array, "rows columns"]
Factors = Float[Array, "rows components columns columns"]


class _Given(NamedTuple):
    """`patterns.Conditioned` with a pattern of its own for every row, and the rows' cells."""

    log_joint: Float[Array, "rows components"]
    means: Float[Array, "rows components columns"]
    factors: Factors
    orders: Orders
    low: Bounds
    high: Bounds
    kinds: Int[Array, "rows columns"]


class BoxProgram:
    """log ∫ exp(-F) over the boxes of rows as a traceable function of their bounds in u."""

    def __init__(self, boxes: BoxDensity):
        self._model, self._whitening = boxes.model, boxes.whitening
        # Numbers, which are found before anything is traced.
        self._has_residual = boxes.has_residual
        self._log_constant, self._at_rest = boxes.log_constant, boxes.log_sum_at_rest
        self._mixture = DoubleMixture.of(boxes.base)
        self._samplers = [TruncatedSampler(boxes.base, n) for n in (N_DRAWS, MORE_DRAWS)]

    def log_masses(self, low: Bounds, high: Bounds, is_point: Flags) -> PerRow:
        """As `BoxDensity.log_masses`: rows whose weights are worth few draws get more of them."""
        given = _condition(self._mixture, low, high, is_point)
        usual, more = self._samplers
        log_mass, ess = self._masses(given, usual)
        poor = ess < FEWEST_EFFECTIVE
        again = jax.lax.cond(
            jnp.any(poor), lambda: self._masses(given, more)[0], lambda: jnp.zeros_like(log_mass)
        )
        return jnp.where(poor, again, log_mass) + self._log_constant

    def _masses(self, given: _Given, sampler: TruncatedSampler) -> tuple[PerRow, PerRow]:
        """Log-masses, and the effective sample sizes of their weights."""
        is_interval, is_known = given.kinds == INTERVAL, given.kinds == KNOWN
        n_intervals, n_free = jnp.sum(is_interval, axis=1), jnp.sum(~is_known, axis=1)
        top = jnp.max(given.log_joint, axis=1, keepdims=True)
        n_rows = given.low.shape[0]
        batch = RowBatch(
            jnp.maximum(given.log_joint - top, LEAST_LOG_DENSITY),
            given.means,
            given.factors,
            jnp.arange(n_rows),
            *_interval_ends(given, is_interval),
            n_intervals,
        )
        positions, log_weights = draw_in_boxes(
            batch,
            sampler.points,
            sampler.marks,
            sampler.pilot_points,
            jnp.max(n_free if self._has_residual else n_intervals),
        )
        log_known = jax.nn.logsumexp(given.log_joint, axis=1)[:, None]
        log_weights = jnp.where((n_intervals > 0)[:, None], log_weights + top, log_known)
        if self._has_residual:
            log_weights = log_weights + self._log_factors(given, positions)
        total = jax.nn.logsumexp(log_weights, axis=1)
        shares = jnp.exp(log_weights - total[:, None])
        ess = 1 / jnp.sum(shares * shares, axis=1)
        return total - math.log(sampler.n_draws), ess

    def _log_factors(self, given: _Given, positions: Float[Array, "rows draws columns"]) -> Array:
        """What the hidden units add to the base at the draws, (rows, draws)."""
        low, high = (_ordered(ends, given.orders)[:, None, :] for ends in (given.low, given.high))
        inside = jnp.clip(positions, low, high)
        back = _inverse(given.orders)
        points = jnp.take_along_axis(inside, back[:, None, :], axis=2)
        whitening = self._whitening
        units = (points - whitening.center[None, None, :]) @ whitening.matrix

        def log_sum(x: Array) -> Array:
            logits = self._model.hidden_logits(x)
            return jnp.sum(self._model.hidden_units.log_normalizer(logits))

        return jax.vmap(jax.vmap(log_sum))(units) - self._at_rest


def _interval_ends(given: _Given, is_interval: Array) -> tuple[Bounds, Bounds, Bounds]:
    """Ends and widths in the rows' orders; infinite where cells are no intervals."""
    ordered = _ordered(is_interval.astype(given.low.dtype), given.orders) > 0
    low = jnp.where(ordered, _ordered(given.low, given.orders), -jnp.inf)
    high = jnp.where(ordered, _ordered(given.high, given.orders), jnp.inf)
    return low, high, high - low


def _condition(mixture: DoubleMixture, low: Bounds, high: Bounds, is_point: Flags) -> _Given:
    """`patterns.condition` for the kinds of cells of every row."""
    is_open = jnp.isneginf(low) & jnp.isposinf(high)
    kinds = jnp.where(is_point, KNOWN, jnp.where(is_open, OPEN, INTERVAL))
    n_columns = low.shape[1]
    orders = _orders(mixture, kinds)
    n_known = jnp.sum(kinds == KNOWN, axis=1)
    values = _ordered(jnp.where(kinds == KNOWN, low, 0.0), orders)
    means = jnp.swapaxes(jnp.asarray(mixture.means)[:, orders], 0, 1)
    places = jnp.arange(n_columns)
    is_known = places[None, :] < n_known[:, None]
    factors = _cholesky(mixture, orders)
    noise = _known_noise(factors, values[:, None, :] - means, is_known)
    diagonal = jnp.log(jnp.diagonal(factors, axis1=2, axis2=3))
    log_det = jnp.sum(jnp.where(is_known[:, None, :], diagonal, 0.0), axis=2)
    squares = jnp.sum(noise * noise, axis=2) + (n_known.astype(low.dtype) * LOG_2PI)[:, None]
    log_joint = jnp.asarray(mixture.log_weights)[None, :] - log_det - 0.5 * squares
    means = means + jnp.sum(factors * noise[:, :, None, :], axis=3)
    # Known columns come first in the factorization and last in the result.
    turn = (places[None, :] + n_known[:, None]) % n_columns
    return _Given(
        log_joint,
        jnp.take_along_axis(means, turn[:, None, :], axis=2),
        _without_known(factors, is_known, turn),
        jnp.take_along_axis(orders, turn, axis=1),
        low,
        high,
        kinds,
    )


def _orders(mixture: DoubleMixture, kinds: Int[Array, "rows columns"]) -> Orders:
    """`patterns._orders`: known columns, intervals, open columns; among the intervals next the one
    that explains most of the rest.
    """
    n_columns = kinds.shape[1]
    roots = np.exp(0.5 * mixture.log_weights)[:, None, None] * mixture.factors
    pooled = np.sum(roots @ np.swapaxes(roots, 1, 2), axis=0)
    sd = np.sqrt(np.diagonal(pooled))
    start = jnp.broadcast_to((pooled / np.outer(sd, sd))[None], (*kinds.shape, n_columns))
    places = np.arange(n_columns)[None, :]
    rank = kinds.astype(start.dtype) * (n_columns + 1.0) ** 2
    counts = (kinds == INTERVAL).astype(start.dtype)

    def choose(place: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        left, waits, orders = carry
        variance = jnp.maximum(jnp.diagonal(left, axis1=1, axis2=2), 1e-12)
        explained = jnp.sum(left * left * (waits * counts)[:, None, :], axis=2) / variance
        score = jnp.where(waits > 0, explained - rank, -jnp.inf)
        is_next = (places == jnp.argmax(score, axis=1)[:, None]).astype(left.dtype)
        own = jnp.sum(is_next * variance, axis=1)[:, None]
        column = jnp.sum(left * is_next[:, None, :], axis=2) / jnp.sqrt(own)
        left = left - column[:, :, None] * column[:, None, :]
        number = jnp.sum(is_next * places, axis=1)[:, None]
        orders = jnp.where(places == place, number, orders)
        return left, waits - is_next, orders

    none = jnp.zeros(kinds.shape, start.dtype)
    _, _, orders = jax.lax.fori_loop(0, n_columns, choose, (start, none + 1, none))
    return orders.astype(jnp.int64)


def _cholesky(mixture: DoubleMixture, orders: Orders) -> Factors:
    """Lower factors of the covariances with the columns of each row in order, column by column.

    Pivots keep at least the share of the variance that harmonium holds for harmless.
    """
    n_columns = orders.shape[1]
    covariances = jnp.asarray(mixture.covariances)
    ordered = covariances[:, orders[:, :, None], orders[:, None, :]]
    start = jnp.swapaxes(ordered, 0, 1)
    least = LEAST_PIVOT**2 * jnp.diagonal(start, axis1=2, axis2=3)
    places = np.arange(n_columns)

    def factorize(j: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        left, factors = carry
        is_own = (places == j).astype(left.dtype)
        column = jnp.sum(left * is_own[None, None, None, :], axis=3)
        pivot = jnp.sum(jnp.maximum(column, least) * is_own[None, None, :], axis=2)
        column = column * (places >= j)[None, None, :] / jnp.sqrt(pivot)[:, :, None]
        left = left - column[:, :, :, None] * column[:, :, None, :]
        return left, factors + column[:, :, :, None] * is_own[None, None, None, :]

    return jax.lax.fori_loop(0, n_columns, factorize, (start, jnp.zeros_like(start)))[1]


def _known_noise(factors: Factors, residuals: Array, is_known: Array) -> Array:
    """The e of the known columns, which come first, by forward substitution; 0 in the others."""
    n_columns = residuals.shape[2]
    places = np.arange(n_columns)
    diagonal = jnp.diagonal(factors, axis1=2, axis2=3)

    def solve(j: Array, noise: Array) -> Array:
        is_own = (places == j).astype(noise.dtype)
        row = jnp.sum(factors * is_own[None, None, :, None], axis=2)
        explained = jnp.sum(row * noise, axis=2)[:, :, None]
        found = (residuals - explained) / diagonal
        return noise + jnp.where(is_known[:, None, :], found, 0.0) * is_own[None, None, :]

    return jax.lax.fori_loop(0, n_columns, solve, jnp.zeros_like(residuals))


def _without_known(factors: Factors, is_known: Array, turn: Orders) -> Factors:
    """The factors of the columns that are not known, moved to the front; then the identity."""
    free = (~is_known).astype(factors.dtype)
    identity = np.eye(factors.shape[3])[None, None]
    both = (free[:, :, None] * free[:, None, :])[:, None]
    kept = factors * both + identity * (1 - both)
    kept = jnp.take_along_axis(kept, turn[:, None, :, None], axis=2)
    return jnp.take_along_axis(kept, turn[:, None, None, :], axis=3)


def _ordered(values: Bounds, orders: Orders) -> Bounds:
    return jnp.take_along_axis(values, orders, axis=1)


def _inverse(orders: Orders) -> Orders:
    """At which place of the order every column stands."""
    places = np.arange(orders.shape[1])
    return jnp.argmax(orders[:, None, :] == places[None, :, None], axis=2)
