"""Progress of a fit: each record of its history in words, and in TensorBoard on request."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harmonium.cli.progress import Display
from harmonium.errors import InvalidInputError
from harmonium.learning.result import LOWEST_ACCEPTANCE, LOWEST_ESS, Record

Tell = Callable[[Record], None]

LARGEST_R_HAT = 1.05


@contextmanager
def fit_reports(display: Display, output: Path, n_updates: int, *, logs: bool) -> Iterator[Tell]:
    """A context that gives a function to be called with each record of the history."""
    show = _in_turn(display, n_updates)
    if not logs:
        yield show
        return
    with _tensorboard(output / "tensorboard") as write:

        def tell(record: Record) -> None:
            show(record)
            write(record)

        yield tell


def _in_turn(display: Display, n_updates: int) -> Tell:
    """Shows one record after the other."""
    clock = _TimeLeft(n_updates)
    has_begun = False

    def tell(record: Record) -> None:
        nonlocal has_begun
        if not has_begun:
            display.begin("fitting")
            has_begun = True
        update = float(record["update"])
        display.note(_in_words(record, n_updates, clock.after(record)), update, n_updates)
        if record["event"]:
            display.console.print(f"update {update:.0f}: {record['event']}")

    return tell


@contextmanager
def _tensorboard(folder: Path) -> Iterator[Tell]:
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise InvalidInputError(
            "--log-to tensorboard: the package tensorboardX is not installed. Try: pip install "
            "'harmonium[tensorboard]'."
        ) from error
    writer: Any = SummaryWriter(str(folder))

    def tell(record: Record) -> None:
        for name, value in record.items():
            if isinstance(value, float) and name != "update":
                writer.add_scalar(name, value, int(float(record["update"])))
        if record["event"]:
            writer.add_text("event", str(record["event"]), int(float(record["update"])))
        writer.flush()

    try:
        yield tell
    finally:
        writer.close()


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


def _in_words(record: Record, n_updates: int, left: float | None) -> str:
    """One line: where training stands, how well, and whether its chains keep up."""
    parts = [
        f"update {float(record['update']):.0f} of {n_updates}",
        f"held-out {float(record['validation_log_likelihood']):.2f} nats per row",
    ]
    if "acceptance" in record:
        parts.append(f"acceptance {float(record['acceptance']):.2f}")
    if left is not None:
        parts.append(f"{left:.0f} s left" if left < 120 else f"{left / 60:.0f} min left")
    # The first updates are compiled before they are made.
    parts.append(_so_far(record) if float(record["update"]) else "compiling")
    return ", ".join(parts)


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
