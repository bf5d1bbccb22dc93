"""When an energy is trained on top of a base, and its training."""

from typing import Any

import jax

from harmonium.inference.own_parts import OwnParts
from harmonium.inference.settings import DensitySettings
from harmonium.learning import FitResult, fit
from harmonium.learning.rows import AbstractRows
from harmonium.model import Harmonium
from harmonium.typing import RandomKey

# Seconds of compilation, log Z and scores that come with a training, however short it is.
LEAST_SECONDS = 8.0
# With fewer rows per pair of columns no energy was worth its training (docs/decisions.md).
ROWS_PER_PAIR = 4
UNSTABLE = "Training stayed unstable, so no energy was put on the base."
NO_TIME = (
    "The time budget left no time to train an energy on top of the base: more time would help."
)
NOTHING_TO_GAIN = (
    "Boosted trees cannot tell held-out rows from draws of the base: no energy was trained on top "
    "of it. The effort 'thorough' trains one."
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
            "none was trained. The effort 'thorough' trains one."
        )
    if settings.time_budget is not None and settings.time_budget - seconds < LEAST_SECONDS:
        return NO_TIME
    return None


def train_energy(
    model: Harmonium,
    rows: AbstractRows,
    unseen: AbstractRows,
    settings: DensitySettings,
    own: OwnParts,
    key: RandomKey,
    *,
    seconds: float,
    **given: Any,
) -> FitResult:
    """Train the residual energy, stage by stage; `seconds` of the time budget are spent already.

    `given` are further arguments of `fit`.
    """
    stages, n_updates = settings.build_stages(own)
    budget = settings.time_budget
    return fit(
        model,
        rows,
        key=jax.random.fold_in(key, 0) if len(stages) == 1 else key,
        objective=stages,
        n_updates=n_updates,
        validation=unseen,
        time_budget=None if budget is None else max(budget - seconds, 1e-3),
        settings=settings.build_fit_settings(),
        **given,
    )
