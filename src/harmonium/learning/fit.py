"""Training a model: checks, the loop, the choice of the state that is returned."""

import logging
import time
import warnings
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from harmonium.errors import CheckpointError, HarmoniumWarning, InvalidInputError, describe
from harmonium.learning.checkpoints import Checkpoints, Identity, identify
from harmonium.learning.devices import (
    check_agreed,
    check_even,
    gather,
    on_devices,
    replicate,
)
from harmonium.learning.fit_progress import FitProgress
from harmonium.learning.loop import Ending, Loop, Report
from harmonium.learning.objectives import AbstractObjective, MaximumLikelihood
from harmonium.learning.result import FitResult, judge
from harmonium.learning.row_schedule import Pools
from harmonium.learning.rows import AbstractRows, CompleteRows, pad_rows
from harmonium.learning.selection import Candidates, choose
from harmonium.learning.trainer import FitSettings, State, Trainer, default_optimizer
from harmonium.model import Harmonium, split_trainable
from harmonium.typing import HeldOutTable, RandomKey, TrainingTable

_log = logging.getLogger(__name__)

# Compiled code cannot be interrupted between evaluations.
MOST_UPDATES_PER_EVALUATION = 250


def fit(
    model: Harmonium,
    data: TrainingTable | AbstractRows,
    *,
    key: RandomKey,
    objective: AbstractObjective | None = None,
    optimizer: optax.GradientTransformation | None = None,
    n_updates: int = 4000,
    validation: HeldOutTable | AbstractRows | float = 0.1,
    time_budget: float | None = None,
    settings: FitSettings | None = None,
    report: Report | None = None,
    checkpoints: str | Path | None = None,
    resume: str | Path | None = None,
    pools: Pools | None = None,
) -> FitResult:
    """Train a model on rows in model units, shape (rows, visible), and estimate its log Z.

    `data` may be `IncompleteRows`, with `validation` rows of their own. `validation` is a table of
    rows held out from the gradient, or the share of `data` to hold out. The state with the best
    validation log-likelihood is kept. `time_budget` (seconds) is the time to aim for, training and
    final estimate together; compilation cannot be cut short. With it, results depend on the
    machine's speed. `report` receives each record of the history as it is made; training ends early
    where it returns True.

    `checkpoints` is a folder to save the state of training in, every few evaluations and at the
    end. `resume` is such a folder to go on from, and to go on saving in: the interrupted and the
    uninterrupted fit end with the same parameters and history, bit by bit but for the seconds, if
    data, settings, key, machine and versions are the same and no time budget cuts them. Without a
    checkpoint in it training starts at the beginning, with a warning.

    `pools(k)`, k = 1, 2, …, gives other rows, as many and of the same kind as `data`, to train on
    after some visits to those before, for tables larger than memory; progress is judged by `data`
    and `validation`.

    In a block of `use_devices` the updates are made on several devices.

    Raises `InvalidInputError` for unusable data, `DivergedError` if training stays unstable after
    repeated repair, and `CheckpointError` where a state cannot be written or is that of another
    fit.
    """
    return conclude(
        train(
            model,
            data,
            key=key,
            objective=objective,
            optimizer=optimizer,
            n_updates=n_updates,
            validation=validation,
            time_budget=time_budget,
            settings=settings,
            report=report,
            checkpoints=checkpoints,
            resume=resume,
            pools=pools,
        )
    )


class Trained(NamedTuple):
    """A training that has ended: its trainer, start and course, and what ended it."""

    trainer: Trainer
    start: State
    course: FitProgress
    n_updates: int
    ending: Ending
    is_late: bool
    key_final: RandomKey
    key_check: RandomKey

    @property
    def model(self) -> Harmonium:
        """The averaged model of the best evaluation by the running log Z."""
        return self.trainer.combine(gather(self.course.best).averaged)


def train(
    model: Harmonium,
    data: TrainingTable | AbstractRows,
    *,
    key: RandomKey,
    objective: AbstractObjective | None = None,
    optimizer: optax.GradientTransformation | None = None,
    n_updates: int = 4000,
    validation: HeldOutTable | AbstractRows | float = 0.1,
    time_budget: float | None = None,
    settings: FitSettings | None = None,
    report: Report | None = None,
    checkpoints: str | Path | None = None,
    resume: str | Path | None = None,
    pools: Pools | None = None,
) -> Trained:
    """Train a model as `fit` does, with its arguments; `conclude` estimates log Z and chooses."""
    started = time.monotonic()
    settings = FitSettings() if settings is None else settings
    _check_settings(n_updates, time_budget)
    check_even("batch_size", settings.batch_size)
    key_split, key_init, key_loop, key_repair, key_final, key_check = jax.random.split(key, 6)
    training, held_out = _split(key_split, model, data, validation)
    trainer = Trainer(
        objective=MaximumLikelihood() if objective is None else objective,
        optimizer=default_optimizer() if optimizer is None else optimizer,
        settings=settings,
        training=training,
        held_out=held_out,
        static=split_trainable(model)[1],
        updates_per_evaluation=_updates_per_evaluation(n_updates, settings),
    )
    _log.info("compiling")
    with on_devices():
        start = trainer.start(key_init, key_loop, model)
    start = replicate(start)
    store = course = None

    @cache
    def identity() -> Identity:
        return identify(trainer, start, key, n_updates)

    check_agreed(identity)
    if checkpoints is not None or resume is not None:
        store, course = _open(checkpoints, resume, identity(), start)
    loop = Loop(
        replicate(trainer), n_updates, key_repair, key_check, time_budget, report, store, pools
    )
    course, ending = loop.run(start, course, started)
    late = time_budget is not None and course.seconds > time_budget
    return Trained(trainer, start, course, n_updates, ending, late, key_final, key_check)


def conclude(trained: Trained) -> FitResult:
    """Estimate log Z, choose the state to return, compare chains, and judge."""
    trainer, course = trained.trainer, trained.course
    history = course.history
    _log.info("estimating log Z")
    candidates = gather(Candidates(trained.start, course.best, course.state))
    chosen = choose(trained.key_final, trainer, candidates, late=trained.is_late)
    fitted, log_partition = trainer.combine(chosen.state.averaged), chosen.log_partition
    kept = int(chosen.state.update)
    diagnostics = None
    if not chosen.is_base:
        _log.info("comparing chains from several starts")
        diagnostics = trainer.check(jax.random.fold_in(trained.key_check, 0), chosen.state)
    verdict = judge(history, log_partition, diagnostics, kept_update=kept, is_base=chosen.is_base)
    verdict += _in_words(trained.ending, course, trained.n_updates)
    return FitResult(
        model=fitted,
        history=history,
        log_partition=log_partition,
        verdict=verdict,
        trusted=log_partition.trusted,
        diagnostics=diagnostics,
        kept_update=kept,
        carry=chosen.state.carry,
        energy_share=chosen.energy_share,
    )


def _in_words(ending: Ending, course: FitProgress, n_updates: int) -> str:
    """What cut a training short, as a sentence to append; nothing where it came to its own end."""
    if ending == "own":
        return ""
    done = f"after {course.update} of {n_updates} updates"
    if ending == "asked":
        return f" Training was stopped on request, {done}."
    gained = course.update > 0 and course.since_best == 0
    more = ", while it still gained: more time would help" if gained else ""
    return f" The time budget ended training {done}{more}."


def _updates_per_evaluation(n_updates: int, settings: FitSettings) -> int:
    """So many that there are `n_evaluations` of them, and no more than a time budget can bear."""
    return max(1, min(n_updates // settings.n_evaluations, MOST_UPDATES_PER_EVALUATION))


def _open(
    checkpoints: str | Path | None, resume: str | Path | None, identity: Identity, start: State
) -> tuple[Checkpoints, FitProgress | None]:
    """Where to save, and the course to go on with, if there is any."""
    if checkpoints is not None and resume is not None:
        raise InvalidInputError(
            describe(
                "fit(checkpoints=..., resume=...)",
                expected="one of the two",
                got="both",
                hint="resume alone, which also saves there",
            )
        )
    if resume is None:
        store = Checkpoints(Path(checkpoints or "."), identity)
        store.make_folder()
        if not store.is_empty():
            raise CheckpointError(
                f"fit(checkpoints={str(checkpoints)!r}): the folder holds checkpoints of a fit. "
                "Try: "
                "resume= to go on with it, or another folder."
            )
        return store, None
    store = Checkpoints(Path(resume), identity)
    store.make_folder()
    course = store.restore(start)
    if course is None:
        warnings.warn(
            f"fit(resume={str(resume)!r}): there is no checkpoint yet, so training starts at the "
            "beginning",
            HarmoniumWarning,
            stacklevel=3,
        )
    return store, course


def _check_settings(n_updates: int, time_budget: float | None) -> None:
    if n_updates < 1 or (time_budget is not None and time_budget <= 0):
        raise InvalidInputError(
            describe(
                "fit(n_updates=..., time_budget=...)",
                expected="at least one update and a positive number of seconds, or None",
                got=f"n_updates={n_updates}, time_budget={time_budget}",
            )
        )


def _split(
    key: RandomKey,
    model: Harmonium,
    data: TrainingTable | AbstractRows,
    validation: HeldOutTable | AbstractRows | float,
) -> tuple[AbstractRows, AbstractRows]:
    if not isinstance(validation, int | float):
        return _as_source(model, "data", data), _as_source(model, "validation", validation)
    if isinstance(data, AbstractRows):
        raise InvalidInputError(
            describe(
                "fit(data=..., validation=...)",
                expected="held-out rows of their own beside incomplete rows",
                got=f"validation={validation}",
            )
        )
    data = as_rows(model, "data", data)
    n_held_out = round(validation * data.shape[0])
    if not 0 < n_held_out < data.shape[0]:
        raise InvalidInputError(
            describe(
                "fit(validation=...)",
                expected="rows to hold out, or a share that leaves rows on both sides",
                got=f"validation={validation} of {data.shape[0]} row(s)",
            )
        )
    order = jax.random.permutation(key, data.shape[0])
    return _in_bucket(data[order[n_held_out:]]), _in_bucket(data[order[:n_held_out]])


def _as_source(model: Harmonium, name: str, rows: HeldOutTable | AbstractRows) -> AbstractRows:
    if not isinstance(rows, AbstractRows):
        return _in_bucket(as_rows(model, name, rows))
    as_rows(model, name, rows.completed)
    return rows


def _in_bucket(rows: Array) -> CompleteRows:
    return CompleteRows(jnp.asarray(pad_rows(np.asarray(rows))), len(rows))


def as_rows(model: Harmonium, name: str, table: TrainingTable) -> Array:
    """The table as rows that the model takes, or `InvalidInputError`."""
    rows = jnp.asarray(table, model.visible_bias.dtype)
    if rows.ndim != 2 or rows.shape[0] == 0 or rows.shape[1] != model.n_visible:
        raise InvalidInputError(
            describe(
                "fit(model, data)",
                expected=f"{name} of shape (rows, {model.n_visible})",
                got=f"shape {rows.shape}",
            )
        )
    # By NumPy, which compiles nothing for it.
    finite = np.isfinite(np.asarray(rows)).all(axis=1)
    if not finite.all():
        row = int(finite.argmin())
        raise InvalidInputError(
            describe("fit(model, data)", expected=f"finite {name}", got=f"NaN or inf in row {row}")
        )
    return rows
