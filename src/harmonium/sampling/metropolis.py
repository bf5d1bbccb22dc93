"""The accept test that makes a proposal exact (Metropolis et al. 1953; Hastings 1970)."""

from typing import TypeVar

import jax
import jax.numpy as jnp

from harmonium.sampling.kernel import Info
from harmonium.typing import Scalar

S = TypeVar("S")


def metropolis(uniform: Scalar, log_ratio: Scalar, proposal: S, state: S) -> tuple[S, Info]:
    """The proposal with probability min(1, exp(log_ratio)), the state otherwise.

    log_ratio = F(x) - F(x') + log q(x|x') - log q(x'|x); `uniform` is a random number between 0 and
    1. A ratio that is not finite is a rejection, never a state.
    """
    acceptance = jnp.where(jnp.isfinite(log_ratio), jnp.exp(jnp.minimum(log_ratio, 0)), 0)
    accept = uniform < acceptance
    chosen = jax.tree.map(lambda new, old: jnp.where(accept, new, old), proposal, state)
    return chosen, Info(acceptance)
