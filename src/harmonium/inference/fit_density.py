"""Fitting a density to a table: marginals, whitening, a base, and the energy that it lacks."""

import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from harmonium.compiling import compiled_briefly
from harmonium.data import (
    Columns,
    LongTable,
    Marginals,
    Pools,
    Table,
)
from harmonium.errors import DivergedError, HarmoniumWarning, message
from harmonium.inference.body_family import choose_family
from harmonium.inference.chosen import Chosen
from harmonium.inference.coordinates import Coordinates
from harmonium.inference.density import Density, gaussian, untrained
from harmonium.inference.hold_out import hold_out
from harmonium.inference.judging import HeldOut, judge_density
from harmonium.inference.own_parts import NAMED, OwnParts, is_own
from harmonium.inference.placement import Placement
from harmonium.inference.provenance import Provenance, describe_origin
from harmonium.inference.settings import DensitySettings
from harmonium.inference.shortfall import falls_short
from harmonium.inference.stages import NOTHING_TO_GAIN, UNSTABLE, train_energy, why_untrained
from harmonium.inference.table_base import fit_table_base
from harmonium.inference.training_rows import as_model_rows, complete_rows, count_copies
from harmonium.inference.unseen import coded_columns, find_unseen
from harmonium.inference.verdict import UNJUDGED
from harmonium.learning.base_choice import BaseChoice
from harmonium.learning.result import FitResult, Record, Report
from harmonium.learning.rows import AbstractRows, CompleteRows
from harmonium.likelihood.result import exact_result
from harmonium.model import Harmonium, base_log_partition
from harmonium.sampling import ChainDiagnostics
from harmonium.typing import Points, RandomKey, Values

_log = logging.getLogger(__name__)

# By which the shares of pairs of categories that no row has are judged.
UNSEEN_DRAWS = 4096

VALIDATION_COPIES = 4
# Folded into the key of a training for the look at what there is to gain by one.
SHORTFALL = 2
# Held-out rows whose scores are logged before training.
MOST_LOGGED = 500


@dataclass(frozen=True)
class DensityFit:
    """A fitted density, its training curve (data units, nats per row) and its held-out score.

    `diagnostics` tells whether chains of the kept model agree, None where nothing was trained, and
    `kept_update` after which update that model stood; 0 is the start, or the base. `provenance` is
    what a file says of the fit.
    """

    density: Density
    history: tuple[Record, ...]
    held_out: HeldOut
    diagnostics: ChainDiagnostics | None
    kept_update: int
    provenance: Provenance


class Keys(NamedTuple):
    """The random keys of a fit, each for one purpose."""

    model: RandomKey
    fit: RandomKey
    training_cells: RandomKey
    validation_cells: RandomKey

    @staticmethod
    def of_seed(seed: int) -> "Keys":
        """All keys of a seed."""
        return Keys(*jax.random.split(jax.random.key(seed), len(Keys._fields)))


def fit_density(
    table: Table,
    settings: DensitySettings,
    own: OwnParts = NAMED,
    *,
    report: Report | None = None,
    checkpoints: Path | None = None,
    resume: Path | None = None,
    source: LongTable | None = None,
) -> DensityFit:
    """Fit a density to a table; deterministic given `settings.seed` unless a time budget cuts it.

    `own` has the parts that the settings do not name. `report` is told each record of the training;
    `checkpoints` and `resume` are those of `hm.fit`. `source` is the longer table that `table` was
    drawn from: kinds and scales of the columns come from `table`, training goes on with further
    rows of the source, of which those held out are none. Warns where the table is small.

    The training curve scores single points of the cells; `held_out` scores rows as `log_density`
    does.
    """
    started = time.monotonic()
    own.check(settings)
    rng = np.random.default_rng(settings.seed)
    keys = Keys.of_seed(settings.seed)
    split = hold_out(table, settings.validation_fraction, rng, setting="validation_fraction")
    kept, held_out = split.training, split.held_out
    _log.info("fitting the marginals")
    columns = Columns.fit(Table(kept, table.names, table.fields), call="fit")
    shape = settings.whitening
    if settings.marginals == "auto":
        most = settings.most_folds
        marginals = choose_family(columns, kept, shape=shape, rng=rng, most_folds=most)
    else:
        marginals = Marginals.fit(columns, kept, own.marginals or settings.marginals)
    coordinates = Coordinates.fit(marginals, kept, shape=shape, rng=rng)
    _log.info("choosing the base")
    choice, base, placement = fit_table_base(coordinates, kept, settings, rng, own)
    coordinates = placement.coordinates
    model = compiled_briefly(settings.build_model)(keys.model, base, own)
    density = _of_base(coordinates, model, choice, settings)
    why_not = why_untrained(settings, (len(kept), model.n_visible), time.monotonic() - started)
    if why_not is not None:
        energy = _alone(density, why_not)
    else:
        drawn = _draw_cells(keys, placement, kept, held_out, rng)
        key = jax.random.fold_in(keys.fit, SHORTFALL)
        if settings.leaves_it_open and not falls_short(
            key, model, drawn.rows, drawn.unseen, settings.seed
        ):
            energy = _alone(density, NOTHING_TO_GAIN)
        else:
            _log_base(density, held_out)
            supply = None
            if source is not None:
                dealt = source.deal(
                    table.fields, left_out=split.positions, size=len(kept), seed=settings.seed
                )
                supply = partial(_pool, dealt, placement, drawn, settings.seed)
            shifts = {
                "train_log_likelihood": placement.log_weight(kept, drawn.points),
                "validation_log_likelihood": placement.log_weight(held_out, drawn.unseen_points),
            }
            stages = partial(
                train_energy,
                rows=drawn.rows,
                unseen=drawn.unseen,
                settings=settings,
                own=own,
                key=keys.fit,
                seconds=time.monotonic() - started,
                callback=report and (lambda state: report(_in_data_units(state.record, shifts))),
                checkpoints=checkpoints,
                resume=resume,
                pools=supply,
            )
            energy = _with_energy(density, stages, shifts)
    _log.info("scoring the held-out rows")
    scored, density = judge_density(energy.density, kept, held_out, rng, seed=settings.seed)
    density = _without_unseen(density, kept, settings.seed)
    metrics = {**asdict(scored), "kept_update": energy.kept_update}
    return DensityFit(
        density=density,
        history=energy.history,
        held_out=scored,
        diagnostics=energy.diagnostics,
        kept_update=energy.kept_update,
        provenance=describe_origin(table, settings.seed, metrics, density.verdict),
    )


def _without_unseen(density: Density, values: Values, seed: int) -> Density:
    """The density with what its draws and rows (rows, columns) say of pairs of categories."""
    if len(coded_columns(density.columns)) < 2:
        return density
    draws, _ = density.boxes.draw_rows(UNSEEN_DRAWS, seed=seed)
    return replace(density, unseen=find_unseen(density.coordinates.marginals, values, draws))


def _of_base(
    coordinates: Coordinates, model: Harmonium, choice: BaseChoice, settings: DensitySettings
) -> Density:
    """The density before training: log Z is that of the base, and W is not 0."""
    kinds = dict(zip(coordinates.columns.modeled_names, coordinates.marginals.kinds, strict=True))
    name = "gaussian" if choice.settings is None else "mixture"
    chosen = Chosen(
        base=settings.base if is_own(settings.base) else name,
        n_components=1 if choice.settings is None else choice.settings.n_components,
        marginals=kinds,
        residual=False,
        candidates=choice.candidates,
        stages=(),
    )
    exact = exact_result(float(base_log_partition(model)), "exact")
    return Density(coordinates, model, exact, exact.verdict, chosen, UNJUDGED)


def _log_base(density: Density, held_out: Values) -> None:
    """Log what is known before an energy is trained: the answer of a quick fit."""
    if not _log.isEnabledFor(logging.INFO):
        return
    rows = held_out[:MOST_LOGGED]
    known = {"Gaussian": float(gaussian(density).log_density(rows).mean())}
    if density.chosen.base == "mixture":
        known["mixture"] = float(untrained(density).log_density(rows).mean())
    scores = ", ".join(f"{name} {value:.2f}" for name, value in known.items())
    message = "held-out rows before training, nats per row: %s; an energy is trained on top"
    _log.info(message, scores, extra={"is_result": True, "known": known})


class _Energy(NamedTuple):
    """A density with what training made of it."""

    density: Density
    history: tuple[Record, ...]
    diagnostics: ChainDiagnostics | None
    kept_update: int


def _with_energy(
    density: Density, stages: Callable[[Harmonium], FitResult], shifts: dict[str, float]
) -> _Energy:
    """The density with a trained energy; that of its base alone, with a warning, where training
    stays unstable from its start.
    """
    try:
        result = stages(density.model)
    except DivergedError as error:
        warnings.warn(message("{} {}", error, UNSTABLE), HarmoniumWarning, stacklevel=3)
        return _alone(density, UNSTABLE)
    trained = replace(
        density,
        model=result.model,
        log_partition=result.log_partition,
        training=result.verdict,
    )
    history = tuple(_in_data_units(record, shifts) for record in result.history)
    return _Energy(trained, history, result.diagnostics, result.kept_update)


def _alone(density: Density, reason: str) -> _Energy:
    """The density of the base, and why it has no energy."""
    alone = untrained(density)
    training = f"{alone.log_partition.verdict} {reason}".rstrip()
    return _Energy(replace(alone, training=training), (), None, 0)


class _Drawn(NamedTuple):
    """Points u of the cells of rows to train on and of held-out ones, and these as rows of the
    model; each row of the table `n_copies` times to train on.
    """

    rows: AbstractRows
    points: Points
    n_copies: int
    unseen: AbstractRows
    unseen_points: Points


def _draw_cells(
    keys: Keys, placement: Placement, values: Values, held_out: Values, rng: np.random.Generator
) -> _Drawn:
    """Draw where the cells of rows lie."""
    n_copies = count_copies(placement.coordinates, values)
    n_unseen = VALIDATION_COPIES if n_copies > 1 else 1
    points, missing = placement.draw(values, n_copies, rng), placement.missing(values, n_copies)
    rows = _as_rows(keys.training_cells, placement, points, missing, n_copies)
    unseen_points = placement.draw(held_out, n_unseen, rng)
    missing = placement.missing(held_out, n_unseen)
    unseen = _as_rows(keys.validation_cells, placement, unseen_points, missing, n_unseen)
    return _Drawn(rows, points, n_copies, unseen, unseen_points)


def _as_rows(
    key: RandomKey, placement: Placement, points: Points, missing: np.ndarray, n_copies: int
) -> AbstractRows:
    """Points of cells as rows of the model."""
    are_whole = not missing.any()
    return as_model_rows(
        key, placement.coordinates, points, missing, are_whole=are_whole, n_copies=n_copies
    )


def _pool(
    dealt: Pools, placement: Placement, first: _Drawn, seed: int, number: int
) -> AbstractRows:
    """The rows to train on in place of the `first` ones, for the `number`-th time.

    Where those have no missing cells, rows with some give way to others.
    """
    rng = np.random.default_rng([seed, number])
    values, n_copies = dealt.values(number - 1), first.n_copies
    are_whole = isinstance(first.rows, CompleteRows)
    values = complete_rows(placement.coordinates, values, rng) if are_whole else values
    points, missing = placement.draw(values, n_copies, rng), placement.missing(values, n_copies)
    key = jax.random.fold_in(jax.random.key(seed), number)
    return as_model_rows(
        key, placement.coordinates, points, missing, are_whole=are_whole, n_copies=n_copies
    )


def _in_data_units(record: Record, shifts: dict[str, float]) -> Record:
    """The record with its log-likelihoods in data units."""
    return record | {name: float(record[name]) + shift for name, shift in shifts.items()}
