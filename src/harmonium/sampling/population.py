"""A weighted population of chains that follows a changing model (theory, section 8).

Training and annealing are one thing here: the model changes a little, the weights take up the
difference, the chains move. What differs is the path: parameters found by an optimizer
(`follow_all`; Carbone et al. 2023, "Efficient training of energy-based models using Jarzynski
equality"), or an inverse temperature (`annealing.follow_path`).
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
    and `correlation` describe the last moves: how often they were accepted, and how F after them
    correlates with F before.
    """

    kernel: AbstractKernel
    states: Any
    log_weights: PerChain
    log_partition: Scalar
    ancestors: Int[Array, "chains"]
    acceptance: StepSize
    correlation: Scalar

    @staticmethod
    def unmoved(
        kernel: AbstractKernel, states: Any, log_weights: PerChain, log_partition: Scalar
    ) -> "Population":
        """Chains that have not been moved yet, every one its own ancestor."""
        return Population(
            kernel=kernel,
            states=states,
            log_weights=log_weights,
            log_partition=log_partition,
            ancestors=jnp.arange(log_weights.shape[0]),
            acceptance=jnp.ones_like(kernel.step_size),
            correlation=jnp.zeros((), log_weights.dtype),
        )

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
    log_weights = jnp.zeros(n_chains, positions.dtype)
    return Population.unmoved(kernel, states, log_weights, base_log_partition(base))


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
    log_weights = started_at - states.free_energy
    return Population.unmoved(kernel, states, log_weights, base_log_partition(base))


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


def follow_all(
    key: RandomKey, populations: Population, model: Harmonium, *, n_steps: int
) -> Population:
    """Reweight to `model`, resample if needed, move: one turn of sequential Monte Carlo, for
    populations side by side, stacked on the first axis.

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


def default_kernel(model: Harmonium) -> AbstractKernel:
    """Exact block Gibbs where the feature map is affine, Hamiltonian Monte Carlo otherwise."""
    return BlockGibbs() if model.is_affine else HMC()
