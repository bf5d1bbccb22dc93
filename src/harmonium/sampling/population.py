"""A weighted population of chains that follows a changing model (theory, section 8).

Training and annealing are one thing here: the model changes a little, the weights take up the
difference, the chains move. What differs is the path: parameters found by an optimizer, or an
inverse temperature that rises from the exact base (Neal 2001; Del Moral et al. 2006;
Carbone et al. 2023, "Efficient training of energy-based models using Jarzynski equality").
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from harmonium.model import Harmonium, Path, base_free_energy, base_log_partition, sample_base
from harmonium.sampling.chains import ADAPTATION_RATE, init_chains, run_chains
from harmonium.sampling.diagnostics import lagged_correlation
from harmonium.sampling.gibbs import BlockGibbs
from harmonium.sampling.hamiltonian import HMC
from harmonium.sampling.kernel import AbstractKernel, StepSize
from harmonium.typing import PerChain, RandomKey, Scalar

RESAMPLE_BELOW = 0.5


class Population(eqx.Module):
    """Chains with log-weights and a running log Z.

    `states` are the kernel's states for the model the population stands for; `log_weights` are
    relative to `log_partition`, so that log Z is estimated by log_partition + log mean
    exp(log_weights); `ancestors` number, for each chain, the chain it descends from. `acceptance`
    and `correlation` tell of the last moves: how often they were accepted, and how F after them
    correlates with F before.
    """

    kernel: AbstractKernel
    states: Any
    log_weights: PerChain
    log_partition: Scalar
    ancestors: Int[Array, "chains"]
    acceptance: StepSize
    correlation: Scalar

    @property
    def n_chains(self) -> int:
        """How many chains there are."""
        return self.log_weights.shape[0]

    def ess(self) -> Scalar:
        """Effective sample size of the weights, between 1 and the number of chains."""
        return effective_sample_size(self.log_weights)

    def estimated_log_partition(self) -> Scalar:
        """The running log Z of the model the population stands for, in nats."""
        return self.log_partition + log_mean_exp(self.log_weights)


def log_mean_exp(values: PerChain) -> Scalar:
    """Log of the mean of exp(values), computed stably."""
    return jax.nn.logsumexp(values) - jnp.log(values.shape[0])


def effective_sample_size(log_weights: PerChain) -> Scalar:
    """(sum w)² / sum w² (Kong 1992), at most the number of weights, also after rounding."""
    ess = 1 / jnp.sum(jnp.square(jax.nn.softmax(log_weights)))
    return jnp.minimum(ess, log_weights.shape[-1])


def start_population(
    key: RandomKey, path: Path, kernel: AbstractKernel, n_chains: int
) -> Population:
    """An equally weighted population of exact draws from the base of a path (beta = 0)."""
    key_sample, key_init = jax.random.split(key)
    base = path.base
    positions = sample_base(key_sample, base, n_chains)
    states = init_chains(key_init, base, kernel, positions)
    return _first(base, kernel, states, jnp.zeros(n_chains, positions.dtype))


def importance_start(
    key: RandomKey, path: Path, kernel: AbstractKernel, n_chains: int
) -> Population:
    """A population of exact draws from the base of a path, weighted for its model: A = F_base(x) -
    F(x).
    """
    key_sample, key_init = jax.random.split(key)
    base = path.base
    positions = sample_base(key_sample, base, n_chains)
    states = init_chains(key_init, path.model, kernel, positions)
    started_at = jax.vmap(base_free_energy, in_axes=(None, 0))(base, positions)
    return _first(base, kernel, states, started_at - states.free_energy)


def _first(
    base: Harmonium, kernel: AbstractKernel, states: Any, log_weights: PerChain
) -> Population:
    """A population of draws from a base, which have not been moved yet."""
    return Population(
        kernel=kernel,
        states=states,
        log_weights=log_weights,
        log_partition=base_log_partition(base),
        ancestors=jnp.arange(log_weights.shape[0]),
        acceptance=jnp.ones_like(kernel.step_size),
        correlation=jnp.zeros((), log_weights.dtype),
    )


def reweight(key: RandomKey, population: Population, model: Harmonium) -> Population:
    """Let the population stand for `model`: A += F_old(x) - F_new(x), positions unchanged."""
    old = population.states
    keys = jax.random.split(key, population.n_chains)
    states = jax.vmap(population.kernel.retarget, in_axes=(0, None, 0))(keys, model, old)
    log_weights = population.log_weights + old.free_energy - states.free_energy
    return eqx.tree_at(lambda p: (p.states, p.log_weights), population, (states, log_weights))


def resample(key: RandomKey, population: Population, below: float = RESAMPLE_BELOW) -> Population:
    """Systematic resampling if the effective sample size has fallen below a share of the chains.

    The mean weight moves into `log_partition`; copies are told apart by later moves.
    """

    def do(population: Population) -> Population:
        chosen = systematic_indices(key, population.log_weights)
        states, ancestors = jax.tree.map(
            lambda leaf: leaf[chosen], (population.states, population.ancestors)
        )
        return eqx.tree_at(
            lambda p: (p.states, p.ancestors, p.log_weights, p.log_partition),
            population,
            (
                states,
                ancestors,
                jnp.zeros_like(population.log_weights),
                population.estimated_log_partition(),
            ),
        )

    needed = needs_resampling(population, below)
    return jax.lax.cond(needed, do, lambda population: population, population)


def needs_resampling(population: Population, below: float = RESAMPLE_BELOW) -> Bool[Array, ""]:
    """Whether the effective sample size has fallen below a share of the chains."""
    return population.ess() < below * population.n_chains


def systematic_indices(
    key: RandomKey, log_weights: PerChain, n: int | None = None
) -> Int[Array, "_"]:
    """Indices (n,) of surviving chains: one uniform offset, n evenly spaced points (Kitagawa 1996);
    as many as there are.
    """
    n = log_weights.shape[0] if n is None else n
    cumulative = jnp.cumsum(jax.nn.softmax(log_weights))
    offset = jax.random.uniform(key, dtype=cumulative.dtype)
    points = (jnp.arange(n, dtype=cumulative.dtype) + offset) / n
    # Rounding may leave the last cumulative weight just below 1.
    return jnp.minimum(jnp.searchsorted(cumulative, points), log_weights.shape[0] - 1)


def move(
    key: RandomKey,
    population: Population,
    model: Harmonium,
    *,
    n_steps: int,
    adaptation_rate: float = ADAPTATION_RATE,
) -> Population:
    """Move the chains by a kernel that leaves `model` invariant; weights stay."""
    moved = run_chains(
        key,
        model,
        population.kernel,
        population.states,
        n_steps=n_steps,
        adaptation_rate=adaptation_rate,
    )
    correlation = lagged_correlation(population.states.free_energy, moved.states.free_energy)
    return eqx.tree_at(
        lambda p: (p.kernel, p.states, p.acceptance, p.correlation),
        population,
        (moved.kernel, moved.states, moved.acceptance, correlation),
    )


def smc_step(
    key: RandomKey,
    population: Population,
    model: Harmonium,
    *,
    n_steps: int,
    adaptation_rate: float = ADAPTATION_RATE,
) -> Population:
    """Reweight to `model`, resample if needed, move: one turn of sequential Monte Carlo."""
    key_weight, key_resample, key_move = jax.random.split(key, 3)
    population = reweight(key_weight, population, model)
    population = resample(key_resample, population)
    return move(key_move, population, model, n_steps=n_steps, adaptation_rate=adaptation_rate)


def follow_all(
    key: RandomKey, populations: Population, model: Harmonium, *, n_steps: int
) -> Population:
    """`smc_step` for populations side by side, stacked on the first axis.

    Resampling moves chains between all places, on several devices from one to another: where no
    population needs it, it is left out, which `vmap` of a condition would not do.
    """
    keys_weight, keys_resample, keys_move = jax.random.split(
        key, (3, populations.log_weights.shape[0])
    )
    populations = jax.vmap(reweight, in_axes=(0, 0, None))(keys_weight, populations, model)
    populations = jax.lax.cond(
        jnp.any(jax.vmap(needs_resampling)(populations)),
        lambda these: jax.vmap(resample)(keys_resample, these),
        lambda these: these,
        populations,
    )

    def move_one(key: RandomKey, population: Population) -> Population:
        return move(key, population, model, n_steps=n_steps)

    return jax.vmap(move_one)(keys_move, populations)


def anneal_population(
    key: RandomKey,
    path: Path,
    kernel: AbstractKernel,
    n_chains: int,
    *,
    n_temperatures: int = 200,
    n_steps: int = 2,
) -> Population:
    """A population brought from the exact base to the model along a path; the base itself if W =
    0.
    """
    key_start, key_anneal = jax.random.split(key)
    exact = not bool(jnp.any(path.model.weights != 0))
    # A model with W = 0 is its own base: nothing is left to anneal.
    path = Path(path.model) if exact else path
    population = eqx.filter_jit(start_population)(key_start, path, kernel, n_chains)
    if exact:
        return population
    return _anneal(key_anneal, population, path, n_temperatures, n_steps)


@eqx.filter_jit
def _anneal(
    key: RandomKey, population: Population, path: Path, n_temperatures: int, n_steps: int
) -> Population:
    def one_temperature(population: Population, inputs: tuple[Scalar, RandomKey]):
        inverse_temperature, key = inputs
        return smc_step(key, population, path.at(inverse_temperature), n_steps=n_steps), None

    inverse_temperatures = jnp.linspace(0, 1, n_temperatures + 1)[1:]
    keys = jax.random.split(key, n_temperatures)
    return jax.lax.scan(one_temperature, population, (inverse_temperatures, keys))[0]


def default_kernel(model: Harmonium) -> AbstractKernel:
    """Exact block Gibbs where the feature map is affine, Hamiltonian Monte Carlo otherwise."""
    return BlockGibbs() if model.is_affine else HMC()
