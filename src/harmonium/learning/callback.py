"""What a callback of `fit` is given: the whole state of a training at an evaluation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harmonium.learning.devices import gather
from harmonium.learning.fit_progress import FitProgress
from harmonium.learning.result import Record
from harmonium.learning.trainer import State, Trainer
from harmonium.model import Harmonium


@dataclass(frozen=True)
class TrainingState:
    """Where a training stands after an evaluation, for a callback to read; nothing in it changes.

    `trainer` has what stays the same (objective, optimizer, settings, rows), `course` what
    training goes on from: the latest healthy state, the best one and the history.
    """

    trainer: Trainer
    course: FitProgress

    @property
    def update(self) -> int:
        """Parameter updates behind the latest state; 0 at the first call."""
        return self.course.update

    @property
    def record(self) -> Record:
        """The figures of this evaluation, as in `FitResult.history` (nats per row, model units)."""
        return self.course.history[-1]

    @property
    def model(self) -> Harmonium:
        """The model with its latest parameters."""
        return self.trainer.combine(self.latest.parameters)

    @property
    def averaged_model(self) -> Harmonium:
        """The model with exponentially averaged parameters, which evaluations judge."""
        return self.trainer.combine(self.latest.averaged)

    @property
    def best_model(self) -> Harmonium:
        """The averaged model of the best evaluation so far by the running log Z."""
        return self.trainer.combine(gather(self.course.best).averaged)

    @property
    def carry(self) -> Any:
        """The state of the objective, for example its chains."""
        return self.latest.carry

    @property
    def optimizer_state(self) -> Any:
        """That of the Optax transformation."""
        return self.latest.optimizer_state

    @property
    def latest(self) -> State:
        """All that the next update needs, with the random key."""
        return gather(self.course.state)


# Training ends early where it returns True.
Callback = Callable[[TrainingState], bool | None]
