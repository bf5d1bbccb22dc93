"""Training a model: checks, what a fit starts from, and the loop."""

import logging
import time
import warnings
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from harmonium.errors import CheckpointError, HarmoniumWarning, InvalidInputError, describe
from harmonium.learning.callback import Callback
from harmonium.learning.checkpoints import Checkpoints, Identity, identify
from harmonium.learning.devices import (
    check_agreed,
    check_even,
    gather,
    on_devices,
    replicate,
)
from harmonium.learning.fit_progress import FitProgress
from harmonium.learning.loop import Ending, Loop
from harmonium.learning.objectives import AbstractObjective, MaximumLikelihood
from harmonium.learning.row_schedule import Pools
from harmonium.learning.rows import AbstractRows, CompleteRows, pad_rows
from harmonium.learning.trainer import FitSettings, State, Trainer, default_optimizer
from harmonium.model import Harmonium, split_trainable
from harmonium.typing import HeldOutTable, RandomKey, TrainingTable

_log = logging.getLogger(__name__)

# Compiled code cannot be interrupted between evaluations.
MOST_UPDATES_PER_EVALUATION = 250
N_UPDATES = 4000


@dataclass(frozen=True)
class FitTask:
    """What `fit` was given, which says what each of it is; of one stage, with its own objective."""

    model: Harmonium
    data: TrainingTable | AbstractRows
    key: RandomKey
    objective: AbstractObjective | None = None
    optimizer: optax.GradientTransformation | None = None
    n_updates: int = N_UPDATES
    validation: HeldOutTable | AbstractRows | float = 0.1
    time_budget: float | None = None
    settings: FitSettings | None = None
    callback: Callback | None = None
    checkpoints: str | Path | None = None
    resume: str | Path | None = None
    pools: Pools | None = None

    def __post_init__(self):
        if self.n_updates < 1 or (self.time_budget is not None and self.time_budget <= 0):
            raise InvalidInputError(
                describe(
                    "fit(n_updates=..., time_budget=...)",
                    expected="at least one update and a positive number of seconds, or None",
                    got=f"n_updates={self.n_updates}, time_budget={self.time_budget}",
                )
            )

    def with_rows_held_out(self, key: RandomKey) -> "FitTask":
        """The same with rows to train on, and rows to judge by."""
        training, held_out = hold_out_rows(key, self.model, self.data, self.validation)
        return replace(self, data=training, validation=held_out)


class Prepared(NamedTuple):
    """What a fit starts from: its trainer and first state, and keys for what comes later."""

    trainer: Trainer
    start: State
    key_repair: RandomKey
    key_final: RandomKey
    key_check: RandomKey

    def loop(self, n_updates: int, **given) -> Loop:
        """The loop from there; `given` are further fields of it."""
        trainer = replicate(self.trainer)
        return Loop(trainer, n_updates, self.key_repair, self.key_check, **given)


class Trained(NamedTuple):
    """A training that has ended: what it started from, its course, and what ended it."""

    prepared: Prepared
    course: FitProgress
    n_updates: int
    ending: Ending
    is_late: bool

    @property
    def model(self) -> Harmonium:
        """The averaged model of the best evaluation by the running log Z."""
        return self.prepared.trainer.combine(gather(self.course.best).averaged)


def prepare(task: FitTask) -> Prepared:
    """Check what `fit` is given, hold rows out, and make the state before the first update."""
    settings = FitSettings() if task.settings is None else task.settings
    check_even("batch_size", settings.batch_size)
    key_split, key_init, key_loop, key_repair, key_final, key_check = jax.random.split(task.key, 6)
    training, held_out = hold_out_rows(key_split, task.model, task.data, task.validation)
    trainer = Trainer(
        objective=MaximumLikelihood() if task.objective is None else task.objective,
        optimizer=default_optimizer() if task.optimizer is None else task.optimizer,
        settings=settings,
        training=training,
        held_out=held_out,
        static=split_trainable(task.model)[1],
        updates_per_evaluation=_updates_per_evaluation(task.n_updates, settings),
    )
    with on_devices():
        start = trainer.start(key_init, key_loop, task.model)
    return Prepared(trainer, replicate(start), key_repair, key_final, key_check)


def train(task: FitTask) -> Trained:
    """Train a model as `fit` does; `conclude` estimates log Z and chooses."""
    started = time.monotonic()
    _log.info("compiling")
    prepared = prepare(task)
    start = prepared.start
    store = course = None

    @cache
    def identity() -> Identity:
        return identify(prepared.trainer, start, task.key, task.n_updates)

    check_agreed(identity)
    if task.checkpoints is not None or task.resume is not None:
        store, course = _open(task.checkpoints, task.resume, identity(), start)
    loop = prepared.loop(
        task.n_updates,
        time_budget=task.time_budget,
        callback=task.callback,
        checkpoints=store,
        pools=task.pools,
    )
    course, ending = loop.run(start, course, started)
    late = task.time_budget is not None and course.seconds > task.time_budget
    return Trained(prepared, course, task.n_updates, ending, late)


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
            stacklevel=5,
        )
    return store, course


def hold_out_rows(
    key: RandomKey,
    model: Harmonium,
    data: TrainingTable | AbstractRows,
    validation: HeldOutTable | AbstractRows | float,
) -> tuple[AbstractRows, AbstractRows]:
    """Rows to train on, and rows to judge by: those given, or a share of the former."""
    if not isinstance(validation, int | float):
        return as_source(model, "data", data), as_source(model, "validation", validation)
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


def as_source(model: Harmonium, name: str, rows: HeldOutTable | AbstractRows) -> AbstractRows:
    """A table, or rows, as rows that the model takes."""
    if not isinstance(rows, AbstractRows):
        return _in_bucket(as_rows(model, name, rows))
    as_rows(model, name, rows.completed)
    return rows


def _in_bucket(rows: Array) -> CompleteRows:
    return CompleteRows(jnp.asarray(pad_rows(np.asarray(rows))), len(rows))


def as_rows(model: Harmonium, name: str, data: TrainingTable) -> Array:
    """The table as rows that the model takes, or `InvalidInputError`."""
    rows = jnp.asarray(data, model.visible_bias.dtype)
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
