"""What comes back from `fit`, and the words of its verdict."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harmonium.cards import card, with_interval
from harmonium.likelihood import LogPartition
from harmonium.model import Harmonium
from harmonium.sampling import ChainDiagnostics

Record = dict[str, float | str]
# Told each record as it is made; training ends early where it returns True.
Report = Callable[[Record], bool | None]

MAX_DEAD_FRACTION = 0.5
LOWEST_ACCEPTANCE = 0.15
# Share of the chains that their weights leave effective; below one half they are resampled.
LOWEST_ESS = 0.1
SMALLEST_STEP = 1e-6
# Updates. Chains are persistent: what they remember of some updates ago does no harm.
SLOW_CHAINS = 50.0
BASE_KEPT = (
    "The base of the model was kept as it is, because no trained state that could be trusted "
    "scored the held-out rows better beyond chance"
)
START_KEPT = (
    "The model that training started from was kept, because no later state that could be "
    "trusted scored the held-out rows better"
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
    diagnostics: ChainDiagnostics | None
    """Chains of the returned model, parameters frozen: do starts from data, population and base
    agree?

    None where the base is returned, which needs no chains.
    """
    kept_update: int
    """The update after which the returned state stood; 0 is the start, or the Gaussian fit."""
    carry: Any
    """The state of the objective at the best evaluation, for example its chains."""
    energy_share: float = 1.0
    """The share of W and b of that evaluation that `model` has: held-out rows choose it where log Z
    rests on draws of the base, and 1 otherwise.
    """

    def _repr_html_(self) -> str:
        model, found = self.model, self.log_partition
        last = self.history[-1]["update"] if self.history else 0
        facts = {
            "model": f"{model.n_visible} visible, {model.n_hidden} hidden units, "
            f"{type(model.feature_map).__name__}, {type(model.base).__name__}",
            "updates": f"{last:.0f}, of which {self.kept_update} are in the kept state",
            "log Z": f"{with_interval(found.value, found.low, found.high)}, nats",
        }
        return card("FitResult", facts, verdict=self.verdict, trusted=self.trusted)


def judge(
    history: tuple[Record, ...],
    log_partition: LogPartition,
    diagnostics: ChainDiagnostics | None,
    *,
    kept_update: int,
    is_base: bool,
) -> str:
    """The verdict of a fit in words: what may be quoted, whether chains agree, what happened on the
    way.

    `kept_update` is the number of the state returned, 0 being the start, and `is_base` says
    whether that is the model without interaction. Without `diagnostics` nothing is said of chains.
    """
    concerns, equilibrium = [], []
    if diagnostics is not None:
        kept = _record_of(history, kept_update)
        concerns += _chain_concerns(kept, diagnostics) if kept_update > 0 else []
        concerns += _unit_concerns(kept) if kept_update > 0 else []
        equilibrium.append(diagnostics.describe())
        if log_partition.trusted and not diagnostics.agrees:
            equilibrium.append("log Z does not rest on these chains.")
    events = [str(record["event"]) for record in history if record["event"]]
    notes = [f"{len(events)} repair(s) in training; the last: {events[-1]}"] if events else []
    first = [f"{START_KEPT}."] if kept_update == 0 else []
    first = [f"{BASE_KEPT}."] if is_base else first
    remarks = [f"{text}." for text in concerns + notes]
    return " ".join([*first, log_partition.verdict, *equilibrium, *remarks])


def _record_of(history: tuple[Record, ...], update: int) -> Record:
    """The last healthy record of this update."""
    healthy = [record for record in history if record["update"] == update and not record["event"]]
    return healthy[-1]


def _chain_concerns(kept: Record, diagnostics: ChainDiagnostics) -> list[str]:
    acceptance = float(kept.get("acceptance", 1.0))
    concerns = []
    if acceptance < LOWEST_ACCEPTANCE or float(kept.get("step_size", 1.0)) < SMALLEST_STEP:
        concerns.append(
            f"The training chains hardly moved (acceptance {acceptance:.2f}, step size "
            f"{float(kept.get('step_size', math.nan)):.1g}): what was learned may be biased"
        )
    ess = float(kept.get("ess", 1.0))
    if ess < LOWEST_ESS:
        concerns.append(
            f"The weights of the training chains left {ess:.0%} of them effective: what was "
            "learned may be biased"
        )
    if not math.isfinite(float(kept["running_log_partition"])) and not diagnostics.agrees:
        concerns.append(
            "The training chains carry no weights, so the model may give separate modes wrong "
            "shares"
        )
    time = float(kept.get("autocorrelation_time", 1.0))
    if time > SLOW_CHAINS:
        concerns.append(
            f"The training chains are slow: they forget in {time:.0f} updates at least, measured "
            "by F"
        )
    return concerns


def _unit_concerns(kept: Record) -> list[str]:
    dead = float(kept["dead_hidden"])
    if not dead > MAX_DEAD_FRACTION:
        return []
    return [f"{dead:.0%} of the hidden units hardly react to any row; fewer units would do"]
