"""The base of a table: fitted to points, again where cells are not points."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax
import numpy as np

from harmonium.compiling import as_floats
from harmonium.data import Whitening
from harmonium.inference.coordinates import Coordinates
from harmonium.inference.own_parts import NAMED, OwnParts, is_own
from harmonium.inference.placement import Placement
from harmonium.inference.settings import DensitySettings
from harmonium.inference.training_rows import count_copies
from harmonium.learning.base_choice import (
    N_BAGGED,
    N_TRIED,
    BaseChoice,
    choose_base,
    fit_base,
)
from harmonium.model import AbstractBase
from harmonium.typing import Batch

# Points that a mixture is fitted to, at most.
MOST_BASE_POINTS = 20_000
# The same per second of a time budget.
POINTS_PER_SECOND, FEWEST_BASE_POINTS = 200, 1000
# How often a base is fitted to points of cells that are drawn under the base before it.
ROUNDS = 3
# Folded into the seed for a base of the user's own.
OWN_BASE = 3
# Share of a time budget for the search of a base.
BASE_SHARE = 0.1


def fit_table_base(
    coordinates: Coordinates,
    values: np.ndarray,
    settings: DensitySettings,
    rng: np.random.Generator,
    own: OwnParts = NAMED,
) -> tuple[BaseChoice, AbstractBase, Placement]:
    """The base for rows of a table (rows, columns), what else was tried, and where cells lie.

    Where cells are not points, the base is fitted again to points that are drawn given the others
    under the base before it.
    """
    key = jax.random.fold_in(jax.random.key(settings.seed), OWN_BASE)
    build = None if own.base is None else partial(own.build_base, key)
    most = MOST_BASE_POINTS
    if settings.time_budget is not None:
        most = int(np.clip(POINTS_PER_SECOND * settings.time_budget, FEWEST_BASE_POINTS, most))
    values = values[rng.permutation(len(values))[:most]]
    points = Placement(coordinates).draw(values, 1, rng)
    choice = _choose_base(coordinates, points, settings, rng)
    base = _base_of(coordinates, points, choice, rng, build)
    coordinates = coordinates.refined(base, values)
    placement = Placement(coordinates)
    if not placement.is_free(values):
        return choice, base, placement
    n_copies = min(most // len(values), count_copies(coordinates, values))
    for number in range(ROUNDS):
        is_last = number + 1 == ROUNDS
        placement = Placement.of_base(coordinates, base)
        start = points[: len(values)] if number else None
        points = placement.draw(values, n_copies if is_last else 1, rng, start)
        coordinates = coordinates.whitened(points, settings.whitening)
        if is_last:
            choice = _choose_base(coordinates, points[: len(values)], settings, rng)
        n_fits = N_BAGGED if is_last else N_TRIED
        base = _base_of(coordinates, points, choice, rng, build, n_fits)
        coordinates = coordinates.refined(base, values)
    return choice, base, Placement.of_base(coordinates, base)


def _base_of(
    coordinates: Coordinates,
    points: np.ndarray,
    choice: BaseChoice,
    rng: np.random.Generator,
    own: Callable[[Batch], AbstractBase] | None,
    n_fits: int = N_BAGGED,
) -> AbstractBase:
    """The chosen base, fitted to points u (rows, modeled); the mean of so many fits."""
    rows = coordinates.whitening.forward(points)
    if own is not None:
        return own(as_floats(rows))
    apart = points if choice.is_apart else None
    return fit_base(rows, choice.settings, rng, apart=apart, n_fits=n_fits)


def _choose_base(
    coordinates: Coordinates,
    points: np.ndarray,
    settings: DensitySettings,
    rng: np.random.Generator,
) -> BaseChoice:
    """What base points u (rows, modeled) would have, and what else was tried."""
    if settings.base == "gaussian" or is_own(settings.base):
        return BaseChoice(None, ())
    budget = settings.time_budget
    choice = choose_base(
        coordinates.whitening.forward(points),
        rng,
        rescale=partial(_rescaled, points, coordinates.whitening, settings.whitening),
        # What goes together is one narrow direction there, and makes clusters here.
        apart=points,
        most_folds=settings.most_folds,
        seconds=None if budget is None else BASE_SHARE * budget,
    )
    return replace(choice, settings=choice.best) if settings.base == "mixture" else choice


def _rescaled(
    points: np.ndarray, whitening: Whitening, shape: str, kept: np.ndarray
) -> tuple[np.ndarray, float]:
    """Points u in the units of a whitening of some of them, and its volume beside that of all."""
    own = Whitening.fit(points[kept], shape)
    return own.forward(points), own.log_det - whitening.log_det
