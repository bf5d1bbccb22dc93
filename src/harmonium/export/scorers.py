"""What is exported: scores of coded rows as functions that JAX can trace, in double precision.

A scorer is one program or two. The first scores rows whose cells are all points, the second the
others; each returns NaN for rows that are not its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from harmonium.export.boxes import BoxProgram
from harmonium.export.columns import ColumnProgram
from harmonium.export.numbers import chosen
from harmonium.inference import Density, Detector
from harmonium.inference.conditional import BoxDensity
from harmonium.inference.coordinates import LARGEST_MODEL_VALUE
from harmonium.inference.neighbors import votes_near
from harmonium.inference.views import (
    LARGEST_COORDINATE,
    ROUNDING,
    TAIL,
    UNSEEN,
    Space,
    Surprise,
    votes_of_mixtures,
)
from harmonium.model import Harmonium

Rows = Float[Array, "rows columns"]
PerRow = Float[Array, "rows"]
Program = Callable[[Rows], PerRow]
Tree = TypeVar("Tree")

# Rows that a runtime should be given at once: of boxes, every row has 128 draws or more.
POINT_ROWS, BOX_ROWS = 4096, 64


@dataclass(frozen=True)
class Part:
    """A program by its name, which is that of its files, and how many rows it is given at once."""

    name: str
    program: Program
    n_rows: int


def density_parts(density: Density) -> tuple[Part, ...]:
    """The log-density of rows, in nats and data units, as `Density.log_density` has it.

    To be called, and the parts to be traced, under `jax.enable_x64`.
    """
    coordinates = density.coordinates
    columns = ColumnProgram(coordinates.marginals, coordinates.fine)
    whitening, model = coordinates.whitening, in_double(density.model)
    boxes = BoxProgram(BoxDensity(model, whitening))
    center, log_z = whitening.center[None, :], density.log_partition.value
    free_energy = _free_energy(model, has_residual=density.has_residual)

    def of_points(values: Rows) -> PerRow:
        found = columns.find(values)
        units = (_bounded(found.low) - center) @ whitening.matrix
        log_density = whitening.log_det - free_energy(_bounded(units)) - log_z
        log_density = log_density + jnp.sum(found.log_measure, axis=1) + columns.log_rule(values)
        return jnp.where(jnp.all(found.is_point, axis=1), log_density, jnp.nan)

    def of_boxes(values: Rows) -> PerRow:
        found = columns.find(values)
        low, high = _bounded(found.low), _bounded(found.high)
        log_mass = boxes.log_masses(low, jnp.where(found.is_point, low, high), found.is_point)
        log_mass = log_mass - log_z + columns.log_rule(values)
        return log_mass + jnp.sum(found.log_measure, axis=1)

    if not columns.may_be_points:
        return (Part("scorer", of_boxes, BOX_ROWS),)
    return Part("scorer", of_points, POINT_ROWS), Part("boxes", of_boxes, BOX_ROWS)


def detector_parts(detector: Detector) -> tuple[Part, ...]:
    """The score of complete rows, higher = more normal, as `Detector.scores` has it; NaN of others.

    To be called, and the part to be traced, under `jax.enable_x64`.
    """
    spaces = [_SpaceProgram(space) for space in detector.spaces]
    columns, rules = ColumnProgram(detector.marginals), detector.rules
    weights = detector.weights / detector.weights.sum()
    ends = np.cumsum([0, *(n for space in detector.spaces for n in space.groups)])

    def scores(values: Rows) -> PerRow:
        votes = jnp.concatenate([space.votes(values) for space in spaces], axis=1)
        surprises = surprises_of(detector.surprise, votes)
        kinds = [
            jnp.mean(jax.lax.slice_in_dim(surprises, int(start), int(end), axis=1), axis=1)
            for start, end in pairwise(ends)
        ]
        together = jax.nn.logsumexp(jnp.stack(kinds, axis=1) + np.log(weights)[None, :], axis=1)
        is_complete = ~jnp.any(jnp.isnan(columns.centers(values)), axis=1)
        n_broken = columns.n_broken(values)
        broken = rules.first + (n_broken - 1) * rules.further - np.log(detector.weights.sum())
        found = jnp.where(n_broken > 0, jnp.logaddexp(together, broken), together)
        return jnp.where(is_complete, -found, jnp.nan)

    return (Part("scorer", scores, POINT_ROWS // 4),)


def in_double(tree: Tree) -> Tree:
    """The same numbers in double precision."""

    def cast(leaf: object) -> object:
        return jnp.asarray(np.asarray(leaf, np.float64)) if eqx.is_inexact_array(leaf) else leaf

    return jax.tree.map(cast, tree)


def _free_energy(model: Harmonium, *, has_residual: bool) -> Program:
    """F of rows in model units; hidden units that W = 0 leaves alone are a number.

    Products with stored zeros are also what XLA, on a CPU and in double precision, gets wrong.
    """
    if has_residual:
        return jax.vmap(model.free_energy)
    at_rest = float(jnp.sum(model.hidden_units.log_normalizer(model.hidden_bias)))

    def of_base(rows: Rows) -> PerRow:
        return jax.vmap(lambda x: model.base.energy(x) - model.visible_bias @ x)(rows) - at_rest

    return of_base


class _SpaceProgram:
    """The votes of a space on complete rows."""

    def __init__(self, space: Space):
        self._columns = ColumnProgram(space.scale.marginals)
        self._whitening = space.scale.whitening
        self._mixtures = in_double(space.mixtures)
        self._kernels = jnp.asarray(space.kernels)

    def votes(self, values: Rows) -> Float[Array, "rows views"]:
        """As `Space.votes` has them."""
        center, spread = self._whitening.center[None, :], self._whitening.spread[None, :]
        points = (self._columns.centers(values) - center) / spread
        # Few numbers are levels here, and plain numbers in the first space.
        rows = jnp.where(jnp.isnan(points), UNSEEN, points)
        rows = jnp.clip(rows, -LARGEST_COORDINATE, LARGEST_COORDINATE)
        near = votes_near(self._kernels, rows)
        return jnp.concatenate([votes_of_mixtures(self._mixtures, rows), near], axis=1)


def surprises_of(surprise: Surprise, votes: Float[Array, "rows views"]) -> Array:
    """`Surprise.of` as a traceable function: linear between quantiles, exponential beyond."""
    quantiles = surprise.quantiles.T
    reached = votes + ROUNDING * (1 + jnp.abs(votes))
    shares = np.linspace(0, 1, quantiles.shape[1])
    edge = np.array([np.interp(1 - TAIL, shares, own) for own in quantiles])[None, :]
    # Quantiles that are equal leave no place between them; the last of them is meant.
    gaps = np.diff(quantiles, axis=1)
    slopes = np.append(np.diff(shares)[None, :] / np.where(gaps > 0, gaps, np.inf), 0 * edge.T, 1)
    n_passed = jnp.sum(quantiles[None] <= reached[:, :, None], axis=2)
    places = np.arange(1, quantiles.shape[1] + 1)[None, None, :]
    hits = n_passed[:, :, None] == places
    start, slope = chosen(hits, quantiles), chosen(hits, slopes)
    share = chosen(hits, np.broadcast_to(shares[None, :], quantiles.shape))
    is_inside = n_passed > 0
    below = jnp.where(is_inside, share + slope * (reached - start), 0.0)
    within = -jnp.log1p(-jnp.minimum(below, 1 - TAIL))
    beyond = -np.log(TAIL) + jnp.maximum(votes - edge, 0.0) / surprise.scale[None, :]
    return jnp.where(reached > edge, beyond, within)


def _bounded(ends: Rows) -> Rows:
    """Finite ends that single precision can square and add, as `Coordinates` has them."""
    kept = jnp.clip(ends, -LARGEST_MODEL_VALUE, LARGEST_MODEL_VALUE)
    return jnp.where(jnp.isinf(ends), ends, kept)
