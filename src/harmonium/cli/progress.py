"""What a command shows while it works: a live line on a terminal, plain lines otherwise.

The library logs, to the logger "harmonium", the phases of its work (INFO), and how far each has
come (DEBUG).
"""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

# Seconds between plain lines of one phase.
PAUSE = 10.0


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
    """One line on a terminal, which is gone at the end."""

    def __init__(self, console: Console, progress: Progress):
        super().__init__(console)
        self._progress = progress
        self._task = progress.add_task("", visible=False, note="")

    def begin(self, phase: str) -> None:
        """See `Display`. A new task, for the time of a phase is its own."""
        self._progress.remove_task(self._task)
        self._task = self._progress.add_task(phase, total=None, note="")

    def note(self, text: str, done: float | None = None, total: float | None = None) -> None:
        """See `Display`."""
        self._progress.update(self._task, total=total, completed=done, note=text)


class PlainLines(Display):
    """A line for every phase, and one every few seconds for how far it has come."""

    def __init__(self, console: Console):
        super().__init__(console)
        self._due = time.monotonic() + PAUSE

    def begin(self, phase: str) -> None:
        """See `Display`."""
        self._due = time.monotonic() + PAUSE
        self.console.print(phase, markup=False)

    def note(self, text: str, done: float | None = None, total: float | None = None) -> None:
        """See `Display`."""
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + PAUSE
            self.console.print(text, markup=False)


@contextmanager
def showing(console: Console) -> Iterator[Display]:
    """A block in which all that the library logs of its work is shown."""
    if not console.is_terminal:
        with _listening(PlainLines(console)) as display:
            yield display
        return
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        # Standard output may be a file, and is left alone.
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with progress, _listening(LiveLine(console, progress)) as display:
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
        if record.levelno >= logging.INFO:
            self._display.begin(text)
        else:
            self._display.note(text)
