"""What is given of a row that is to be drawn: values, sets of values and intervals of columns.

Every combination of the values of sets is a condition of its own, a box in the coordinates u.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from harmonium.data import Bounds, Columns, as_table
from harmonium.data.cell_shapes import CellShape
from harmonium.data.marginal import Marginal
from harmonium.errors import InvalidInputError, Message, describe
from harmonium.inference.density import Density

CALL = Message("sample(n, given=...)", "--given")
BALANCE = Message("sample(n, balance=...)", "--balance")
# Combinations of the members of sets, of which each is drawn by itself.
MOST_COMBINATIONS = 256
# In steps; what is nearer to a cell of a lattice names that cell.
ON_LATTICE = 1e-3

Row = Float[np.ndarray, "one columns"]
Ends = tuple[float, float]


@dataclass(frozen=True)
class Span:
    """The cells between two ends, None where one is open; an excluded end is none of them."""

    low: Any = None
    high: Any = None
    excludes_low: bool = False
    excludes_high: bool = False

    def __str__(self) -> str:
        return f"({self.low!r}, {self.high!r})"


@dataclass(frozen=True)
class Condition:
    """What is given: bounds in u (1, modeled), the row with its values (1, columns), NaN elsewhere,
    and these by column.
    """

    bounds: Bounds
    row: Row
    values: dict[int, float]

    @property
    def has_only_values(self) -> bool:
        """Whether every cell is a point or open."""
        return bool(np.all(self.bounds.is_point | self.bounds.is_open))


def read_conditions(density: Density, given: Mapping[str, Any]) -> list[Condition]:
    """Check what is given, and turn every combination of it into bounds.

    Raises `InvalidInputError`, naming the column, for what no row can be.
    """
    if not isinstance(given, Mapping) or not given:
        expected = "a dictionary {column: value, (low, high) or set of categories}"
        raise _problem(expected, repr(given)[:80])
    choices: dict[int, list[float]] = {}
    intervals: dict[int, Ends] = {}
    for name, wanted in given.items():
        index = _index_of(density.columns, name, CALL)
        span = _as_span(density.columns, index, wanted)
        if span is None:
            choices[index] = _read_values(density, index, wanted)
        else:
            intervals[index] = _read_span(density, index, span)
    n_combinations = math.prod(len(values) for values in choices.values())
    if n_combinations > MOST_COMBINATIONS:
        expected = f"sets of at most {MOST_COMBINATIONS} combinations"
        raise _problem(expected, f"{n_combinations} combinations")
    return [
        _condition(density, dict(zip(choices, values, strict=True)), intervals)
        for values in product(*choices.values())
    ]


def read_balanced(
    density: Density, given: Mapping[str, Any] | None, balance: str
) -> list[list[Condition]]:
    """The conditions of every category that training saw in the column `balance`, with what else is
    given.
    """
    columns, others = density.columns, dict(given or {})
    index = _index_of(columns, balance, BALANCE)
    if index in [_index_of(columns, name, CALL) for name in others]:
        got = f"{balance!r}, which is also given"
        raise InvalidInputError(describe(BALANCE, expected="a column that is open", got=got))
    part = _marginal(density, index)
    if part.body is not None:
        got = f"{balance!r}, whose numbers have a density"
        expected = "a column of categories or few numbers"
        raise InvalidInputError(describe(BALANCE, expected=expected, got=got))
    rest = read_conditions(density, others) if others else [_condition(density, {}, {})]
    return [
        [_with_value(density, own, index, value) for own in rest] for value in sorted(part.atoms)
    ]


def stacked(conditions: Sequence[Condition]) -> tuple[Bounds, Float[np.ndarray, "rows columns"]]:
    """The bounds and rows of conditions, each a row of its own."""
    low, high = (np.concatenate([own.bounds[end] for own in conditions]) for end in (0, 1))
    return Bounds(low, high), np.concatenate([own.row for own in conditions])


def _condition(
    density: Density, values: Mapping[int, float], intervals: Mapping[int, Ends]
) -> Condition:
    row = np.full((1, len(density.columns.names)), np.nan)
    for index, value in values.items():
        row[0, index] = value
    low, high = (np.array(end) for end in density.coordinates.bounds(row))
    for index, ends in intervals.items():
        place = _place(density, index)
        low[0, place], high[0, place] = ends
    return Condition(Bounds(low, high), row, dict(values))


def _with_value(density: Density, condition: Condition, index: int, value: float) -> Condition:
    """The condition with one more value."""
    own = _condition(density, {index: value}, {})
    place = _place(density, index)
    low, high = (np.array(end) for end in condition.bounds)
    low[0, place], high[0, place] = (end[0, place] for end in own.bounds)
    row = np.where(np.isnan(own.row), condition.row, own.row)
    return Condition(Bounds(low, high), row, condition.values | own.values)


def _index_of(columns: Columns, name: Any, call: str) -> int:
    """Position of the modeled column that is meant; a duplicate means its source."""
    if name not in columns.names:
        expected = f"columns among {list(columns.names)}"
        raise InvalidInputError(describe(call, expected=expected, got=repr(name)))
    index = columns.names.index(name)
    kind = columns.kinds[index]
    if kind == "duplicate":
        return int(columns.source[index])
    if kind in ("constant", "ignored"):
        expected, got = "columns that are modeled", f"{name!r}, which is {kind}"
        raise InvalidInputError(describe(call, expected=expected, got=got))
    return index


def _place(density: Density, index: int) -> int:
    """Position of a column of the table among the modeled ones."""
    return int(np.flatnonzero(density.columns.modeled_index == index)[0])


def _marginal(density: Density, index: int) -> Marginal:
    return density.coordinates.marginals.parts[_place(density, index)]


def _as_span(columns: Columns, index: int, wanted: Any) -> Span | None:
    """The interval that is meant; None if values are."""
    if isinstance(wanted, Span):
        return wanted
    if columns.levels[index] is not None or not isinstance(wanted, tuple | list):
        return None
    if len(wanted) != 2:
        name = columns.fields[index].name
        raise _problem(f"an interval (low, high) for {name!r}", repr(wanted))
    return Span(*wanted)


def _read_values(density: Density, index: int, wanted: Any) -> list[float]:
    """The cells of a value, or of each member of a set, as the table codes them."""
    if not isinstance(wanted, set | frozenset | tuple | list):
        return [_read_value(density, index, wanted)]
    if not wanted:
        name = density.columns.fields[index].name
        raise _problem(f"at least one value for {name!r}", repr(wanted))
    return sorted({_read_value(density, index, own) for own in wanted})


def _read_number(columns: Columns, index: int, wanted: Any) -> float:
    """The cell as the table codes it, NaN where it is missing or unseen."""
    field = columns.fields[index]
    try:
        cells = pa.table({field.name: [wanted]})
        return float(as_table(cells, call=CALL, fields=(field,)).values[0, 0])
    except (pa.ArrowInvalid, pa.ArrowTypeError, InvalidInputError) as error:
        what = {"text": "text", "datetime": "a date", "boolean": "a truth value"}
        expected = f"{what.get(field.form, 'a number')} for {field.name!r}"
        raise _problem(expected, repr(wanted)[:80]) from error


def _read_value(density: Density, index: int, wanted: Any) -> float:
    """The cell as the table codes it, after a check that a row may have it."""
    columns = density.columns
    field, value = columns.fields[index], _read_number(columns, index, wanted)
    if math.isnan(value):
        raise _problem(f"a value for {field.name!r}", f"{wanted!r}; leave open columns out")
    part = _marginal(density, index)
    if part.is_unseen(np.array([value]))[0]:
        codes = sorted(part.atoms.tolist())
        seen = [field.categories[int(code)] for code in codes] if field.categories else codes
        raise _problem(f"{field.name!r} among {seen}", repr(wanted))
    if columns.kinds[index] == "grid":
        off = (value - columns.offset[index]) / columns.step[index]
        if abs(off - round(off)) > ON_LATTICE:
            lattice = f"{columns.offset[index]:g} + {columns.step[index]:g} times a whole number"
            raise _problem(f"{field.name!r} on its grid, {lattice}", repr(wanted))
    return value


def _read_span(density: Density, index: int, span: Span) -> Ends:
    """Bounds in u of a numeric column; of cells whose centers lie inside, where it has cells."""
    columns = density.columns
    name = columns.fields[index].name
    if columns.levels[index] is not None:
        raise _problem(f"categories for {name!r}", f"an interval, {span}")
    low, high = (
        end if given is None or given == end else _read_number(columns, index, given)
        for given, end in ((span.low, -math.inf), (span.high, math.inf))
    )
    part = _marginal(density, index)
    low = _moved(part.shape, low, 1, span.excludes_low)
    high = _moved(part.shape, high, -1, span.excludes_high)
    found = part.interval(low, high)
    if not low < high or found is None:
        raise _problem(f"low < high for {name!r}, with values between", str(span))
    return found


def _moved(shape: CellShape, end: float, inward: int, is_excluded: bool) -> float:
    """The end of an interval, moved off the cell that it names: inward where that is excluded."""
    if shape.step > 0 and math.isfinite(end):
        steps = (end - shape.offset) / shape.step
        if abs(steps - round(steps)) < ON_LATTICE:
            half = 0.5 * inward if is_excluded else -0.5 * inward
            return shape.offset + shape.step * (round(steps) + half)
    return float(np.nextafter(end, inward * math.inf)) if is_excluded else end


def _problem(expected: str, got: str) -> InvalidInputError:
    return InvalidInputError(describe(CALL, expected=expected, got=got))
