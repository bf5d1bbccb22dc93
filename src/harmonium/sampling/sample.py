"""Drawing from a model: from its exact base, weighted or annealed, then moved by a kernel."""

from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from harmonium.compiling import compiled_briefly
from harmonium.errors import InvalidInputError, describe
from harmonium.model import Harmonium, Path, check_finite, sample_base
from harmonium.sampling.annealing import anneal_population
from harmonium.sampling.chains import Moved, init_chains, run_chains
from harmonium.sampling.importance import (
    LARGEST_PARETO_K,
    WeightedDraws,
    draw_weighted,
    pareto_k,
    population_from_base,
)
from harmonium.sampling.independence import alternating, name_of
from harmonium.sampling.kernel import AbstractKernel, jump_acceptance
from harmonium.sampling.population import Population, default_kernel, resample
from harmonium.sampling.replica_exchange import ReplicaExchange
from harmonium.sampling.sample_result import NO_KERNEL, SampleDiagnostics, SampleResult, Way
from harmonium.sampling.starts import Found, find_modes
from harmonium.sampling.tuning import centered_path, tune_replica_exchange
from harmonium.typing import RandomKey

ANNEALING_STEPS = 2
LOWEST_ACCEPTANCE = 0.1
FEWEST_DISTINCT = 0.05
EXACT = "The draws are exact and independent: the model is its own base."
HEALTHY = "The draws may be trusted: the chains moved, and enough of them are of different starts."
INDEPENDENT = (
    "The draws may be trusted: they are independent draws of the base, taken by their weights, and "
    "none of them twice."
)
FEWEST_CHAINS = 256
# Numbers of chains, and beyond them multiples of the last: what is compiled for one sample serves
# others of about its size.
SIZES = (256, 512, 1024, 2048, 4096)
# Draws of the base for every chain, and between which numbers.
PROPOSALS = 16
# With fewer, the tail of the weights is estimated too roughly.
FEWEST_PROPOSALS, MOST_PROPOSALS = 65_536, 131_072
# Where some would be taken twice, so many times as many are drawn, up to so many draws and numbers.
MORE, MOST_DRAWS, MOST_NUMBERS = 4, 2**19, 2**23
# Effective draws of the base, and as a share of the chains, from which on chains start at them.
FEWEST_EFFECTIVE, EFFECTIVE_SHARE = 100.0, 0.1
# Steps of chains that start where the model has its mass already: enough to tell copies apart.
FINAL_STEPS = 12


class Origin(NamedTuple):
    """Where chains come from."""

    way: Way
    n_proposals: int
    ess: float


def sample(
    model: Harmonium,
    n: int,
    *,
    key: RandomKey,
    kernel: AbstractKernel | None = None,
    n_steps: int = 500,
    n_chains: int | None = None,
) -> SampleResult:
    """Draw n rows x from p(x), approximately: chains from the exact base, then moved.

    With W = 0 they are exact and independent draws of the base. Without a kernel, draws of the base
    are weighted for the model and resampled, as many as are needed for none to be taken twice:
    these are independent, too. Where some are, chains from there make at most 12 steps with frozen
    step size: exact block Gibbs for affine feature maps, HMC and jumps by draws of the base
    otherwise. Where too few of the weights are effective, and for a kernel that is given, chains
    follow beta from 0 to 1 along a path from the base that is centered between the modes
    (`find_modes`), with weights and resampling over half of `n_steps`, and move with frozen step
    size for the other half; the step size is adapted on the way. Of a `ReplicaExchange` without a
    center the levels are tuned too, first, by `tune_replica_exchange`. At least `n_chains` (256)
    chains run, because few chains weigh modes badly, and as many as `SIZES` has; n of them are
    returned. Raises `InvalidInputError` for n < 1.
    """
    if n < 1 or n_steps < 1:
        raise InvalidInputError(
            describe(
                "sample(model, n, n_steps=...)",
                expected="n and n_steps of at least 1",
                got=f"n={n}, n_steps={n_steps}",
            )
        )
    check_finite("sample(model, n)", model)
    if kernel is None and not np.any(np.asarray(model.weights)):
        return _exactly(key, model, n)
    n_chains = _rounded_up(max(n, FEWEST_CHAINS if n_chains is None else n_chains))
    key_tune, key_start, key_place, key_move = jax.random.split(key, 4)
    search = _Search(key_tune, model, default_kernel(model) if kernel is None else kernel)
    if kernel is None:
        drawn = _by_weights(key_place, search, n, n_chains, min(FINAL_STEPS, n_steps))
        if drawn is not None:
            return drawn
    exchange = _tuned(key_tune, model, kernel) if isinstance(kernel, ReplicaExchange) else None
    if exchange is None:
        path, mover = search.path, search.mover
    else:
        path, mover = Path(model, exchange.center), exchange.kernel
    population = anneal_population(
        key_start,
        path,
        mover,
        n_chains,
        n_temperatures=max(1, n_steps // (2 * ANNEALING_STEPS)),
        n_steps=ANNEALING_STEPS,
    )
    if exchange is not None:
        population = _exchanging(key_place, population, model, exchange)
    origin = Origin("annealing", n_chains, float(population.ess()))
    return continue_population(
        population, origin, model, n, key=key_move, n_steps=max(1, n_steps // 2)
    )


def _rounded_up(n_chains: int) -> int:
    """The next of `SIZES`, or multiple of the last."""
    fitting = [size for size in SIZES if n_chains <= size]
    return fitting[0] if fitting else -(-n_chains // SIZES[-1]) * SIZES[-1]


def _exactly(key: RandomKey, model: Harmonium, n: int) -> SampleResult:
    """Draws of a model that is its own base."""
    diagnostics = SampleDiagnostics(
        kernel=NO_KERNEL,
        acceptance=1.0,
        step_size=0.0,
        ess=float(n),
        n_chains=n,
        n_ancestors=n,
        round_trips=None,
        trusted=True,
        verdict=EXACT,
        way="exact",
        n_proposals=n,
        jump_acceptance=None,
    )
    return SampleResult(eqx.filter_jit(sample_base)(key, model, n), diagnostics)


class _Search:
    """The path from the base of a model, and a kernel with a step size; modes are looked for where
    one of them needs it.
    """

    def __init__(self, key: RandomKey, model: Harmonium, kernel: AbstractKernel):
        self._key, self._model, self._kernel = key, model, kernel

    @property
    def path(self) -> Path:
        """Centered between the modes of the model, unless the base has modes of its own."""
        if self._model.base.has_modes:
            return Path(self._model)
        return centered_path(self._model, self._found.positions)

    @property
    def mover(self) -> AbstractKernel:
        """The kernel, tuned in the search if it has a step size or there was one."""
        if self._model.base.has_modes and self._kernel.target_acceptance is None:
            return self._kernel
        return self._found.kernel

    @cached_property
    def _found(self) -> Found:
        return find_modes(self._key, self._model, self._kernel)


def _by_weights(
    key: RandomKey, search: _Search, n: int, n_chains: int, n_steps: int
) -> SampleResult | None:
    """N draws of the base, taken by their weights, and moved if some are taken twice; None where
    too few are effective.
    """
    key_draw, key_take, key_move = jax.random.split(key, 3)
    draws = _from_base(key_draw, search.path, n_chains)
    if draws is None:
        return None
    if not draws.repeats(n_chains):
        return _independent(key_take, draws, n, n_chains)
    model = search.path.model
    # Block Gibbs draws from all components of a base anyway.
    kernel = search.mover if model.is_affine else alternating(search.mover, 1)
    population = population_from_base(key_take, search.path, kernel, draws, n_chains)
    origin = Origin("importance", draws.n_draws, draws.ess())
    return continue_population(population, origin, model, n, key=key_move, n_steps=n_steps)


def _from_base(key: RandomKey, path: Path, n_chains: int) -> WeightedDraws | None:
    """Weighted draws of the base, more of them where some would be taken twice; None where too few
    are effective.
    """
    n = max(min(max(PROPOSALS * n_chains, FEWEST_PROPOSALS), MOST_PROPOSALS), n_chains)
    most = min(MOST_DRAWS, MOST_NUMBERS // path.model.n_visible)
    while True:
        draws = draw_weighted(key, path, n)
        enough = draws.ess() >= max(FEWEST_EFFECTIVE, EFFECTIVE_SHARE * n_chains)
        if not (enough and pareto_k(draws.log_weights) < LARGEST_PARETO_K):
            return None
        n *= MORE
        if n > most or not draws.repeats(n_chains):
            return draws


def _independent(key: RandomKey, draws: WeightedDraws, n: int, n_chains: int) -> SampleResult:
    """N of the draws, taken by their weights; with neither copies nor chains."""
    key_resample, key_shuffle = jax.random.split(key)
    positions, _ = draws.resampled(key_resample, n_chains)
    # Systematic resampling keeps their order; by NumPy, which compiles nothing.
    seed = np.asarray(jax.random.key_data(key_shuffle))
    order = np.random.default_rng(seed).permutation(n_chains)[:n]
    diagnostics = SampleDiagnostics(
        kernel=NO_KERNEL,
        acceptance=1.0,
        step_size=0.0,
        ess=draws.ess(),
        n_chains=n_chains,
        n_ancestors=n_chains,
        round_trips=None,
        trusted=True,
        verdict=INDEPENDENT,
        way="importance",
        n_proposals=draws.n_draws,
        jump_acceptance=None,
    )
    return SampleResult(jnp.asarray(np.asarray(positions)[order]), diagnostics)


def continue_population(
    population: Population,
    origin: Origin,
    model: Harmonium,
    n: int,
    *,
    key: RandomKey,
    n_steps: int,
) -> SampleResult:
    """Draw n rows by moving a population that stands for `model` on for `n_steps` frozen steps."""
    ancestors, moved = _settle(key, population, model, n_steps)
    exchanging = isinstance(moved.kernel, ReplicaExchange)
    round_trips, jumps = (np.asarray(trace) for trace in moved.trace)
    # Of a kernel with several levels, the last is that of the model.
    acceptance = float(jnp.ravel(moved.acceptance)[-1])
    n_ancestors = len(set(ancestors.tolist()))
    trips = float(np.sum(round_trips)) / population.n_chains if exchanging else None
    concerns = _concerns(moved, acceptance, n_ancestors / population.n_chains, trips)
    diagnostics = SampleDiagnostics(
        kernel=name_of(moved.kernel),
        acceptance=acceptance,
        step_size=float(jnp.ravel(moved.kernel.step_size)[-1]),
        ess=origin.ess,
        n_chains=population.n_chains,
        n_ancestors=n_ancestors,
        round_trips=trips,
        trusted=not concerns,
        verdict=f"Draws are NOT to be trusted: {'; '.join(concerns)}." if concerns else HEALTHY,
        way=origin.way,
        n_proposals=origin.n_proposals,
        jump_acceptance=None if np.isnan(jumps).any() else float(np.mean(jumps)),
    )
    return SampleResult(moved.states.position[:n], diagnostics)


def _concerns(
    moved: Moved, acceptance: float, distinct: float, round_trips: float | None
) -> list[str]:
    concerns = []
    if not moved.kernel.is_exact:
        concerns.append(f"{type(moved.kernel).__name__} does not leave the model invariant")
    if not bool(jnp.all(jnp.isfinite(moved.states.position))):
        concerns.append("some are not finite")
    if not acceptance >= LOWEST_ACCEPTANCE:
        concerns.append(f"the chains hardly moved (acceptance {acceptance:.2f})")
    if distinct < FEWEST_DISTINCT:
        concerns.append(f"they descend from {distinct:.1%} of the chains, so modes may be missing")
    if round_trips is not None and round_trips < 1:
        concerns.append(f"replicas hardly travel ({round_trips:.1f} round trips per chain)")
    return concerns


def _tuned(key: RandomKey, model: Harmonium, kernel: ReplicaExchange) -> ReplicaExchange:
    """The kernel itself if it has been tuned, which gave it a center; or else a tuned one of its
    kind.
    """
    if kernel.center is not None:
        return kernel
    return tune_replica_exchange(key, model, kernel.kernel, n_moves=kernel.n_moves)


@compiled_briefly
def _exchanging(
    key: RandomKey, population: Population, model: Harmonium, exchange: ReplicaExchange
) -> Population:
    """The same chains with replicas below them, all at first where the chain is."""
    states = init_chains(key, model, exchange, population.states.position)
    return replace(
        population, kernel=exchange, states=states, acceptance=jnp.ones_like(exchange.step_size)
    )


@compiled_briefly
def _settle(
    key: RandomKey, population: Population, model: Harmonium, n_steps: int
) -> tuple[jax.Array, Moved]:
    key_resample, key_shuffle, key_move = jax.random.split(key, 3)
    population = resample(key_resample, population, below=1.0)
    # Systematic resampling sorts copies next to each other; a sample is read from the front.
    order = jax.random.permutation(key_shuffle, population.n_chains)
    states, ancestors = jax.tree.map(
        lambda leaf: leaf[order], (population.states, population.ancestors)
    )
    moved = run_chains(key_move, model, population.kernel, states, n_steps=n_steps, record=_travel)
    return ancestors, moved


def _travel(states: Any, info: Any) -> tuple[Any, Any]:
    """Arrivals from the base, of kernels with replicas, and acceptance of jumps, of those that
    jump.
    """
    arrivals = getattr(info, "round_trip", jnp.zeros(()))
    return arrivals, jnp.mean(jump_acceptance(info))
