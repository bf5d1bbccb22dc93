"""Chains that start far apart, to find what annealing from the base may miss."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from harmonium.model import Harmonium, sample_base
from harmonium.sampling.chains import init_chains, run_chains
from harmonium.sampling.kernel import AbstractKernel
from harmonium.typing import Positions, RandomKey, Visible

# Of any number, which may differ from start to start.
Rows = Float[Array, "_ visible"]

SEARCH_CHAINS = 256
SEARCH_STEPS = 120
SEARCH_ADAPTATION_RATE = 0.1


class Found(NamedTuple):
    """Where chains from dispersed starts ended (chains, visible), and their kernel, tuned on the way."""

    positions: Positions
    kernel: AbstractKernel


@eqx.filter_jit
def find_modes(key: RandomKey, model: Harmonium, kernel: AbstractKernel) -> Found:
    """Start chains far apart and let them fall into whatever modes there are."""
    key_start, key_init, key_tune, key_move = jax.random.split(key, 4)
    starts = dispersed_starts(key_start, model, SEARCH_CHAINS)
    states = init_chains(key_init, model, kernel, starts)
    n_steps = SEARCH_STEPS // 2
    tuned = run_chains(
        key_tune, model, kernel, states, n_steps=n_steps, adaptation_rate=SEARCH_ADAPTATION_RATE
    )
    moved = run_chains(key_move, model, tuned.kernel, tuned.states, n_steps=n_steps)
    return Found(moved.states.position, tuned.kernel)


def dispersed_starts(key: RandomKey, model: Harmonium, n_chains: int) -> Positions:
    """Starting points (chains, visible) at the modes that randomly switched hidden units would make.

    x0 is drawn from the base, h uniformly from all hidden states; with f linearized at x0 the
    conditional of theory, section 3, is the base tilted by b - Jᵀ Wᵀ h. For an affine f that is
    exactly p(x|h), under a uniform h.
    """
    key_base, key_starts = jax.random.split(key)
    base = sample_base(key_base, model, n_chains)

    def start_one(key: RandomKey, x: Visible) -> Visible:
        key_hidden, key_noise = jax.random.split(key)
        hidden = model.hidden_units.sample(key_hidden, jnp.zeros_like(model.hidden_bias))
        _, pull_back = jax.vjp(model.feature_map, x)
        (slope,) = pull_back(model.weights.T @ hidden)
        return model.base.conditional(model.visible_bias - slope).sample(key_noise, 1)[0]

    return jax.vmap(start_one)(jax.random.split(key_starts, n_chains), base)


@eqx.filter_jit
def pick_evenly(key: RandomKey, starts: tuple[Rows, ...], n: int) -> tuple[Rows, ...]:
    """N of the positions (rows, visible) of every start, at even distances from a random one on; some twice if there are fewer.

    Neighbors may be copies of each other, as resampling leaves them: even distances keep these apart.
    """
    sizes = jnp.asarray([len(positions) for positions in starts])
    firsts = jax.random.randint(key, sizes.shape, 0, sizes)
    return tuple(
        positions[(first + np.arange(n) * len(positions) // n) % len(positions)]
        for positions, first in zip(starts, firsts, strict=True)
    )
