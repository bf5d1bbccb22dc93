"""Masses of boxes under a mixture of Gaussians, and weighted draws from the boxes.

Every column of a row is known, lies in an interval, or is open. What is known enters in closed form
(`patterns`); the intervals are drawn one after the other (`sequential`). Quasi-random points are
the same for every row, so that what is found of a row does not depend on the others.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.special import logsumexp

from harmonium.compiling import as_floats
from harmonium.errors import InvalidInputError, describe
from harmonium.model.mixture import Mixture
from harmonium.sampling.boxes import (
    Boxes,
    MassEstimate,
    PerDraw,
    PerRow,
    Positions,
    Table,
    TruncatedDraws,
    effective_sample_sizes,
    log_mass_errors,
    log_mean_exps,
)
from harmonium.sampling.patterns import (
    INTERVAL,
    KNOWN,
    Conditioned,
    DoubleMixture,
    Kinds,
    cell_kinds,
    condition,
    find_patterns,
)
from harmonium.sampling.sequential import RowBatch, draw_in_boxes

# Points of the pilot run over all components, a power of two.
_N_PILOTS = 4
# Numbers in the largest array of a batch, so that a processor's cache holds it.
_BATCH_SIZE = 2**20
_LONGEST_BATCH = 256
# Rows of a pattern that occurs so often have batches of their own, where they share its factors.
_FREQUENT = 1024
_PILOT_SEED = 0
# Single precision can take differences of these.
LEAST_LOG_DENSITY = -1e30

LogFactor = Callable[[Float[np.ndarray, "points columns"]], Float[Array | np.ndarray, "points"]]


class _Rows(NamedTuple):
    """Some rows, followed by copies of the last one up to the length of a batch."""

    numbers: Int[np.ndarray, "some"]
    low: Table
    high: Table
    kinds: Kinds
    given: Conditioned

    @property
    def n_intervals(self) -> Int[np.ndarray, "rows"]:
        return np.sum(self.kinds == INTERVAL, axis=1)

    @property
    def log_known(self) -> PerRow:
        """Log-density of the known columns: the log-mass of rows without intervals."""
        return np.asarray(logsumexp(self.given.log_joint, axis=1))


class TruncatedSampler(eqx.Module):
    """The masses of boxes under a mixture of Gaussians, and weighted draws from the boxes.

    The sequential sampler of Geweke (1991), Hajivassiliou and Keane, "GHK": given a component and
    the known columns, every interval column is drawn from its normal conditional on the columns
    before it, truncated to its interval; the weight is the product of the masses of the intervals.
    A pilot run over all components sets how often each is used. Masses are exact for rows with at
    most one interval, and draws have equal weights there.

    `n_draws` is a power of two; `seed` fixes the quasi-random points, which all rows share. Raises
    `InvalidInputError` for other numbers of draws.
    """

    n_draws: int
    mixture: DoubleMixture
    points: Float[Array, "draws columns"]
    marks: Float[Array, "draws"]
    pilot_points: Float[Array, "pilots columns"]

    def __init__(self, mixture: Mixture, n_draws: int = 128, seed: int = 0):
        if n_draws < 2 or n_draws & (n_draws - 1):
            call, expected = "TruncatedSampler(mixture, n_draws)", "a power of two, at least 2"
            raise InvalidInputError(describe(call, expected=expected, got=f"{n_draws}"))
        rng = np.random.default_rng(seed)
        self.n_draws = n_draws
        self.mixture = DoubleMixture.of(mixture)
        self.points = _sobol_points(n_draws, mixture.n_visible, rng)
        self.marks = _uniforms((np.arange(n_draws) + rng.random()) / n_draws)
        # Not random: weights are unbiased if what they are chosen by does not depend on the points.
        self.pilot_points = _sobol_points(_N_PILOTS, mixture.n_visible, _PILOT_SEED)

    @property
    def n_columns(self) -> int:
        """Columns of the mixture."""
        return self.mixture.means.shape[1]

    def draw(self, bounds: Boxes) -> TruncatedDraws:
        """`n_draws` weighted draws from the box of every row."""
        shape = (len(bounds.low), self.n_draws)
        positions = np.empty((*shape, self.n_columns), _float_type())
        log_weights, log_mass = np.empty(shape), np.empty(shape[0])
        for rows in self._batches("draw(bounds)", bounds):
            own = self._draws(rows)
            numbers, n = rows.numbers, len(rows.numbers)
            positions[numbers] = own.positions[:n]
            log_weights[numbers] = own.log_weights[:n]
            log_mass[numbers] = own.log_mass[:n]
        return TruncatedDraws(positions, log_weights, log_mass)

    def mass(self, bounds: Boxes, log_factor: LogFactor | None = None) -> MassEstimate:
        """log ∫ q(u) exp(r(u)) du over the box of every row, a density in its known columns.

        `log_factor` is r, from positions (points, columns) to (points,); it is 0 if not given. It
        is called with arrays of few different lengths. Only a batch of draws is held at once.
        """
        log_mass, ess = np.empty(len(bounds.low)), np.empty(len(bounds.low))
        for rows in self._batches("mass(bounds)", bounds):
            log_weights = self._log_weights(rows, log_factor)
            n = len(rows.numbers)
            log_mass[rows.numbers] = log_mean_exps(log_weights)[:n]
            # One weight stands for all where they are equal.
            copies = self.n_draws / log_weights.shape[1]
            ess[rows.numbers] = copies * effective_sample_sizes(log_weights)[:n]
        return MassEstimate(log_mass, log_mass_errors(ess, self.n_draws), ess)

    def _log_weights(self, rows: _Rows, log_factor: LogFactor | None) -> PerDraw:
        """Log-weights of the rows' draws, or one of each row where all are equal."""
        if log_factor is not None:
            draws = self._draws(rows)
            found = log_factor(draws.positions.reshape(-1, self.n_columns))
            return draws.log_weights + np.asarray(found).reshape(draws.log_weights.shape)
        if not rows.n_intervals.any():
            return rows.log_known[:, None]
        return self._sample(rows, int(rows.n_intervals.max()))[1]

    def _draws(self, rows: _Rows) -> TruncatedDraws:
        """Draws of the rows; a single one of each if they are known completely."""
        low, high = _inward(rows.low, rows.high)
        is_known = rows.kinds == KNOWN
        if is_known.all():
            log_known = rows.log_known
            return TruncatedDraws(low[:, None, :], log_known[:, None], log_known)
        positions, log_weights = self._sample(rows, int(np.sum(~is_known, axis=1).max()))
        back = np.argsort(rows.given.orders[rows.given.patterns], axis=1)
        positions = np.take_along_axis(positions, back[:, None, :], axis=2)
        positions = np.clip(positions, low[:, None, :], high[:, None, :])
        return TruncatedDraws(positions, log_weights, log_mean_exps(log_weights))

    def _sample(self, rows: _Rows, n_steps: int) -> tuple[Positions, PerDraw]:
        """The first `n_steps` columns in the order of the patterns, and log-weights."""
        top = rows.given.log_joint.max(axis=1, keepdims=True)
        positions, log_weights = draw_in_boxes(
            _row_batch(rows, top), self.points, self.marks, self.pilot_points, jnp.asarray(n_steps)
        )
        log_weights = np.asarray(log_weights, np.float64) + top
        has_intervals = np.any(rows.kinds == INTERVAL, axis=1)
        exact = np.where(has_intervals[:, None], log_weights, rows.log_known[:, None])
        return np.asarray(positions), exact

    def _batches(self, call: str, bounds: Boxes) -> Iterator[_Rows]:
        n_columns = bounds.low.shape[1]
        if n_columns != self.n_columns:
            expected = f"bounds of {self.n_columns} columns, as the mixture has"
            raise InvalidInputError(describe(call, expected=expected, got=f"{n_columns} columns"))
        kinds = cell_kinds(bounds.low, bounds.high)
        distinct, patterns = find_patterns(kinds)
        for numbers, length, n_patterns in self._row_groups(patterns):
            padded = np.pad(numbers, (0, length - len(numbers)), mode="edge")
            low, high = bounds.low[padded], bounds.high[padded]
            present, own = np.unique(patterns[padded], return_inverse=True)
            values = np.where(low == high, low, 0.0)
            given = condition(self.mixture, values, distinct[present], own)
            yield _Rows(numbers, low, high, kinds[padded], _padded(given, n_patterns))

    def _row_groups(
        self, patterns: Int[np.ndarray, "rows"]
    ) -> Iterator[tuple[Int[np.ndarray, "some"], int, int]]:
        """Numbers of rows that make a batch, its length, and how many patterns it may have."""
        counts = np.bincount(patterns)
        is_alone = counts >= _FREQUENT
        order = np.argsort(patterns, kind="stable")
        rest = order[~is_alone[patterns[order]]]
        shared, own = self._batch_lengths()
        ends = np.cumsum(counts)
        for pattern in np.flatnonzero(is_alone):
            group = order[ends[pattern] - counts[pattern] : ends[pattern]]
            yield from ((part, shared, 1) for part in _parts(group, shared))
        yield from ((part, own, own) for part in _parts(rest, own))

    def _batch_lengths(self) -> tuple[int, int]:
        """Rows of a batch whose rows share one pattern's factors, and where they have their own."""
        n_components = len(self.mixture.log_weights)
        per_row = self.n_columns * max(self.n_draws, n_components * _N_PILOTS)
        return _length(per_row), _length(max(per_row, n_components * self.n_columns**2))


def _parts(numbers: Int[np.ndarray, "some"], longest: int) -> Iterator[np.ndarray]:
    return (numbers[i : i + longest] for i in range(0, len(numbers), longest))


def _length(per_row: int) -> int:
    """The power of two that fits a batch with so many numbers per row."""
    fitting = max(8, min(_LONGEST_BATCH, _BATCH_SIZE // per_row))
    return 2 ** (fitting.bit_length() - 1)


def _row_batch(rows: _Rows, top: Float[np.ndarray, "rows one"]) -> RowBatch:
    """The rows for compiled code; `top` is taken off their log-densities."""
    given = rows.given
    order = given.orders[given.patterns]
    is_interval = np.take_along_axis(rows.kinds, order, axis=1) == INTERVAL
    low = np.where(is_interval, np.take_along_axis(rows.low, order, axis=1), -np.inf)
    high = np.where(is_interval, np.take_along_axis(rows.high, order, axis=1), np.inf)
    log_joint = np.maximum(given.log_joint - top, LEAST_LOG_DENSITY)
    floats = (log_joint, given.means, given.factors, low, high, high - low)
    log_joint, means, factors, low, high, width = map(as_floats, floats)
    patterns, n_intervals = (jnp.asarray(part, int) for part in (given.patterns, rows.n_intervals))
    return RowBatch(log_joint, means, factors, patterns, low, high, width, n_intervals)


def _padded(given: Conditioned, n_patterns: int) -> Conditioned:
    """With factors of as many patterns as compiled code is to see."""
    factors = np.zeros((n_patterns, *given.factors.shape[1:]))
    factors[: len(given.factors)] = given.factors
    return given._replace(factors=factors)


def _sobol_points(
    n: int, n_columns: int, rng: np.random.Generator | int
) -> Float[Array, "points columns"]:
    """Scrambled points of Sobol's sequence."""
    # It takes most of a second to import; tables of numbers need no such points.
    from scipy.stats import qmc

    return _uniforms(qmc.Sobol(n_columns, rng=rng).random(n))


def _uniforms(values: np.ndarray) -> Array:
    """Numbers of [0, 1) in the configured precision, kept off 0 and 1."""
    least = float(jnp.finfo(_float_type()).eps)
    return as_floats(np.clip(values, least, 1 - least))


def _inward(low: Table, high: Table) -> tuple[Table, Table]:
    """Bounds in the configured precision, rounded towards each other; known values are not."""
    as_low, as_high = low.astype(_float_type()), high.astype(_float_type())
    is_known = low == high
    rises, falls = (as_low < low) & ~is_known, (as_high > high) & ~is_known
    as_low = np.where(rises, np.nextafter(as_low, np.inf, dtype=as_low.dtype), as_low)
    as_high = np.where(falls, np.nextafter(as_high, -np.inf, dtype=as_high.dtype), as_high)
    return as_low, np.maximum(as_low, as_high)


def _float_type() -> np.dtype:
    return jax.dtypes.canonicalize_dtype(float)
