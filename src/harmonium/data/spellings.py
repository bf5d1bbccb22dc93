"""Numbers, dates and times of day as people write them: "$37,500.00", "12%", "31.12.2020", "14:30".

A column is of one spelling when all of its cells are; its field remembers it, so that later tables
are read alike. Cells spelled plainly ("37500", "2020-12-31") belong to every spelling.
"""

import datetime
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.compute as pc

# Signs of amounts. Those of one column are of one sign.
SIGNS = ("$", "€", "£", "¥", "%", "USD", "EUR", "GBP", "JPY", "CHF")
AMOUNT, CLOCK, DAY_FIRST, MONTH_FIRST = "amount", "clock", "day first", "month first"
AMOUNTS = (AMOUNT, *(f"{AMOUNT} {sign}" for sign in SIGNS))
# By the form of the column.
SPELLINGS = {"number": ("", *AMOUNTS, CLOCK), "datetime": ("", DAY_FIRST, MONTH_FIRST)}

# What Python reads as a number, apart from the words for infinity and NaN.
_NUMBER = r"^\s*[+-]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][+-]?\d+)?\s*$"
_SIGN = "|".join(map(re.escape, SIGNS))
# Groups of three digits may be parted by commas, apostrophes or spaces that do not break.
_DIGITS = r"\d{1,3}(?:[,'\x{a0}\x{202f}]\d{3})+|\d+"
_AMOUNT = rf"^\s*\(?\s*[+-]?\s*({_SIGN})?\s*[+-]?(({_DIGITS})(\.\d+)?|\.\d+)\s*({_SIGN})?\s*\)?\s*$"
_CLOCK = r"^\s*\d{1,2}:[0-5]\d(:[0-5]\d(\.\d+)?)?\s*([aApP]\.?[mM]\.?)?\s*$"
# Looser than what is read in the end.
_DATE = (
    r"^\s*([A-Za-z]{3,9}\.?\s+)?\d{1,4}[-/. ,a-z]+[A-Za-z\d]{1,9}([-/. ,]+\d{2,4})?"
    r"([T ,]+\d.*)?\s*$"
)
_TIME = (
    r"(?:[T ,]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?P<rest>\.\d+)?)?"
    r"\s*(?P<half>[aApP][mM])?\s*(?P<zone>Z|[+-]\d{2}:?\d{2})?)?\s*"
)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH_NAMES = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_PLAIN_DATES = [
    re.compile(pattern + _TIME)
    for pattern in (
        r"\s*(?P<year>\d{4})(?P<_>[-/.])(?P<month>\d{1,2})(?P=_)(?P<day>\d{1,2})",
        r"\s*(?P<day>\d{1,2})\.\s?(?P<month>\d{1,2})\.\s?(?P<year>\d{4})",
        r"\s*(?P<day>\d{1,2})\.?[ -]\s?(?P<name>[A-Za-z]{3,9})\.?,?[ -](?P<year>\d{4})",
        r"\s*(?P<name>[A-Za-z]{3,9})\.?[ -](?P<day>\d{1,2})(?:st|nd|rd|th)?,?[ -](?P<year>\d{4})",
    )
]
_PARTED = r"\s*(?P<{}>\d{{1,2}})(?P<_>[-/])(?P<{}>\d{{1,2}})(?P=_)(?P<year>\d{{4}}|\d{{2}})"
_ORDERS = {
    DAY_FIRST: re.compile(_PARTED.format("day", "month") + _TIME),
    MONTH_FIRST: re.compile(_PARTED.format("month", "day") + _TIME),
}


def read_spelled(texts: Any, form: str, spelling: str = "") -> np.ndarray:
    """Numbers, or seconds since 1970-01-01 UTC, that an Arrow array of text spells; NaN for others.

    `form` is "number" or "datetime", and `spelling` one of its `SPELLINGS`. Percentages are their
    number before the sign; times of day are minutes since midnight.
    """
    if form == "datetime":
        return _read_dates(texts, spelling)
    numbers = read_numbers(texts)
    if spelling == CLOCK:
        return _filled(numbers, texts, _CLOCK, _minutes)
    if spelling:
        sign = spelling.removeprefix(AMOUNT).strip()
        return _filled(numbers, texts, _AMOUNT, lambda text: _amount(text, sign))
    return numbers


def read_numbers(texts: Any) -> np.ndarray:
    """Finite numbers that an Arrow array of text spells plainly, float64; NaN for other text."""
    numbers = _filled(np.full(len(texts), np.nan), texts, _NUMBER, float)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def sign_of(text: str) -> str:
    """The sign of an amount; empty if it has none."""
    return next((sign for sign in SIGNS if sign in text), "")


def looks_spelled(texts: Any) -> dict[str, np.ndarray]:
    """Which of the texts may be amounts, times of day and dates, by the name of each."""
    patterns = {AMOUNT: _AMOUNT, CLOCK: _CLOCK, "date": _DATE}
    return {name: _matches(texts, pattern) for name, pattern in patterns.items()}


def _filled(
    numbers: np.ndarray, texts: Any, pattern: str, read: Callable[[str], float]
) -> np.ndarray:
    """The numbers, with those that are missing read from the texts that match."""
    flags = _matches(texts, pattern) & np.isnan(numbers)
    places = np.flatnonzero(flags)
    numbers[places] = [_read(read, text) for text in texts.take(places).to_pylist()]
    return numbers


def _matches(texts: Any, pattern: str) -> np.ndarray:
    options = pc.MatchSubstringOptions(pattern)
    found = pc.call_function("match_substring_regex", [texts], options)
    return found.to_numpy(zero_copy_only=False).astype(bool)


def _read(reader: Callable[[str], float], text: str) -> float:
    try:
        return reader(text)
    except (ValueError, OverflowError):
        return float("nan")


def _amount(text: str, sign: str) -> float:
    """An amount of this sign or of none; brackets around it stand for a minus."""
    if sign_of(text) not in ("", sign):
        raise ValueError(f"{text} is not in {sign}")
    opened, closed = "(" in text, ")" in text
    if opened != closed:
        raise ValueError(f"{text} lacks a bracket")
    digits = re.sub(r"[^\d.+-]", "", re.sub(_SIGN, "", text))
    return -float(digits) if opened else float(digits)


def _minutes(text: str) -> float:
    """A time of day as minutes since midnight."""
    clock = re.sub(r"[^\d:.]", "", text.lower().rstrip(". apm"))
    hour, minute, *second = clock.split(":")
    hours = _hour(int(hour), text.lower().replace(".", "").strip()[-2:])
    found = hours * 60 + int(minute) + (float(second[0]) / 60 if second else 0.0)
    if found > 24 * 60:
        raise ValueError(f"{text} is no time of day")
    return found


def write_clock(minutes: np.ndarray) -> list[str | None]:
    """Minutes since midnight as times of day, "09:30" or "09:30:15.5"; None where they are NaN.

    Beyond the day they become its ends, 00:00 and 24:00.
    """
    return [None if np.isnan(own) else _written(own) for own in np.clip(minutes, 0, 24 * 60)]


def _written(minutes: float) -> str:
    minute, micros = divmod(round(minutes * 60_000_000), 60_000_000)
    text = f"{minute // 60:02d}:{minute % 60:02d}"
    return f"{text}:{micros / 1e6:09.6f}".rstrip("0").rstrip(".") if micros else text


def _hour(hour: int, half: str) -> int:
    """An hour of the day, of 24; `half` is am, pm or something else."""
    if half not in ("am", "pm"):
        return hour
    if not 1 <= hour <= 12:
        raise ValueError(f"{hour} {half} is no hour")
    return hour % 12 + (12 if half == "pm" else 0)


def _read_dates(texts: Any, order: str) -> np.ndarray:
    patterns = [*_PLAIN_DATES, *([_ORDERS[order]] if order else [])]
    cells = [text.strip() for text in texts.to_pylist()]
    return np.array([_read(lambda cell: _seconds(cell, patterns), cell) for cell in cells], float)


def _seconds(text: str, patterns: list[re.Pattern[str]]) -> float:
    """Seconds since 1970-01-01 UTC; a time without a zone is UTC."""
    if text.isdigit():
        # Python would read dates out of the digits of some numbers.
        raise ValueError(f"{text} is a number")
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        moment = _moment(text, patterns)
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    return zoned.timestamp()


def _moment(text: str, patterns: list[re.Pattern[str]]) -> datetime.datetime:
    found = next((match for pattern in patterns if (match := pattern.fullmatch(text))), None)
    if found is None:
        raise ValueError(f"{text} is no date")
    parts = found.groupdict()
    month = _month(parts["name"]) if "name" in parts else int(parts["month"])
    year = int(parts["year"])
    if len(parts["year"]) == 2:
        year += 2000 if year < 69 else 1900
    hour = _hour(int(parts["hour"] or 0), (parts["half"] or "").lower())
    second, rest = int(parts["second"] or 0), float(parts["rest"] or 0)
    zone = parts["zone"]
    offset = datetime.datetime.strptime(zone, "%z").tzinfo if zone else None
    day = datetime.datetime(year, month, int(parts["day"]), hour, int(parts["minute"] or 0), second)
    return day.replace(microsecond=round(rest * 10**6) % 10**6, tzinfo=offset)


def _month(name: str) -> int:
    lower = name.lower()
    if lower not in (*_MONTHS, *_MONTH_NAMES, "sept"):
        raise ValueError(f"{name} is no month")
    return _MONTHS.index(lower[:3]) + 1
