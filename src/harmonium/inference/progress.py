"""What people see of work that takes a while: phases, how far each has come, and what is known.

The library logs, to the logger "harmonium", the phases of its work (INFO), and how far each has
come (DEBUG). What it has found out on the way is a record with `is_result`; if that has scores of
held-out rows, in nats per row, they are `known`, by the names of simpler densities.
"""

import logging
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from harmonium.console import Console
from harmonium.learning.result import LOWEST_ACCEPTANCE, LOWEST_ESS, Record, Report

# Seconds between plain lines of one phase.
PAUSE = 10.0
LARGEST_R_HAT = 1.05

Tell = Callable[[Record], None]


class Display(ABC):
    """Where phases and their progress are shown; `known` are scores of simpler densities."""

    def __init__(self, console: Console):
        self.console = console
        self.known: dict[str, float] = {}

    @abstractmethod
    def begin(self, phase: str) -> None:
        """Another phase of the work."""

    @abstractmethod
    def note(self, *parts: str, done: float | None = None, total: float | None = None) -> None:
        """How far the phase has come, in words and, where it is known, as a share."""

    def learn(self, text: str, known: dict[str, float]) -> None:
        """A result on the way, in words and in scores."""
        self.known |= known
        self.console.print(text)


class PlainLines(Display):
    """A line for every phase, and one every few seconds for how far it has come."""

    def __init__(self, console: Console):
        super().__init__(console)
        self._due = time.monotonic() + PAUSE

    def begin(self, phase: str) -> None:
        """See `Display`."""
        self._due = time.monotonic() + PAUSE
        self.console.print(phase)

    def note(self, *parts: str, done: float | None = None, total: float | None = None) -> None:
        """See `Display`."""
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + PAUSE
            self.console.print(", ".join(parts))


@contextmanager
def listening(display: Display) -> Iterator[Display]:
    """A block in which a display shows all that the library logs of its work."""
    logger, handler = logging.getLogger("harmonium"), _Handler(display)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    # Other packages give the root a handler, which would show everything once more.
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    try:
        yield display
    finally:
        logger.setLevel(before[0])
        logger.propagate = before[1]
        logger.removeHandler(handler)


@contextmanager
def printing(*, verbose: bool) -> Iterator[Display | None]:
    """A block that prints its progress in lines on standard output if it is `verbose`."""
    if not verbose:
        yield None
        return
    with listening(PlainLines(Console(lambda: sys.stdout))) as display:
        yield display


class _Handler(logging.Handler):
    """Sends phases, notes and results to a display."""

    def __init__(self, display: Display):
        super().__init__()
        self._display = display

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if getattr(record, "is_result", False):
            self._display.learn(text, getattr(record, "known", {}))
        elif record.levelno >= logging.INFO:
            self._display.begin(text)
        else:
            self._display.note(text)


def training_shown(display: Display, n_updates: int) -> Tell:
    """A function that shows one record of the history of a fit after the other."""
    clock = _TimeLeft(n_updates)
    has_begun = False

    def tell(record: Record) -> None:
        nonlocal has_begun
        if not has_begun:
            display.begin("fitting")
            has_begun = True
        update = float(record["update"])
        parts = _in_words(record, n_updates, clock.after(record), display.known)
        display.note(*parts, done=update, total=n_updates)
        if record["event"]:
            display.console.print(f"update {update:.0f}: {record['event']}")

    return tell


def shown_too(display: Display | None, n_updates: int, report: Report | None) -> Report | None:
    """The report of a fit, which also shows each record on the display if there is one."""
    if display is None:
        return report
    show = training_shown(display, n_updates)

    def both(record: Record) -> bool | None:
        show(record)
        return None if report is None else report(record)

    return both


class _TimeLeft:
    """Seconds to the last update, by the speed since the first updates, which compiled."""

    def __init__(self, n_updates: int):
        self._n_updates = n_updates
        self._first: tuple[float, float] | None = None

    def after(self, record: Record) -> float | None:
        """None while nothing is known."""
        now, update = time.monotonic(), float(record["update"])
        if self._first is None or update <= self._first[1]:
            self._first = (now, update) if update > 0 else None
            return None
        started, begun = self._first
        return (now - started) / (update - begun) * (self._n_updates - update)


def _in_words(
    record: Record, n_updates: int, left: float | None, known: dict[str, float]
) -> tuple[str, str, str]:
    """Where training stands, how well beside simpler densities, and whether its chains keep up."""
    where = f"update {float(record['update']):.0f} of {n_updates}"
    if left is not None:
        where += f", {left:.0f} s left" if left < 120 else f", {left / 60:.0f} min left"
    score = f"held-out {float(record['validation_log_likelihood']):.2f} nats per row"
    if known:
        score += f" ({', '.join(f'{name} {value:.2f}' for name, value in known.items())})"
    # The first updates are compiled before they are made.
    chains = _so_far(record) if float(record["update"]) else "compiling"
    if "acceptance" in record:
        chains = f"acceptance {float(record['acceptance']):.2f}, {chains}"
    return where, score, chains


def _so_far(record: Record) -> str:
    """What the last evaluation says of the chains."""
    concerns = []
    if record["event"]:
        concerns.append("repaired just now")
    if float(record.get("acceptance", 1.0)) < LOWEST_ACCEPTANCE:
        concerns.append("chains hardly move")
    if float(record.get("ess", 1.0)) < LOWEST_ESS:
        concerns.append("chain weights are uneven")
    if float(record.get("r_hat", 1.0)) > LARGEST_R_HAT:
        concerns.append("chains disagree")
    return " and ".join(concerns) or "chains keep up"
