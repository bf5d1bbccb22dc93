"""Marginals of columns of numbers as arrays: those of one form at once, in programs that any
runtime can follow.

`harmonium.data.Marginal` says the same of one column, by NumPy and SciPy.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from harmonium.data.bodies import Body
from harmonium.data.marginal import Marginal
from harmonium.errors import ExportError
from harmonium.export.special import asinh, from_log_tails, log_ndtr, ndtri_exp

# Those of `harmonium.data`: where one component is all of a tail, and where cells are points.
_ALONE, _ALONE_FOR_SLOPES = 1e8, 1e4
_MOST_STEPS, ON_LATTICE = 1e12, 1e-3
_LOG_ROOT_2PI = 0.5 * float(np.log(2 * np.pi))

Cells = Float[Array, "rows columns"]


class Found(NamedTuple):
    """What cells are in u: their two ends, of which `is_point` says whether they are one, and the
    log of what turns masses and densities in u into those of the cells.

    That ends are equal must not be found by comparing them: a compiler may round them differently.
    """

    low: Cells
    high: Cells
    is_point: Bool[Array, "rows columns"]
    log_measure: Cells


class Form(NamedTuple):
    """What columns have in common that are computed together."""

    is_mixture: bool
    has_atoms: bool
    is_lattice: bool


def form_of(part: Marginal, *, as_points: bool) -> Form:
    """The form of a marginal with a body; `as_points` takes cells of its lattice for points."""
    assert part.body is not None
    lattice = part.shape.step > 0 and not as_points
    return Form(part.body.n_components > 1, len(part.atoms) > 0, lattice)


def _shipped(part: Marginal) -> Body:
    """The body of numbers; `ExportError` for one of the user's own class, which runs in Python."""
    if not isinstance(part.body, Body):
        raise ExportError(f"export: a marginal of your own class, {type(part.body).__name__}.")
    return part.body


class Numbers:
    """Marginals of one form, with their bodies and atoms as arrays (columns, …)."""

    def __init__(self, form: Form, parts: Sequence[Marginal]):
        self.form = form
        bodies = [_shipped(part) for part in parts]
        self.location, self.scale, self.tail = (
            np.array([getattr(body, name) for body in bodies])
            for name in ("location", "scale", "tail")
        )
        # Components that fill up the arrays are copies of the first, without weight.
        self.means, self.sds = (
            _padded([getattr(body, name) for body in bodies]) for name in ("means", "sds")
        )
        self.log_weights = _padded([np.log(body.weights) for body in bodies], fill=-np.inf)
        self.log_inverse_sds = -np.log(self.sds)
        self.middle = np.array([body.median for body in bodies])
        shapes = [part.shape for part in parts]
        self.step = np.array([shape.step for shape in shapes])
        self.sign = np.array([shape.sign for shape in shapes])
        self.bound = np.array([shape.bound for shape in shapes])
        # No cell equals NaN.
        self.atoms = _padded([part.atoms for part in parts], fill=np.nan)
        self.log_rest = np.log([part.rest for part in parts])
        passed = [part.passed for part in parts]
        self.log_below, self.log_above = (
            _padded([ends[side] for ends in passed], fill=-np.inf) for side in (0, 1)
        )
        cuts = [part.cell_cuts() for part in parts]
        self.atom_low, self.atom_high = (_padded([cut[side] for cut in cuts]) for side in (0, 1))
        self.atom_center = _padded([part.centers(part.atoms) for part in parts])

    def find(self, cells: Cells) -> Found:
        """The ends of cells in u, and their log-measure."""
        found = self._cells_of_lattice(cells) if self.form.is_lattice else self._points(cells)
        known = ~jnp.isnan(cells)
        return Found(
            jnp.where(known, found.low, -jnp.inf),
            jnp.where(known, found.high, jnp.inf),
            known & found.is_point,
            jnp.where(known, found.log_measure, 0.0),
        )

    def centers(self, cells: Cells) -> Cells:
        """One point u in every cell, NaN where it is missing."""
        u = self._at(cells, "left")
        if not self.form.has_atoms:
            return u
        is_atom, center = self._of_atoms(cells, self.atom_center)
        return jnp.where(is_atom, center, u)

    def _cells_of_lattice(self, cells: Cells) -> Found:
        step = self.step[None, :]
        inside = jnp.abs(cells) <= _MOST_STEPS * step
        low, high = self._edges(cells, jnp.where(inside, 0.5 * step, 0.0))
        low, high = self._at(low, "left"), self._at(high, "right")
        # Numbers of too many steps are points: there is no more than their place to be said.
        measure = jnp.where(inside, -jnp.log(step), self._log_slope(cells, low))
        return Found(low, high, ~inside, measure)

    def _points(self, cells: Cells) -> Found:
        """Points, but for atoms."""
        u = self._at(cells, "left")
        slope = self._log_slope(cells, u)
        if not self.form.has_atoms:
            return Found(u, u, jnp.ones(cells.shape, bool), slope)
        step = np.where(self.step > 0, self.step, 1.0)
        is_atom, low, high = self._of_atoms(cells, self.atom_low, self.atom_high)
        measure = jnp.where(is_atom, -np.log(step)[None, :], slope)
        return Found(jnp.where(is_atom, low, u), jnp.where(is_atom, high, u), ~is_atom, measure)

    def _edges(self, cells: Cells, half: Cells) -> tuple[Cells, Cells]:
        low, high = cells - half, cells + half
        at_bound = (half > 0) & (jnp.abs(cells - self.bound[None, :]) < half)
        low = jnp.where(at_bound & (self.sign > 0)[None, :], -jnp.inf, low)
        return low, jnp.where(at_bound & (self.sign < 0)[None, :], jnp.inf, high)

    def _of_atoms(self, cells: Cells, *values: np.ndarray) -> tuple[Array, ...]:
        """Which cells are atoms, and the values (columns, atoms) of those atoms."""
        hits = matches(cells, self.atoms, self.step)
        return jnp.any(hits, axis=2), *(chosen(hits, own) for own in values)

    def _compress(self, cells: Cells) -> Cells:
        v = (cells - self.location[None, :]) / self.scale[None, :]
        if not np.any(self.tail > 0):
            return v
        tail = np.where(self.tail > 0, self.tail, 1.0)[None, :]
        return jnp.where((self.tail > 0)[None, :], tail * asinh(v / tail), v)

    def _standard(self, v: Cells) -> Float[Array, "rows columns components"]:
        return (v[:, :, None] - self.means[None]) / self.sds[None]

    def _body(self, v: Cells) -> Cells:
        """The coordinate of the bodies alone."""
        z = self._standard(v)
        if not self.form.is_mixture:
            return z[:, :, 0]
        side = jnp.where(v <= self.middle[None, :], 1.0, -1.0)
        logs = self.log_weights[None] + log_ndtr(side[:, :, None] * z)
        u = side * ndtri_exp(jnp.minimum(jax.nn.logsumexp(logs, axis=2), 0.0))
        lowest, highest = jnp.min(z, axis=2), jnp.max(z, axis=2)
        is_alone = (highest < -_ALONE) | (lowest > _ALONE)
        return jnp.where(is_alone, jnp.where(highest < 0, highest, lowest), u)

    def _at(self, cells: Cells, side: str) -> Cells:
        """u at numbers, below ("left") or above ("right") of an atom that stands there."""
        u = self._body(self._compress(cells))
        if not self.form.has_atoms:
            return u
        return self._with_atoms(cells, u, side)

    def _with_atoms(self, cells: Cells, u: Cells, side: str) -> Cells:
        atoms, numbers = self.atoms[None], cells[:, :, None]
        is_passed = (atoms < numbers) if side == "left" else (atoms <= numbers)
        n_passed = jnp.sum(is_passed, axis=2)[:, :, None]
        hits = n_passed == np.arange(self.log_below.shape[1])[None, None, :]
        log_rest = self.log_rest[None, :]
        return from_log_tails(
            jnp.logaddexp(log_rest + log_ndtr(u), chosen(hits, self.log_below)),
            jnp.logaddexp(log_rest + log_ndtr(-u), chosen(hits, self.log_above)),
        )

    def _log_slope(self, cells: Cells, u: Cells) -> Cells:
        """log du/dx where no atom stands."""
        v = self._compress(cells)
        body = self._body(v)
        ratio = jnp.where(
            (self.tail > 0)[None, :],
            (cells - self.location[None, :]) / (self.scale * np.maximum(self.tail, 1e-300))[None],
            0.0,
        )
        slope = self._body_slope(v, body) - np.log(self.scale)[None, :]
        slope = slope - jnp.log(jnp.maximum(jnp.abs(ratio), 1.0)) - _log_hypot(jnp.abs(ratio))
        if not self.form.has_atoms:
            return slope
        return slope + self.log_rest[None, :] + (u - body) * (u + body) / 2

    def _body_slope(self, v: Cells, u: Cells) -> Cells:
        """log du/dv of the bodies."""
        if not self.form.is_mixture:
            return jnp.broadcast_to(self.log_inverse_sds[None, :, 0], v.shape)
        z = self._standard(v)
        logs = (self.log_weights + self.log_inverse_sds)[None] - 0.5 * z * z - _LOG_ROOT_2PI
        slope = jax.nn.logsumexp(logs, axis=2) + 0.5 * u * u + _LOG_ROOT_2PI
        far = jnp.abs(z)
        nearest = far == jnp.min(far, axis=2, keepdims=True)
        alone = jnp.max(jnp.where(nearest, self.log_inverse_sds[None], -jnp.inf), axis=2)
        is_alone = (jnp.max(z, axis=2) < -_ALONE_FOR_SLOPES) | (
            jnp.min(z, axis=2) > _ALONE_FOR_SLOPES
        )
        return jnp.where(is_alone, alone, slope)


def matches(cells: Cells, values: np.ndarray, step: np.ndarray) -> Array:
    """Which of the values (columns, values) every cell is: (rows, columns, values).

    In a lattice, cells are what they are but for rounding.
    """
    near = np.where(step > 0, ON_LATTICE * step, 0.0)[None, :, None]
    return jnp.abs(cells[:, :, None] - values[None]) <= near


def chosen(hits: Array, values: np.ndarray) -> Cells:
    """Of the values (columns, values) the one that is hit, -inf where none is."""
    return jnp.max(jnp.where(hits, values[None], -jnp.inf), axis=2)


def _log_hypot(ratio: Cells) -> Cells:
    """log sqrt(1 + r²) less log max(r, 1), which squares nothing large."""
    small = jnp.where(ratio > 1, 1 / jnp.maximum(ratio, 1.0), ratio)
    return 0.5 * jnp.log(1 + small * small)


def _padded(arrays: Sequence[np.ndarray], fill: float | None = None) -> np.ndarray:
    """Arrays of different lengths as one, filled up with `fill` or their first number."""
    width = max(1, *(len(own) for own in arrays))
    rows = []
    for own in arrays:
        rest = fill if fill is not None else (own[0] if len(own) else 0.0)
        rows.append(np.concatenate([own, np.full(width - len(own), rest)]))
    return np.stack(rows)
