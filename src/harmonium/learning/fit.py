"""The only training loop."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from harmonium.errors import DivergedError, InvalidInputError, describe
from harmonium.learning.negatives import Metrics
from harmonium.learning.objectives import AbstractObjective, MaximumLikelihood, energy_gap
from harmonium.learning.result import FitResult, Record, judge
from harmonium.learning.trust_region import limit_update
from harmonium.likelihood import LogPartition, estimate_log_partition
from harmonium.likelihood.estimate import exact_result
from harmonium.model import Harmonium, base_log_partition
from harmonium.typing import (
    HeldOut,
    HeldOutTable,
    RandomKey,
    Scalar,
    Table,
    Training,
)

Report = Callable[[Record], None]

# Share of a time budget that is kept for the final estimate of log Z.
BUDGET_FOR_TRAINING = 0.85
MAX_EVALUATION_ROWS = 4096
# Nats below the best validation log-likelihood at which a lack of progress counts as overfitting.
OVERFITTED_BY = 1.0


@dataclass(frozen=True)
class FitSettings:
    """How updates are made. The defaults are the ones measured in the benchmarks.

    batch_size: data rows per update. trust_radius: largest standard deviation of the change of F
    over the chains, in nats. averaging: decay of the exponential average of the parameters that is
    returned. n_evaluations: how often progress is judged. patience: evaluations without a better
    validation log-likelihood after which an overfitted model stops training. max_rollbacks: returns to the best state before
    the fit is given up.
    """

    batch_size: int = 512
    trust_radius: float = 0.1
    averaging: float = 0.995
    n_evaluations: int = 40
    patience: int = 20
    max_rollbacks: int = 5


class _State(eqx.Module):
    """All that the next update needs."""

    parameters: Harmonium
    averaged: Harmonium
    optimizer_state: Any
    carry: Any
    key: RandomKey
    update: Scalar


class _Control(NamedTuple):
    """What may change between evaluations without compiling again."""

    n_updates: Scalar
    caution: Scalar


@lru_cache
def default_optimizer(learning_rate: float = 1e-3) -> optax.GradientTransformation:
    """AdamW with the gradient norm clipped at 1; `fit` multiplies its updates by a cosine decay.

    The same object for the same rate, so that a second fit need not compile again.
    """
    adamw = optax.adamw(learning_rate, weight_decay=1e-4)
    return optax.chain(optax.clip_by_global_norm(1.0), adamw)


def fit(
    model: Harmonium,
    data: Table,
    *,
    key: RandomKey,
    objective: AbstractObjective | None = None,
    optimizer: optax.GradientTransformation | None = None,
    n_updates: int = 4000,
    validation: HeldOutTable | float = 0.1,
    time_budget: float | None = None,
    settings: FitSettings | None = None,
    report: Report | None = None,
) -> FitResult:
    """Train a model on rows in model units, shape (rows, visible), and estimate its log Z.

    `validation` is a table of rows held out from the gradient, or the share of `data` to hold
    out. The state with the best validation log-likelihood is kept. `time_budget` (seconds) bounds
    training and the final estimate together; with it, results depend on the machine's speed.
    `report` receives each record of the history as it is made. Raises `InvalidInputError` for
    unusable data and `DivergedError` if training stays unstable after repeated repair.
    """
    started = time.monotonic()
    settings = FitSettings() if settings is None else settings
    _check_settings(n_updates, time_budget)
    key_split, key_init, key_loop, key_final = jax.random.split(key, 4)
    training, held_out = _split(key_split, model, data, validation)
    trainer = _Trainer(
        objective=MaximumLikelihood() if objective is None else objective,
        optimizer=default_optimizer() if optimizer is None else optimizer,
        settings=settings,
        training=training,
        held_out=held_out,
        static=eqx.filter(model, eqx.is_inexact_array, inverse=True),
        updates_per_evaluation=max(1, -(-n_updates // settings.n_evaluations)),
    )
    state = trainer.start(key_init, key_loop, model)
    deadline = None if time_budget is None else started + BUDGET_FOR_TRAINING * time_budget
    candidates, history = _loop(trainer, state, n_updates, deadline, started, report)
    chosen = _choose(key_final, trainer, candidates)
    verdict, trusted = judge(history, chosen.log_partition, chosen.running)
    fitted = trainer.combine(chosen.state.averaged)
    return FitResult(fitted, history, chosen.log_partition, verdict, trusted, chosen.state.carry)


class _Trainer(eqx.Module):
    """Everything that stays the same during a fit, and the compiled functions over it."""

    objective: AbstractObjective
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    settings: FitSettings = eqx.field(static=True)
    training: Training
    held_out: HeldOut
    static: Harmonium
    updates_per_evaluation: int = eqx.field(static=True)

    def combine(self, parameters: Harmonium) -> Harmonium:
        """The model with these parameters."""
        return eqx.combine(parameters, self.static)

    def start(self, key_init: RandomKey, key_loop: RandomKey, model: Harmonium) -> _State:
        """The state before the first update."""
        parameters = eqx.filter(model, eqx.is_inexact_array)
        return _State(
            parameters=parameters,
            averaged=parameters,
            optimizer_state=self.optimizer.init(cast(optax.Params, parameters)),
            carry=self.objective.init(key_init, model, self.training),
            key=key_loop,
            update=jnp.zeros(()),
        )

    @eqx.filter_jit
    def advance(self, state: _State, control: _Control) -> tuple[_State, Metrics]:
        """The updates up to the next evaluation, and the means of their metrics."""

        def body(state: _State, _: None) -> tuple[_State, Metrics]:
            return self._update(state, control)

        state, metrics = jax.lax.scan(body, state, length=self.updates_per_evaluation)
        return state, {name: jnp.mean(values) for name, values in metrics.items()}

    def _update(self, state: _State, control: _Control) -> tuple[_State, Metrics]:
        key, key_batch, key_ascend = jax.random.split(state.key, 3)
        model = self.combine(state.parameters)
        n_rows = self.training.shape[0]
        rows = jax.random.randint(key_batch, (self.settings.batch_size,), 0, n_rows)
        batch = self.training[rows]
        ascent = self.objective.ascend(key_ascend, model, batch, state.carry)
        descent = jax.tree.map(jnp.negative, ascent.gradient)
        update, optimizer_state = self.optimizer.update(
            descent, state.optimizer_state, cast(optax.Params, state.parameters)
        )
        scale = control.caution * cosine_decay(state.update / control.n_updates)
        update = jax.tree.map(lambda leaf: scale.astype(leaf.dtype) * leaf, update)
        metrics = dict(ascent.metrics)
        if ascent.negatives is not None:
            radius = self.settings.trust_radius * control.caution
            limited = limit_update(model, update, ascent.negatives, radius)
            update = limited.update
            metrics["trust_factor"] = limited.factor
            metrics["energy_gap"] = energy_gap(model, batch, ascent.negatives)
        parameters = eqx.apply_updates(state.parameters, update)
        decay = jnp.minimum(self.settings.averaging, (1 + state.update) / (10 + state.update))
        averaged = jax.tree.map(
            lambda old, new: old + (1 - decay).astype(new.dtype) * (new - old),
            state.averaged,
            parameters,
        )
        advanced = _State(
            parameters, averaged, optimizer_state, ascent.carry, key, state.update + 1
        )
        return advanced, metrics

    @eqx.filter_jit
    def evaluate(self, state: _State) -> Metrics:
        """Log-likelihoods of the averaged model, in nats per row, and the state of its hidden units."""
        model = self.combine(state.averaged)
        log_partition, ess = self.objective.log_partition(model, state.carry)
        free_energy = jax.vmap(model.free_energy)
        held_out = jnp.mean(free_energy(self.held_out))
        hidden_mean = jax.vmap(model.hidden_mean)(self.held_out)
        leaves = jax.tree.leaves(state.parameters)
        return {
            "train_log_likelihood": -jnp.mean(free_energy(self.training[:MAX_EVALUATION_ROWS]))
            - log_partition,
            "validation_log_likelihood": -held_out - log_partition,
            "validation_free_energy": held_out,
            "running_log_partition": log_partition,
            "running_ess": ess,
            "dead_hidden": jnp.mean(jnp.std(hidden_mean, axis=0) < 1e-3),
            "finite": jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves])),
        }

    @property
    def gap_limit(self) -> float:
        """Energy gap, in nats, beyond which the model has outrun its chains."""
        return 10.0 + self.training.shape[1]


def cosine_decay(progress: Scalar) -> Scalar:
    """From 1 at the start of training to 0 at its end."""
    return 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(progress, 0.0, 1.0)))


class _Candidates(NamedTuple):
    """States that may be the best: the start, the best by the running log Z, and the last."""

    start: _State
    best: _State
    last: _State


def _loop(
    trainer: _Trainer,
    state: _State,
    n_updates: int,
    deadline: float | None,
    started: float,
    report: Report | None,
) -> tuple[_Candidates, tuple[Record, ...]]:
    """Train until the updates, the time or the patience run out."""
    log = _Log(started, report)
    start = best = state
    best_value, since_best = log.add(trainer.evaluate(state), state), 0
    clock = _Clock(n_updates, deadline)
    caution, planned = 1.0, n_updates
    while int(state.update) < planned:
        control = _Control(jnp.asarray(float(planned)), jnp.asarray(caution))
        advanced, metrics = trainer.advance(state, control)
        measured = {**metrics, **trainer.evaluate(advanced)}
        fault = _find_fault(measured, trainer.gap_limit)
        value = log.add(measured, advanced, fault)
        if fault:
            caution /= 2
            # A fresh key: the same noise could lead to the same fault.
            state = eqx.tree_at(lambda s: s.key, best, jax.random.fold_in(state.key, len(log)))
            _give_up_if_hopeless(log.records, trainer.settings.max_rollbacks)
            continue
        state, since_best = advanced, since_best + 1
        # Without a running log Z the value is NaN, and the latest state is the best one known.
        if not value <= best_value:
            best, best_value, since_best = state, value, 0
        if since_best >= trainer.settings.patience and value < best_value - OVERFITTED_BY:
            break
        planned = clock.plan(int(state.update))
    return _Candidates(start, best, state), tuple(log.records)


class _Chosen(NamedTuple):
    state: _State
    log_partition: LogPartition
    running: float
    log_likelihood: float


def _choose(key: RandomKey, trainer: _Trainer, candidates: _Candidates) -> _Chosen:
    """The state with the best validation log-likelihood under a fresh estimate of its log Z.

    The running log Z guides training, but its error grows with every resampling; a choice made by
    it alone would favor lucky errors. A failed estimate is too low, and so looks too good:
    trusted estimates come first.
    """
    best, last = candidates.best, candidates.last
    states = [last] if int(best.update) == int(last.update) else [last, best]
    keys = jax.random.split(key, len(states))
    rated = [_rate(k, trainer, state) for k, state in zip(keys, states, strict=True)]
    if not bool(jnp.any(candidates.start.averaged.weights != 0)):
        rated.append(_rate_base(trainer, candidates.start))
    return max(rated, key=lambda chosen: (chosen.log_partition.trusted, chosen.log_likelihood))


def _rate(key: RandomKey, trainer: _Trainer, state: _State) -> _Chosen:
    log_partition = estimate_log_partition(trainer.combine(state.averaged), key=key)
    return _chosen(trainer, state, log_partition)


def _rate_base(trainer: _Trainer, state: _State) -> _Chosen:
    """The Gaussian start, W = 0: its log Z is known, and no returned model may be worse."""
    value = float(base_log_partition(trainer.combine(state.averaged)))
    return _chosen(trainer, state, exact_result(value, "exact"))


def _chosen(trainer: _Trainer, state: _State, log_partition: LogPartition) -> _Chosen:
    measured = trainer.evaluate(state)
    log_likelihood = -float(measured["validation_free_energy"]) - log_partition.value
    return _Chosen(state, log_partition, float(measured["running_log_partition"]), log_likelihood)


class _Log:
    """The history while it grows."""

    def __init__(self, started: float, report: Report | None):
        self.records: list[Record] = []
        self._started = started
        self._report = report

    def __len__(self) -> int:
        return len(self.records)

    def add(self, measured: Metrics, state: _State, fault: str = "") -> float:
        """Record and report; returns the validation log-likelihood."""
        event = f"{fault}; returned to the best state and halved the trust region" if fault else ""
        record: Record = {name: float(value) for name, value in measured.items()}
        record |= {
            "update": float(state.update),
            "seconds": time.monotonic() - self._started,
            "event": event,
        }
        self.records.append(record)
        if self._report is not None:
            self._report(record)
        return float(record["validation_log_likelihood"])


def _find_fault(measured: Metrics, gap_limit: float) -> str:
    """What is wrong with the last updates, in words; empty if nothing is."""
    watched = ("energy_gap", "acceptance", "ess", "log_partition", "trust_factor")
    broken = [name for name in watched if not math.isfinite(float(measured.get(name, 0.0)))]
    if broken or not bool(measured["finite"]):
        return f"non-finite {', '.join(broken) or 'parameters'}"
    gap = float(measured.get("energy_gap", 0.0))
    if abs(gap) > gap_limit:
        return f"the model outran its chains (energy gap {gap:.0f} nats)"
    return ""


def _give_up_if_hopeless(history: list[Record], max_rollbacks: int) -> None:
    events = [str(record["event"]) for record in history if record["event"]]
    if len(events) > max_rollbacks:
        raise DivergedError(
            f"fit: training stayed unstable after {max_rollbacks} returns to the best state; the "
            f"last fault: {events[-1]}. Try: a smaller learning rate, more steps_per_update, or "
            "look for columns with extreme values."
        )


class _Clock:
    """How many updates fit before a deadline, judged by the speed since compilation was over."""

    def __init__(self, n_updates: int, deadline: float | None):
        self._n_updates = n_updates
        self._deadline = deadline
        self._first: tuple[float, int] | None = None

    def plan(self, done: int) -> int:
        """The number of updates to aim for, when `done` are done."""
        now = time.monotonic()
        if self._deadline is None:
            return self._n_updates
        if self._first is None:
            self._first = (now, done)
            return self._n_updates if now < self._deadline else done
        start, before = self._first
        per_update = (now - start) / max(done - before, 1)
        remaining = max(self._deadline - now, 0.0)
        return min(self._n_updates, done + int(remaining / max(per_update, 1e-9)))


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
    key: RandomKey, model: Harmonium, data: Table, validation: HeldOutTable | float
) -> tuple[Array, Array]:
    data = _as_rows(model, "data", data)
    if not isinstance(validation, int | float):
        return data, _as_rows(model, "validation", validation)
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
    return data[order[n_held_out:]], data[order[:n_held_out]]


def _as_rows(model: Harmonium, name: str, table: Table) -> Array:
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
