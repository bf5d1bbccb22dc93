"""Fitting a density to a table: marginals, whitening, a base, and the energy that it lacks."""

import logging
import time
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
    Pools,
    Table,
)
from harmonium.inference.body_family import choose_family
from harmonium.inference.chosen import Chosen
from harmonium.inference.coordinates import Coordinates
from harmonium.inference.density import Density, untrained
from harmonium.inference.hold_out import hold_out
from harmonium.inference.judging import HeldOut, judge_density
from harmonium.inference.own_parts import NAMED, OwnParts
from harmonium.inference.placement import Placement
from harmonium.inference.provenance import Provenance, describe_origin
from harmonium.inference.settings import DensitySettings
from harmonium.inference.training_rows import as_model_rows, complete_rows, count_copies
from harmonium.inference.verdict import UNJUDGED
from harmonium.learning import FitResult
from harmonium.learning.base_choice import (
    N_BAGGED,
    N_TRIED,
    BaseChoice,
    choose_base,
    fit_base,
)
from harmonium.learning.fit import conclude, train
from harmonium.learning.loop import Report
from harmonium.learning.result import Record
from harmonium.learning.rows import AbstractRows, CompleteRows
from harmonium.likelihood.result import exact_result
from harmonium.model import AbstractBase, Harmonium, base_log_partition
from harmonium.sampling import ChainDiagnostics
from harmonium.typing import RandomKey

_log = logging.getLogger(__name__)

VALIDATION_COPIES = 4
# Points that a mixture is fitted to, at most.
MOST_BASE_POINTS = 20_000
# How often a base is fitted to points of cells that are drawn under the base before it.
ROUNDS = 3
# Share of a time budget for the search of a base.
BASE_SHARE = 0.1


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

    `own` has the parts that the settings do not name. `report`, `checkpoints` and `resume` are
    those of `learning.fit`. `source` is the longer table that `table` was drawn from: kinds and
    scales of the columns come from `table`, training goes on with further rows of the source, of
    which those held out are none. Warns where the table is small.

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
    body = settings.marginals
    if body == "auto":
        body = choose_family(columns, kept, shape=settings.whitening, rng=rng)
    coordinates = Coordinates.fit(columns, kept, body=body, shape=settings.whitening, rng=rng)
    _log.info("choosing the base")
    choice, base, placement = _fit_base(coordinates, kept, settings, rng)
    coordinates = placement.coordinates
    model = compiled_briefly(settings.build_model)(keys.model, base, own)
    density = _of_base(coordinates, model, choice, trains=settings.trains)
    history: tuple[Record, ...] = ()
    diagnostics, kept_update = None, 0
    if settings.trains:
        n_copies = count_copies(coordinates, kept)
        rows, train_weight = _as_rows(keys.training_cells, placement, kept, n_copies, rng)
        n_unseen = VALIDATION_COPIES if n_copies > 1 else 1
        unseen, unseen_weight = _as_rows(keys.validation_cells, placement, held_out, n_unseen, rng)
        supply = None
        if source is not None:
            dealt = source.deal(
                table.fields, left_out=split.positions, size=len(kept), seed=settings.seed
            )
            supply = partial(_pool, dealt, placement, rows, n_copies, settings.seed)
        shifts = {
            "train_log_likelihood": train_weight,
            "validation_log_likelihood": unseen_weight,
        }
        result = _train(
            density.model,
            rows,
            unseen,
            settings,
            own,
            keys,
            seconds=time.monotonic() - started,
            report=None
            if report is None
            else lambda record: report(_in_data_units(record, shifts)),
            checkpoints=checkpoints,
            resume=resume,
            pools=supply,
        )
        history = tuple(_in_data_units(record, shifts) for record in result.history)
        diagnostics, kept_update = result.diagnostics, result.kept_update
        density = replace(
            density,
            model=result.model,
            log_partition=result.log_partition,
            training=result.verdict,
        )
    _log.info("scoring the held-out rows")
    scored, density = judge_density(density, kept, held_out, rng, seed=settings.seed)
    metrics = {**asdict(scored), "kept_update": kept_update}
    return DensityFit(
        density=density,
        history=history,
        held_out=scored,
        diagnostics=diagnostics,
        kept_update=kept_update,
        provenance=describe_origin(table, settings.seed, metrics, density.verdict),
    )


def _fit_base(
    coordinates: Coordinates,
    values: np.ndarray,
    settings: DensitySettings,
    rng: np.random.Generator,
) -> tuple[BaseChoice, AbstractBase, Placement]:
    """The base for rows of a table (rows, columns), what else was tried, and where cells lie.

    Where cells are not points, the base is fitted again to points that are drawn given the others
    under the base before it.
    """
    values = values[rng.permutation(len(values))[:MOST_BASE_POINTS]]
    points = Placement(coordinates).draw(values, 1, rng)
    choice = _choose_base(coordinates, points, settings, rng)
    base = _base_of(coordinates, points, choice, rng)
    coordinates = coordinates.refined(base, values)
    placement = Placement(coordinates)
    if not placement.is_free(values):
        return choice, base, placement
    n_copies = min(MOST_BASE_POINTS // len(values), count_copies(coordinates, values))
    for number in range(ROUNDS):
        is_last = number + 1 == ROUNDS
        placement = Placement.of_base(coordinates, base)
        points = placement.draw(values, n_copies if is_last else 1, rng)
        coordinates = coordinates.whitened(points, settings.whitening)
        if is_last:
            choice = _choose_base(coordinates, points[: len(values)], settings, rng)
        n_fits = N_BAGGED if is_last else N_TRIED
        base = _base_of(coordinates, points, choice, rng, n_fits)
        coordinates = coordinates.refined(base, values)
    return choice, base, Placement.of_base(coordinates, base)


def _base_of(
    coordinates: Coordinates,
    points: np.ndarray,
    choice: BaseChoice,
    rng: np.random.Generator,
    n_fits: int = N_BAGGED,
) -> AbstractBase:
    """The chosen base, fitted to points u (rows, modeled); the mean of so many fits."""
    rows = coordinates.whitening.forward(points)
    apart = points if choice.is_apart else None
    return fit_base(rows, choice.settings, rng, apart=apart, n_fits=n_fits)


def _choose_base(
    coordinates: Coordinates,
    points: np.ndarray,
    settings: DensitySettings,
    rng: np.random.Generator,
) -> BaseChoice:
    """What base points u (rows, modeled) would have, and what else was tried."""
    if settings.base == "gaussian":
        return BaseChoice(None, ())
    budget = settings.time_budget
    choice = choose_base(
        coordinates.whitening.forward(points),
        rng,
        shrinkage=coordinates.whitening.shrinkage,
        # What goes together is one narrow direction there, and makes clusters here.
        apart=points,
        seconds=None if budget is None else BASE_SHARE * budget,
    )
    return replace(choice, settings=choice.best) if settings.base == "mixture" else choice


def _of_base(
    coordinates: Coordinates, model: Harmonium, choice: BaseChoice, *, trains: bool
) -> Density:
    """The density without a residual energy: its log Z is exact."""
    kinds = dict(zip(coordinates.columns.modeled_names, coordinates.marginals.kinds, strict=True))
    chosen = Chosen(
        base="gaussian" if choice.settings is None else "mixture",
        n_components=1 if choice.settings is None else choice.settings.n_components,
        marginals=kinds,
        residual=False,
        candidates=choice.candidates,
        stages=(),
    )
    exact = exact_result(float(base_log_partition(model)), "exact")
    density = Density(coordinates, model, exact, exact.verdict, chosen, UNJUDGED)
    # For training to begin, W is not 0.
    return density if trains else untrained(density)


def _as_rows(
    key: RandomKey,
    placement: Placement,
    values: np.ndarray,
    n_copies: int,
    rng: np.random.Generator,
) -> tuple[AbstractRows, float]:
    """Rows of the table as rows of the model, and what turns log-densities of these into theirs."""
    points = placement.draw(values, n_copies, rng)
    missing = placement.missing(values, n_copies)
    are_whole = not missing.any()
    rows = as_model_rows(key, placement.coordinates, points, missing, are_whole=are_whole)
    return rows, placement.log_weight(values, points)


def _pool(
    dealt: Pools, placement: Placement, like: AbstractRows, n_copies: int, seed: int, number: int
) -> AbstractRows:
    """The rows to train on in place of the first ones, for the `number`-th time.

    Where those have no missing cells, rows with some give way to others.
    """
    rng = np.random.default_rng([seed, number])
    values = dealt.values(number - 1)
    are_whole = isinstance(like, CompleteRows)
    values = complete_rows(placement.coordinates, values, rng) if are_whole else values
    points, missing = placement.draw(values, n_copies, rng), placement.missing(values, n_copies)
    key = jax.random.fold_in(jax.random.key(seed), number)
    return as_model_rows(key, placement.coordinates, points, missing, are_whole=are_whole)


def _train(
    model: Harmonium,
    rows: AbstractRows,
    unseen: AbstractRows,
    settings: DensitySettings,
    own: OwnParts,
    keys: Keys,
    *,
    seconds: float,
    report: Report | None,
    checkpoints: Path | None,
    resume: Path | None,
    pools,
) -> FitResult:
    """Train the residual energy, stage by stage; `seconds` of the time budget are spent already.

    Every stage but the last keeps its checkpoints in a folder of its own.
    """
    started = time.monotonic()
    stages, trained, history = settings.build_stages(own), None, ()
    for number, stage in enumerate(stages):
        is_last = number + 1 == len(stages)
        place = "" if is_last else f"stage{number}"
        left = _seconds_left(settings, seconds + time.monotonic() - started, len(stages) - number)
        history += () if trained is None else trained.course.history
        trained = train(
            model if trained is None else trained.model,
            rows,
            key=jax.random.fold_in(keys.fit, number),
            objective=stage.objective,
            optimizer=stage.optimizer,
            n_updates=stage.n_updates,
            validation=unseen,
            time_budget=left,
            settings=settings.build_fit_settings(),
            report=report,
            checkpoints=None if checkpoints is None else checkpoints / place,
            resume=None if resume is None else resume / place,
            pools=pools,
        )
    assert trained is not None
    result = conclude(trained)
    return replace(result, history=history + result.history)


def _seconds_left(settings: DensitySettings, spent: float, n_stages: int) -> float | None:
    """The time that one of the stages to come may take; None without a budget."""
    if settings.time_budget is None:
        return None
    return max((settings.time_budget - spent) / n_stages, 1e-3)


def _in_data_units(record: Record, shifts: dict[str, float]) -> Record:
    """The record with its log-likelihoods in data units."""
    return record | {name: float(record[name]) + shift for name, shift in shifts.items()}
