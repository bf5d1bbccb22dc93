"""What a command shows while it works: a live line on a terminal, plain lines otherwise.

The library logs, to the logger "harmonium", the phases of its work (INFO), and how far each has
come (DEBUG). What it has found out on the way is a record with `is_result`, and stays.
"""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from harmonium.cli.console import Console

# Seconds between plain lines of one phase.
PAUSE = 10.0
REDRAWN_EVERY = 0.2
BAR_WIDTH = 20


class Display(ABC):
    """Where phases and their progress are shown."""

    def __init__(self, console: Console):
        self.console = console

    @abstractmethod
    def begin(self, phase: str) -> None:
        """Another phase of the work."""

    @abstractmethod
    def note(self, text: str, done: float | None = None, total: float | None = None) -> None:
        """How far the phase has come, in words and, where it is known, as a share."""


class LiveLine(Display):
    """One line on a terminal, which is gone at the end: phase, bar, seconds, and a note."""

    def __init__(self, console: Console):
        super().__init__(console)
        self._phase, self._note = "", ""
        self._share: float | None = None
        self._begun = time.monotonic()

    def begin(self, phase: str) -> None:
        """See `Display`."""
        self._phase, self._note, self._share = phase, "", None
        self._begun = time.monotonic()
        self._draw()

    def note(self, text: str, done: float | None = None, total: float | None = None) -> None:
        """See `Display`."""
        self._note = text
        self._share = done / total if done is not None and total else None
        self._draw()

    @contextmanager
    def moving(self) -> Iterator[None]:
        """A block in which the seconds pass while the work says nothing."""
        ended = Event()

        def move() -> None:
            while not ended.wait(REDRAWN_EVERY):
                self._draw()

        thread = Thread(target=move, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.console.show("")

    def _draw(self) -> None:
        if self._phase:
            minutes, seconds = divmod(int(time.monotonic() - self._begun), 60)
            parts = [self._phase, *self._bar(), f"{minutes}:{seconds:02d}", self._note]
            line = " ".join(filter(None, parts))
            # A file may be named anything.
            self.console.show("".join(sign if sign.isprintable() else "?" for sign in line))

    def _bar(self) -> list[str]:
        """Nothing where it is not known how much there is to do."""
        if self._share is None:
            return []
        n_done = round(BAR_WIDTH * min(self._share, 1.0))
        return ["━" * n_done + "╌" * (BAR_WIDTH - n_done)]


class PlainLines(Display):
    """A line for every phase, and one every few seconds for how far it has come."""

    def __init__(self, console: Console):
        super().__init__(console)
        self._due = time.monotonic() + PAUSE

    def begin(self, phase: str) -> None:
        """See `Display`."""
        self._due = time.monotonic() + PAUSE
        self.console.print(phase)

    def note(self, text: str, done: float | None = None, total: float | None = None) -> None:
        """See `Display`."""
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + PAUSE
            self.console.print(text)


@contextmanager
def showing(console: Console) -> Iterator[Display]:
    """A block in which all that the library logs of its work is shown."""
    if not console.is_terminal:
        with _listening(PlainLines(console)) as display:
            yield display
        return
    line = LiveLine(console)
    with line.moving(), _listening(line) as display:
        yield display


@contextmanager
def _listening(display: Display) -> Iterator[Display]:
    logger, handler = logging.getLogger("harmonium"), _Handler(display)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    # Other packages give the root a handler, which would tell everything once more.
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    try:
        yield display
    finally:
        logger.setLevel(before[0])
        logger.propagate = before[1]
        logger.removeHandler(handler)


class _Handler(logging.Handler):
    """Sends phases and notes to a display."""

    def __init__(self, display: Display):
        super().__init__()
        self._display = display

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if getattr(record, "is_result", False):
            self._display.console.print(text)
        elif record.levelno >= logging.INFO:
            self._display.begin(text)
        else:
            self._display.note(text)
