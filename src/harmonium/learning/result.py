"""What comes back from `fit`, and the words of its verdict."""

import math
from dataclasses import dataclass
from typing import Any

from harmonium.likelihood import LogPartition
from harmonium.model import Harmonium

Record = dict[str, float | str]

MAX_DEAD_FRACTION = 0.5
MAX_DISAGREEMENT = 1.0


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


def judge(
    history: tuple[Record, ...], log_partition: LogPartition, running: float
) -> tuple[str, bool]:
    """The verdict of a fit in words, and whether its log-densities may be quoted.

    `running` is the log Z that the training chains gave for the same model; NaN if unknown.
    """
    chains = _chain_concerns(log_partition, running)
    events = [str(record["event"]) for record in history if record["event"]]
    notes = [f"{len(events)} repair(s) during training, the last: {events[-1]}"] if events else []
    sentences = [f"{text}." for text in (*chains, *_unit_concerns(history), *notes)]
    return " ".join([log_partition.verdict, *sentences]), log_partition.trusted and not chains


def _chain_concerns(log_partition: LogPartition, running: float) -> list[str]:
    difference = running - log_partition.value
    allowed = MAX_DISAGREEMENT + 3 * log_partition.standard_error
    if not math.isfinite(running) or abs(difference) <= allowed:
        return []
    return [
        f"The running log Z of the training chains differs from the final estimate by "
        f"{difference:+.2f} nats: the chains were not in equilibrium"
    ]


def _unit_concerns(history: tuple[Record, ...]) -> list[str]:
    dead = float(history[-1]["dead_hidden"])
    if not dead > MAX_DEAD_FRACTION:
        return []
    return [f"{dead:.0%} of the hidden units hardly react to any row; fewer units would do"]
