"""A fitted density in data units: coordinates, model and log Z in one object."""

import logging
from dataclasses import dataclass, replace
from functools import cached_property

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from harmonium.compiling import as_floats
from harmonium.data import Columns
from harmonium.errors import InvalidInputError, describe
from harmonium.inference.batches import free_energies, hidden_means, map_blocks, map_rows
from harmonium.inference.chosen import Chosen
from harmonium.inference.conditional import BoxDensity
from harmonium.inference.coordinates import Coordinates, bounded
from harmonium.inference.finite import warn_if_not_finite
from harmonium.inference.unseen import SURPLUS, Unseen, keep_seen
from harmonium.inference.verdict import Verdict
from harmonium.likelihood import LogPartition
from harmonium.likelihood.result import exact_result
from harmonium.model import GaussianBase, Harmonium, base_log_partition
from harmonium.sampling import AbstractKernel, SampleDiagnostics, sample

_log = logging.getLogger(__name__)

# Draws of the missing cells of a row, over which its features are averaged.
FEATURE_DRAWS = 16
BATCH = 256
# Rows whose boxes are computed at once.
BOX_ROWS = 4096


@dataclass(frozen=True, eq=False)
class Density:
    """A normalized density of table rows, in data units.

    `training` says in words how the training went and what its log Z is worth; `judgment` holds the
    facts that speak for and against the density. `unseen` are pairs of categories of
    which `sample` keeps few draws.
    """

    coordinates: Coordinates
    model: Harmonium
    log_partition: LogPartition
    training: str
    chosen: Chosen
    judgment: Verdict
    unseen: tuple[Unseen, ...] = ()

    @property
    def has_residual(self) -> bool:
        """Whether the model is more than its base."""
        return self.boxes.has_residual

    @property
    def trusted(self) -> bool:
        """Whether log-densities may be quoted."""
        return self.judgment.trusted

    @property
    def verdict(self) -> str:
        """What may be trusted, in words."""
        return f"{self.training} {self.judgment.describe()}".rstrip()

    @property
    def columns(self) -> Columns:
        """The rules of the columns."""
        return self.coordinates.columns

    @cached_property
    def boxes(self) -> BoxDensity:
        """The density of u, for cells that are intervals or missing."""
        return BoxDensity(self.model, self.coordinates.whitening)

    def free_energy(self, values: np.ndarray) -> np.ndarray:
        """F of rows (rows, columns) in model units, shape (rows,), nats; needs no log Z.

        Cells of integers and categories are taken at their middle. Raises `InvalidInputError` for
        rows with missing cells, of which F is not defined.
        """
        incomplete = map_blocks(self.coordinates.is_incomplete, values)
        if incomplete.any():
            raise InvalidInputError(
                describe(
                    "free_energy(X)",
                    expected="rows without missing cells",
                    got=(
                        f"{incomplete.sum()} with some, the first in data row "
                        f"{incomplete.argmax() + 1}"
                    ),
                    hint="score_samples(X), which integrates them out, or an Imputer",
                )
            )
        return map_rows(lambda rows: free_energies(self.model, rows), values, self.in_model_units)

    def free_energy_of_units(self, units: np.ndarray) -> np.ndarray:
        """F of points (rows, visible) in model units, shape (rows,), nats."""
        return map_rows(lambda rows: free_energies(self.model, rows), bounded(units))

    def log_density(self, values: np.ndarray) -> np.ndarray:
        """The log-density of rows (rows, columns), shape (rows,), in nats and data units.

        Cells of continuous columns count with their density, those of a lattice (integers, say)
        with their mass over the step, categories, columns of few numbers and atoms with their
        probability. Constant and duplicate columns add the log-probability of their rule. Of a row
        with missing cells (NaN) it is the log-density of the observed ones. Masses of several
        intervals at once are estimated from fixed quasi-random points, so that the score of a row
        does not depend on the others (`BoxDensity.log_masses`). Warns if some are not finite.
        """
        density = map_blocks(self._log_density_of_block, values, longest=BOX_ROWS)
        return warn_if_not_finite("log-densities", density)

    def _log_density_of_block(self, values: np.ndarray) -> np.ndarray:
        coordinates = self.coordinates
        bounds = coordinates.bounds(values)
        known = bounds.is_point.all(axis=1)
        found = np.empty(len(values))
        if known.any():
            found[known] = self._log_density_of_points(bounds.low[known])
        if not known.all():
            rest = np.flatnonzero(~known)
            found[rest] = self.boxes.log_masses(bounds.of_rows(rest))
        found += coordinates.log_measure(values) + coordinates.log_rule(values)
        return found - self.log_partition.value

    def _log_density_of_points(self, points: np.ndarray) -> np.ndarray:
        """The log-density of u at points, but for log Z."""
        whitening = self.coordinates.whitening
        free_energy = map_rows(
            lambda rows: free_energies(self.model, rows),
            points,
            lambda rows: bounded(whitening.forward(rows)),
        )
        return whitening.log_det - free_energy

    def hidden_mean(self, values: np.ndarray) -> np.ndarray:
        """E[h|x] of rows (rows, columns), shape (rows, hidden); given the observed cells where some
        are missing.
        """
        incomplete = self.coordinates.is_incomplete(values)
        means = np.zeros((len(values), self.model.n_hidden))
        if not incomplete.all():
            means[~incomplete] = self._hidden_mean_of_units(
                self.coordinates.forward(values[~incomplete])
            )
        for rows in np.array_split(np.flatnonzero(incomplete), -(-incomplete.sum() // BATCH) or 1):
            if len(rows):
                drawn = self.boxes.draw(
                    self.coordinates.bounds(values[rows]), FEATURE_DRAWS, seed=0
                )
                units = self.coordinates.whitening.forward(
                    drawn.points.reshape(-1, drawn.points.shape[2])
                )
                found = self._hidden_mean_of_units(units)
                means[rows] = found.reshape(len(rows), FEATURE_DRAWS, -1).mean(axis=1)
        return means

    def _hidden_mean_of_units(self, units: np.ndarray) -> np.ndarray:
        return map_rows(lambda rows: hidden_means(self.model, rows), bounded(units))

    def sample(
        self,
        n: int,
        *,
        seed: int,
        n_steps: int = 500,
        kernel: AbstractKernel | None = None,
        keep_unseen: bool = False,
    ) -> tuple[np.ndarray, SampleDiagnostics]:
        """Draw n rows (n, columns) in data units, with the diagnostics of their chains.

        Of a density that is its base alone the draws are exact, and no chains are needed. Unless
        `keep_unseen`, of pairs of categories that no training row has only so many are kept as n
        rows may have missed.
        """
        _log.info("drawing rows")
        is_whole = keep_unseen or not self.unseen
        key = jax.random.fold_in(jax.random.key(seed), 2)
        n_drawn = n if is_whole else SURPLUS * n
        drawn = sample(self.model, n_drawn, key=key, kernel=kernel, n_steps=n_steps)
        points = self.coordinates.whitening.inverse(np.asarray(drawn.samples, np.float64))
        rows = self.coordinates.restore(points)
        return rows if is_whole else self.with_seen(rows, n, seed=seed), drawn.diagnostics

    def with_seen(self, rows: np.ndarray, n: int, *, seed: int) -> np.ndarray:
        """The first n of drawn rows (rows, columns) whose pairs of categories pass."""
        rng = np.random.default_rng(seed)
        return keep_seen(self.unseen, self.coordinates.marginals, rows, n, rng)

    def in_model_units(self, values: np.ndarray) -> np.ndarray:
        """Rows (rows, columns) as the model sees them, (rows, visible), at the middle of their
        cells.
        """
        return self.coordinates.forward(values)


def untrained(density: Density) -> Density:
    """The same density without the residual energy: that of its base alone."""
    model = eqx.tree_at(lambda m: (m.weights, m.visible_bias), density.model, replace_fn=_zeros)
    return _with_exact_log_partition(density, model)


def _zeros(values: Array) -> Array:
    return as_floats(np.zeros(values.shape))


def gaussian(density: Density) -> Density:
    """The Gaussian fit of the same coordinates."""
    model = untrained(density).model
    model = eqx.tree_at(lambda m: m.base, model, GaussianBase(model.n_visible))
    return _with_exact_log_partition(density, model)


def _with_exact_log_partition(density: Density, model: Harmonium) -> Density:
    log_partition = exact_result(float(base_log_partition(model)), "exact")
    return replace(density, model=model, log_partition=log_partition)
