"""Rows drawn from a density given some of their cells: `sample(n, given={column: value or
interval})`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from harmonium.data import Bounds, Columns, as_table
from harmonium.errors import InvalidInputError, describe
from harmonium.inference.density import Density
from harmonium.likelihood import estimate_log_partition
from harmonium.sampling import sample

CALL = "sample(n, given=...)"
# Effective draws below which those that are returned are told not to be trusted.
FEWEST_EFFECTIVE = 50.0
FEWEST_DRAWS, MOST_AT_ONCE = 256, 512


@dataclass(frozen=True)
class ConditionalDiagnostics:
    """How conditional draws came about: the effective sample size of the weighted proposals.

    `log_probability` is log p of what was given, in nats: a density for values, a probability for
    intervals and categories. `verdict` says in words whether the draws may be trusted, `trusted`
    says it to programs.
    """

    method: str
    ess: float
    log_probability: float
    trusted: bool
    verdict: str


@dataclass(frozen=True)
class Condition:
    """What is given: bounds in u (1, modeled), the row with its values (1, columns), NaN elsewhere,
    and these by column.
    """

    bounds: Bounds
    row: np.ndarray
    values: dict[int, float]

    @property
    def has_only_values(self) -> bool:
        """Whether every cell is a point or open."""
        return bool(np.all(self.bounds.is_point | self.bounds.is_open))


def sample_given(
    density: Density, n: int, given: Mapping[str, Any], *, seed: int
) -> tuple[np.ndarray, ConditionalDiagnostics]:
    """Draw n rows (n, columns) in data units given some columns, with their diagnostics.

    Proposals are exact draws of the base given what is known (sequential where intervals are),
    resampled by what the model makes of them. Where too few of them are effective and no cell is an
    interval, chains of the model given what is known take their place. Raises `InvalidInputError`
    for what no row can be.
    """
    condition = read_condition(density, given)
    points, diagnostics = _draw(density, condition, n, seed)
    if not diagnostics.trusted and condition.has_only_values:
        points, diagnostics = _draw_by_chains(density, condition, n, seed)
    rows = density.coordinates.restore(points)
    for index, value in condition.values.items():
        rows[:, index] = value
    return rows, diagnostics


def read_condition(density: Density, given: Mapping[str, Any]) -> Condition:
    """Check what is given and turn it into bounds."""
    columns = density.columns
    if not isinstance(given, Mapping) or not given:
        raise _problem("a dictionary {column: value or (low, high)}", repr(given)[:80])
    values: dict[int, float] = {}
    intervals: dict[int, tuple[float, float]] = {}
    for name, wanted in given.items():
        index = _index_of(columns, name)
        if isinstance(wanted, tuple | list):
            intervals[index] = _read_interval(density, index, wanted)
        else:
            values[index] = _read_value(density, index, wanted)
    row = np.full((1, len(columns.names)), np.nan)
    for index, value in values.items():
        row[0, index] = value
    low, high = (np.array(end) for end in density.coordinates.bounds(row))
    place = {column: j for j, column in enumerate(columns.modeled_index)}
    for index, ends in intervals.items():
        low[0, place[index]], high[0, place[index]] = ends
    return Condition(Bounds(low, high), row, values)


def _index_of(columns: Columns, name: Any) -> int:
    """Position of the modeled column that is meant; a duplicate means its source."""
    if name not in columns.names:
        raise _problem(f"columns among {list(columns.names)}", repr(name))
    index = columns.names.index(name)
    kind = columns.kinds[index]
    if kind == "duplicate":
        return int(columns.source[index])
    if kind in ("constant", "ignored"):
        raise _problem("columns that are modeled", f"{name!r}, which is {kind}")
    return index


def _read_number(columns: Columns, index: int, wanted: Any) -> float:
    """The cell as the table codes it, NaN where it is missing or unseen."""
    import pyarrow as pa

    field = columns.fields[index]
    try:
        cells = pa.table({field.name: [wanted]})
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise _problem(f"a cell for {field.name!r}", repr(wanted)[:80]) from error
    return float(as_table(cells, call=CALL, fields=(field,)).values[0, 0])


def _read_value(density: Density, index: int, wanted: Any) -> float:
    """The cell as the table codes it, after a check that a row may have it."""
    columns = density.columns
    field, value = columns.fields[index], _read_number(columns, index, wanted)
    if math.isnan(value):
        raise _problem(f"a value for {field.name!r}", f"{wanted!r}; leave open columns out")
    place = int(np.flatnonzero(columns.modeled_index == index)[0])
    part = density.coordinates.marginals.parts[place]
    if part.is_unseen(np.array([value]))[0]:
        codes = sorted(part.atoms.tolist())
        seen = [field.categories[int(code)] for code in codes] if field.categories else codes
        raise _problem(f"{field.name!r} among {seen}", repr(wanted))
    if columns.kinds[index] == "grid":
        off = (value - columns.offset[index]) / columns.step[index]
        if abs(off - round(off)) > 1e-3:
            lattice = f"{columns.offset[index]:g} + {columns.step[index]:g} times a whole number"
            raise _problem(f"{field.name!r} on its grid, {lattice}", repr(wanted))
    return value


def _read_interval(density: Density, index: int, wanted: Any) -> tuple[float, float]:
    """Bounds in u of a numeric column; of cells whose centers lie inside, where it has cells."""
    columns = density.columns
    field = columns.fields[index]
    if columns.levels[index] is not None:
        raise _problem(f"one category for {field.name!r}", repr(wanted))
    if len(wanted) != 2:
        raise _problem(f"an interval (low, high) for {field.name!r}", repr(wanted))
    low, high = (
        end if given is None or given == end else float(_read_number(columns, index, given))
        for given, end in zip(wanted, (-math.inf, math.inf), strict=True)
    )
    place = int(np.flatnonzero(columns.modeled_index == index)[0])
    found = density.coordinates.marginals.parts[place].interval(low, high)
    if not low < high or found is None:
        raise _problem(f"low < high for {field.name!r}, with values between", repr(wanted))
    return found


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
    words = f"Draws are NOT to be trusted: {'; '.join(concerns)}."
    diagnostics = ConditionalDiagnostics(
        method="importance resampling from the base given what is known",
        ess=ess,
        log_probability=_log_probability(density, condition, log_mass),
        trusted=not concerns,
        verdict=words if concerns else "Nothing speaks against the draws.",
    )
    order = np.random.default_rng(seed).permutation(len(points))[:n]
    return points[order], diagnostics


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
    points = np.where(bounds.is_open, np.asarray(drawn.samples, np.float64), bounds.low)
    diagnostics = ConditionalDiagnostics(
        method=f"chains given what is known ({drawn.diagnostics.way})",
        ess=drawn.diagnostics.ess,
        log_probability=_log_probability(
            density, condition, log_partition.value + float(given.log_scale)
        ),
        trusted=drawn.diagnostics.trusted and log_partition.trusted,
        verdict=f"{drawn.diagnostics.verdict} {log_partition.verdict}",
    )
    return points, diagnostics


def _log_probability(density: Density, condition: Condition, log_mass: float) -> float:
    """log p of what is given: slopes count for columns that are given by a value."""
    measure = float(density.coordinates.log_measure(condition.row)[0])
    return log_mass + measure - density.log_partition.value


def _problem(expected: str, got: str) -> InvalidInputError:
    return InvalidInputError(describe(CALL, expected=expected, got=got))
