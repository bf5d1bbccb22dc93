"""Training by several objectives, one after the other, within one budget of time."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import optax

from harmonium.errors import InvalidInputError, describe
from harmonium.learning.objectives import AbstractObjective, MaximumLikelihood
from harmonium.learning.result import Record
from harmonium.learning.rows import AbstractRows
from harmonium.learning.train import Trained, check_length, hold_out_rows, train
from harmonium.model import Harmonium
from harmonium.typing import HeldOutTable, RandomKey, TrainingTable


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


def train_stages(
    model: Harmonium,
    data: TrainingTable | AbstractRows,
    stages: tuple[Stage, ...],
    *,
    key: RandomKey,
    n_updates: int,
    validation: HeldOutTable | AbstractRows | float,
    optimizer: optax.GradientTransformation | None = None,
    time_budget: float | None = None,
    checkpoints: str | Path | None = None,
    resume: str | Path | None = None,
    **given: Any,
) -> tuple[Trained, tuple[Record, ...]]:
    """Train stage by stage; the last one as it ended, and the history of those before.

    All stages hold out the same rows. Every stage but the last keeps its checkpoints in a folder of
    its own. `given` are further arguments of `train`.
    """
    started = time.monotonic()
    check_length(n_updates, time_budget)
    if len(stages) > 1:
        key_split = jax.random.fold_in(key, len(stages))
        data, validation = hold_out_rows(key_split, model, data, validation)
    trained: Trained | None = None
    history: tuple[Record, ...] = ()
    for number, stage in enumerate(stages):
        n_left = len(stages) - number
        place = "" if n_left == 1 else f"stage{number}"
        spent = time.monotonic() - started
        history += () if trained is None else trained.course.history
        trained = train(
            model if trained is None else trained.model,
            data,
            key=key if len(stages) == 1 else jax.random.fold_in(key, number),
            objective=stage.objective,
            optimizer=optimizer if stage.optimizer is None else stage.optimizer,
            n_updates=max(1, round(stage.share * n_updates)),
            validation=validation,
            time_budget=None if time_budget is None else _fair_share(time_budget - spent, n_left),
            checkpoints=None if checkpoints is None else Path(checkpoints) / place,
            resume=None if resume is None else Path(resume) / place,
            **given,
        )
    assert trained is not None
    return trained, history


def _fair_share(seconds: float, n_stages: int) -> float:
    """The time that one of the stages to come may take."""
    return max(seconds / n_stages, 1e-3)
