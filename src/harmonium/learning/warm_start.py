"""A schedule in two parts: an objective without chains first, then `fit` from where it ended."""

from harmonium.learning.ensemble import EnsembleSettings, fit_ensemble, stack_members, take_member
from harmonium.learning.fit import as_rows
from harmonium.learning.objectives import AbstractObjective
from harmonium.model import Harmonium
from harmonium.typing import RandomKey, TrainingTable


def warm_start(
    model: Harmonium,
    data: TrainingTable,
    objective: AbstractObjective,
    *,
    key: RandomKey,
    settings: EnsembleSettings | None = None,
    time_budget: float | None = None,
) -> Harmonium:
    """The averaged model after training on rows in model units, (rows, visible), without chains.

    For an objective that needs none, such as score matching: it finds the shape of a density fast,
    but does not see how mass is shared between modes far apart (Wenliang et al. 2019, "Learning
    deep kernels for exponential family densities", section 2). `fit` with the likelihood and a
    smaller learning rate, started from the result, settles that. `time_budget` is in seconds.
    Raises `InvalidInputError` for unusable data and `DivergedError` if training is not finite.
    """
    rows = as_rows(model, "data", data)
    one = stack_members([model])
    fitted = fit_ensemble(
        one,
        rows[None],
        stack_members([objective]),
        key=key,
        settings=settings,
        time_budget=time_budget,
    )
    return take_member(fitted.models, 0)
