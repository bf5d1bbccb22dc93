"""Progress of a fit: a bar on a terminal, nothing otherwise."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from harmonium.learning.result import Record


@contextmanager
def fit_progress(console: Console, n_updates: int) -> Iterator[Callable[[Record], None]]:
    """A context that gives a function to be called with each record of the history."""
    progress = Progress(
        TextColumn("fitting"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} updates"),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    with progress:
        task = progress.add_task("fit", total=n_updates, note="compiling")

        def report(record: Record) -> None:
            note = f"held-out {float(record['validation_log_likelihood']):.2f} nats per row"
            progress.update(task, completed=float(record["update"]), note=note)
            if record["event"]:
                console.print(f"update {float(record['update']):.0f}: {record['event']}")

        yield report
