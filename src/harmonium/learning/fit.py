"""The only training loop."""

import math
import time
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from harmonium.errors import DivergedError, InvalidInputError, describe
from harmonium.learning.negatives import Metrics
from harmonium.learning.objectives import AbstractObjective, MaximumLikelihood
from harmonium.learning.result import FitResult, Record, judge
from harmonium.learning.rows import AbstractRows, CompleteRows
from harmonium.learning.selection import Candidates, choose
from harmonium.learning.trainer import Control, FitSettings, State, Trainer, default_optimizer
from harmonium.model import Harmonium
from harmonium.typing import HeldOutTable, RandomKey, TrainingTable

Report = Callable[[Record], None]

# How often chains from several starts are compared during training.
EVALUATIONS_PER_CHECK = 10
# Compiled code cannot be interrupted between evaluations.
MOST_UPDATES_PER_EVALUATION = 250
# Share of a time budget that is kept for the final estimate of log Z.
BUDGET_FOR_TRAINING = 0.85
# Nats below the best validation log-likelihood at which a lack of progress counts as overfitting.
OVERFITTED_BY = 1.0
# Nats by which the training log-likelihood may fall below its best before that is a fault.
LARGEST_FALL = 2.0


def fit(
    model: Harmonium,
    data: TrainingTable | AbstractRows,
    *,
    key: RandomKey,
    objective: AbstractObjective | None = None,
    optimizer: optax.GradientTransformation | None = None,
    n_updates: int = 4000,
    validation: HeldOutTable | AbstractRows | float = 0.1,
    time_budget: float | None = None,
    settings: FitSettings | None = None,
    report: Report | None = None,
) -> FitResult:
    """Train a model on rows in model units, shape (rows, visible), and estimate its log Z.

    `data` may be `IncompleteRows`, with `validation` rows of their own. `validation` is a table of rows held out from the gradient, or the share of `data` to hold
    out. The state with the best validation log-likelihood is kept. `time_budget` (seconds) is
    the time to aim for, training and final estimate together; compilation cannot be cut short. With it, results depend on the machine's speed.
    `report` receives each record of the history as it is made. Raises `InvalidInputError` for
    unusable data and `DivergedError` if training stays unstable after repeated repair.
    """
    started = time.monotonic()
    settings = FitSettings() if settings is None else settings
    _check_settings(n_updates, time_budget)
    key_split, key_init, key_loop, key_repair, key_final, key_check = jax.random.split(key, 6)
    training, held_out = _split(key_split, model, data, validation)
    trainer = Trainer(
        objective=MaximumLikelihood() if objective is None else objective,
        optimizer=default_optimizer() if optimizer is None else optimizer,
        settings=settings,
        training=training,
        held_out=held_out,
        static=eqx.filter(model, eqx.is_inexact_array, inverse=True),
        updates_per_evaluation=_updates_per_evaluation(n_updates, settings),
    )
    state = trainer.start(key_init, key_loop, model)
    deadline = None if time_budget is None else started + BUDGET_FOR_TRAINING * time_budget
    keys = (key_repair, key_check)
    candidates, history = _loop(trainer, state, n_updates, deadline, started, report, keys)
    late = time_budget is not None and time.monotonic() - started > time_budget
    chosen = choose(key_final, trainer, candidates, late=late)
    fitted, log_partition = trainer.combine(chosen.state.averaged), chosen.log_partition
    kept = int(chosen.state.update)
    diagnostics = trainer.check(jax.random.fold_in(key_check, 0), chosen.state)
    verdict = judge(
        history, log_partition, diagnostics, kept_update=kept, is_gaussian=chosen.is_gaussian
    )
    return FitResult(
        model=fitted,
        history=history,
        log_partition=log_partition,
        verdict=verdict,
        trusted=log_partition.trusted,
        diagnostics=diagnostics,
        kept_update=kept,
        carry=chosen.state.carry,
    )


def _updates_per_evaluation(n_updates: int, settings: FitSettings) -> int:
    """So many that there are `n_evaluations` of them, and no more than a time budget can bear."""
    return max(1, min(n_updates // settings.n_evaluations, MOST_UPDATES_PER_EVALUATION))


def _loop(
    trainer: Trainer,
    state: State,
    n_updates: int,
    deadline: float | None,
    started: float,
    report: Report | None,
    keys: tuple[RandomKey, RandomKey],
) -> tuple[Candidates, tuple[Record, ...]]:
    """Train until the updates, the time or the patience run out."""
    log = _Log(started, report)
    key_repair, key_check = keys
    start = best = state
    best_value, since_best = log.add(_floats(trainer.evaluate(state)), state), 0
    clock = _Clock(n_updates, deadline)
    caution, planned = 1.0, n_updates
    while int(state.update) + trainer.updates_per_evaluation <= planned:
        control = Control(jnp.asarray(float(planned)), jnp.asarray(caution))
        advanced, metrics = trainer.advance(state, control)
        measured = _floats({**metrics, **trainer.evaluate(advanced)})
        if len(log) % EVALUATIONS_PER_CHECK == 0:
            measured |= _check(jax.random.fold_in(key_check, len(log)), trainer, advanced)
        fault = find_fault(measured, log.highest("train_log_likelihood"), trainer.gap_limit)
        value = log.add(measured, advanced, fault)
        if fault:
            caution /= 2
            # A fresh key: the same noise could lead to the same fault.
            state = eqx.tree_at(lambda s: s.key, best, jax.random.fold_in(key_repair, len(log)))
            if log.n_faults > trainer.settings.max_rollbacks:
                _give_up_if_hopeless(best, fault)
                break
        else:
            state, since_best = advanced, since_best + 1
            # Without a running log Z the value is NaN; the latest state is the best one known.
            if not value <= best_value:
                best, best_value, since_best = state, value, 0
            if since_best >= trainer.settings.patience and value < best_value - OVERFITTED_BY:
                break
        planned = clock.plan(int(state.update), len(log))
    return Candidates(start, best, state), tuple(log.records)


class _Log:
    """The history while it grows."""

    def __init__(self, started: float, report: Report | None):
        self.records: list[Record] = []
        self._started = started
        self._report = report

    def __len__(self) -> int:
        return len(self.records)

    @property
    def n_faults(self) -> int:
        """How many evaluations found a fault."""
        return sum(bool(record["event"]) for record in self.records)

    def highest(self, name: str) -> float:
        """The largest finite value of a quantity so far; -inf if there is none."""
        values = (float(record[name]) for record in self.records)
        return max((value for value in values if math.isfinite(value)), default=-math.inf)

    def add(self, measured: dict[str, float], state: State, fault: str = "") -> float:
        """Record and report; returns the validation log-likelihood."""
        event = f"{fault}; returned to the best state and halved the trust region" if fault else ""
        record: Record = {
            **measured,
            "update": float(state.update),
            "seconds": time.monotonic() - self._started,
            "event": event,
        }
        self.records.append(record)
        if self._report is not None:
            self._report(record)
        return float(record["validation_log_likelihood"])


def find_fault(measured: dict[str, float], highest: float, gap_limit: float) -> str:
    """What is wrong with the last updates, in words; empty if nothing is.

    `highest` is the best training log-likelihood so far: likelihood training may stall, but where
    it falls far, mass has appeared that the chains of the gradient do not see. `gap_limit` bounds
    the energy gap; both in nats.
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
    """What chains of the averaged model say at this point, parameters frozen."""
    found = trainer.check(key, state)
    names = ("r_hat", "start_r_hat", "bulk_ess", "tail_ess")
    return {name: float(getattr(found, name)) for name in names}


def _give_up_if_hopeless(best: State, fault: str) -> None:
    """An error if nothing was learned before training became unstable."""
    if int(best.update) == 0:
        raise DivergedError(
            f"fit: training stayed unstable from its start; the last fault: {fault}. Try: a "
            "smaller learning rate, more steps_per_update, or look for columns with extreme values."
        )


def _floats(metrics: Metrics) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items()}


class _Clock:
    """How many updates fit before a deadline, judged by the speed since compilation was over."""

    def __init__(self, n_updates: int, deadline: float | None):
        self._n_updates = n_updates
        self._deadline = deadline
        self._first: tuple[float, int] | None = None
        self._per_evaluation = 1

    def plan(self, done: int, n_evaluations: int) -> int:
        """The number of updates to aim for, when `done` are done after `n_evaluations`.

        Speed is counted in evaluations, because a roll-back takes updates back, not time.
        """
        now = time.monotonic()
        if self._deadline is None:
            return self._n_updates
        if now >= self._deadline:
            return done
        if self._first is None:
            self._first = (now, n_evaluations)
            self._per_evaluation = max(done, 1)
            return self._n_updates
        start, before = self._first
        seconds = (now - start) / max(n_evaluations - before, 1)
        remaining = (self._deadline - now) / max(seconds, 1e-9)
        return min(self._n_updates, done + int(remaining * self._per_evaluation))


def _check_settings(n_updates: int, time_budget: float | None) -> None:
    if n_updates < 1 or (time_budget is not None and time_budget <= 0):
        raise InvalidInputError(
            describe(
                "fit(n_updates=..., time_budget=...)",
                expected="at least one update and a positive number of seconds, or None",
                got=f"n_updates={n_updates}, time_budget={time_budget}",
            )
        )


def _split(
    key: RandomKey,
    model: Harmonium,
    data: TrainingTable | AbstractRows,
    validation: HeldOutTable | AbstractRows | float,
) -> tuple[AbstractRows, AbstractRows]:
    if not isinstance(validation, int | float):
        return _as_source(model, "data", data), _as_source(model, "validation", validation)
    if isinstance(data, AbstractRows):
        raise InvalidInputError(
            describe(
                "fit(data=..., validation=...)",
                expected="held-out rows of their own beside incomplete rows",
                got=f"validation={validation}",
            )
        )
    data = as_rows(model, "data", data)
    n_held_out = round(validation * data.shape[0])
    if not 0 < n_held_out < data.shape[0]:
        raise InvalidInputError(
            describe(
                "fit(validation=...)",
                expected="rows to hold out, or a share that leaves rows on both sides",
                got=f"validation={validation} of {data.shape[0]} row(s)",
            )
        )
    order = jax.random.permutation(key, data.shape[0])
    return CompleteRows(data[order[n_held_out:]]), CompleteRows(data[order[:n_held_out]])


def _as_source(model: Harmonium, name: str, rows: HeldOutTable | AbstractRows) -> AbstractRows:
    if not isinstance(rows, AbstractRows):
        return CompleteRows(as_rows(model, name, rows))
    as_rows(model, name, rows.completed)
    return rows


def as_rows(model: Harmonium, name: str, table: TrainingTable) -> Array:
    """The table as rows that the model takes, or `InvalidInputError`."""
    rows = jnp.asarray(table, model.visible_bias.dtype)
    if rows.ndim != 2 or rows.shape[0] == 0 or rows.shape[1] != model.n_visible:
        raise InvalidInputError(
            describe(
                "fit(model, data)",
                expected=f"{name} of shape (rows, {model.n_visible})",
                got=f"shape {rows.shape}",
            )
        )
    if not bool(jnp.all(jnp.isfinite(rows))):
        row = int(jnp.argmin(jnp.all(jnp.isfinite(rows), axis=1)))
        raise InvalidInputError(
            describe("fit(model, data)", expected=f"finite {name}", got=f"NaN or inf in row {row}")
        )
    return rows
