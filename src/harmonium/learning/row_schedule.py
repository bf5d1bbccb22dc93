"""Which rows are trained on when: always the same, or one pool of a long table after the other."""

from collections.abc import Callable
from typing import Any

import equinox as eqx

from harmonium.learning.devices import replicate
from harmonium.learning.fit_progress import FitProgress
from harmonium.learning.rows import AbstractRows, CompleteRows
from harmonium.learning.trainer import State, Trainer

Pools = Callable[[int], AbstractRows]

# Visits to a row with missing cells before others take its place: its cells move once at each.
INCOMPLETE_VISITS = 8


class RowSchedule:
    """The rows of the updates after each evaluation; a function of its number, so that a resumed
    fit gets the same.
    """

    def __init__(self, trainer: Trainer, pools: Pools | None):
        self._first = trainer.training
        self._pools = pools
        self._index, self._rows = 0, trainer.training
        visits = 1 if isinstance(self._first, CompleteRows) else INCOMPLETE_VISITS
        drawn = trainer.updates_per_evaluation * trainer.settings.batch_size
        # Evaluations for which a pool serves.
        self._period = max(1, round(visits * int(self._first.n_rows) / drawn))

    def prepare(self, course: FitProgress) -> tuple[State, AbstractRows]:
        """The state to go on from, and the rows to go on with."""
        if self._pools is None:
            return course.state, self._first
        number = len(course.history) - 1
        index = number // self._period
        if index != self._index:
            self._index, self._rows = index, replicate(self._pools(index)) if index else self._first
        # Filled cells belong to the rows that they were filled for; a state that was returned to
        # may be of others.
        if number % self._period == 0 or course.history[-1]["event"]:
            return _with_rows(course.state, self._rows.start()), self._rows
        return course.state, self._rows


def _with_rows(state: State, rows: Any) -> State:
    return eqx.tree_at(lambda s: s.rows, state, rows, is_leaf=lambda leaf: leaf is None)
