"""Replica exchange made ready for a model: center, spacing and step sizes found by chains of their
own.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from harmonium.compiling import compiled_briefly
from harmonium.model import Center, Harmonium, Path, center_at
from harmonium.sampling.chains import ADAPTATION_RATE, init_chains, run_chains
from harmonium.sampling.kernel import AbstractKernel
from harmonium.sampling.population import default_kernel
from harmonium.sampling.replica_exchange import ExchangeInfo, ExchangeState, ReplicaExchange
from harmonium.sampling.schedule import PathProfile, Schedule, profile_path
from harmonium.sampling.starts import find_modes
from harmonium.typing import Positions, RandomKey

# Thermodynamic length between neighbors; at 1 about half of the swaps are accepted.
SPACING = 1.0
# Few different numbers, so that little is compiled anew.
LEVELS = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
TUNING_STEPS = 200
TUNING_CHAINS = 32


def tune_replica_exchange(
    key: RandomKey, model: Harmonium, kernel: AbstractKernel | None = None, *, n_moves: int = 1
) -> ReplicaExchange:
    """Replica exchange for a model, with as many levels as its path needs.

    `kernel` moves the replicas, `n_moves` times between swaps (default: block Gibbs for affine f,
    HMC otherwise). Modes are looked for by chains from dispersed starts; their mean is the center
    of the path, if the base takes one; a pilot spaces the levels; after a trial run they are moved
    once, towards equal rejection of swaps everywhere (Syed et al. 2022).
    """
    key_find, key_profile, key_init, key_run = jax.random.split(key, 4)
    kernel = default_kernel(model) if kernel is None else kernel
    found, kernel = find_modes(key_find, model, kernel)
    path = centered_path(model, found)
    exchange = spaced_exchange(path, kernel, profile_path(key_profile, path, kernel), n_moves)
    states = _init(key_init, model, exchange, found[:TUNING_CHAINS])
    tuned, info = _try(key_run, model, exchange, states)
    return tuned.with_schedule(respaced(tuned, info))


def centered_path(model: Harmonium, rows: Positions) -> Path:
    """The path centered at these rows (rows, visible).

    It has no center if their features are not finite, and where the base has modes, which a center
    would tilt.
    """
    if model.base.has_modes:
        return Path(model)
    center, is_finite = _center(model, rows)
    return Path(model, center if bool(is_finite) else None)


@compiled_briefly
def _center(model: Harmonium, rows: Positions) -> tuple[Center, Bool[Array, ""]]:
    center = center_at(model, rows)
    return center, jnp.all(jnp.isfinite(jnp.concatenate(center)))


def spaced_exchange(
    path: Path, kernel: AbstractKernel, profile: PathProfile, n_moves: int = 1
) -> ReplicaExchange:
    """Replica exchange with levels at equal thermodynamic length."""
    needed = profile.length / SPACING + 2
    n_levels = next((n for n in LEVELS if n >= needed), LEVELS[-1])
    return ReplicaExchange(kernel, *profile.schedule(n_levels), center=path.center, n_moves=n_moves)


def respaced(exchange: ReplicaExchange, info: ExchangeInfo) -> Schedule:
    """Levels moved so that swaps are rejected equally often between all neighbors (Syed et al.
    2022).

    `info` is that of a run, with leading axes of steps and chains.
    """
    attempted = np.asarray(info.attempted)
    accepted = np.sum(np.asarray(info.swap_acceptance) * attempted, axis=(0, 1))
    rejected = 1 - accepted / np.maximum(np.sum(attempted, axis=(0, 1)), 1)
    profile = PathProfile(
        inverse_temperatures=np.asarray(exchange.inverse_temperatures, np.float64),
        lengths=np.concatenate([[0.0], np.cumsum(np.maximum(rejected, 1e-3))]),
        step_sizes=np.asarray(exchange.step_size, np.float64),
    )
    return profile.schedule(exchange.n_levels)


@compiled_briefly
def _init(
    key: RandomKey, model: Harmonium, exchange: ReplicaExchange, positions: Positions
) -> ExchangeState:
    return init_chains(key, model, exchange, positions)


@compiled_briefly
def _try(
    key: RandomKey, model: Harmonium, exchange: ReplicaExchange, states: ExchangeState
) -> tuple[ReplicaExchange, ExchangeInfo]:
    moved = run_chains(
        key,
        model,
        exchange,
        states,
        n_steps=TUNING_STEPS,
        adaptation_rate=ADAPTATION_RATE,
        record=lambda states, info: info,
    )
    return moved.kernel, moved.trace
