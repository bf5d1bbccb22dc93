"""Running many chains side by side: the only scan over kernel steps, with pooled step-size
adaptation.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from harmonium.model import Harmonium
from harmonium.sampling.kernel import AbstractKernel, refresh_free_energy
from harmonium.typing import Positions, RandomKey, Scalar

ADAPTATION_RATE = 0.05
MAX_STEP_SIZE = 10.0
MIN_STEP_SIZE = 1e-8

K = TypeVar("K", bound=AbstractKernel)

Record = Callable[[Any, Any], Any]


class Moved(eqx.Module, Generic[K]):
    """Chains after some steps, the kernel as adapted meanwhile, the mean acceptance, and the
    trace.
    """

    kernel: K
    states: Any
    acceptance: Float[Array, "..."]
    trace: Any


def init_chains(
    key: RandomKey, model: Harmonium, kernel: AbstractKernel, positions: Positions
) -> Any:
    """States of all chains at these positions, batched along the first axis."""
    keys = jax.random.split(key, positions.shape[0])
    return jax.vmap(kernel.init, in_axes=(0, None, 0))(keys, model, positions)


def run_chains(
    key: RandomKey,
    model: Harmonium,
    kernel: K,
    states: Any,
    *,
    n_steps: int,
    adaptation_rate: float | Scalar = 0.0,
    record: Record | None = None,
) -> Moved[K]:
    """Move all chains by `n_steps`; if the rate is positive, adapt the pooled step size on the way.

    After each step log(step_size) += rate (mean acceptance - target). Adaptation breaks
    stationarity by a little: leave the rate at 0 for samples that are reported. `record(states,
    info)` of every step, both batched over the chains, is stacked along a first axis of steps in
    `trace`.
    """

    def one_step(carry: tuple[K, Any], key: RandomKey):
        kernel, states = carry
        keys = jax.random.split(key, states.position.shape[0])
        states, info = jax.vmap(kernel.step, in_axes=(0, None, 0))(keys, model, states)
        acceptance = jnp.mean(info.acceptance, axis=0)
        recorded = None if record is None else record(states, info)
        return (adapt(kernel, acceptance, adaptation_rate), states), (acceptance, recorded)

    keys = jax.random.split(key, n_steps)
    (kernel, states), (acceptance, trace) = jax.lax.scan(one_step, (kernel, states), keys)
    states = jax.vmap(refresh_free_energy, in_axes=(None, 0))(model, states)
    return Moved(kernel, states, jnp.mean(acceptance, axis=0), trace)


def adapt(kernel: K, acceptance: Float[Array, "..."], rate: float | Scalar) -> K:
    """The kernel with its step size moved towards its target acceptance; a rate of 0 leaves it
    alone.
    """
    frozen = isinstance(rate, float) and rate == 0
    if kernel.target_acceptance is None or frozen:
        return kernel
    factor = jnp.exp(rate * (acceptance - kernel.target_acceptance))
    step_size = jnp.clip(kernel.step_size * factor, MIN_STEP_SIZE, MAX_STEP_SIZE)
    step_size = step_size.astype(kernel.step_size.dtype)
    return eqx.tree_at(lambda k: k.step_size, kernel, step_size)
