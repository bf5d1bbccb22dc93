"""Training several models side by side with an objective that needs no chains: one compiled
`vmap`.
"""

import math
import time
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from harmonium.errors import DivergedError, InvalidInputError, describe
from harmonium.learning.devices import broadcast
from harmonium.learning.objectives import AbstractObjective
from harmonium.learning.rows import draw_indices
from harmonium.learning.trainer import cosine_decay
from harmonium.model import Harmonium, split_trainable
from harmonium.typing import Batch, RandomKey, Scalar, Training

CHUNKS = 10
WARMUP = 100
# Share of the updates before the averaged teacher may leave rows out.
TEACHING = 0.2


@dataclass(frozen=True)
class EnsembleSettings:
    """How the members are trained; the same for each.

    trim: share of every batch, those with the highest F under the averaged teacher, that gets no
    gradient, for training rows that are contaminated.
    """

    n_updates: int = 2000
    batch_size: int = 256
    learning_rate: float = 2e-3
    averaging: float = 0.995
    trim: float = 0.0

    def __post_init__(self):
        needs = {
            "n_updates": (self.n_updates >= 1, "at least 1"),
            "batch_size": (self.batch_size >= 1, "at least 1"),
            "learning_rate": (0 < self.learning_rate < math.inf, "a positive number"),
            "averaging": (0 <= self.averaging < 1, "a share from 0 to below 1"),
            "trim": (0 <= self.trim < 1, "a share from 0 to below 1"),
        }
        for name, (holds, expected) in needs.items():
            if not holds:
                call = f"EnsembleSettings({name}=...)"
                got = f"{getattr(self, name)}"
                raise InvalidInputError(describe(call, expected=expected, got=got))


@dataclass(frozen=True)
class EnsembleFit:
    """The averaged models (members stacked on the first axis) and the mean loss of each chunk."""

    models: Harmonium
    losses: tuple[tuple[float, ...], ...]


class _Member(NamedTuple):
    parameters: Any
    averaged: Any
    optimizer_state: Any
    carry: Any


def fit_ensemble(
    models: Harmonium,
    data: Float[Array, "members training visible"],
    objectives: AbstractObjective,
    *,
    key: RandomKey,
    settings: EnsembleSettings | None = None,
    time_budget: float | None = None,
) -> EnsembleFit:
    """Train members with their own rows and objectives, all stacked on the first axis.

    `time_budget` (seconds) ends training with the tenth of the updates in which it runs out. Raises
    `DivergedError` if a loss or a parameter is not finite: nothing half-trained is returned.
    """
    started = time.monotonic()
    settings = EnsembleSettings() if settings is None else settings
    parameters, static = split_trainable(models)
    run = _Run(settings, static, data, objectives)
    key_init, key_loop = jax.random.split(key)
    members = run.start(key_init, parameters)
    losses = []
    longest = -(-settings.n_updates // CHUNKS)
    for done in range(0, settings.n_updates, longest):
        length = min(longest, settings.n_updates - done)
        key_chunk = jax.random.fold_in(key_loop, done)
        members, loss = run.advance(key_chunk, members, jnp.asarray(float(done)), length)
        losses.append(tuple(float(value) for value in loss))
        _check_finite(losses[-1], members.averaged, done + length)
        is_late = time_budget is not None and time.monotonic() - started > time_budget
        if broadcast(is_late):
            break
    return EnsembleFit(eqx.combine(members.averaged, run.static), tuple(losses))


def stack_members(models: list[Any]) -> Any:
    """Models, or objectives, of one structure as one with a leading axis of members."""
    return jax.tree.map(
        lambda *leaves: jnp.stack(leaves) if eqx.is_array(leaves[0]) else leaves[0], *models
    )


def take_member(models: Harmonium, index: int | Array) -> Harmonium:
    """The member, or members, at an index of stacked models."""
    return jax.tree.map(lambda leaf: leaf[index] if eqx.is_array(leaf) else leaf, models)


class _Run(eqx.Module):
    settings: EnsembleSettings = eqx.field(static=True)
    static: Harmonium
    data: Float[Array, "members training visible"]
    objectives: AbstractObjective

    @property
    def optimizer(self) -> optax.GradientTransformation:
        return optax.chain(
            optax.clip_by_global_norm(10.0),
            optax.adamw(self.settings.learning_rate, weight_decay=1e-4),
        )

    def start(self, key: RandomKey, parameters: Harmonium) -> _Member:
        keys = jax.random.split(key, self.data.shape[0])

        def begin(key: RandomKey, parameters: Any, static: Any, rows: Any, objective: Any):
            model = eqx.combine(parameters, static)
            carry = objective.init(key, model, rows)
            return _Member(parameters, parameters, self.optimizer.init(parameters), carry)

        # What is not trained may have members too: each has a base of its own.
        return eqx.filter_vmap(begin)(keys, parameters, self.static, self.data, self.objectives)

    @eqx.filter_jit
    def advance(
        self, key: RandomKey, members: _Member, done: Scalar, length: int
    ) -> tuple[_Member, Float[Array, "members"]]:
        """`length` updates of every member."""

        def body(state: tuple[_Member, Scalar], key: RandomKey) -> tuple[Any, Any]:
            members, update = state
            keys = jax.random.split(key, self.data.shape[0])

            def step(key: RandomKey, member: _Member, static: Any, rows: Any, objective: Any):
                return self._update(key, member, static, rows, objective, update)

            members, loss = eqx.filter_vmap(step)(
                keys, members, self.static, self.data, self.objectives
            )
            return (members, update + 1), loss

        (members, _), losses = jax.lax.scan(body, (members, done), jax.random.split(key, length))
        return members, jnp.mean(losses, axis=0)

    def _update(
        self,
        key: RandomKey,
        member: _Member,
        static: Any,
        rows: Any,
        objective: Any,
        update: Scalar,
    ) -> tuple[_Member, Scalar]:
        key_batch, key_ascend = jax.random.split(key)
        teacher = eqx.combine(member.averaged, static)
        batch = self._batch(key_batch, teacher, rows, update)
        model = eqx.combine(member.parameters, static)
        ascent = objective.ascend(key_ascend, model, batch, member.carry)
        descent = jax.tree.map(jnp.negative, ascent.gradient)
        change, optimizer_state = self.optimizer.update(
            descent, member.optimizer_state, cast(optax.Params, member.parameters)
        )
        warm = jnp.minimum(1.0, (update + 1) / WARMUP)
        scale = warm * cosine_decay(update / self.settings.n_updates)
        change = jax.tree.map(lambda leaf: scale.astype(leaf.dtype) * leaf, change)
        parameters = eqx.apply_updates(member.parameters, change)
        decay = jnp.minimum(self.settings.averaging, (1 + update) / (10 + update))
        averaged = jax.tree.map(
            lambda old, new: old + (1 - decay).astype(new.dtype) * (new - old),
            member.averaged,
            parameters,
        )
        return _Member(parameters, averaged, optimizer_state, ascent.carry), ascent.metrics["loss"]

    def _batch(self, key: RandomKey, teacher: Harmonium, rows: Training, update: Scalar) -> Batch:
        """Rows at random; with trimming, the likeliest of a larger draw under the teacher."""
        size, trim = self.settings.batch_size, self.settings.trim
        drawn = round(size / (1 - trim))
        batch = rows[draw_indices(key, drawn, rows.shape[0])]
        if drawn == size:
            return batch
        order = jnp.argsort(jax.vmap(teacher.free_energy)(batch))
        taught = update >= TEACHING * self.settings.n_updates
        # Before the teacher knows anything, the first rows drawn are as good as any.
        kept = jnp.where(taught, order, jnp.arange(drawn))[:size]
        return batch[kept]


def _check_finite(losses: tuple[float, ...], parameters: Any, done: int) -> None:
    finite = np.isfinite(losses)
    for leaf in jax.tree.leaves(parameters):
        values = np.asarray(leaf)
        finite &= np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if not finite.all():
        raise DivergedError(
            f"fit_ensemble: a loss or a parameter of member(s) {np.flatnonzero(~finite).tolist()} is not "
            f"finite within the first {done} updates. Try: a smaller learning_rate, or look for columns "
            "with extreme values."
        )
