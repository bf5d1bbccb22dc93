"""log Z along a training: populations of chains follow the models that were recorded.

Free-energy perturbation between neighboring parameters, accumulated by sequential Monte Carlo:
weights take up what a change of the model changes, chains are resampled where few stay effective,
and move (Del Moral, Doucet and Jasra 2006, "Sequential Monte Carlo samplers"; for training,
Desjardins, Courville and Bengio 2011, "On tracking the partition function"). Independent
populations tell the error.
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from harmonium.errors import InvalidInputError, describe
from harmonium.likelihood.result import Evidence, LogPartition, interval, judge
from harmonium.model import Harmonium, Path, split_trainable
from harmonium.sampling import AbstractKernel
from harmonium.sampling.independence import alternating
from harmonium.sampling.population import (
    Population,
    default_kernel,
    follow_all,
    start_population,
)
from harmonium.typing import RandomKey, Scalar

# Standard deviation over chains of the change of F, in nats, that one hop may have: three quarters
# of the chains then stay effective.
LARGEST_SPREAD = 0.5
# Hops between two models at most; where more are needed the interval shows it.
MOST_HOPS = 256


def follow_log_partition(
    models: Sequence[Harmonium],
    *,
    key: RandomKey,
    kernel: AbstractKernel | None = None,
    n_populations: int = 8,
    n_chains: int = 256,
    n_steps: int = 2,
) -> tuple[LogPartition, ...]:
    """log Z of each of `models` in nats, with its error, for models that follow one another.

    They are states of one training in their order, such as the `averaged_model`s that a callback of
    `fit` has kept: of one structure and one base. `n_populations` of `n_chains` each start at exact
    draws of the base of the first model and are led from model to model, over so many models
    between two neighbors as the spread of F over the chains asks for, on a straight line of
    parameters; `n_steps` of the kernel follow each. Every population estimates Z without bias but
    for that choice, so the estimate of log Z is the log of their mean, and the standard error that
    of this mean between populations. Errors along the way are correlated. A mode that no chain of
    any population reaches is seen by none of them. Raises `InvalidInputError` for models that
    differ in more than their parameters.
    """
    _check(models, n_populations, n_chains, n_steps)
    first = models[0]
    if kernel is None:
        kernel = default_kernel(first)
        kernel = alternating(kernel, 1) if first.base.has_modes else kernel
    key_start, key_follow = jax.random.split(key)
    populations = _start(key_start, Path(first), kernel, n_populations, n_chains)
    before, found = Path(first).base, []
    for number, model in enumerate(models):
        hops = _count_hops(populations, model)
        key_hop = jax.random.fold_in(key_follow, number)
        populations = _lead(key_hop, populations, before, model, jnp.asarray(hops), n_steps)
        found.append(_judge(populations))
        before = model
    return tuple(found)


def _check(models: Sequence[Harmonium], n_populations: int, n_chains: int, n_steps: int) -> None:
    if n_populations < 2 or n_chains < 2 or n_steps < 1:
        raise InvalidInputError(
            describe(
                "follow_log_partition(n_populations=..., n_chains=..., n_steps=...)",
                expected="two populations of two chains and one step, at least",
                got=f"{n_populations}, {n_chains} and {n_steps}",
            )
        )
    if not models:
        raise InvalidInputError(
            describe("follow_log_partition(models)", expected="at least one model", got="none")
        )
    parameters, rest = split_trainable(models[0])
    shapes = eqx.filter_eval_shape(lambda: parameters)
    for number, model in enumerate(models):
        own, own_rest = split_trainable(model)
        same = bool(eqx.tree_equal(own_rest, rest))
        if not same or eqx.filter_eval_shape(lambda own=own: own) != shapes:
            raise InvalidInputError(
                describe(
                    "follow_log_partition(models)",
                    expected="models that differ in their parameters alone",
                    got=f"model {number} with another structure or base than model 0",
                )
            )


@eqx.filter_jit
def _start(
    key: RandomKey, path: Path, kernel: AbstractKernel, n_populations: int, n_chains: int
) -> Population:
    """Populations of exact draws of the base, stacked."""

    def one(key: RandomKey) -> Population:
        return start_population(key, path, kernel, n_chains)

    return eqx.filter_vmap(one)(jax.random.split(key, n_populations))


def _count_hops(populations: Population, model: Harmonium) -> int:
    """Over how many models the chains are led to `model`."""
    spread = float(_spread(populations, model))
    return int(np.clip(np.ceil(np.nan_to_num(spread, nan=np.inf) / LARGEST_SPREAD), 1, MOST_HOPS))


@eqx.filter_jit
def _spread(populations: Population, model: Harmonium) -> Scalar:
    """The largest weighted standard deviation, over populations, of the change of F in nats."""

    def one(population: Population) -> Scalar:
        change = jax.vmap(model.free_energy)(population.states.position)
        change = change - population.states.free_energy
        weight = jax.nn.softmax(population.log_weights)
        return jnp.sqrt(weight @ jnp.square(change - weight @ change))

    return jnp.max(eqx.filter_vmap(one)(populations))


@eqx.filter_jit
def _lead(
    key: RandomKey,
    populations: Population,
    before: Harmonium,
    model: Harmonium,
    hops: Array,
    n_steps: int,
) -> Population:
    """The populations after so many hops from one model to the next."""
    (start, static), (end, _) = split_trainable(before), split_trainable(model)
    arrays, rest = eqx.partition(populations, eqx.is_array)

    def hop(number: Array, arrays: Population) -> Population:
        def between(a: Array, b: Array) -> Array:
            share = (number + 1).astype(a.dtype) / hops.astype(a.dtype)
            # The last one is the model itself, to the last digit.
            return jnp.where(number + 1 == hops, b, a + share * (b - a))

        there = eqx.combine(jax.tree.map(between, start, end), static)
        moved = follow_all(
            jax.random.fold_in(key, number), eqx.combine(arrays, rest), there, n_steps=n_steps
        )
        return eqx.filter(moved, eqx.is_array)

    return eqx.combine(jax.lax.fori_loop(0, hops, hop, arrays), rest)


@eqx.filter_jit
def _summaries(
    populations: Population,
) -> tuple[Float[Array, "populations"], Float[Array, "populations"]]:
    """log Z and effective sample size of each population."""

    def one(population: Population) -> tuple[Scalar, Scalar]:
        return population.estimated_log_partition(), population.ess()

    return eqx.filter_vmap(one)(populations)


def _judge(populations: Population) -> LogPartition:
    """The log of the mean of Z over populations, with the delta-method error of that mean."""
    values, ess = (np.asarray(part, np.float64) for part in _summaries(populations))
    n = len(values)
    value = float(np.logaddexp.reduce(values) - np.log(n))
    relative = np.exp(values - value)
    standard_error = float(relative.std(ddof=1) / n**0.5)
    low, high = interval(value, standard_error, n)
    return judge(
        Evidence(
            method="trajectory",
            value=value,
            low=low,
            high=high,
            standard_error=standard_error,
            ess=float(ess.sum()),
            facts=f"{n} populations of {populations.log_weights.shape[1]} chains that followed the "
            "training",
        )
    )
