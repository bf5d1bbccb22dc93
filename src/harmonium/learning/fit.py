"""`fit`: training, and the choice of the state that is returned."""

import logging
from collections.abc import Sequence
from pathlib import Path

import jax
import optax

from harmonium.learning.callback import Callback
from harmonium.learning.devices import gather
from harmonium.learning.fit_progress import FitProgress
from harmonium.learning.loop import Ending
from harmonium.learning.objectives import AbstractObjective
from harmonium.learning.result import FitResult, Record, judge
from harmonium.learning.row_schedule import Pools
from harmonium.learning.rows import AbstractRows
from harmonium.learning.selection import Candidates, choose
from harmonium.learning.stages import Stage, as_stages, train_stages
from harmonium.learning.train import N_UPDATES, FitTask, Trained
from harmonium.learning.trainer import FitSettings
from harmonium.model import Harmonium
from harmonium.typing import HeldOutTable, RandomKey, TrainingTable

_log = logging.getLogger(__name__)


def fit(
    model: Harmonium,
    data: TrainingTable | AbstractRows,
    *,
    key: RandomKey,
    objective: AbstractObjective | Sequence[Stage] | None = None,
    optimizer: optax.GradientTransformation | None = None,
    n_updates: int = N_UPDATES,
    validation: HeldOutTable | AbstractRows | float = 0.1,
    time_budget: float | None = None,
    settings: FitSettings | None = None,
    callback: Callback | None = None,
    checkpoints: str | Path | None = None,
    resume: str | Path | None = None,
    pools: Pools | None = None,
) -> FitResult:
    """Train a model on rows in model units, shape (rows, visible), and estimate its log Z.

    `data` may be `IncompleteRows`, with `validation` rows of their own. `validation` is a table of
    rows held out from the gradient, or the share of `data` to hold out. The state with the best
    validation log-likelihood is kept. `time_budget` (seconds) is the time to aim for, training and
    final estimate together; compilation cannot be cut short. With it, results depend on the
    machine's speed.

    `objective` may be a sequence of `Stage`s, which train one after the other. `callback` is called
    after every evaluation with the `TrainingState`: models, optimizer, chains and history; training
    ends early where it returns True.

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
    stages = as_stages(objective)
    task = FitTask(
        model,
        data,
        key,
        optimizer=optimizer,
        n_updates=n_updates,
        validation=validation,
        time_budget=time_budget,
        settings=settings,
        callback=callback,
        checkpoints=checkpoints,
        resume=resume,
        pools=pools,
    )
    trained, earlier = train_stages(task, stages)
    return conclude(trained, earlier)


def conclude(trained: Trained, earlier: tuple[Record, ...] = ()) -> FitResult:
    """Estimate log Z, choose the state to return, compare chains, and judge.

    `earlier` is the history of stages before.
    """
    prepared, course = trained.prepared, trained.course
    trainer = prepared.trainer
    history = course.history
    _log.info("estimating log Z")
    candidates = gather(Candidates(prepared.start, course.best, course.state))
    chosen = choose(prepared.key_final, trainer, candidates, late=trained.is_late)
    fitted, log_partition = trainer.combine(chosen.state.averaged), chosen.log_partition
    kept = int(chosen.state.update)
    diagnostics = None
    if not chosen.is_base:
        _log.info("comparing chains from several starts")
        diagnostics = trainer.check(jax.random.fold_in(prepared.key_check, 0), chosen.state)
    verdict = judge(history, log_partition, diagnostics, kept_update=kept, is_base=chosen.is_base)
    verdict += _in_words(trained.ending, course, trained.n_updates)
    return FitResult(
        model=fitted,
        history=earlier + history,
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
