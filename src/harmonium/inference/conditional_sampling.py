"""Rows drawn from a density given some of their cells, and as many of every category."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.special import softmax

from harmonium.inference.conditions import Condition, read_balanced, read_conditions, stacked
from harmonium.inference.density import Density
from harmonium.inference.unseen import SURPLUS
from harmonium.likelihood import estimate_log_partition
from harmonium.sampling import sample
from harmonium.typing import Values

_log = logging.getLogger(__name__)

# Effective draws below which the draws are not to be trusted.
FEWEST_EFFECTIVE = 50.0
FEWEST_DRAWS, MOST_AT_ONCE = 256, 512
# Draws by which conditions are weighed against each other.
N_WEIGHED = 2048


@dataclass(frozen=True)
class ConditionalDiagnostics:
    """How conditional draws came about: the effective sample size of the weighted proposals.

    `log_probability` is log p of what was given, in nats: a density for values, a probability for
    intervals and categories. `verdict` says in words whether the draws may be trusted, `trusted`
    says it to programs. Of several conditions the figures are those of the worst, all together
    `log_probability`.
    """

    method: str
    ess: float
    log_probability: float
    trusted: bool
    verdict: str


class Drawn(NamedTuple):
    """Rows (rows, columns) with their diagnostics."""

    rows: Values
    diagnostics: ConditionalDiagnostics


def sample_given(
    density: Density,
    n: int,
    given: Mapping[str, Any] | None,
    *,
    balance: str | None = None,
    keep_unseen: bool = False,
    seed: int,
) -> Drawn:
    """Draw n rows (n, columns) in data units given some columns, with their diagnostics.

    Proposals are exact draws of the base given what is known (sequential where intervals are),
    resampled by what the model makes of them. Where too few of them are effective and no cell is an
    interval, chains of the model given what is known take their place. Members of a set are drawn
    as often as the model has it; `balance` names a column of which every category that training saw
    gets n/k of the rows, give or take one. `keep_unseen` is that of `Density.sample`. Raises
    `InvalidInputError` for what no row can be.
    """
    rng = np.random.default_rng(seed)
    density = replace(density, unseen=()) if keep_unseen else density
    if balance is None:
        conditions = read_conditions(density, given or {})
        _log.info("drawing rows")
        return _draw_any(density, conditions, n, seed, rng)
    groups = read_balanced(density, given, balance)
    _log.info("drawing rows")
    parts = [
        _draw_any(density, group, count, _next_seed(rng), rng)
        for group, count in zip(groups, _fair_shares(n, len(groups), rng), strict=True)
        if count
    ]
    return _joined(parts, rng)


def _next_seed(rng: np.random.Generator) -> int:
    """Parts with the same seed would share their random numbers."""
    return int(rng.integers(2**31))


def _fair_shares(n: int, k: int, rng: np.random.Generator) -> list[int]:
    """n in k parts that differ by one at most; chance says which are the larger ones."""
    return (n // k + (rng.permutation(k) < n % k)).tolist()


def _draw_any(
    density: Density, conditions: Sequence[Condition], n: int, seed: int, rng: np.random.Generator
) -> Drawn:
    """Draw n rows of which each keeps to one of the conditions, by their probabilities."""
    if len(conditions) == 1:
        return _draw_one(density, conditions[0], n, seed)
    log_probabilities = _log_probabilities(density, conditions)
    counts = rng.multinomial(n, softmax(log_probabilities)).tolist()
    parts = [
        _draw_one(density, condition, count, _next_seed(rng))
        for condition, count in zip(conditions, counts, strict=True)
        if count
    ]
    found = _joined(parts, rng)
    log_probability = _log_sum(log_probabilities)
    return found._replace(diagnostics=replace(found.diagnostics, log_probability=log_probability))


def _log_probabilities(
    density: Density, conditions: Sequence[Condition]
) -> Float[np.ndarray, "conditions"]:
    """log p of every condition, nats; exact for a base alone where one cell is an interval."""
    bounds, rows = stacked(conditions)
    log_masses = density.boxes.log_masses(bounds, n_draws=N_WEIGHED)
    measure = density.coordinates.log_measure(rows)
    return log_masses + measure - density.log_partition.value


def _joined(parts: Sequence[Drawn], rng: np.random.Generator) -> Drawn:
    """All rows in random order, with the diagnostics of the worst part."""
    rows = np.concatenate([part.rows for part in parts])
    found = [part.diagnostics for part in parts]
    worst = min(found, key=lambda own: (own.trusted, own.ess))
    together = _log_sum([own.log_probability for own in found])
    diagnostics = replace(worst, log_probability=together)
    return Drawn(rng.permutation(rows), diagnostics)


def _log_sum(log_values: ArrayLike) -> float:
    return float(np.logaddexp.reduce(np.asarray(log_values)))


def _draw_one(density: Density, condition: Condition, n: int, seed: int) -> Drawn:
    n_drawn = SURPLUS * n if density.unseen else n
    points, diagnostics = _draw(density, condition, n_drawn, seed)
    if not diagnostics.trusted and condition.has_only_values:
        points, diagnostics = _draw_by_chains(density, condition, n_drawn, seed)
    rows = density.coordinates.restore(points)
    for index, value in condition.values.items():
        rows[:, index] = value
    return Drawn(density.with_seen(rows, n, seed=seed), diagnostics)


def _draw(
    density: Density, condition: Condition, n: int, seed: int
) -> tuple[np.ndarray, ConditionalDiagnostics]:
    """Draws of u (n, modeled), in a random order."""
    n_batches = -(-n // MOST_AT_ONCE)
    size = -(-max(n, FEWEST_DRAWS) // n_batches)
    parts = [
        density.boxes.draw(condition.bounds, size, seed=seed + number)
        for number in range(n_batches)
    ]
    points = np.concatenate([part.points[0] for part in parts])
    ess, log_mass = min(float(part.ess[0]) for part in parts), float(parts[0].log_mass[0])
    concerns = []
    if not np.all(np.isfinite(points)) or not math.isfinite(log_mass):
        concerns.append("some are not finite")
    if not ess >= FEWEST_EFFECTIVE:
        concerns.append(
            f"the weighted proposals are worth {ess:.0f} draws, fewer than {FEWEST_EFFECTIVE:g}"
        )
    concerns += _out_of_range(density, condition)
    words = f"Draws are NOT to be trusted: {'; '.join(concerns)}."
    diagnostics = ConditionalDiagnostics(
        method="importance resampling from the base given what is known",
        ess=ess,
        log_probability=_log_probability(density, condition, log_mass),
        trusted=not concerns,
        verdict=words if concerns else "The draws may be trusted.",
    )
    order = np.random.default_rng(seed).permutation(len(points))[:n]
    return points[order], diagnostics


def _out_of_range(density: Density, condition: Condition) -> list[str]:
    """What is given wholly beyond the training rows: there a density only follows its shape."""
    coordinates, (low, high) = density.coordinates, condition.bounds
    found = []
    for place, part in enumerate(coordinates.marginals.parts):
        ends = np.array([coordinates.lowest[place], coordinates.highest[place]])
        first, last = part.bounds(ends)
        if part.body is not None and (high[0, place] < first[0] or low[0, place] > last[1]):
            name = coordinates.columns.modeled_names[place]
            found.append(f"training has {name!r} from {ends[0]:g} to {ends[1]:g}")
    return found


def _draw_by_chains(
    density: Density, condition: Condition, n: int, seed: int
) -> tuple[np.ndarray, ConditionalDiagnostics]:
    """Draws of u (n, modeled) by the sampler for models, of the model given what is known."""
    bounds = condition.bounds
    known = np.where(bounds.is_point, bounds.low, np.nan)[0]
    given = density.boxes.given(known)
    key_draw, key_mass = jax.random.split(jax.random.key(seed))
    drawn = sample(given.model, n, key=key_draw)
    log_partition = estimate_log_partition(given.model, key=key_mass)
    beyond = [f"NOT to be trusted: {own}." for own in _out_of_range(density, condition)]
    points = np.where(bounds.is_open, np.asarray(drawn.samples, np.float64), bounds.low)
    diagnostics = ConditionalDiagnostics(
        method=f"chains given what is known ({drawn.diagnostics.way})",
        ess=drawn.diagnostics.ess,
        log_probability=_log_probability(
            density, condition, log_partition.value + float(given.log_scale)
        ),
        trusted=drawn.diagnostics.trusted and log_partition.trusted and not beyond,
        verdict=" ".join([drawn.diagnostics.verdict, log_partition.verdict, *beyond]),
    )
    return points, diagnostics


def _log_probability(density: Density, condition: Condition, log_mass: float) -> float:
    """log p of what is given: slopes count for columns that are given by a value."""
    measure = float(density.coordinates.log_measure(condition.row)[0])
    return log_mass + measure - density.log_partition.value
