"""What comes back from `fit`, and the words of its verdict."""

from dataclasses import dataclass
from typing import Any

from harmonium.likelihood import LogPartition
from harmonium.model import Harmonium

Record = dict[str, float | str]

MAX_DEAD_FRACTION = 0.5
UNTRAINED = (
    "The starting model was kept, because no trained state that could be trusted scored the "
    "held-out rows better"
)


@dataclass(frozen=True)
class FitResult:
    """A trained model with its history and how far it may be trusted.

    `model` holds the averaged parameters of the best evaluation; `history` is one record per
    evaluation (log-likelihoods in nats per row, model units); `verdict` says in words whether
    log-densities may be quoted, `trusted` says it to programs.
    """

    model: Harmonium
    history: tuple[Record, ...]
    log_partition: LogPartition
    verdict: str
    trusted: bool
    carry: Any
    """The state of the objective at the best evaluation, for example its chains."""


def judge(history: tuple[Record, ...], log_partition: LogPartition, *, untrained: bool) -> str:
    """The verdict of a fit in words: what may be quoted, and what happened on the way.

    `untrained` says that the start was kept because nothing beat it.
    """
    start = [UNTRAINED] if untrained else []
    events = [str(record["event"]) for record in history if record["event"]]
    notes = [f"{len(events)} repair(s) in training; the last: {events[-1]}"] if events else []
    sentences = [f"{text}." for text in (*start, *_unit_concerns(history), *notes)]
    return " ".join([log_partition.verdict, *sentences])


def _unit_concerns(history: tuple[Record, ...]) -> list[str]:
    dead = float(history[-1]["dead_hidden"])
    if not dead > MAX_DEAD_FRACTION:
        return []
    return [f"{dead:.0%} of the hidden units hardly react to any row; fewer units would do"]
