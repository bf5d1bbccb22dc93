"""Drawing from a model: annealed from the exact base, then moved by a kernel."""

from dataclasses import dataclass, replace

import equinox as eqx
import jax
import jax.numpy as jnp

from harmonium.errors import InvalidInputError, describe
from harmonium.model import Harmonium, Path, check_finite
from harmonium.sampling.chains import Moved, init_chains, run_chains
from harmonium.sampling.kernel import AbstractKernel
from harmonium.sampling.population import Population, anneal_population, default_kernel, resample
from harmonium.sampling.replica_exchange import ReplicaExchange
from harmonium.sampling.starts import find_modes
from harmonium.sampling.tuning import centered_path, tune_replica_exchange
from harmonium.typing import Positions, RandomKey

ANNEALING_STEPS = 2
LOWEST_ACCEPTANCE = 0.1
FEWEST_DISTINCT = 0.05
HEALTHY = "Nothing speaks against the draws: the chains moved, and enough came through."


@dataclass(frozen=True)
class SampleDiagnostics:
    """How a sample came about: acceptance of the final moves, step size, weights, distinct ancestors.

    `verdict` says in words whether the draws may be trusted, `trusted` says it to programs.
    `round_trips` is the mean number per chain of arrivals from the base during the final moves; None for kernels
    other than `ReplicaExchange`, whose acceptance and step size are those of the model's own level.
    """

    kernel: str
    acceptance: float
    step_size: float
    ess: float
    n_chains: int
    n_ancestors: int
    round_trips: float | None
    trusted: bool
    verdict: str


@dataclass(frozen=True)
class SampleResult:
    """Draws in model units, shape (n, visible), with their diagnostics."""

    samples: Positions
    diagnostics: SampleDiagnostics


def sample(
    model: Harmonium,
    n: int,
    *,
    key: RandomKey,
    kernel: AbstractKernel | None = None,
    n_steps: int = 500,
    n_chains: int | None = None,
) -> SampleResult:
    """Draw n rows x from p(x), approximately: chains annealed from the exact base, then moved.

    Chains start at exact draws of the base of a path that is centered between the modes (`find_modes`), follow beta
    to 1 with weights and resampling over half of the steps, and move with frozen step size for the other half. `kernel` is exact block Gibbs
    for affine feature maps and HMC otherwise, unless given; its step size is adapted on the way. Of a
    `ReplicaExchange` without a center the levels are tuned too, first, by `tune_replica_exchange`. At least `n_chains` (256) chains run,
    because few chains weigh modes badly; n of them are returned. Raises `InvalidInputError` for n < 1.
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
    kernel = default_kernel(model) if kernel is None else kernel
    key_tune, key_anneal, key_place, key_move = jax.random.split(key, 4)
    exchange = None
    if isinstance(kernel, ReplicaExchange):
        exchange = _tuned(key_tune, model, kernel)
        path, mover = Path(model, exchange.center), exchange.kernel
    else:
        found, mover = find_modes(key_tune, model, kernel)
        path = centered_path(model, found)
    population = anneal_population(
        key_anneal,
        path,
        mover,
        max(n, 256) if n_chains is None else max(n, n_chains),
        n_temperatures=max(1, n_steps // (2 * ANNEALING_STEPS)),
        n_steps=ANNEALING_STEPS,
    )
    if exchange is not None:
        population = _exchanging(key_place, population, model, exchange)
    return continue_population(population, model, n, key=key_move, n_steps=max(1, n_steps // 2))


def continue_population(
    population: Population, model: Harmonium, n: int, *, key: RandomKey, n_steps: int
) -> SampleResult:
    """Draw n rows by moving a population that stands for `model` on for `n_steps` frozen steps."""
    ancestors, moved = _settle(key, population, model, n_steps)
    exchanging = isinstance(moved.kernel, ReplicaExchange)
    round_trips = float(jnp.sum(moved.trace)) / population.n_chains if exchanging else None
    # Of a kernel with several levels, the last is that of the model.
    acceptance = float(jnp.ravel(moved.acceptance)[-1])
    n_ancestors = len(set(ancestors.tolist()))
    concerns = _concerns(moved, acceptance, n_ancestors / population.n_chains, round_trips)
    diagnostics = SampleDiagnostics(
        kernel=type(moved.kernel).__name__,
        acceptance=acceptance,
        step_size=float(jnp.ravel(moved.kernel.step_size)[-1]),
        ess=float(population.ess()),
        n_chains=population.n_chains,
        n_ancestors=n_ancestors,
        round_trips=round_trips,
        trusted=not concerns,
        verdict=f"Draws are NOT to be trusted: {'; '.join(concerns)}." if concerns else HEALTHY,
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
    """The kernel itself if it has been tuned, which gave it a center; or else a tuned one of its kind."""
    if kernel.center is not None:
        return kernel
    return tune_replica_exchange(key, model, kernel.kernel, n_moves=kernel.n_moves)


@eqx.filter_jit
def _exchanging(
    key: RandomKey, population: Population, model: Harmonium, exchange: ReplicaExchange
) -> Population:
    """The same chains with replicas below them, all at first where the chain is."""
    states = init_chains(key, model, exchange, population.states.position)
    return replace(
        population, kernel=exchange, states=states, acceptance=jnp.ones_like(exchange.step_size)
    )


@eqx.filter_jit
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
    record = _round_trips if isinstance(population.kernel, ReplicaExchange) else None
    moved = run_chains(key_move, model, population.kernel, states, n_steps=n_steps, record=record)
    return ancestors, moved


def _round_trips(states, info):
    return info.round_trip
