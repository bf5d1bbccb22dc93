"""Turns of our trainer at equal work, compiled and warm: what the benchmarks of speed and of growth
measure.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from harmonium.learning import FitSettings, MaximumLikelihood, PersistentChains, WeightedPopulation
from harmonium.learning.negatives import Chains
from harmonium.learning.objectives import AbstractObjective, Ascent
from harmonium.learning.rows import CompleteRows
from harmonium.learning.trainer import Control, Trainer, default_optimizer
from harmonium.model import Harmonium
from harmonium.sampling import MALA, AbstractKernel, Langevin
from harmonium.typing import Batch, RandomKey, Scalar

LEARNING_RATE = 1e-3
# So many updates lie ahead that the decay of the learning rate is not felt.
N_PLANNED = 1e9

# Least length of a turn.
TURN_SECONDS = 1.0

# A turn; its updates per second.
Turn = Callable[[], float]


@dataclass(frozen=True)
class Work:
    """Chains, and rows of a batch, in an update; steps of every chain; updates in one compiled
    run.
    """

    chains: int = 512
    batch: int = 512
    steps: int = 20
    step_size: float = 0.01
    n_updates: int = 1


class Unlimited(AbstractObjective):
    """An objective that keeps its chains from the trust region, so that there is none."""

    draws_from_base: ClassVar[bool] = False
    inner: AbstractObjective

    def init(self, key: RandomKey, model: Harmonium, data: Batch) -> Any:
        """As of the objective inside."""
        return self.inner.init(key, model, data)

    def ascend(self, key: RandomKey, model: Harmonium, batch: Batch, carry: Any) -> Ascent:
        """As of the objective inside, without witnesses."""
        return self.inner.ascend(key, model, batch, carry)._replace(trust_region_chains=None)

    def log_partition(self, model: Harmonium, carry: Any) -> tuple[Scalar, Scalar]:
        """As of the objective inside."""
        return self.inner.log_partition(model, carry)

    def chains(self, model: Harmonium, carry: Any) -> Chains:
        """As of the objective inside."""
        return self.inner.chains(model, carry)


def equal(work: Work, kernel: AbstractKernel | None = None) -> tuple[AbstractObjective, Any]:
    """Persistent contrastive divergence, by default with Langevin steps, without trust region;
    Adam.
    """
    kernel = Langevin(work.step_size) if kernel is None else kernel
    chains = PersistentChains(kernel, n_chains=work.chains, steps_per_update=work.steps)
    return Unlimited(MaximumLikelihood(chains)), optax.adam(LEARNING_RATE)


def shipped(work: Work, kernel: AbstractKernel | None = None) -> tuple[AbstractObjective, Any]:
    """Two weighted populations, of half of the chains each, by default under MALA; trust region and
    AdamW.
    """
    kernel = MALA(work.step_size) if kernel is None else kernel
    chains = WeightedPopulation(kernel, n_chains=work.chains // 2, steps_per_update=work.steps)
    return MaximumLikelihood(chains), default_optimizer(LEARNING_RATE)


def start(
    model: Harmonium, rows: Batch, work: Work, objective: AbstractObjective, optimizer: Any
) -> Turn:
    """Turns of some compiled runs each; the first, which compiles, is over."""
    source = CompleteRows(rows)
    trainer = Trainer(
        objective=objective,
        optimizer=optimizer,
        settings=FitSettings(batch_size=work.batch),
        training=source,
        held_out=source,
        static=eqx.filter(model, eqx.is_inexact_array, inverse=True),
        updates_per_evaluation=work.n_updates,
    )
    control = Control(jnp.asarray(N_PLANNED), jnp.asarray(1.0))
    state = trainer.start(jax.random.key(0), jax.random.key(1), model)

    def turn() -> float:
        nonlocal state
        started, n_updates = time.perf_counter(), 0
        while True:
            state, metrics = trainer.advance(state, source, control)
            jax.block_until_ready((state.parameters, metrics))
            n_updates += work.n_updates
            seconds = time.perf_counter() - started
            if seconds >= TURN_SECONDS:
                return n_updates / seconds

    turn()
    return turn
