"""Ctrl-C during a fit: the first ends training with the model so far, the second ends the
process.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from harmonium.cli.options import INTERRUPTED
from harmonium.cli.runs import RunFolder
from harmonium.console import Console
from harmonium.learning.result import Record


class Interrupt:
    """Whether a user has asked for the end, and what is done about it; `hint` says what to do
    then.
    """

    def __init__(self, console: Console, folder: RunFolder, hint: str):
        self.requested = False
        self._training = False
        self._console = console
        self._folder, self._hint = folder, hint

    def also(self, report: Callable[[Record], None]) -> Callable[[Record], bool]:
        """A report that does the same and ends training once the user has asked for it."""

        def tell(record: Record) -> bool:
            self._training = True
            report(record)
            return self.requested

        return tell

    def handle(self, *_: object) -> None:
        """End soon if training is under way and this is the first time; otherwise end at once.

        Tearing down compiled code in flight can crash, so that no exception is raised.
        """
        if self._training and not self.requested:
            self.requested = True
            self._console.print(
                "\nstopping; log Z of the model so far is estimated, then it is written, which can "
                "take minutes "
                "(Ctrl-C again: end at once)"
            )
            return
        self._folder.abandon()
        left = f"; {self._hint}" if self._folder.path.exists() else "; nothing was written"
        self._console.show()
        self._console.print(f"\ninterrupted{left}")
        os._exit(INTERRUPTED)


@contextmanager
def ending_on_interrupt(console: Console, folder: RunFolder, hint: str) -> Iterator[Interrupt]:
    """A block in which Ctrl-C is seen to."""
    interrupt = Interrupt(console, folder, hint)
    previous = signal.signal(signal.SIGINT, interrupt.handle)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, previous)
