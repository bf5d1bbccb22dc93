"""Where a fit stands between two evaluations: all that training needs to go on from there."""

import math
from dataclasses import dataclass, replace

from harmonium.learning.result import Record
from harmonium.learning.trainer import State


@dataclass(frozen=True)
class FitProgress:
    """The latest healthy state, the best one so far, and what the loop remembers.

    `best_value` is the validation log-likelihood of `best`, nats per row; `since_best` counts
    evaluations since it; `trust_region_scale` scales the trust region and was halved by every
    fault; `history` holds one record per evaluation.
    """

    state: State
    best: State
    best_value: float
    since_best: int
    trust_region_scale: float
    history: tuple[Record, ...]

    @property
    def update(self) -> int:
        """Updates behind the latest state."""
        return int(self.state.update)

    @property
    def n_faults(self) -> int:
        """How many evaluations found a fault."""
        return sum(bool(record["event"]) for record in self.history)

    @property
    def seconds(self) -> float:
        """Time spent up to the last evaluation."""
        return float(self.history[-1]["seconds"])

    def highest(self, name: str) -> float:
        """The largest finite value of a quantity on the way to the latest state; -inf if there is
        none.
        """
        values = (float(record[name]) for record in self._on_the_way())
        return max((value for value in values if math.isfinite(value)), default=-math.inf)

    def _on_the_way(self) -> list[Record]:
        """The records of states that led to the latest one, without what was rolled back."""
        found, after = [], self.update + 1.0
        for record in reversed(self.history):
            if not record["event"] and float(record["update"]) < after:
                found.append(record)
                after = float(record["update"])
        return found

    def advanced(self, state: State, record: Record, *, may_be_best: bool = True) -> "FitProgress":
        """After a healthy evaluation of `state`, which `may_be_best` if its log Z is known well."""
        value = float(record["validation_log_likelihood"])
        history = (*self.history, record)
        # Without a running log Z the value is NaN; the latest state is the best one known.
        if value <= self.best_value or not may_be_best:
            return replace(self, state=state, since_best=self.since_best + 1, history=history)
        return replace(
            self, state=state, best=state, best_value=value, since_best=0, history=history
        )

    def returned(self, state: State, record: Record) -> "FitProgress":
        """After a fault: back to `state`, with half the trust region."""
        history = (*self.history, record)
        return replace(
            self, state=state, trust_region_scale=self.trust_region_scale / 2, history=history
        )
