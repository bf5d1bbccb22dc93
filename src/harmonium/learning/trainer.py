"""One parameter update, a compiled run of them, and their evaluation."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from harmonium.compiling import compiled_briefly
from harmonium.errors import InvalidInputError, describe
from harmonium.learning.devices import shard
from harmonium.learning.negatives import Metrics
from harmonium.learning.objectives import AbstractObjective
from harmonium.learning.rows import AbstractRows
from harmonium.learning.trust_region import limit_update
from harmonium.model import Harmonium, split_trainable
from harmonium.sampling import AbstractKernel, ChainDiagnostics
from harmonium.sampling.equilibrium import check_equilibrium
from harmonium.sampling.population import systematic_indices
from harmonium.typing import Positions, RandomKey, Scalar


@dataclass(frozen=True)
class FitSettings:
    """How updates are made. The defaults are the ones measured in the benchmarks.

    batch_size: data rows per update. trust_radius: largest standard deviation of the change of F
    over the chains, in nats. averaging: decay of the exponential average of the parameters that is
    returned. n_evaluations: how often progress is judged, at least. patience: evaluations without a
    better validation log-likelihood after which training stops, though not within 100 updates.
    max_rollbacks: returns to the best state after which training stops.
    """

    batch_size: int = 512
    trust_radius: float = 0.1
    averaging: float = 0.995
    n_evaluations: int = 40
    patience: int = 6
    max_rollbacks: int = 5

    def __post_init__(self):
        for name in ("batch_size", "trust_radius", "n_evaluations", "patience"):
            if not getattr(self, name) > 0:
                raise InvalidInputError(
                    describe(
                        f"FitSettings({name}=...)",
                        expected="a positive number",
                        got=repr(getattr(self, name)),
                    )
                )


class State(eqx.Module):
    """All that the next update needs."""

    parameters: Harmonium
    averaged: Harmonium
    optimizer_state: Any
    carry: Any
    rows: Any
    key: RandomKey
    update: Scalar


class Control(NamedTuple):
    """What may change between evaluations without compiling again."""

    n_updates: Scalar
    trust_region_scale: Scalar


@lru_cache
def default_optimizer(learning_rate: float = 1e-3) -> optax.GradientTransformation:
    """AdamW with the gradient norm clipped at 1; `fit` multiplies its updates by a cosine decay.

    The same object for the same rate, so that a second fit need not compile again.
    """
    return _clipped_adamw(learning_rate)


def _clipped_adamw(learning_rate: Scalar | float) -> optax.GradientTransformation:
    adamw = optax.adamw(learning_rate, weight_decay=1e-4)
    return optax.chain(optax.clip_by_global_norm(1.0), adamw)


@lru_cache
def adjustable_optimizer() -> optax.GradientTransformation:
    """The default optimizer with its `learning_rate` in its state, where runs of a sweep differ."""
    return optax.inject_hyperparams(_clipped_adamw)(learning_rate=1e-3)


class Trainer(eqx.Module):
    """Everything that stays the same during a fit, and the compiled functions over it."""

    objective: AbstractObjective
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    settings: FitSettings = eqx.field(static=True)
    training: AbstractRows
    held_out: AbstractRows
    static: Harmonium
    updates_per_evaluation: int = eqx.field(static=True)

    @property
    def rests_on_weights(self) -> bool:
        """Whether log Z of a state has to be estimated by weighted draws of the base."""
        return self.objective.draws_from_base and self.static.base.has_modes

    def combine(self, parameters: Harmonium) -> Harmonium:
        """The model with these parameters."""
        return eqx.combine(parameters, self.static)

    def start(self, key_init: RandomKey, key_loop: RandomKey, model: Harmonium) -> State:
        """The state before the first update."""
        parameters, _ = split_trainable(model)
        return State(
            parameters=parameters,
            averaged=parameters,
            optimizer_state=compiled_briefly(self.optimizer.init)(cast(optax.Params, parameters)),
            carry=self.objective.init(key_init, model, self.training.completed),
            rows=self.training.start(),
            key=key_loop,
            update=jnp.zeros(()),
        )

    @eqx.filter_jit
    def advance(self, state: State, rows: AbstractRows, control: Control) -> tuple[State, Metrics]:
        """The updates up to the next evaluation, with batches of `rows`, and the means of their
        metrics.
        """

        def body(state: State, _: None) -> tuple[State, Metrics]:
            return self._update(state, rows, control)

        state, metrics = jax.lax.scan(body, state, length=self.updates_per_evaluation)
        return state, {name: jnp.mean(values) for name, values in metrics.items()}

    def _update(
        self, state: State, source: AbstractRows, control: Control
    ) -> tuple[State, Metrics]:
        key, key_batch, key_ascend = jax.random.split(state.key, 3)
        model = self.combine(state.parameters)
        batch, rows = source.draw(key_batch, model, state.rows, self.settings.batch_size)
        batch = shard(batch)
        ascent = self.objective.ascend(key_ascend, model, batch, state.carry)
        descent = jax.tree.map(jnp.negative, ascent.gradient)
        update, optimizer_state = self.optimizer.update(
            descent, state.optimizer_state, cast(optax.Params, state.parameters)
        )
        scale = control.trust_region_scale * cosine_decay(state.update / control.n_updates)
        update = jax.tree.map(lambda leaf: scale.astype(leaf.dtype) * leaf, update)
        metrics = dict(ascent.metrics)
        if ascent.trust_region_chains is not None:
            radius = self.settings.trust_radius * control.trust_region_scale
            limited = limit_update(model, update, ascent.trust_region_chains, radius)
            update = limited.update
            metrics["trust_factor"] = limited.factor
        parameters = eqx.apply_updates(state.parameters, update)
        decay = jnp.minimum(self.settings.averaging, (1 + state.update) / (10 + state.update))
        averaged = jax.tree.map(
            lambda old, new: old + (1 - decay).astype(new.dtype) * (new - old),
            state.averaged,
            parameters,
        )
        advanced = State(
            parameters=parameters,
            averaged=averaged,
            optimizer_state=optimizer_state,
            carry=ascent.carry,
            rows=rows,
            key=key,
            update=state.update + 1,
        )
        return advanced, metrics

    @compiled_briefly
    def evaluate(self, state: State) -> Metrics:
        """Log-likelihoods of the averaged model, in nats per row, and the state of its hidden
        units.
        """
        model = self.combine(state.averaged)
        log_partition, ess = self.objective.log_partition(model, state.carry)
        training, held_out = (
            rows.mean(rows.free_energies(model)) for rows in (self.training, self.held_out)
        )
        hidden_mean = jax.vmap(model.hidden_mean)(shard(self.held_out.completed))
        center = self.held_out.mean(hidden_mean)[None, :]
        spread = self.held_out.mean(jnp.square(hidden_mean - center))
        leaves = jax.tree.leaves(state.parameters)
        return {
            "train_log_likelihood": -training - log_partition,
            "validation_log_likelihood": -held_out - log_partition,
            "running_log_partition": log_partition,
            "running_ess": ess,
            "dead_hidden": jnp.mean(jnp.sqrt(spread) < 1e-3),
            "finite": jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves])),
        }

    def check(self, key: RandomKey, state: State) -> ChainDiagnostics | None:
        """Chains of the averaged model, from held-out rows, from the chains of training and from
        the base.

        None for an objective that keeps no chains: nothing in its updates depends on how they
        travel.
        """
        key_draw, key_run = jax.random.split(key)
        kernel, drawn = self._drawn(key_draw, state)
        if drawn is None:
            return None
        starts = {"the data": self.held_out.completed, "the training chains": drawn}
        return check_equilibrium(key_run, self.combine(state.averaged), kernel, starts)

    @compiled_briefly
    def _drawn(self, key: RandomKey, state: State) -> tuple[AbstractKernel, Positions | None]:
        """The kernel as tuned by training, and the draws of its chains with equal weights, if they
        keep any.
        """
        chains = self.objective.chains(self.combine(state.averaged), state.carry)
        if chains.negatives is None:
            return chains.kernel, None
        positions, log_weights = chains.negatives
        return chains.kernel, positions[systematic_indices(key, log_weights)]

    @property
    def gap_limit(self) -> float:
        """Energy gap, in nats, beyond which the model has outrun its chains."""
        return 10.0 + self.training.completed.shape[1]


def cosine_decay(progress: Scalar) -> Scalar:
    """From 1 at the start of training to 0 at its end."""
    return 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(progress, 0.0, 1.0)))
