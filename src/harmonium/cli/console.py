"""What is said to people beside the results: lines, and one that changes while work is done."""

import os
from collections.abc import Callable
from threading import RLock
from typing import TextIO

# Back to the beginning of the line, and remove what stands there.
ERASE = "\r\x1b[K"
# Of a terminal that does not say.
USUAL_WIDTH = 80
# Characters may be two columns wide: what they make too long is cut by the terminal.
UNWRAPPED = "\x1b[?7l{}\x1b[?7h"


class Console:
    """Lines for people; on a terminal there can be a live line below them, which changes.

    `stream` gives the stream at the time of writing, since standard error may be replaced.
    """

    def __init__(self, stream: Callable[[], TextIO]):
        self._stream = stream
        self._live = ""
        # A signal may be handled while its thread prints.
        self._lock = RLock()

    @property
    def is_terminal(self) -> bool:
        """Whether people see what is written, on a screen that can erase a line."""
        return self._stream().isatty() and os.environ.get("TERM") != "dumb"

    def print(self, text: str) -> None:
        """Write a line, above the live one if there is one."""
        with self._lock:
            self._write(f"{ERASE if self._live else ''}{text}\n{self._live}")

    def show(self, line: str) -> None:
        """Put a live line in the place of the one before; none if it is empty."""
        with self._lock:
            before = ERASE if self._live else ""
            self._live = UNWRAPPED.format(self._clipped(line)) if line else ""
            self._write(before + self._live)

    def _clipped(self, line: str) -> str:
        """As much of a line as the terminal is wide."""
        try:
            width = os.get_terminal_size(self._stream().fileno()).columns or USUAL_WIDTH
        except OSError:
            width = USUAL_WIDTH
        return line if len(line) < width else f"{line[: width - 2]}…"

    def _write(self, text: str) -> None:
        stream = self._stream()
        stream.write(text)
        stream.flush()
