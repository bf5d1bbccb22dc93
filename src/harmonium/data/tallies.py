"""What the cells of a column of text are, counted over as many parts of the column as there are."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from harmonium.data.problems import shorten
from harmonium.data.spellings import (
    AMOUNT,
    CLOCK,
    DAY_FIRST,
    MONTH_FIRST,
    looks_spelled,
    read_numbers,
    read_spelled,
    sign_of,
)

# Text of which at least this share are numbers is taken for damaged numbers, not for categories.
NUMERIC_SHARE = 0.5
NUMBER = "number"
# Amounts with points as decimal signs in a table that has commas.
_POINTS = "points"
_WORDS = {AMOUNT: "amounts", CLOCK: "times of day", DAY_FIRST: "dates", MONTH_FIRST: "dates"}


class Reading(NamedTuple):
    """What text stands for: the form of its column, and the spelling of its cells."""

    form: str
    spelling: str = ""


class Tally:
    """How many cells are plain numbers, amounts, times of day, and dates of either order.

    `n_cells` counts the cells that are not missing. `odd` has, for each of these, the first text
    that is none, and the number of its row.
    """

    def __init__(self):
        self.n_cells = 0
        self.odd: dict[str, tuple[str, int]] = {}
        self._hits: dict[str, int] = dict.fromkeys(
            (NUMBER, AMOUNT, CLOCK, DAY_FIRST, MONTH_FIRST, _POINTS), 0
        )
        self._signs: set[str] = set()
        # Dates that are others in the other order: one that is possible in both, one in one alone.
        self._unclear = self._clear = ""

    @property
    def number_share(self) -> float:
        """The share of plain numbers among the cells; 0 if there are none."""
        return self._hits[NUMBER] / max(self.n_cells, 1)

    def add_numbers(self, n: int) -> None:
        """Count `n` cells that are known to be plain numbers."""
        self._add(n, NUMBER, AMOUNT)
        self._signs |= {""} if n else set()

    def add_dates(self, n: int) -> None:
        """Count `n` cells that are known to be dates in ISO format."""
        self._add(n, DAY_FIRST, MONTH_FIRST)

    def see(self, texts: Any, codes: np.ndarray, rows: Sequence[int], numerals: Any = None) -> None:
        """Count the cells of which each is the text at its code, -1 where it is missing.

        `rows` are the numbers of their rows. `numerals` are the texts with points as decimal signs,
        where the table has others.
        """
        codes = np.asarray(codes)
        counts = np.bincount(codes[codes >= 0], minlength=len(texts))
        self.n_cells += int(counts.sum())
        for name, flags in self._read(texts, texts if numerals is None else numerals).items():
            self._hits[name] += int(counts @ flags)
            if name not in self.odd and not flags.all():
                places = np.flatnonzero((codes >= 0) & ~flags[codes])
                if len(places):
                    text = texts[int(codes[places[0]])].as_py()
                    self.odd[name] = (text, rows[int(places[0])])

    def reading(self) -> Reading | None:
        """What all cells are; None if they are no more than text."""
        whole = [name for name, hits in self._hits.items() if hits == self.n_cells > 0]
        if NUMBER in whole:
            return Reading("number")
        if AMOUNT in whole and self._has_one_sign:
            sign = "".join(self._signs - {""})
            return Reading("number", f"{AMOUNT} {sign}".strip())
        if CLOCK in whole:
            return Reading("number", CLOCK)
        orders = [name for name in (MONTH_FIRST, DAY_FIRST) if name in whole]
        if not orders:
            return None
        return Reading("datetime", orders[0] if self._unclear or self._clear else "")

    @property
    def is_guessed(self) -> bool:
        """Whether dates could be of either order, and none of the cells decides."""
        return bool(self._unclear) and not self._clear

    def doubt(self) -> str:
        """Why a column is only text although most of its cells are more; empty if they are not."""
        names = (AMOUNT, CLOCK, DAY_FIRST, MONTH_FIRST, _POINTS)
        name = max(names, key=lambda own: self._hits[own])
        if self._hits[name] < max(NUMERIC_SHARE * self.n_cells, 1):
            return ""
        if name == _POINTS:
            return "its amounts have decimal points, other columns decimal commas"
        if name in self.odd:
            text, row = self.odd[name]
            return f"not all of it is {_WORDS[name]}: {shorten(text)} in data row {row}"
        signs = ", ".join(repr(sign) if sign else "none" for sign in sorted(self._signs))
        return f"its amounts have different signs: {signs}"

    @property
    def _has_one_sign(self) -> bool:
        return len(self._signs - {""}) <= 1 and not {"%", ""} <= self._signs

    def _add(self, n: int, *names: str) -> None:
        self.n_cells += n
        for name in names:
            self._hits[name] += n

    def _read(self, texts: Any, numerals: Any) -> dict[str, np.ndarray]:
        """Which texts are of each kind that the column may be of as a whole."""
        looks = looks_spelled(texts)
        amounts = looks_spelled(numerals)[AMOUNT]
        is_other = looks[AMOUNT] & ~amounts
        found = {NUMBER: ~np.isnan(read_numbers(numerals)), CLOCK: np.zeros(len(texts), bool)}
        found[AMOUNT] = self._amounts(numerals, amounts | found[NUMBER])
        found[CLOCK] = _where(texts, looks[CLOCK], Reading("number", CLOCK))
        orders = [_dates(texts, looks["date"], order) for order in (DAY_FIRST, MONTH_FIRST)]
        found[DAY_FIRST], found[MONTH_FIRST] = (~np.isnan(seconds) for seconds in orders)
        found[_POINTS] = is_other
        self._compare(texts, *orders)
        return found

    def _amounts(self, texts: Any, looks: np.ndarray) -> np.ndarray:
        """Which of the texts are amounts of any sign."""
        signs = {sign_of(text) for text in texts.filter(looks).to_pylist()}
        self._signs |= signs
        found = np.zeros(len(texts), bool)
        for sign in signs:
            found |= _where(texts, looks, Reading("number", f"{AMOUNT} {sign}".strip()))
        return found

    def _compare(self, texts: Any, day_first: np.ndarray, month_first: np.ndarray) -> None:
        """Remember dates that only the order decides, and dates that decide the order."""
        one = np.isnan(day_first) != np.isnan(month_first)
        differ = (day_first != month_first) & ~np.isnan(day_first) & ~np.isnan(month_first)
        if one.any() and not self._clear:
            self._clear = texts[int(np.flatnonzero(one)[0])].as_py()
        if differ.any() and not self._unclear:
            self._unclear = texts[int(np.flatnonzero(differ)[0])].as_py()


def _where(texts: Any, looks: np.ndarray, reading: Reading) -> np.ndarray:
    """Which of the texts that look like it can be read so."""
    found = np.zeros(len(texts), bool)
    places = np.flatnonzero(looks)
    found[places] = ~np.isnan(read_spelled(texts.take(places), *reading))
    return found


def _dates(texts: Any, looks: np.ndarray, order: str) -> np.ndarray:
    seconds = np.full(len(texts), np.nan)
    places = np.flatnonzero(looks)
    seconds[places] = read_spelled(texts.take(places), "datetime", order)
    return seconds
