"""Training by several objectives, one after the other, within one budget of time."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax
import optax

from harmonium.errors import InvalidInputError, describe
from harmonium.learning.objectives import AbstractObjective, MaximumLikelihood
from harmonium.learning.result import Record
from harmonium.learning.train import FitTask, Trained, train


class Stage(NamedTuple):
    """A part of a training: what it climbs, its share of the updates, and its optimizer.

    The next stage goes on from the averaged model of the best evaluation of this one, with chains
    of its own. Without an `optimizer` it has that of the fit, from its first state on.
    """

    objective: AbstractObjective
    share: float = 1.0
    optimizer: optax.GradientTransformation | None = None


def as_stages(objective: AbstractObjective | Sequence[Stage] | None) -> tuple[Stage, ...]:
    """What `fit` is given as stages; raises `InvalidInputError` for shares that are no whole."""
    if objective is None:
        return (Stage(MaximumLikelihood()),)
    if isinstance(objective, AbstractObjective):
        return (Stage(objective),)
    stages = tuple(objective)
    shares = [stage.share for stage in stages if isinstance(stage, Stage)]
    if len(shares) < len(stages) or not shares or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise InvalidInputError(
            describe(
                "fit(objective=...)",
                expected="an objective, or stages with positive shares that add up to 1",
                got=f"{len(stages)} part(s) with shares {shares}",
                hint="[hm.Stage(first, share=0.7), hm.Stage(second, share=0.3)]",
            )
        )
    return stages


def train_stages(task: FitTask, stages: tuple[Stage, ...]) -> tuple[Trained, tuple[Record, ...]]:
    """Train stage by stage; the last one as it ended, and the history of those before.

    All stages hold out the same rows. Every stage but the last keeps its checkpoints in a folder of
    its own.
    """
    started = time.monotonic()
    if len(stages) > 1:
        task = task.with_rows_held_out(jax.random.fold_in(task.key, len(stages)))
    trained: Trained | None = None
    history: tuple[Record, ...] = ()
    for number, stage in enumerate(stages):
        n_left = len(stages) - number
        place = "" if n_left == 1 else f"stage{number}"
        left = None
        if task.time_budget is not None:
            left = _fair_share(task.time_budget - (time.monotonic() - started), n_left)
        history += () if trained is None else trained.course.history
        own = replace(
            task,
            model=task.model if trained is None else trained.model,
            key=task.key if len(stages) == 1 else jax.random.fold_in(task.key, number),
            objective=stage.objective,
            optimizer=task.optimizer if stage.optimizer is None else stage.optimizer,
            n_updates=max(1, round(stage.share * task.n_updates)),
            time_budget=left,
            checkpoints=None if task.checkpoints is None else Path(task.checkpoints) / place,
            resume=None if task.resume is None else Path(task.resume) / place,
        )
        trained = train(own)
    assert trained is not None
    return trained, history


def _fair_share(seconds: float, n_stages: int) -> float:
    """The time that one of the stages to come may take."""
    return max(seconds / n_stages, 1e-3)
