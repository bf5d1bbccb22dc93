"""Progress of a fit: each record of its history is shown, and goes to TensorBoard on request."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harmonium.errors import InvalidInputError
from harmonium.inference.progress import Display, Tell, training_shown
from harmonium.learning.result import Record


@contextmanager
def fit_reports(display: Display, output: Path, n_updates: int, *, logs: bool) -> Iterator[Tell]:
    """A context that gives a function to be called with each record of the history."""
    show = training_shown(display, n_updates)
    if not logs:
        yield show
        return
    with _tensorboard(output / "tensorboard") as write:

        def tell(record: Record) -> None:
            show(record)
            write(record)

        yield tell


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
