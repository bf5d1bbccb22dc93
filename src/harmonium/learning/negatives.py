"""Where the negatives of the likelihood gradient come from: four interchangeable sources."""

from abc import abstractmethod
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from harmonium.learning.devices import check_even, shard
from harmonium.model import Harmonium, Path, exact_samples, sample_base
from harmonium.model.oracles import enumerated_log_weights, hidden_states
from harmonium.sampling import MALA, AbstractKernel, Alternate, BlockGibbs
from harmonium.sampling.annealing import anneal_population
from harmonium.sampling.chains import ADAPTATION_RATE, init_chains, run_chains
from harmonium.sampling.diagnostics import autocorrelation_time, lagged_correlation
from harmonium.sampling.importance import draw_weighted, population_from_base
from harmonium.sampling.independence import alternating
from harmonium.sampling.population import (
    Population,
    effective_sample_size,
    follow_all,
    importance_start,
    log_mean_exp,
)
from harmonium.sampling.tuning import centered_path
from harmonium.typing import Batch, PerChain, Positions, RandomKey, Scalar

Metrics = dict[str, Scalar]

# Effective share of the first chains from which on their weights are left to them.
EVEN = 0.5
# Draws of the base for each of the first chains, where they are resampled.
PROPOSALS = 16
MOVES_PER_UPDATE = 5
MOVES_BETWEEN_JUMPS = 3


class Negatives(NamedTuple):
    """Draws of the model (chains, visible) with their log-weights (chains,)."""

    positions: Positions
    log_weights: PerChain


class Chains(NamedTuple):
    """A kernel as tuned by training, and draws that it moved; None where a source keeps no
    draws.
    """

    kernel: AbstractKernel
    negatives: Negatives | None


class Draw(NamedTuple):
    """What a source gives at an update.

    `negatives` enter the gradient; `trust_region_chains` are all draws there are, by which the
    trust region measures how far an update goes; `carry` is the next state and `metrics` what to
    record.
    """

    negatives: Negatives
    trust_region_chains: Negatives
    carry: Any
    metrics: Metrics


class AbstractNegatives(eqx.Module):
    """A source of negatives: `init` once, `draw` at every update, carrying its own state
    between.
    """

    @abstractmethod
    def init(self, key: RandomKey, model: Harmonium, data: Batch) -> Any:
        """The state carried from update to update; called once, outside of compiled code."""

    @abstractmethod
    def draw(self, key: RandomKey, model: Harmonium, batch: Batch, carry: Any) -> Draw:
        """Negatives for the current model."""

    @abstractmethod
    def log_partition(self, model: Harmonium, carry: Any) -> tuple[Scalar, Scalar]:
        """A running estimate of log Z of a model near the last one drawn for, and its ess.

        NaN and 0 where the source does not know.
        """

    @abstractmethod
    def chains(self, model: Harmonium, carry: Any) -> Chains:
        """The chains as they stand, for diagnosis."""


class WeightedPopulation(AbstractNegatives):
    """Weighted persistent chains from the exact base: sequential Monte Carlo along training.

    Two populations of `n_chains` each follow the model (theory, section 8). The learners supply the
    gradient; the monitors never enter it, and the running log Z is theirs alone: an update raises F
    exactly at the chains that made its gradient, which pulls the learners' own estimate low.
    `steps_per_update` of the kernel are made at every update; unless given, so many that they cost
    about as much as five moves.
    """

    kernel: AbstractKernel | None = None
    n_chains: int = eqx.field(static=True, default=384)
    steps_per_update: int | None = eqx.field(static=True, default=None)

    def init(self, key: RandomKey, model: Harmonium, data: Batch) -> Population:
        """Exact draws of the base, weighted for a model close to it, resampled for one less close,
        annealed to any other.
        """
        check_even("n_chains", self.n_chains)
        kernel = training_kernel(model) if self.kernel is None else self.kernel
        return _split(_first_populations(key, centered_path(model, data), kernel, self.n_chains))

    def draw(self, key: RandomKey, model: Harmonium, batch: Batch, carry: Population) -> Draw:
        """Reweight to the model, resample where needed, move."""
        n_steps = self.steps_per_update or training_steps(carry.kernel)
        populations = _split(follow_all(key, carry, model, n_steps=n_steps))
        learners, monitors = _unstack(populations)
        metrics = {
            # Of a kernel with several levels, that of the model itself.
            "acceptance": jnp.ravel(learners.acceptance)[-1],
            "step_size": jnp.ravel(learners.kernel.step_size)[-1],
            "autocorrelation_time": autocorrelation_time(monitors.correlation),
            "ess": learners.ess() / learners.n_chains,
            "log_partition": monitors.estimated_log_partition(),
        }
        negatives = Negatives(learners.states.position, learners.log_weights)
        # An update may raise F at the learners and lower it unseen elsewhere: the monitors see it.
        # Chain by chain, because chains of one device must lie side by side.
        trust_region_chains = Negatives(
            jnp.swapaxes(populations.states.position, 0, 1).reshape(-1, model.n_visible),
            jax.nn.log_softmax(populations.log_weights, axis=1).T.reshape(-1),
        )
        return Draw(negatives, trust_region_chains, populations, metrics)

    def log_partition(self, model: Harmonium, carry: Population) -> tuple[Scalar, Scalar]:
        """Free-energy perturbation from the monitors to `model`."""
        _, monitors = _unstack(carry)
        free_energy = jax.vmap(model.free_energy)(monitors.states.position)
        log_weights = monitors.log_weights + monitors.states.free_energy - free_energy
        value = monitors.log_partition + log_mean_exp(log_weights)
        return value, effective_sample_size(log_weights)

    def chains(self, model: Harmonium, carry: Population) -> Chains:
        """The monitors: they never entered a gradient."""
        _, monitors = _unstack(carry)
        negatives = Negatives(monitors.states.position, monitors.log_weights)
        return Chains(monitors.kernel, negatives)


def _first_populations(
    key: RandomKey, path: Path, kernel: AbstractKernel, n_chains: int
) -> Population:
    """Two of them, of draws of the model that a path leads to; as a rule it is new, and nearly its
    own base.
    """
    key_jump, key_anneal = jax.random.split(key)
    jumped, ess = _jump(key_jump, path, kernel, n_chains)
    if bool(jnp.all(ess >= EVEN * n_chains)):
        return jumped
    keys = jax.random.split(key_anneal)
    started = [_resampled(key, path, kernel, n_chains) for key in keys]
    if any(population is None for population in started):
        started = [anneal_population(key, path, kernel, n_chains) for key in keys]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *started)


def _resampled(
    key: RandomKey, path: Path, kernel: AbstractKernel, n_chains: int
) -> Population | None:
    """Chains at resampled draws of the base of a path; None unless as many of those are
    effective.
    """
    key_draw, key_resample = jax.random.split(key)
    draws = draw_weighted(key_draw, path, PROPOSALS * n_chains)
    if draws.ess() < n_chains:
        return None
    return population_from_base(key_resample, path, kernel, draws, n_chains)


@eqx.filter_jit
def _jump(
    key: RandomKey, path: Path, kernel: AbstractKernel, n_chains: int
) -> tuple[Population, PerChain]:
    """Two populations of draws of the base of a path, weighted for its model, and their effective
    sample sizes.
    """

    def one(key: RandomKey) -> tuple[Population, Scalar]:
        population = importance_start(key, path, kernel, n_chains)
        return population, population.ess()

    return eqx.filter_vmap(one)(jax.random.split(key))


def training_kernel(model: Harmonium) -> AbstractKernel:
    """Exact block Gibbs where the feature map is affine, MALA otherwise, with jumps where the base
    has modes.
    """
    if model.is_affine:
        return BlockGibbs()
    return alternating(MALA(), MOVES_BETWEEN_JUMPS) if model.base.has_modes else MALA()


def training_steps(kernel: AbstractKernel) -> int:
    """Steps of a kernel per update that cost about as much as five moves: one, where each holds
    three and a jump.
    """
    moves = kernel.n_moves + 1 if isinstance(kernel, Alternate) else 1
    return max(1, round(MOVES_PER_UPDATE / moves))


def _unstack(populations: Population) -> tuple[Population, Population]:
    learners, monitors = (jax.tree.map(lambda leaf, i=i: leaf[i], populations) for i in (0, 1))
    return learners, monitors


def _split(populations: Population) -> Population:
    """The chains of both over the devices in use."""
    return eqx.tree_at(
        lambda p: (p.states, p.log_weights, p.ancestors),
        populations,
        replace_fn=partial(shard, axis=1),
    )


class _Chains(NamedTuple):
    kernel: AbstractKernel
    positions: Positions


class PersistentChains(AbstractNegatives):
    """Chains kept from update to update, unweighted (Tieleman 2008, persistent contrastive
    divergence).
    """

    kernel: AbstractKernel | None = None
    n_chains: int = eqx.field(static=True, default=512)
    steps_per_update: int | None = eqx.field(static=True, default=None)

    def init(self, key: RandomKey, model: Harmonium, data: Batch) -> _Chains:
        """Chains at exact draws of the base."""
        check_even("n_chains", self.n_chains)
        kernel = training_kernel(model) if self.kernel is None else self.kernel
        return _Chains(kernel, shard(sample_base(key, model, self.n_chains)))

    def draw(self, key: RandomKey, model: Harmonium, batch: Batch, carry: _Chains) -> Draw:
        """Move the chains on with the current model."""
        n_steps = self.steps_per_update or training_steps(carry.kernel)
        negatives, chains, metrics = _move_unweighted(key, model, carry, n_steps)
        return Draw(negatives, negatives, chains, metrics)

    def log_partition(self, model: Harmonium, carry: _Chains) -> tuple[Scalar, Scalar]:
        """Unknown to unweighted chains."""
        return unknown_log_partition(model)

    def chains(self, model: Harmonium, carry: _Chains) -> Chains:
        """All of them, with equal weights."""
        weights = jnp.zeros(carry.positions.shape[0], carry.positions.dtype)
        return Chains(carry.kernel, Negatives(carry.positions, weights))


class DataStartedChains(AbstractNegatives):
    """Chains that start at the data batch of each update: contrastive divergence, CD-k (Hinton
    2002).

    Biased for any finite number of steps, and blind to modes without data.
    """

    kernel: AbstractKernel | None = None
    steps_per_update: int | None = eqx.field(static=True, default=None)

    def init(self, key: RandomKey, model: Harmonium, data: Batch) -> AbstractKernel:
        """Only the kernel is carried, for its adapted step size."""
        return training_kernel(model) if self.kernel is None else self.kernel

    def draw(self, key: RandomKey, model: Harmonium, batch: Batch, carry: AbstractKernel) -> Draw:
        """Move a copy of the batch for `steps_per_update` steps."""
        chains = _Chains(carry, batch)
        n_steps = self.steps_per_update or training_steps(carry)
        negatives, chains, metrics = _move_unweighted(key, model, chains, n_steps)
        return Draw(negatives, negatives, chains.kernel, metrics)

    def log_partition(self, model: Harmonium, carry: AbstractKernel) -> tuple[Scalar, Scalar]:
        """Unknown to data-started chains."""
        return unknown_log_partition(model)

    def chains(self, model: Harmonium, carry: AbstractKernel) -> Chains:
        """No draws are kept from update to update."""
        return Chains(carry, None)


class ExactSamples(AbstractNegatives):
    """Independent exact draws by enumeration: affine feature maps with few hidden units (k <=
    16).
    """

    n_chains: int = eqx.field(static=True, default=512)

    def init(self, key: RandomKey, model: Harmonium, data: Batch) -> tuple[()]:
        """Nothing is carried."""
        check_even("n_chains", self.n_chains)
        exact_samples(key, model, 1)
        return ()

    def draw(self, key: RandomKey, model: Harmonium, batch: Batch, carry: tuple[()]) -> Draw:
        """Draw h from p(h), then x from p(x|h)."""
        positions = shard(exact_samples(key, model, self.n_chains))
        negatives = Negatives(positions, jnp.zeros(self.n_chains, positions.dtype))
        return Draw(negatives, negatives, carry, {})

    def log_partition(self, model: Harmonium, carry: tuple[()]) -> tuple[Scalar, Scalar]:
        """Exact."""
        hidden = jnp.asarray(hidden_states(model), model.weights.dtype)
        log_weights = enumerated_log_weights(model, hidden)
        return jax.nn.logsumexp(log_weights), jnp.asarray(float(self.n_chains))

    def chains(self, model: Harmonium, carry: tuple[()]) -> Chains:
        """No chain is needed; the exact kernel stands for them."""
        return Chains(training_kernel(model), None)


def _move_unweighted(
    key: RandomKey, model: Harmonium, chains: _Chains, n_steps: int
) -> tuple[Negatives, _Chains, Metrics]:
    key_init, key_move = jax.random.split(key)
    states = init_chains(key_init, model, chains.kernel, chains.positions)
    moved = run_chains(
        key_move, model, chains.kernel, states, n_steps=n_steps, adaptation_rate=ADAPTATION_RATE
    )
    positions = shard(moved.states.position)
    correlation = lagged_correlation(states.free_energy, moved.states.free_energy)
    metrics = {
        "acceptance": jnp.ravel(moved.acceptance)[-1],
        "step_size": jnp.ravel(moved.kernel.step_size)[-1],
        "autocorrelation_time": autocorrelation_time(correlation),
    }
    weights = jnp.zeros(positions.shape[0], positions.dtype)
    return Negatives(positions, weights), _Chains(moved.kernel, positions), metrics


def unknown_log_partition(model: Harmonium) -> tuple[Scalar, Scalar]:
    """A log Z that is not known, NaN, by no draws."""
    unknown = jnp.full((), jnp.nan, model.weights.dtype)
    return unknown, jnp.zeros((), model.weights.dtype)
