"""Chains that start far apart, to find what annealing from the base may miss."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from harmonium.compiling import compiled_briefly
from harmonium.model import Harmonium
from harmonium.sampling.chains import init_chains, run_chains
from harmonium.sampling.kernel import AbstractKernel
from harmonium.typing import Hidden, Positions, RandomKey, Scalar, Visible

# Of any number, which may differ from start to start.
Rows = Float[Array, "_ visible"]

SEARCH_CHAINS = 256
SEARCH_STEPS = 120
SEARCH_ADAPTATION_RATE = 0.1


class Found(NamedTuple):
    """Where chains from dispersed starts ended (chains, visible), and their kernel, tuned on the
    way.
    """

    positions: Positions
    kernel: AbstractKernel


@compiled_briefly
def find_modes(key: RandomKey, model: Harmonium, kernel: AbstractKernel) -> Found:
    """Start chains far apart and let them fall into whatever modes there are."""
    key_start, key_init, key_move = jax.random.split(key, 3)
    starts = dispersed_starts(key_start, model, SEARCH_CHAINS)
    states = init_chains(key_init, model, kernel, starts)

    def half(carry: tuple[AbstractKernel, Any], inputs: tuple[RandomKey, Scalar]):
        kernel, states = carry
        key, rate = inputs
        moved = run_chains(
            key, model, kernel, states, n_steps=SEARCH_STEPS // 2, adaptation_rate=rate
        )
        return (moved.kernel, moved.states), None

    # Tuned, then frozen: one scan over both compiles the kernel once.
    halves = (jax.random.split(key_move), jnp.asarray([SEARCH_ADAPTATION_RATE, 0.0]))
    (kernel, states), _ = jax.lax.scan(half, (kernel, states), halves)
    return Found(states.position, kernel)


def dispersed_starts(key: RandomKey, model: Harmonium, n_chains: int) -> Positions:
    """Starting points (chains, visible) at the modes that randomly switched hidden units would
    make.

    x0 is drawn from the base, h uniformly from all hidden states; with f linearized at x0 the
    conditional of theory, section 3, is the base tilted by b - Jᵀ Wᵀ h. For an affine f that is
    exactly p(x|h), under a uniform h.
    """
    key_hidden, key_noise = jax.random.split(key)
    # All numbers by two calls: each further one takes long to compile.
    logits = jnp.zeros(n_chains * model.n_hidden, model.visible_bias.dtype)
    hidden = model.hidden_units.sample(key_hidden, logits).reshape(n_chains, model.n_hidden)
    shape = (2, n_chains, model.n_visible + 1)
    noise, own_noise = jax.random.normal(key_noise, shape, model.visible_bias.dtype)
    base = jax.vmap(model.base.conditional(model.visible_bias).from_noise)(noise)

    def start_one(x: Visible, hidden: Hidden, noise: Float[Array, "_"]) -> Visible:
        _, pull_back = jax.vjp(model.feature_map, x)
        (slope,) = pull_back(model.weights.T @ hidden)
        return model.base.conditional(model.visible_bias - slope).from_noise(noise)

    return jax.vmap(start_one)(base, hidden, own_noise)


@compiled_briefly
def pick_evenly(key: RandomKey, starts: tuple[Rows, ...], n: int) -> tuple[Rows, ...]:
    """N of the positions (rows, visible) of every start, at even distances from a random one on;
    some twice if there are fewer.

    Neighbors may be copies of each other, as resampling leaves them: even distances keep these
    apart.
    """
    sizes = jnp.asarray([len(positions) for positions in starts])
    firsts = jax.random.randint(key, sizes.shape, 0, sizes)
    return tuple(
        positions[(first + np.arange(n) * len(positions) // n) % len(positions)]
        for positions, first in zip(starts, firsts, strict=True)
    )
