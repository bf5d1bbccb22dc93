"""A fitted density in data units: column rules, transform, model and log Z in one object."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from harmonium.data import Columns, LongTable, Pools, Table, Transform
from harmonium.errors import InvalidInputError, describe
from harmonium.inference.batches import LONGEST, RUN, map_blocks, map_rows
from harmonium.inference.conditional import (
    Effort,
    draw_batches,
    is_fine,
    known_cells,
    log_mass_of_known,
)
from harmonium.inference.finite import told_if_not_finite
from harmonium.inference.hold_out import hold_out
from harmonium.inference.placing import (
    as_model_rows,
    bounded,
    count_copies,
    mean_shift,
    more_rows,
    place_rows,
)
from harmonium.inference.provenance import Provenance, describe_origin
from harmonium.inference.settings import DensitySettings
from harmonium.learning import fit
from harmonium.learning.loop import Report
from harmonium.learning.result import Record
from harmonium.learning.rows import AbstractRows
from harmonium.likelihood import LogPartition
from harmonium.likelihood.result import exact_result
from harmonium.model import Harmonium, base_log_partition
from harmonium.sampling import ChainDiagnostics, SampleDiagnostics, sample
from harmonium.typing import Batch, HiddenBatch, PerRow

_log = logging.getLogger(__name__)

VALIDATION_COPIES = 4
# The mass of a cell is averaged over this many points; fine grids need only their center.
CELL_POINTS = 16
# Rows with missing cells that are scored at the end of a fit.
MAX_INCOMPLETE = 512
_CELL_SEED = 7


@dataclass(frozen=True)
class Density:
    """A normalized density of table rows, in data units."""

    columns: Columns
    transform: Transform
    model: Harmonium
    log_partition: LogPartition
    verdict: str
    trusted: bool

    def free_energy(self, values: np.ndarray) -> np.ndarray:
        """F of rows (rows, columns) in model units, shape (rows,), nats; needs no log Z.

        Raises `InvalidInputError` for rows with missing cells, of which F is not defined.
        """
        incomplete = map_blocks(self.columns.is_incomplete, values)
        if incomplete.any():
            raise InvalidInputError(
                describe(
                    "free_energy(X)",
                    expected="rows without missing cells",
                    got=f"{incomplete.sum()} with some, the first in data row {incomplete.argmax() + 1}",
                    hint="score_samples(X), which integrates them out, or an Imputer",
                )
            )
        return map_rows(lambda rows: _free_energy(self.model, rows), values, self.in_model_units)

    def log_density(self, values: np.ndarray, *, annealed: bool = True) -> np.ndarray:
        """The log-density of rows (rows, columns), shape (rows,), in nats and data units.

        In grid columns (integers, say) p is the mass of the cell over its width, in columns of categories it is their
        probability, both estimated from 16 points of the cell, a little low on average. Constant and duplicate
        columns add the log-probability of their rule. Of a row with missing cells (NaN) it is the log-density of the
        observed ones: the others are integrated out by annealing, or by importance sampling if not `annealed`,
        which is faster and errs lower (`log_mass_of_known`). Warns if some are not finite.
        """
        places = cell_places(self.columns, self.transform)
        incomplete = map_blocks(self.columns.is_incomplete, values)
        density = np.zeros(len(values))
        if not incomplete.all():
            complete = values[~incomplete] if incomplete.any() else values
            density[~incomplete] = map_blocks(
                lambda rows: average_over_cells(
                    self.modeled_log_density, self.columns, rows, places
                ),
                complete,
                longest=RUN * LONGEST,
            )
        if incomplete.any():
            known = values[incomplete]
            log_mass = log_mass_of_known(
                self.model, self.columns, self.transform, known, places, annealed=annealed
            )
            density[incomplete] = log_mass - self.log_partition.value
        rules = map_blocks(self.columns.log_rule, values)
        return told_if_not_finite("log-densities", density + rules)

    def modeled_log_density(self, modeled: np.ndarray) -> np.ndarray:
        """The log-density at points of the modeled columns, before cells and rules are seen to."""
        log_det = map_blocks(self.transform.log_det, modeled)
        free_energy = map_rows(
            lambda units: _free_energy(self.model, units),
            modeled,
            lambda rows: bounded(self.transform.forward(rows)),
        )
        return log_det - free_energy - self.log_partition.value

    def hidden_mean(self, values: np.ndarray) -> np.ndarray:
        """E[h|x] of rows (rows, columns), shape (rows, hidden); given the observed cells where some are missing."""
        units = self.in_model_units(values)
        incomplete = np.isnan(units).any(axis=1)
        means = np.zeros((len(values), self.model.n_hidden))
        if not incomplete.all():
            means[~incomplete] = self._hidden_mean_of_units(units[~incomplete])
        if incomplete.any():
            means[incomplete] = self._hidden_mean_of_known(values[incomplete])
        return means

    def _hidden_mean_of_known(self, values: np.ndarray) -> np.ndarray:
        """The mean over draws of missing cells given the others."""
        bounds = known_cells(self.columns, self.transform, values)
        means = np.zeros((len(values), self.model.n_hidden))
        for batch in draw_batches(self.model, self.transform, bounds, seed=0, effort=Effort()):
            units = batch.standard @ self.transform.matrix
            draws = [self._hidden_mean_of_units(units[:, d]) for d in range(units.shape[1])]
            means[batch.rows] = np.mean(draws, axis=0)
        return means

    def _hidden_mean_of_units(self, units: np.ndarray) -> np.ndarray:
        return map_rows(lambda rows: _hidden_mean(self.model, rows), bounded(units))

    def sample(
        self, n: int, *, seed: int, n_steps: int = 500
    ) -> tuple[np.ndarray, SampleDiagnostics]:
        """Draw n rows (n, columns) in data units, with the diagnostics of their chains."""
        key = jax.random.fold_in(jax.random.key(seed), 2)
        drawn = sample(self.model, n, key=key, n_steps=n_steps)
        modeled = self.transform.inverse(np.asarray(drawn.samples, np.float64))
        return self.columns.restore(modeled), drawn.diagnostics

    def in_model_units(self, values: np.ndarray) -> np.ndarray:
        """Rows (rows, columns) as the model sees them, (rows, visible)."""
        return bounded(self.transform.forward(self.columns.modeled(values)))


@dataclass(frozen=True)
class HeldOut:
    """How rows that never entered a gradient score, in nats per row and data units.

    `log_likelihood` with `standard_error` (of the mean over the rows, and of log Z together), and
    `gaussian`, the same rows under the untrained model. The kept state was chosen on these rows:
    for a figure to quote, score rows of your own.
    """

    n_rows: int
    log_likelihood: float
    standard_error: float
    gaussian: float


@dataclass(frozen=True)
class DensityFit:
    """A fitted density, its training curve (data units, nats per row) and its held-out score.

    `diagnostics` tells whether chains of the kept model agree, and `kept_update` after which update
    that model stood; 0 is the start, or the Gaussian fit. `provenance` is what a file says of the fit.
    """

    density: Density
    history: tuple[Record, ...]
    held_out: HeldOut
    diagnostics: ChainDiagnostics
    kept_update: int
    provenance: Provenance


def fit_density(
    table: Table,
    settings: DensitySettings,
    *,
    report: Report | None = None,
    checkpoints: Path | None = None,
    resume: Path | None = None,
    source: LongTable | None = None,
) -> DensityFit:
    """Fit a density to a table; deterministic given `settings.seed` unless a time budget cuts it.

    `report`, `checkpoints` and `resume` are those of `learning.fit`. `source` is the longer table that `table` was drawn
    from: kinds and scales of the columns come from `table`, training goes on with further rows of the source, of which those
    held out are none.

    The training curve scores single dequantized points; `held_out` scores rows as
    `log_density` does, averaged over their grid cells.
    """
    rng = np.random.default_rng(settings.seed)
    split = hold_out(table, settings.validation_fraction, rng, setting="validation_fraction")
    kept, held_out = split.training, split.held_out
    _log.info("fitting the transform")
    columns = Columns.fit(Table(kept, table.names, table.fields), call="fit")
    training = place_rows(columns, kept, count_copies(columns, len(kept)), rng)
    transform = Transform.fit(training.points, tails=settings.tails, whitening=settings.whitening)
    validation = place_rows(columns, held_out, VALIDATION_COPIES, rng)
    shifts = {
        "train_log_likelihood": mean_shift(transform, training),
        "validation_log_likelihood": mean_shift(transform, validation),
    }
    key = jax.random.key(settings.seed)
    key_model, key_fit = jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)
    noise = transform.null_noise(rng, len(training.points))
    rows = as_model_rows(jax.random.fold_in(key, 3), transform, training.points, noise, rng)
    silence = np.zeros_like(validation.points)
    unseen = as_model_rows(jax.random.fold_in(key, 4), transform, validation.points, silence, rng)

    dealt = None
    if source is not None:
        dealt = source.deal(
            table.fields, left_out=split.positions, size=len(kept), seed=settings.seed
        )

    def pools(parts: Pools, number: int) -> AbstractRows:
        seed = [settings.seed, number]
        return more_rows(columns, transform, parts.values(number - 1), like=rows, seed=seed)

    model = eqx.filter_jit(settings.build_model)(key_model, columns.n_modeled)
    started = time.monotonic()
    model = settings.warm_start(jax.random.fold_in(key, 2), model, rows.completed)
    budget = settings.time_budget
    result = fit(
        model,
        rows,
        key=key_fit,
        objective=settings.build_objective(),
        optimizer=settings.build_optimizer(),
        n_updates=settings.n_updates,
        validation=unseen,
        time_budget=None if budget is None else max(budget - (time.monotonic() - started), 1e-3),
        settings=settings.build_fit_settings(),
        report=None if report is None else lambda record: report(_in_data_units(record, shifts)),
        checkpoints=checkpoints,
        resume=resume,
        pools=None if dealt is None else partial(pools, dealt),
    )
    density = Density(
        columns, transform, result.model, result.log_partition, result.verdict, result.trusted
    )
    history = tuple(_in_data_units(record, shifts) for record in result.history)
    _log.info("scoring the held-out rows")
    scored = _score_held_out(density, held_out)
    metrics = {**asdict(scored), "kept_update": result.kept_update}
    return DensityFit(
        density=density,
        history=history,
        held_out=scored,
        diagnostics=result.diagnostics,
        kept_update=result.kept_update,
        provenance=describe_origin(table, settings.seed, metrics, result.verdict),
    )


def _score_held_out(density: Density, rows: np.ndarray) -> HeldOut:
    # Missing cells are integrated out row by row, which takes its time.
    rows = rows[:MAX_INCOMPLETE] if np.isnan(rows).any() else rows
    values = density.log_density(rows)
    # One row tells nothing about its spread.
    sampling = float(values.std(ddof=1)) / len(rows) ** 0.5 if len(rows) > 1 else math.nan
    return HeldOut(
        n_rows=len(rows),
        log_likelihood=float(values.mean()),
        standard_error=float(np.hypot(sampling, density.log_partition.standard_error)),
        gaussian=float(untrained(density).log_density(rows).mean()),
    )


def untrained(density: Density) -> Density:
    """The same density with W = 0 and b = 0: the Gaussian fit of the compressed columns."""
    model = eqx.tree_at(
        lambda m: (m.weights, m.visible_bias),
        density.model,
        replace_fn=jnp.zeros_like,
    )
    log_partition = exact_result(float(base_log_partition(model)), "exact")
    return replace(density, model=model, log_partition=log_partition)


def cell_places(columns: Columns, transform: Transform) -> np.ndarray:
    """Where in their cells rows are scored, (places, modeled), as `Columns.spread` takes it; one place if none is coarse.

    A fixed Latin hypercube: every row is averaged over the same places, so that scores are
    deterministic and do not depend on the other rows.
    """
    fine = is_fine(columns, transform)
    if fine.all():
        return np.zeros((1, len(fine)))
    rng = np.random.default_rng(_CELL_SEED)
    levels = (np.arange(CELL_POINTS) + 0.5) / CELL_POINTS - 0.5
    places = np.stack([rng.permutation(levels) for _ in fine], axis=1)
    return np.where(fine, 0.0, places)


def average_over_cells(
    log_density: Callable[[np.ndarray], np.ndarray],
    columns: Columns,
    values: np.ndarray,
    places: np.ndarray,
) -> np.ndarray:
    """Log of the mean of a density of modeled points over the places of each row's cells, shape (rows,)."""
    found = []
    for place in places:
        points = columns.spread(values, place)
        found.append(log_density(points) + columns.log_weight(values, points))
    return np.logaddexp.reduce(np.stack(found), axis=0) - np.log(len(places))


def _in_data_units(record: Record, shifts: dict[str, float]) -> Record:
    """The record with its log-likelihoods in data units: plus the mean log-determinant."""
    return record | {name: float(record[name]) + shift for name, shift in shifts.items()}


@eqx.filter_jit
def _free_energy(model: Harmonium, rows: Batch) -> PerRow:
    return jax.vmap(model.free_energy)(rows)


@eqx.filter_jit
def _hidden_mean(model: Harmonium, rows: Batch) -> HiddenBatch:
    return jax.vmap(model.hidden_mean)(rows)
