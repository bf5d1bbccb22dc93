"""The stages of a training, one after the other, within one budget of time."""

import time
from dataclasses import replace
from pathlib import Path

import jax

from harmonium.inference.own_parts import OwnParts
from harmonium.inference.settings import DensitySettings
from harmonium.learning import FitResult
from harmonium.learning.fit import conclude, train
from harmonium.learning.loop import Report
from harmonium.learning.rows import AbstractRows
from harmonium.model import Harmonium
from harmonium.typing import RandomKey

# Seconds of compilation, log Z and scores that come with a training, however short it is.
LEAST_SECONDS = 8.0
# With fewer rows per pair of columns no energy was worth its training (docs/decisions.md).
ROWS_PER_PAIR = 4
NO_TIME = (
    "The time budget left no time to train an energy on top of the base: more time would help."
)


def why_untrained(settings: DensitySettings, shape: tuple[int, int], seconds: float) -> str | None:
    """Why no energy is trained on rows of this shape, in words, empty where this was asked for;
    None if one is.

    `seconds` of the time budget are spent already.
    """
    if settings.effort == "quick":
        return ""
    n_rows, n_columns = shape
    if settings.leaves_it_open and n_rows < ROWS_PER_PAIR * n_columns**2:
        return (
            f"{n_rows} rows are too few for an energy on top of the base in {n_columns} columns: "
            "none was trained. effort='thorough' trains one."
        )
    if settings.time_budget is not None and settings.time_budget - seconds < LEAST_SECONDS:
        return NO_TIME
    return None


def train_stages(
    model: Harmonium,
    rows: AbstractRows,
    unseen: AbstractRows,
    settings: DensitySettings,
    own: OwnParts,
    key: RandomKey,
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
            key=jax.random.fold_in(key, number),
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
