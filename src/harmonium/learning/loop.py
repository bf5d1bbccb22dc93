"""The only training loop."""

import math
import time
from dataclasses import dataclass
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from harmonium.errors import DivergedError
from harmonium.learning.callback import Callback, TrainingState
from harmonium.learning.checkpoints import Checkpoints
from harmonium.learning.devices import broadcast, gather, on_devices
from harmonium.learning.fit_progress import FitProgress
from harmonium.learning.negatives import Metrics
from harmonium.learning.result import Record
from harmonium.learning.row_schedule import Pools, RowSchedule
from harmonium.learning.rows import AbstractRows
from harmonium.learning.selection import FEWEST_EFFECTIVE
from harmonium.learning.trainer import Control, State, Trainer
from harmonium.typing import RandomKey

# By updates, patience or faults; by the callback; by the time budget.
Ending = Literal["own", "asked", "late"]

# How often chains from several starts are compared during training: so seldom, in updates, that it
# takes a small part of the time, also where a training is short.
EVALUATIONS_PER_CHECK = 10
UPDATES_PER_CHECK = 500
# Share of a time budget that is kept for the final estimate of log Z.
BUDGET_FOR_TRAINING = 0.85
# Updates without a better evaluation before patience ends a training: evaluations of short ones lie
# too close together.
LEAST_PATIENCE = 100
# A column of rows in model units is at most so far from 0, or so wide.
FAR_OFF = 10.0
# Nats by which the training log-likelihood may fall below its best before that is a fault.
LARGEST_FALL = 2.0


@dataclass(frozen=True)
class Loop:
    """What a run of the loop is given beside the trainer: how far to go, whom to tell, where to
    save.

    `time_budget` and the seconds of the history count from the start of the fit, also over
    interruptions. Training ends early where `callback` returns True. `pools(k)`, k = 1, 2, …, are
    rows to train on in place of those of the trainer, which stay the ones that progress is judged
    by; each serves for some visits per row.
    """

    trainer: Trainer
    n_updates: int
    key_repair: RandomKey
    key_check: RandomKey
    time_budget: float | None = None
    callback: Callback | None = None
    checkpoints: Checkpoints | None = None
    pools: Pools | None = None

    def run(
        self, start: State, course: FitProgress | None, started: float
    ) -> tuple[FitProgress, Ending]:
        """Train from `course`, or from the start, until the updates, the time or the patience run
        out; also returns what it was that ended it.
        """
        started -= 0.0 if course is None else course.seconds
        course = self._first(start, started) if course is None else course
        per_evaluation = self.trainer.updates_per_evaluation
        clock = _Clock(self.n_updates, self._deadline(started), per_evaluation)
        planned = broadcast(course.update if clock.is_late else self.n_updates)
        supply, asked_to_stop = RowSchedule(self.trainer, self.pools), False
        while not asked_to_stop and not self.is_over(course, planned):
            course = self._step(course, supply, planned, started)
            if self.checkpoints is not None:
                self.checkpoints.save_if_due(course)
            # Times and interrupts differ between processes, which must do the same.
            asked_to_stop, planned = broadcast(
                (self._tell(course), clock.plan(course.update, len(course.history)))
            )
        if self.checkpoints is not None:
            self.checkpoints.save(course)
        if asked_to_stop:
            return course, "asked"
        return course, "own" if self.is_over(course, self.n_updates) else "late"

    def _first(self, start: State, started: float) -> FitProgress:
        """The course before any update, with the evaluation of the start."""
        with on_devices():
            measured = as_numbers(self.trainer.evaluate(start))
        course = self.first(start, measured, started)
        self._tell(course)
        return course

    def first(self, start: State, measured: dict[str, float], started: float) -> FitProgress:
        """The course that begins with a state as it was measured."""
        record = _record(measured, start, started)
        value = float(record["validation_log_likelihood"])
        return FitProgress(start, start, value, 0, 1.0, (record,))

    def is_over(self, course: FitProgress, planned: int) -> bool:
        """Whether there is nothing left to do, from the course alone, so that a resumed run decides
        alike.
        """
        settings = self.trainer.settings
        if course.update + self.trainer.updates_per_evaluation > planned:
            return True
        if course.history[-1]["event"]:
            return course.n_faults > settings.max_rollbacks
        since_best = course.since_best * self.trainer.updates_per_evaluation
        return course.since_best >= settings.patience and since_best >= LEAST_PATIENCE

    def _step(
        self, course: FitProgress, supply: RowSchedule, planned: int, started: float
    ) -> FitProgress:
        """The updates up to the next evaluation, judged."""
        trainer = self.trainer
        state, rows = supply.prepare(course)
        with on_devices():
            state, metrics = trainer.advance(state, rows, self.control(course, planned))
            measured = broadcast(as_numbers({**metrics, **trainer.evaluate(state)}))
        return self.judge(course, state, measured, started)

    def control(self, course: FitProgress, planned: int) -> Control:
        """What the next updates are told of the course."""
        return Control(jnp.asarray(float(planned)), jnp.asarray(course.trust_region_scale))

    def judge(
        self, course: FitProgress, state: State, measured: dict[str, float], started: float
    ) -> FitProgress:
        """The course after updates that led to `state`, which was measured: on, or back to the best
        state.
        """
        trainer, number = self.trainer, len(course.history)
        if number % self._evaluations_per_check == 0:
            key = jax.random.fold_in(self.key_check, number)
            measured |= _check(key, *gather((trainer, state)))
        # Without enough weighted draws, log-likelihoods of these mean nothing, nor does their fall.
        is_known = not (trainer.rests_on_weights and measured["running_ess"] < FEWEST_EFFECTIVE)
        highest = course.highest("train_log_likelihood") if is_known else -math.inf
        fault = find_fault(measured, highest, trainer.gap_limit)
        record = _record(measured, state, started, fault)
        if not fault:
            return course.advanced(state, record, may_be_best=is_known)
        # A fresh key: the same noise could lead to the same fault.
        key = jax.random.fold_in(self.key_repair, number + 1)
        course = course.returned(eqx.tree_at(lambda s: s.key, course.best, key), record)
        if course.n_faults > trainer.settings.max_rollbacks:
            _give_up_if_hopeless(course.best, fault, trainer.training)
        return course

    @property
    def _evaluations_per_check(self) -> int:
        least = -(-UPDATES_PER_CHECK // self.trainer.updates_per_evaluation)
        return max(EVALUATIONS_PER_CHECK, least)

    def _tell(self, course: FitProgress) -> bool:
        """Call back; returns whether training should end."""
        state = TrainingState(self.trainer, course)
        return self.callback is not None and bool(self.callback(state))

    def _deadline(self, started: float) -> float | None:
        budget = self.time_budget
        return None if budget is None else started + BUDGET_FOR_TRAINING * budget


def _record(measured: dict[str, float], state: State, started: float, fault: str = "") -> Record:
    event = f"{fault}; returned to the best state and halved the trust region" if fault else ""
    return {
        **measured,
        "update": float(state.update),
        "seconds": time.monotonic() - started,
        "event": event,
    }


def find_fault(measured: dict[str, float], highest: float, gap_limit: float) -> str:
    """What is wrong with the last updates, in words; empty if nothing is.

    `highest` is the best training log-likelihood on the way: likelihood training may stall, but
    where it falls far, mass has appeared that the chains of the gradient do not see. `gap_limit`
    bounds the energy gap; both in nats.
    """
    watched = ("energy_gap", "acceptance", "ess", "log_partition", "trust_factor")
    broken = [name for name in watched if not math.isfinite(measured.get(name, 0.0))]
    if broken or not measured["finite"]:
        return f"non-finite {', '.join(broken) or 'parameters'}"
    gap = measured.get("energy_gap", 0.0)
    if abs(gap) > gap_limit:
        return f"the model outran its chains (energy gap {gap:.0f} nats)"
    fall = highest - measured["train_log_likelihood"]
    if fall > LARGEST_FALL:
        return f"the model outran its chains (training log-likelihood fell by {fall:.1f} nats)"
    return ""


def _check(key: RandomKey, trainer: Trainer, state: State) -> dict[str, float]:
    """What chains of the averaged model say at this point, parameters frozen; nothing if training
    has none.
    """
    found = trainer.check(key, state)
    if found is None:
        return {}
    names = ("r_hat", "start_r_hat", "bulk_ess", "tail_ess")
    return {name: float(getattr(found, name)) for name in names}


def _give_up_if_hopeless(best: State, fault: str, rows: AbstractRows) -> None:
    """An error if nothing was learned before training became unstable."""
    if int(best.update) == 0:
        raise DivergedError(
            f"fit: training stayed unstable from its start; the last fault: {fault}. "
            f"{_advice(np.asarray(rows.completed)[: int(rows.n_rows)])}"
        )


def _advice(rows: np.ndarray) -> str:
    """What to do about training rows (rows, visible) that no model learns."""
    centers, spreads = rows.mean(axis=0), rows.std(axis=0)
    off = np.maximum(np.abs(centers), spreads)
    column = int(off.argmax())
    if off[column] < FAR_OFF:
        return (
            "Try: a smaller learning rate, more steps_per_update, or look for columns with extreme "
            "values."
        )
    return (
        "The rows are not in model units, in which every column has about mean 0 and variance 1/2: "
        f"column {column} has mean {centers[column]:.3g} and standard deviation "
        f"{spreads[column]:.3g}. Try: (rows - mean) / (2**0.5 * standard deviation), or a "
        "DensityEstimator, which takes rows in data units."
    )


def as_numbers(metrics: Metrics) -> dict[str, float]:
    """Metrics as Python's numbers."""
    return {name: float(value) for name, value in metrics.items()}


class _Clock:
    """How many updates fit before a deadline, judged by the speed since compilation was over."""

    def __init__(self, n_updates: int, deadline: float | None, updates_per_evaluation: int):
        self._n_updates = n_updates
        self._deadline = deadline
        self._updates_per_evaluation = updates_per_evaluation
        self._first: tuple[float, int] | None = None

    @property
    def is_late(self) -> bool:
        """Whether the deadline is past."""
        return self._deadline is not None and time.monotonic() >= self._deadline

    def plan(self, done: int, n_evaluations: int) -> int:
        """The number of updates to aim for, when `done` are done after `n_evaluations`.

        Speed is counted in evaluations, because a roll-back takes updates back, not time.
        """
        now = time.monotonic()
        if self._deadline is None:
            return self._n_updates
        if self.is_late:
            return done
        if self._first is None:
            self._first = (now, n_evaluations)
            return self._n_updates
        start, before = self._first
        seconds = (now - start) / max(n_evaluations - before, 1)
        remaining = (self._deadline - now) / max(seconds, 1e-9)
        return min(self._n_updates, done + int(remaining * self._updates_per_evaluation))
