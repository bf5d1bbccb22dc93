"""Replica exchange along the path from the base to the model: any kernel at every level, and swaps.

The base is drawn exactly, so a replica that comes from there brings an independent draw; how many
arrive at the model is counted. Swaps alternate between even and odd pairs (Okabe et al. 2001),
which makes the travel of replicas non-reversible and fast (Syed et al. 2022, "Non-reversible
parallel tempering").
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from harmonium.errors import InvalidInputError, describe
from harmonium.model import Center, Harmonium, Path, sample_base
from harmonium.sampling.hamiltonian import HMC
from harmonium.sampling.kernel import AbstractKernel
from harmonium.sampling.schedule import Levels, Schedule
from harmonium.typing import RandomKey, Scalar, Visible

UNTUNED_LEVELS = 12

Pairs = Float[Array, "pairs"]


class ExchangeState(NamedTuple):
    """One replica per level, and where each has been. Position and free energy are the model's."""

    position: Visible
    free_energy: Scalar
    replicas: Any
    """States of the inner kernel, stacked along a first axis of levels; level 0 is the base."""
    from_base: Bool[Array, "levels"]
    """Whether the replica at a level has been at the base since it was last at the model."""
    odd: Bool[Array, ""]
    """Which pairs are up for the next swap."""


class ExchangeInfo(NamedTuple):
    """Info of one step: acceptance of moves per level, and of swaps per pair of neighbors."""

    acceptance: Levels
    swap_acceptance: Pairs
    attempted: Bool[Array, "pairs"]
    work_up: Pairs
    """F_upper(x) - F_lower(x) at the lower replica, before the swap; where attempted."""
    work_down: Pairs
    """The same difference at the upper replica."""
    round_trip: Bool[Array, ""]
    """Whether a replica arrived at the model that had been at the base since its last visit."""


class ReplicaExchange(AbstractKernel):
    """Replicas at rising inverse temperatures that move by `kernel` and swap places; leaves p(x)
    invariant.

    The target sees jumps between modes that the kernel alone cannot make. `inverse_temperatures`
    (levels,) rise from 0 to 1; step sizes are one per level; `center` is that of the path. As it is
    made it is untuned: HMC on evenly spaced levels. `tune_replica_exchange` finds both for a
    model. A swap of neighbors l, l+1 is accepted with probability
    min(1, exp(F_l(x_l) + F_l+1(x_l+1) - F_l(x_l+1) - F_l+1(x_l))).
    """

    kernel: AbstractKernel
    inverse_temperatures: Levels
    step_size: Levels
    center: Center | None
    n_moves: int = eqx.field(static=True)

    def __init__(
        self,
        kernel: AbstractKernel | None = None,
        inverse_temperatures: Levels | None = None,
        step_sizes: Levels | None = None,
        *,
        center: Center | None = None,
        n_moves: int = 1,
    ):
        kernel = HMC() if kernel is None else kernel
        untuned = jnp.linspace(0, 1, UNTUNED_LEVELS)
        levels = jnp.asarray(
            untuned if inverse_temperatures is None else inverse_temperatures, float
        )
        steps = jnp.full_like(levels, kernel.step_size) if step_sizes is None else step_sizes
        _check_levels(levels, jnp.shape(steps), n_moves)
        self.kernel = kernel
        self.inverse_temperatures = levels
        self.step_size = jnp.asarray(steps, float)
        self.center = center
        self.n_moves = n_moves

    @property
    def target_acceptance(self) -> float | None:
        """That of the inner kernel."""
        return self.kernel.target_acceptance

    @property
    def is_exact(self) -> bool:
        """Whether the inner kernel is."""
        return self.kernel.is_exact

    @property
    def n_levels(self) -> int:
        """Number of levels, the base and the model included."""
        return self.inverse_temperatures.shape[0]

    def with_schedule(self, schedule: Schedule) -> "ReplicaExchange":
        """The same kernel on another schedule of as many levels."""
        return eqx.tree_at(lambda k: (k.inverse_temperatures, k.step_size), self, tuple(schedule))

    def init(self, key: RandomKey, model: Harmonium, position: Visible) -> ExchangeState:
        """All replicas at one position."""
        return self.place(key, model, jnp.broadcast_to(position, (self.n_levels, *position.shape)))

    def place(
        self, key: RandomKey, model: Harmonium, positions: Float[Array, "levels visible"]
    ) -> ExchangeState:
        """One replica at each of these positions; none has been at the base yet."""
        replicas = self._evaluate(key, model, positions)
        return _state(replicas, jnp.zeros(self.n_levels, bool), jnp.zeros((), bool))

    def retarget(self, key: RandomKey, model: Harmonium, state: ExchangeState) -> ExchangeState:
        """Evaluate every replica under another model, or on another schedule."""
        replicas = self._evaluate(key, model, state.replicas.position)
        return _state(replicas, state.from_base, state.odd)

    def step(
        self, key: RandomKey, model: Harmonium, state: ExchangeState
    ) -> tuple[ExchangeState, ExchangeInfo]:
        """Move every replica, draw the base afresh, try one swap for every second pair."""
        key_move, key_base, key_init, key_swap = jax.random.split(key, 4)
        replicas, acceptance = self._move(key_move, key_base, model, state.replicas)
        from_base = state.from_base.at[0].set(True)

        partner = _partners(self.n_levels, state.odd)
        exchanged = self._evaluate(key_init, model, replicas.position[partner])
        # F_l(x_l) - F_l(x_partner): what a level gains by the swap. A pair decides together.
        gain = replicas.free_energy - exchanged.free_energy
        log_ratio = gain + gain[partner]
        probability = jnp.where(jnp.isfinite(log_ratio), jnp.exp(jnp.minimum(log_ratio, 0)), 0)
        own = jnp.arange(self.n_levels)
        uniform = jax.random.uniform(key_swap, own.shape, probability.dtype)
        swap = (uniform[jnp.minimum(own, partner)] < probability) & (partner != own)

        after = jax.tree.map(lambda new, old: _where(swap, new, old), exchanged, replicas)
        from_base = jnp.where(swap, from_base[partner], from_base)
        info = ExchangeInfo(
            acceptance=acceptance,
            swap_acceptance=probability[:-1],
            attempted=(partner == own + 1)[:-1],
            work_up=exchanged.free_energy[1:] - replicas.free_energy[:-1],
            work_down=replicas.free_energy[1:] - exchanged.free_energy[:-1],
            round_trip=from_base[-1],
        )
        return _state(after, from_base.at[-1].set(False), ~state.odd), info

    def _move(
        self, key: RandomKey, key_base: RandomKey, model: Harmonium, replicas: Any
    ) -> tuple[Any, Levels]:
        """Replicas of all levels after their moves; that of the base is drawn afresh instead."""
        path = Path(model, self.center)

        def move_one(
            key: RandomKey, inverse_temperature: Scalar, step_size: Scalar, replica: Any
        ) -> tuple[Any, Scalar]:
            kernel = eqx.tree_at(lambda k: k.step_size, self.kernel, step_size)
            tempered = path.at(inverse_temperature)
            acceptances = []
            for key_step in jax.random.split(key, self.n_moves):
                replica, info = kernel.step(key_step, tempered, replica)
                acceptances.append(info.acceptance)
            return replica, jnp.mean(jnp.stack(acceptances))

        keys = jax.random.split(key, self.n_levels - 1)
        upper = jax.tree.map(lambda leaf: leaf[1:], replicas)
        moved, acceptance = jax.vmap(move_one)(
            keys, self.inverse_temperatures[1:], self.step_size[1:], upper
        )
        key_draw, key_init = jax.random.split(key_base)
        fresh = self.kernel.init(key_init, path.base, sample_base(key_draw, path.base, 1)[0])
        replicas = jax.tree.map(lambda one, rest: jnp.concatenate([one[None], rest]), fresh, moved)
        # At its target, the step size of the base is left alone.
        at_base = 1.0 if self.target_acceptance is None else self.target_acceptance
        return replicas, jnp.concatenate([jnp.full((1,), at_base, acceptance.dtype), acceptance])

    def _evaluate(
        self, key: RandomKey, model: Harmonium, positions: Float[Array, "levels visible"]
    ) -> Any:
        """States of the inner kernel at one position per level, each under its own tempered
        model.
        """
        path = Path(model, self.center)

        def evaluate_one(key: RandomKey, inverse_temperature: Scalar, position: Visible) -> Any:
            return self.kernel.init(key, path.at(inverse_temperature), position)

        keys = jax.random.split(key, self.n_levels)
        return jax.vmap(evaluate_one)(keys, self.inverse_temperatures, positions)


def _check_levels(levels: Array, steps: tuple[int, ...], n_moves: int) -> None:
    rising = levels.ndim == 1 and levels.shape[0] >= 2 and bool(jnp.all(jnp.diff(levels) > 0))
    # The base is drawn at the first level, and the last is taken for the model.
    complete = rising and float(levels[0]) == 0 and float(levels[-1]) == 1
    if complete and steps == levels.shape and n_moves >= 1:
        return
    raise InvalidInputError(
        describe(
            "ReplicaExchange(kernel, inverse_temperatures, step_sizes, n_moves=...)",
            expected="at least two rising inverse temperatures from 0 to 1, a step size for each, "
            "and at least one move",
            got=f"{levels.tolist()}, step sizes of shape {steps}, n_moves={n_moves}",
            hint="jnp.linspace(0, 1, 16), or tune_replica_exchange(key, model)",
        )
    )


def _state(replicas: Any, from_base: Bool[Array, "levels"], odd: Bool[Array, ""]) -> ExchangeState:
    return ExchangeState(replicas.position[-1], replicas.free_energy[-1], replicas, from_base, odd)


def _partners(n_levels: int, odd: Bool[Array, ""]) -> Int[Array, "levels"]:
    """With whom each level may swap: pairs (0,1), (2,3) … or, if odd, (1,2), (3,4) …; or itself."""
    own = jnp.arange(n_levels)
    partner = own + jnp.where((own + odd.astype(own.dtype)) % 2 == 0, 1, -1)
    return jnp.where((partner >= 0) & (partner < n_levels), partner, own)


def _where(mask: Bool[Array, "levels"], new: Array, old: Array) -> Array:
    return jnp.where(mask.reshape(-1, *(1,) * (new.ndim - 1)), new, old)
