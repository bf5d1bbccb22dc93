"""How the text of a table is written: separator, decimal sign, encoding, codes of missing cells.

What is not stated is found in the first lines. Where these leave a choice open, the table is
refused.
"""

import csv
import io
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harmonium.data.csv_bytes import beginning, find_encoding
from harmonium.data.problems import problem, shorten
from harmonium.errors import HarmoniumWarning, Message, about, message

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
# The names by which a separator that is hard to type can be stated.
_SPELLED = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "bar": "|"}
DECIMALS = (".", ",")
# Rows that are looked at.
_MOST_ROWS = 1000
_POINT = re.compile(r"\s*[+-]?(\d+|\d{1,3}(,\d{3})+)?\.\d+([eE][+-]?\d+)?\s*")
_COMMA = re.compile(r"\s*[+-]?(\d+|\d{1,3}(\.\d{3})+)?,\d+([eE][+-]?\d+)?\s*")
# Either 1234 or 1.234; one cell of another form in the table decides.
_THOUSANDS = re.compile(r"\s*[+-]?[1-9]\d{0,2}[.,]\d{3}\s*")
_STATE_SEPARATOR = Message('Dialect(separator=";")', "--sep ';'")
_STATE_DECIMAL = Message(
    'Dialect(decimal=",") or Dialect(decimal=".")', "--decimal ',' or --decimal '.'"
)
_STATE_BOTH = Message('Dialect(separator=";", decimal=",")', "--sep ';' --decimal ','")


@dataclass(frozen=True)
class Dialect:
    """How the text of a table is written; None for what the file itself has to tell.

    `separator` is one character, `decimal` a point or a comma, `encoding` a name that Python knows.
    `missing` are texts, as they stand in the file, of cells that are missing: "?" or "-999", beside
    empty cells and "NA", which are in any case. Raises `InvalidInputError` for others.
    """

    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    missing: tuple[str, ...] = ()

    def __post_init__(self):
        codes = (self.missing,) if isinstance(self.missing, str) else self.missing
        object.__setattr__(self, "missing", tuple(code.strip() for code in codes))
        if self.separator is not None:
            separator = _SPELLED.get(self.separator, self.separator)
            object.__setattr__(self, "separator", separator)
            if len(separator) != 1 or not separator.isascii() or separator in '"\n\r\0':
                expected = "a separator of one ASCII character, or tab"
                raise problem(self._call("--sep"), expected, repr(separator))
        if self.decimal not in (None, *DECIMALS):
            expected = f"a decimal sign among {DECIMALS}"
            raise problem(self._call("--decimal"), expected, repr(self.decimal))
        if self.decimal is not None and self.decimal == self.separator:
            expected = "a decimal sign that separates no cells"
            raise problem(self._call("--decimal"), expected, repr(self.decimal))
        if self.encoding is not None and not _is_encoding(self.encoding):
            expected = "an encoding, such as utf-8 or latin-1"
            raise problem(self._call("--encoding"), expected, repr(self.encoding))

    def _call(self, option: str) -> Message:
        """The call that states it, or the option of the part that is wrong."""
        return Message(f"Dialect({self.separator!r}, {self.decimal!r}, {self.encoding!r})", option)


@dataclass(frozen=True)
class Known:
    """A dialect of which nothing is open."""

    separator: str
    decimal: str
    encoding: str
    missing: tuple[str, ...] = ()

    def describe(self, stated: Dialect) -> str:
        """What was found and is not usual, in words; empty if there is nothing to say."""
        parts = []
        if stated.separator is None and self.separator != ",":
            parts.append(f"cells are separated by {SEPARATORS[self.separator]}")
        if stated.decimal is None and self.decimal != ".":
            parts.append("numbers have decimal commas")
        if stated.encoding is None and not self.encoding.startswith("utf-8"):
            parts.append(f"the encoding is {self.encoding}")
        return " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)


def find_dialect(path: Path, stated: Dialect, call: str) -> Known:
    """The dialect of a file, as stated or else by its first lines.

    Warns (`HarmoniumWarning`) where it is not the usual one and was not stated. Raises
    `InvalidInputError` where the lines allow for more than one.
    """
    encoding = stated.encoding or find_encoding(path, call)
    rows = _Lines(beginning(path, encoding, call), path.suffix.lower() == ".tsv")
    separator = stated.separator or rows.separator(stated.decimal, call)
    decimal = stated.decimal or rows.decimal(separator, call)
    if separator == decimal:
        hint = message("state both, such as {}", _STATE_BOTH)
        raise problem(call, "cells and decimals with different signs", f"{decimal!r} twice", hint)
    known = Known(separator, decimal, encoding, stated.missing)
    if words := known.describe(stated):
        warnings.warn(about(call, message("{}.", words)), HarmoniumWarning, stacklevel=2)
    return known


class _Lines:
    """The first lines of a file, cut at one separator or another."""

    def __init__(self, text: str, is_tsv: bool):
        self._text, self._is_tsv = text, is_tsv
        first = next((line for line in text.splitlines() if line.strip()), "")
        self._candidates = [s for s in SEPARATORS if len(_cut(first, s, 1)[0]) > 1]
        self._first = first

    def separator(self, decimal: str | None, call: str) -> str:
        """The separator whose rows are of one length, or else the only one of the first line."""
        candidates = [s for s in self._candidates if s != decimal]
        if self._is_tsv and (not candidates or "\t" in candidates):
            return "\t"
        if len(candidates) < 2:
            return candidates[0] if candidates else ";" if decimal == "," else ","
        even = [s for s in candidates if len({len(row) for row in self._rows(s)}) == 1]
        if len(even) > 1:
            # Cells that a wrong separator has joined are no numbers.
            counts = {s: sum(map(_is_number, self._cells(s))) for s in even}
            even = [s for s in even if counts[s] == max(counts.values())]
        if not even:  # a ragged file, whose first row of another length is named when it is read
            return max(candidates, key=lambda s: len(_cut(self._first, s, 1)[0]))
        if len(even) == 1:
            return even[0]
        found = " or ".join(SEPARATORS[s] for s in candidates)
        got = f"{found} in the first line {shorten(self._first)}"
        raise problem(call, "one sign between cells", got, _STATE_SEPARATOR)

    def decimal(self, separator: str, call: str) -> str:
        """A comma where numbers have one and none has a point."""
        if separator == ",":
            return "."
        cells = list(self._cells(separator))
        points = [cell for cell in cells if _POINT.fullmatch(cell)]
        commas = [cell for cell in cells if _COMMA.fullmatch(cell)]
        if not commas:
            return "."
        clear = [_without_thousands(cells) for cells in (points, commas)]
        if clear[1] and not clear[0]:
            return ","
        if clear[0] and not clear[1]:
            return "."
        shown = " and ".join(repr(cells[0].strip()) for cells in (points, commas) if cells)
        got = f"numbers such as {shown}, which may be read in two ways"
        raise problem(call, "one decimal sign", got, _STATE_DECIMAL)

    def _cells(self, separator: str) -> Iterable[str]:
        return (cell for row in self._rows(separator) for cell in row)

    def _rows(self, separator: str) -> list[list[str]]:
        return _cut(self._text, separator, _MOST_ROWS)


def _cut(text: str, separator: str, n: int) -> list[list[str]]:
    """The first `n` rows of a text that are not blank, as far as they can be read."""
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            if row:
                rows.append(row)
            if len(rows) == n:
                break
    except csv.Error:
        pass
    return rows or [[]]


def _is_number(cell: str) -> bool:
    return bool(_POINT.fullmatch(cell) or _COMMA.fullmatch(cell) or cell.strip().isdecimal())


def _without_thousands(cells: list[str]) -> list[str]:
    return [cell for cell in cells if not _THOUSANDS.fullmatch(cell)]


def _is_encoding(name: str) -> bool:
    try:
        return isinstance("a".encode(name), bytes)
    except (LookupError, UnicodeError):
        return False
