"""Independent ladders of replica exchange, started from below and from above, and their bridged log
Z.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from harmonium.likelihood.bridge import LARGEST_WORK, Bridge, bridge
from harmonium.model import Harmonium, Path, base_log_partition
from harmonium.sampling import AbstractKernel
from harmonium.sampling.chains import ADAPTATION_RATE, run_chains
from harmonium.sampling.convergence import bulk_ess
from harmonium.sampling.replica_exchange import ExchangeInfo, ExchangeState, ReplicaExchange
from harmonium.sampling.schedule import PathProfile
from harmonium.sampling.tuning import respaced, spaced_exchange
from harmonium.typing import Positions, RandomKey, Scalar

BLOCK = 200
MAX_BLOCKS = 6
GOOD_ERROR = 0.02
GOOD_ROUND_TRIPS = 4.0


class _Trace(NamedTuple):
    info: ExchangeInfo
    position: Float[Array, "..."]
    free_energy: Float[Array, "..."]


@dataclass(frozen=True)
class LadderEstimate:
    """log Z from many ladders: all together, and those from each start by themselves.

    `draws` are positions of the model's level, evenly taken from the whole run; `ess` is the bulk
    effective sample size of F there; `round_trips` is the mean number per ladder of arrivals from
    the base, of the start with the fewest.
    """

    together: Bridge
    by_start: dict[str, Bridge]
    draws: Positions
    ess: float
    round_trips: float
    n_ladders: int
    n_levels: int


def run_ladders(
    key: RandomKey,
    path: Path,
    kernel: AbstractKernel,
    profile: PathProfile,
    starts: dict[str, Positions],
) -> LadderEstimate:
    """Run one ladder from every start (a name, and positions (ladders, visible)) and bridge its
    levels.

    Step sizes and spacing are tuned in two runs that are thrown away; then blocks are added until
    the standard error and the number of round trips are good, or six are done.
    """
    model = path.model
    exchange = spaced_exchange(path, kernel, profile)
    key_place, key_tune, key_settle, key_run = jax.random.split(key, 4)
    positions = jnp.concatenate(list(starts.values()))[:, None, :]
    positions = jnp.broadcast_to(positions, (len(positions), exchange.n_levels, model.n_visible))
    states = _place(key_place, model, exchange, positions)
    tuned, states, trace = _run(key_tune, model, exchange, states, ADAPTATION_RATE)
    exchange = tuned.with_schedule(respaced(tuned, trace.info))
    states = _place(key_place, model, exchange, states.replicas.position)
    exchange, states, _ = _run(key_settle, model, exchange, states, ADAPTATION_RATE)
    blocks: list[_Trace] = []
    while True:
        key_block = jax.random.fold_in(key_run, len(blocks))
        _, states, trace = _run(key_block, model, exchange, states, 0.0)
        blocks.append(jax.tree.map(np.asarray, trace))
        estimate = _estimate(path, starts, blocks)
        good = estimate.together.standard_error <= GOOD_ERROR
        if (good and estimate.round_trips >= GOOD_ROUND_TRIPS) or len(blocks) == MAX_BLOCKS:
            return estimate


def _estimate(path: Path, starts: dict[str, Positions], blocks: list[_Trace]) -> LadderEstimate:
    trace = jax.tree.map(lambda *parts: np.concatenate(parts), *blocks)
    up, down = (
        _attempted(trace.info, trace.info.work_up),
        _attempted(trace.info, trace.info.work_down),
    )
    base = float(base_log_partition(path.base))
    by_start, first = {}, 0
    for name, positions in starts.items():
        own = slice(first, first + len(positions))
        by_start[name] = _shifted(bridge(up[own], down[own]), base)
        first += len(positions)
    n_steps, n_ladders = trace.free_energy.shape
    arrivals = trace.info.round_trip.sum(axis=0).reshape(len(starts), -1)
    every = max(1, n_steps // 16)
    return LadderEstimate(
        together=_shifted(bridge(up, down), base),
        by_start=by_start,
        draws=jnp.asarray(trace.position[every - 1 :: every].reshape(-1, path.model.n_visible)),
        ess=_bulk_ess(trace.free_energy.T),
        round_trips=float(arrivals.mean(axis=1).min()),
        n_ladders=n_ladders,
        n_levels=trace.info.acceptance.shape[-1],
    )


def _shifted(found: Bridge, base: float) -> Bridge:
    return replace(found, value=found.value + base)


def _bulk_ess(free_energy: np.ndarray) -> float:
    if not np.all(np.isfinite(free_energy)) or np.ptp(free_energy) == 0:
        return 0.0
    (found,) = bulk_ess(free_energy[None])
    # Chains that overshoot can be worth more than independent draws; no more is claimed.
    return min(float(found), float(free_energy.size)) if np.isfinite(found) else 0.0


def _attempted(info: ExchangeInfo, works: np.ndarray) -> np.ndarray:
    """Works of the swaps that were up, (ladders, swaps, pairs), from (steps, ladders, pairs).

    Of any two steps in a row each pair is up in one; which one is the same for all ladders.
    """
    n_steps, n_ladders, n_pairs = works.shape
    in_turns = works.reshape(n_steps // 2, 2, n_ladders, n_pairs)
    phase = np.argmax(info.attempted[:2, 0], axis=0)
    picked = np.take_along_axis(in_turns, phase[None, None, None, :], axis=1)[:, 0]
    bounded = np.nan_to_num(picked, nan=LARGEST_WORK, posinf=LARGEST_WORK, neginf=-LARGEST_WORK)
    return np.swapaxes(bounded, 0, 1)


@eqx.filter_jit
def _place(
    key: RandomKey,
    model: Harmonium,
    exchange: ReplicaExchange,
    positions: Float[Array, "ladders levels visible"],
) -> ExchangeState:
    keys = jax.random.split(key, positions.shape[0])
    return jax.vmap(exchange.place, in_axes=(0, None, 0))(keys, model, positions)


def _run(
    key: RandomKey,
    model: Harmonium,
    exchange: ReplicaExchange,
    states: ExchangeState,
    adaptation_rate: float,
) -> tuple[ReplicaExchange, ExchangeState, _Trace]:
    # As an array, so that tuned and frozen blocks share their compiled code.
    return _run_block(key, model, exchange, states, jnp.asarray(adaptation_rate))


@eqx.filter_jit
def _run_block(
    key: RandomKey,
    model: Harmonium,
    exchange: ReplicaExchange,
    states: ExchangeState,
    adaptation_rate: Scalar,
):
    moved = run_chains(
        key,
        model,
        exchange,
        states,
        n_steps=BLOCK,
        adaptation_rate=adaptation_rate,
        record=_record,
    )
    return moved.kernel, moved.states, moved.trace


def _record(states: ExchangeState, info: ExchangeInfo) -> _Trace:
    return _Trace(info, states.position, states.free_energy)
