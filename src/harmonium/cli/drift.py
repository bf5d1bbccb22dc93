"""Taking up the streams of `harmonium monitor`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harmonium.artifact import (
    StoredImages,
    fingerprint_model,
    load_artifact,
    load_monitoring,
    save_monitoring,
)
from harmonium.cli.options import DETECTOR_FILE, MODEL_FILE, find_model
from harmonium.cli.streaming import read_rows
from harmonium.data import read_table
from harmonium.errors import InvalidInputError
from harmonium.inference import (
    DriftFindings,
    Ever,
    Monitoring,
    Restarting,
    Watched,
    find_drift,
)

ALPHA = 0.01


@dataclass(frozen=True)
class Begin:
    """What is said when a state is begun; None where nothing is."""

    reference: Path | None
    alpha: float | None
    run_length: float | None
    seed: int | None

    def check(self, state: Path) -> None:
        """Raise if something is said of a state that was begun before."""
        for name, value in vars(self).items():
            if value is not None:
                option = f"--{name.replace('_', '-')}"
                raise InvalidInputError(
                    f"{option} is settled when a state is begun, and {state} was begun before. "
                    f"Try: without {option}, or another --state."
                )


@dataclass(frozen=True, eq=False)
class OpenedMonitor:
    """A monitor before the rows of a call, and the fingerprint of its model."""

    monitoring: Monitoring
    fingerprint: str

    def save(self, path: Path, monitoring: Monitoring) -> None:
        """Write the state after the rows of the call."""
        save_monitoring(path, monitoring, self.fingerprint)


def open_monitor(model: Path, state: Path, begin: Begin) -> OpenedMonitor:
    """The monitor of a state file, or a new one where there is none; a run is watched with its
    detector, or with its density where it has none.
    """
    if state.exists():
        begin.check(state)
    elif begin.alpha is not None and begin.run_length is not None:
        raise InvalidInputError(
            "--alpha, --run-length: expected one of them, the two are different guarantees. "
            "Try: without --alpha."
        )
    stored = load_artifact(_find_watching(model))
    if isinstance(stored, StoredImages):
        raise InvalidInputError(f"harmonium monitor: {model} holds images; expected a table's run.")
    watched, fingerprint = Watched.of(stored[0]), fingerprint_model(stored)
    if state.exists():
        return OpenedMonitor(load_monitoring(state, watched, fingerprint), fingerprint)
    rows = None
    if begin.reference is not None:
        fields = watched.marginals.columns.fields
        call = f"--reference {begin.reference}"
        rows = read_table(begin.reference, fields=fields, call=call).values
    if begin.run_length is None:
        rule = Ever(ALPHA if begin.alpha is None else begin.alpha)
    else:
        rule = Restarting(begin.run_length)
    begun = Monitoring.begin(watched, rule, reference=rows, seed=begin.seed or 0)
    return OpenedMonitor(begun, fingerprint)


def _find_watching(model: Path) -> Path:
    """The detector of a run, its density if it has none, or a file that is one itself."""
    beside = (model if model.is_dir() else model.parent) / DETECTOR_FILE
    is_run = model.is_dir() or model.name == MODEL_FILE
    return beside if is_run and beside.is_file() else find_model(model)


def take_streams(
    opened: OpenedMonitor, streams: Sequence[Path]
) -> tuple[Monitoring, DriftFindings]:
    """The monitor after the rows of all tables, one after the other, and what it found."""
    monitoring = opened.monitoring
    fields = monitoring.watched.marginals.columns.fields
    for path in streams:
        for table, _ in read_rows(path, fields, "watching"):
            monitoring = monitoring.updated(table.values)
    return monitoring, find_drift(monitoring, after=opened.monitoring.n_rows)
