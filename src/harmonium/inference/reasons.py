"""Reasons as data: cells by the names and labels of their columns, and a sentence for each."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmonium.data import Columns, Field, decode_columns
from harmonium.inference.views import Space

# Of the values that a cell has given the others: between these shares lies its likely range.
SHARES = (0.1, 0.9)
# Columns that a reason names beside its own, and how much less often than by chance (nats) their
# cells have to go together with it.
MOST_NAMED, LEAST_MISFIT = 2, 1.0
# Significant digits of numbers in words.
DIGITS, MOST_DIGITS = 6, 15

Cell = str | float | int | bool | None


@dataclass(frozen=True)
class Reason:
    """A cell that is likelier wrong than right, by the names and labels of its table.

    Numbers have the decimals of their column, dates are ISO text. `likely` is the likeliest value
    given the other cells, and four of five values lie from `low` to `high`, which are None for
    categories and where the cell itself lies between them. `drop` is by how many nats `likely` is
    likelier than `value`, and `contribution` is -log P(the cell is right). `unusual_for` are cells
    of other columns that rarely go together with this one, the rarest first. `is_unseen` says that
    training had no such category; its label is not known then.
    """

    column: str
    value: Cell
    likely: Cell
    low: Cell
    high: Cell
    drop: float
    contribution: float
    unusual_for: tuple[tuple[str, Cell], ...] = ()
    is_unseen: bool = False

    def describe(self) -> str:
        """The reason in a sentence without its full stop."""
        likely = f"likely {_word(self.likely)}"
        if self.low is not None and self.low != self.high:
            likely = f"likely {_range(self.low, self.high)}"
        if self.is_unseen:
            known = self.value is not None
            cell = _named(self.column, self.value) if known else f"the {_word(self.column)}"
            return f"{cell} is a category that no training row has; {likely}"
        known = f" for {cells_in_words(self.unusual_for)}" if self.unusual_for else ""
        return f"{_named(self.column, self.value)} is unusual{known}; {likely}"


def cells_in_words(cells: tuple[tuple[str, Cell], ...]) -> str:
    """Cells with their columns: "size 3.1 and region = north"."""
    return " and ".join(_named(*cell) for cell in cells)


def _named(column: str, value: Cell) -> str:
    """A cell with its column: "size 3.1", "region = north"."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{_word(column)}{' ' if is_number else ' = '}{_word(value)}"


def _word(value: Cell) -> str:
    """A cell in words, without signs that would steer a terminal."""
    text = _number(value) if isinstance(value, float) else str(value)
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _range(low: Cell, high: Cell) -> str:
    """A range, with two digits of its width: its ends are not known any better."""
    if isinstance(low, float) and isinstance(high, float):
        decimals = 1 - math.floor(math.log10(high - low))
        low, high = round(low, decimals), round(high, decimals)
    return f"{_word(low)} to {_word(high)}"


def _number(value: float) -> str:
    """A number with some digits, among them two after the point."""
    n_whole = math.floor(math.log10(abs(value))) + 1 if value else 0
    return f"{value:.{min(max(DIGITS, n_whole + 2), MOST_DIGITS)}g}"


def find_reasons(
    spaces: tuple[Space, ...],
    values: np.ndarray,
    whole: np.ndarray,
    likely: np.ndarray,
    doubtful: np.ndarray,
    drops: np.ndarray,
    contributions: np.ndarray,
) -> tuple[tuple[Reason, ...], ...]:
    """The reasons of every row, those of the largest contributions first.

    `values`, and `whole` with missing cells filled, are rows (rows, columns); `likely`, `drops` and
    `contributions` are of every cell, and `doubtful` says which are reasons.
    """
    columns = spaces[0].scale.marginals.columns
    rows, places = np.nonzero(doubtful)
    cells, likely_cells = cells_of(values, columns), cells_of(likely, columns)
    ends = _likely_ranges(spaces, whole, likely, rows, places)
    lows, highs = (_scattered(end, values.shape, rows, places) for end in ends.T)
    low_cells, high_cells = cells_of(lows, columns), cells_of(highs, columns)
    partners = _partners(spaces, values, whole, rows, places)
    found: list[list[Reason]] = [[] for _ in values]
    order = np.argsort(-contributions[rows, places], kind="stable")
    for i, j, named in ((rows[at], places[at], partners[at]) for at in order):
        reason = Reason(
            column=columns.names[j],
            value=cells[i][j],
            likely=likely_cells[i][j],
            low=low_cells[i][j],
            high=high_cells[i][j],
            drop=float(drops[i, j]),
            contribution=float(contributions[i, j]),
            unusual_for=tuple((columns.names[k], cells[i][k]) for k in named),
            is_unseen=cells[i][j] is None,
        )
        found[i].append(reason)
    return tuple(map(tuple, found))


def cells_of(values: np.ndarray, columns: Columns) -> list[list[Cell]]:
    """Cells (rows, columns) by the labels of their columns; None where there is none."""
    decoded = decode_columns(_rounded(values, columns), columns.fields)
    plain = [
        [_plain(cell, field, n) for cell in part.to_pylist()]
        for part, field, n in zip(
            decoded.values(), columns.fields, columns.decimals.tolist(), strict=True
        )
    ]
    return [list(row) for row in zip(*plain, strict=True)]


def _rounded(values: np.ndarray, columns: Columns) -> np.ndarray:
    """Values with the decimals of their columns."""
    rounded = np.array(values)
    for j in np.flatnonzero(columns.decimals >= 0):
        rounded[:, j] = np.round(values[:, j], columns.decimals[j])
    return rounded


def _plain(cell: Any, field: Field, decimals: int) -> Cell:
    """A cell as a plain value: dates as ISO text, no NaN, no more decimals than its column has."""
    if hasattr(cell, "isoformat"):
        return cell.isoformat()
    if isinstance(cell, float):
        if not np.isfinite(cell):
            return None
        return cell if decimals < 0 else round(cell, decimals)
    return cell


def _scattered(
    cells: np.ndarray, shape: tuple[int, ...], rows: np.ndarray, places: np.ndarray
) -> np.ndarray:
    """Cells at their places in a table that is empty elsewhere."""
    table = np.full(shape, np.nan)
    table[rows, places] = cells
    return table


def _modeled_places(columns: Columns, places: np.ndarray) -> np.ndarray:
    """Positions of columns among those that are modeled; -1 for others."""
    position = np.full(len(columns.names), -1)
    position[columns.modeled_index] = np.arange(columns.n_modeled)
    return position[places]


def _likely_ranges(
    spaces: tuple[Space, ...],
    whole: np.ndarray,
    likely: np.ndarray,
    rows: np.ndarray,
    places: np.ndarray,
) -> np.ndarray:
    """The likely range of every cell (cells, 2), NaN where there is none; the mean of those of the
    spaces, wide enough for the likeliest value.
    """
    columns = spaces[0].scale.marginals.columns
    ends, at = np.full((len(rows), 2), np.nan), _modeled_places(columns, places)
    is_ordered = np.array([kind in ("continuous", "grid") for kind in columns.kinds])
    is_known = ~np.isnan(spaces[0].scale.marginals.centers(whole))
    asked = np.flatnonzero(is_ordered[places] & (at >= 0))
    asked = asked[is_known[rows[asked], at[asked]]]
    if not len(asked):
        return ends
    found = [space.likely_range(whole[rows[asked]], at[asked], SHARES) for space in spaces]
    low, high = np.mean(found, axis=0).T
    best, own = likely[rows[asked], places[asked]], whole[rows[asked], places[asked]]
    low, high = np.minimum(low, best), np.maximum(high, best)
    step, offset = columns.step[places[asked]], columns.offset[places[asked]]
    on_grid, size = step > 0, np.where(step > 0, step, 1.0)
    low = np.where(on_grid, offset + np.floor((low - offset) / size + 1e-9) * size, low)
    high = np.where(on_grid, offset + np.ceil((high - offset) / size - 1e-9) * size, high)
    outside = (own < low) | (own > high)
    ends[asked] = np.where(outside[:, None], np.stack([low, high], axis=1), np.nan)
    return ends


def _partners(
    spaces: tuple[Space, ...],
    values: np.ndarray,
    whole: np.ndarray,
    rows: np.ndarray,
    places: np.ndarray,
) -> list[list[int]]:
    """Of every cell, the columns whose cells rarely go together with it, at most `MOST_NAMED`."""
    columns = spaces[0].scale.marginals.columns
    named: list[list[int]] = [[] for _ in rows]
    at = _modeled_places(columns, places)
    asked = np.flatnonzero(at >= 0)
    if not len(asked):
        return named
    fits = np.mean([s.fits(whole[rows[asked]], at[asked]) for s in spaces], axis=0)
    missing = np.isnan(spaces[0].scale.marginals.centers(values))[rows[asked]]
    fits = np.where(missing, np.inf, fits)
    for number, own in zip(asked, fits, strict=True):
        worst = np.argsort(own, kind="stable")[:MOST_NAMED]
        named[number] = [int(columns.modeled_index[k]) for k in worst if own[k] < -LEAST_MISFIT]
    return named
