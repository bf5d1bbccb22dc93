"""What a command shows while it works: a live block on a terminal, plain lines otherwise."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from harmonium.console import Console
from harmonium.inference.progress import Display, PlainLines, listening

REDRAWN_EVERY = 0.2
BAR_WIDTH = 20


class LiveBlock(Display):
    """Lines on a terminal that are gone at the end: phase, bar, seconds and what is noted of it."""

    def __init__(self, console: Console):
        super().__init__(console)
        self._phase, self._parts = "", ("",)
        self._share: float | None = None
        self._begun = time.monotonic()

    def begin(self, phase: str) -> None:
        """See `Display`."""
        self._phase, self._parts, self._share = phase, ("",), None
        self._begun = time.monotonic()
        self._draw()

    def note(self, *parts: str, done: float | None = None, total: float | None = None) -> None:
        """See `Display`."""
        self._parts = parts
        self._share = done / total if done is not None and total else None
        self._draw()

    def learn(self, text: str, known: dict[str, float]) -> None:
        """Scores are noted in the block; other results stay above it."""
        if known:
            self.known |= known
        else:
            super().learn(text, known)

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
            self.console.show()

    def _draw(self) -> None:
        if self._phase:
            minutes, seconds = divmod(int(time.monotonic() - self._begun), 60)
            first, *others = self._parts
            parts = [self._phase, *self._bar(), f"{minutes}:{seconds:02d}", first]
            lines = [" ".join(filter(None, parts)), *(f"  {other}" for other in others)]
            # A file may be named anything.
            self.console.show(
                *("".join(sign if sign.isprintable() else "?" for sign in line) for line in lines)
            )

    def _bar(self) -> list[str]:
        """Nothing where it is not known how much there is to do."""
        if self._share is None:
            return []
        n_done = round(BAR_WIDTH * min(self._share, 1.0))
        return ["━" * n_done + "╌" * (BAR_WIDTH - n_done)]


@contextmanager
def showing(console: Console) -> Iterator[Display]:
    """A block in which all that the library logs of its work is shown."""
    if not console.is_terminal:
        with listening(PlainLines(console)) as display:
            yield display
        return
    block = LiveBlock(console)
    with block.moving(), listening(block) as display:
        yield display
