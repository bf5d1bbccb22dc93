"""What is said to people beside the results: lines, and a block that changes while work is done."""

import os
from collections.abc import Callable
from threading import RLock
from typing import TextIO

# Back to the beginning of the line, and remove all from there on.
ERASE = "\r\x1b[J"
# The same, some lines further up.
ERASE_ABOVE = "\r\x1b[{}A\x1b[J"
# Of a terminal that does not say.
USUAL_WIDTH = 80
# Characters may be two columns wide: what they make too long is cut by the terminal.
UNWRAPPED = "\x1b[?7l{}\x1b[?7h"


class Console:
    """Lines for people; on a terminal there can be a live block below them, which changes.

    `stream` gives the stream at the time of writing, since standard error may be replaced.
    """

    def __init__(self, stream: Callable[[], TextIO]):
        self._stream = stream
        self._live: tuple[str, ...] = ()
        # A signal may be handled while its thread prints.
        self._lock = RLock()

    @property
    def is_terminal(self) -> bool:
        """Whether people see what is written, on a screen that can erase a line."""
        return self._stream().isatty() and os.environ.get("TERM") != "dumb"

    def print(self, text: str) -> None:
        """Write a line, above the live block if there is one."""
        with self._lock:
            self._write(f"{self._erased()}{text}\n{self._drawn()}")

    def show(self, *lines: str) -> None:
        """Put a live block in the place of the one before; none without lines."""
        with self._lock:
            before = self._erased()
            self._live = tuple(map(self._clipped, lines))
            self._write(before + self._drawn())

    def _erased(self) -> str:
        """What removes the live block."""
        n_above = len(self._live) - 1
        return "" if n_above < 0 else ERASE_ABOVE.format(n_above) if n_above else ERASE

    def _drawn(self) -> str:
        return UNWRAPPED.format("\n".join(self._live)) if self._live else ""

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
