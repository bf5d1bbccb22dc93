"""A sweep: many fits of one structure (seeds, learning rates, numbers of an objective) whose
updates are one vectorized program.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from harmonium.errors import InvalidInputError, describe
from harmonium.learning.fit import conclude
from harmonium.learning.fit_progress import FitProgress
from harmonium.learning.loop import Loop
from harmonium.learning.negatives import Metrics
from harmonium.learning.objectives import AbstractObjective
from harmonium.learning.result import FitResult
from harmonium.learning.rows import AbstractRows
from harmonium.learning.train import N_UPDATES, FitTask, Prepared, Trained, prepare
from harmonium.learning.trainer import (
    Control,
    FitSettings,
    State,
    Trainer,
    adjustable_optimizer,
)
from harmonium.model import Harmonium
from harmonium.typing import HeldOutTable, RandomKey, TrainingTable

# Metrics by name, (runs,) each.
PerRun = dict[str, Array]


@dataclass(frozen=True)
class Run:
    """What one fit of a `sweep` has of its own.

    `hyperparameters` are those of the optimizer by name, such as {"learning_rate": 3e-3}: the
    arguments that `optax.inject_hyperparams` made part of its state.
    """

    model: Harmonium
    key: RandomKey
    objective: AbstractObjective | None = None
    hyperparameters: Mapping[str, float] = field(default_factory=dict)


def sweep(
    runs: Sequence[Run],
    data: TrainingTable | AbstractRows,
    *,
    optimizer: optax.GradientTransformation | None = None,
    n_updates: int = N_UPDATES,
    validation: HeldOutTable | AbstractRows | float = 0.1,
    settings: FitSettings | None = None,
) -> tuple[FitResult, ...]:
    """The results of `fit` for every run, in their order, trained side by side.

    Runs may differ in every number: parameters of the model, keys, arrays of the objective, and
    hyperparameters of an `optimizer` that was made by `optax.inject_hyperparams` (without one, in
    the `learning_rate` of the usual one). Shapes and static fields have to be the same; sweep over
    these by calls. Every result is that of `fit` with the same arguments, up to rounding, which
    chains amplify. A run whose patience is over stands still until the last one is done. Estimates
    of log Z follow run by run. All of it is on one device. Raises `InvalidInputError` for runs that
    are not alike, and `DivergedError` where one stays unstable from its start.
    """
    started = time.monotonic()
    if not runs:
        raise InvalidInputError(
            describe("sweep(runs, data)", expected="at least one Run", got="none")
        )
    common = FitTask(
        runs[0].model,
        data,
        runs[0].key,
        optimizer=adjustable_optimizer() if optimizer is None else optimizer,
        n_updates=n_updates,
        validation=validation,
        settings=settings,
    )
    if not isinstance(validation, int | float):
        # Rows that are the same for all runs are kept once; none is drawn, whatever the key.
        common = common.with_rows_held_out(common.key)
    prepared = [_prepare(run, common) for run in runs]
    courses = _train([own.loop(n_updates) for own in prepared], prepared, started)
    return tuple(
        conclude(Trained(own, course, n_updates, "own", False))
        for own, course in zip(prepared, courses, strict=True)
    )


def _prepare(run: Run, common: FitTask) -> Prepared:
    """What `fit` would start a run from, with its own hyperparameters."""
    prepared = prepare(replace(common, model=run.model, key=run.key, objective=run.objective))
    if not run.hyperparameters:
        return prepared
    state, values = prepared.start.optimizer_state, {}
    for name, value in run.hyperparameters.items():
        found = optax.tree_utils.tree_get_all_with_path(state, name)
        if not found:
            raise InvalidInputError(
                describe(
                    f"Run(hyperparameters={{{name!r}: ...}})",
                    expected="a number that the state of the optimizer has",
                    got=f"{name!r}, which it has not",
                    hint="optimizer=optax.inject_hyperparams(optax.adam)(learning_rate=1e-3)",
                )
            )
        values[name] = jnp.asarray(value, found[0][1].dtype)
    changed = optax.tree_utils.tree_set(state, **values)
    start = eqx.tree_at(
        lambda s: s.optimizer_state, prepared.start, changed, is_leaf=lambda leaf: leaf is None
    )
    return prepared._replace(start=start)


def _train(
    loops: Sequence[Loop], prepared: Sequence[Prepared], started: float
) -> list[FitProgress]:
    """The course of every run, as its own loop would have it."""
    trainers = _Stacked.of([loop.trainer for loop in loops], may_share=True)
    starts = [own.start for own in prepared]
    states = _Stacked.of(starts)
    measured = _numbers(_evaluate(trainers, states))
    courses = [
        loop.first(start, own, started)
        for loop, start, own in zip(loops, starts, measured, strict=True)
    ]
    n_updates = loops[0].n_updates

    def is_active(i: int) -> bool:
        return not loops[i].is_over(courses[i], n_updates)

    while active := [i for i in range(len(loops)) if is_active(i)]:
        controls = _Stacked.of(
            [loop.control(course, n_updates) for loop, course in zip(loops, courses, strict=True)]
        )
        advanced, metrics = _advance(trainers, states, controls)
        states, found = (
            states._replace(arrays=eqx.filter(advanced, eqx.is_array)),
            _numbers(metrics),
        )
        for i in active:
            state = _taken(advanced, jnp.asarray(i))
            courses[i] = loops[i].judge(courses[i], state, found[i], started)
            # A run that was returned goes on from its best state; one that is over is not read.
            if courses[i].state is not state:
                arrays = _put(states.arrays, courses[i].state, jnp.asarray(i))
                states = states._replace(arrays=arrays)
    return courses


@eqx.filter_jit
def _put(stacked: Any, state: State, index: Any) -> Any:
    """The stacked arrays with those of one run in their place."""
    arrays = eqx.filter(state, eqx.is_array)
    return jax.tree.map(lambda leaf, own: leaf.at[index].set(own), stacked, arrays)


class _Stacked(NamedTuple):
    """Trees of one structure side by side: their arrays stacked on a first axis, but for those that
    all of them share; `axes` has 0 and None accordingly, `rest` what is no array.
    """

    arrays: Any
    axes: Any
    rest: Any

    @staticmethod
    def of(trees: Sequence[Any], *, may_share: bool = False) -> "_Stacked":
        """Raises `InvalidInputError` for trees that are not alike."""
        parts, rests = zip(*(eqx.partition(tree, eqx.is_array) for tree in trees), strict=True)
        leaves = [jax.tree.leaves(part) for part in parts]
        for number, (part, rest) in enumerate(zip(parts, rests, strict=True)):
            _check_alike(number, (parts[0], rests[0]), (part, rest))
        columns = list(zip(*leaves, strict=True))
        shared = [may_share and all(leaf is column[0] for leaf in column) for column in columns]
        structure = jax.tree.structure(parts[0])
        stacked = [
            column[0] if is_shared else _stack(column)
            for column, is_shared in zip(columns, shared, strict=True)
        ]
        axes = [None if is_shared else 0 for is_shared in shared]
        return _Stacked(
            jax.tree.unflatten(structure, stacked), jax.tree.unflatten(structure, axes), rests[0]
        )


@jax.jit
def _stack(column: Sequence[Any]) -> Any:
    return jnp.stack(column)


def _check_alike(number: int, first: tuple[Any, Any], other: tuple[Any, Any]) -> None:
    """Raise `InvalidInputError` unless shapes and all that is no array are the same."""

    def shapes(tree: Any) -> Any:
        return [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)]

    same = jax.tree.structure(first) == jax.tree.structure(other)
    same = same and shapes(first[0]) == shapes(other[0])
    if not (same and eqx.tree_equal(first[1], other[1])):
        raise InvalidInputError(
            describe(
                "sweep(runs, data)",
                expected="runs that differ in numbers alone",
                got=f"run {number} with other shapes or other static fields than run 0",
                hint="a sweep for each structure, or validation= rows of their own",
            )
        )


@eqx.filter_jit
def _advance(trainers: _Stacked, states: _Stacked, controls: _Stacked) -> tuple[State, PerRun]:
    """The updates of all runs up to the next evaluation, and what is measured then."""

    def one(trainer_arrays: Any, state_arrays: Any, control: Control) -> tuple[State, Metrics]:
        trainer: Trainer = eqx.combine(trainer_arrays, trainers.rest)
        state: State = eqx.combine(state_arrays, states.rest)
        state, metrics = trainer.advance(state, trainer.training, control)
        return state, {**metrics, **trainer.evaluate(state)}

    axes = (trainers.axes, states.axes, controls.axes)
    return eqx.filter_vmap(one, in_axes=axes)(trainers.arrays, states.arrays, controls.arrays)


@eqx.filter_jit
def _evaluate(trainers: _Stacked, states: _Stacked) -> PerRun:
    """What is measured of the first states."""

    def one(trainer_arrays: Any, state_arrays: Any) -> Metrics:
        trainer: Trainer = eqx.combine(trainer_arrays, trainers.rest)
        return trainer.evaluate(eqx.combine(state_arrays, states.rest))

    return eqx.filter_vmap(one, in_axes=(trainers.axes, states.axes))(
        trainers.arrays, states.arrays
    )


@eqx.filter_jit
def _taken(states: State, index: Any) -> State:
    """The state of one run, by one program for all indices."""
    arrays, rest = eqx.partition(states, eqx.is_array)
    return eqx.combine(jax.tree.map(lambda leaf: leaf[index], arrays), rest)


def _numbers(metrics: PerRun) -> list[dict[str, float]]:
    """The metrics (runs,) of each run as Python's numbers."""
    columns = {name: jax.device_get(values) for name, values in metrics.items()}
    n_runs = len(next(iter(columns.values())))
    return [{name: float(values[i]) for name, values in columns.items()} for i in range(n_runs)]
