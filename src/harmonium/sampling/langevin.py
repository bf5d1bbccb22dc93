"""Langevin kernels: unadjusted (biased) and Metropolis-adjusted (exact)."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from harmonium.model import Harmonium
from harmonium.sampling.kernel import AbstractKernel, Info
from harmonium.typing import RandomKey, Scalar, Visible


class LangevinState(NamedTuple):
    """A position with the free energy and its gradient there."""

    position: Visible
    free_energy: Scalar
    gradient: Visible


def _evaluate(model: Harmonium, position: Visible) -> LangevinState:
    free_energy, gradient = jax.value_and_grad(model.free_energy)(position)
    return LangevinState(position, free_energy, gradient)


def _propose(
    key: RandomKey, model: Harmonium, state: LangevinState, step_size: Scalar
) -> LangevinState:
    # x' = x - eps grad F(x) + sqrt(2 eps) xi
    step_size = step_size.astype(state.position.dtype)
    noise = jax.random.normal(key, state.position.shape, state.position.dtype)
    drifted = state.position - step_size * state.gradient
    return _evaluate(model, drifted + jnp.sqrt(2 * step_size) * noise)


class Langevin(AbstractKernel):
    """Unadjusted Langevin: x' = x - eps ∇F(x) + sqrt(2 eps) noise. BIASED, by an amount of order eps.

    Its stationary distribution is not p(x), and log-densities must not be quoted from it; it is
    here for comparisons and as a cheap mover. Use `MALA` otherwise. (Roberts and Tweedie 1996.)
    """

    step_size: Scalar
    target_acceptance: ClassVar[float | None] = None

    def __init__(self, step_size: float | Scalar = 0.01):
        self.step_size = jnp.asarray(step_size, float)

    def init(self, key: RandomKey, model: Harmonium, position: Visible) -> LangevinState:
        """Evaluate F and its gradient at the position."""
        return _evaluate(model, position)

    def step(
        self, key: RandomKey, model: Harmonium, state: LangevinState
    ) -> tuple[LangevinState, Info]:
        """Move without an accept test."""
        return _propose(key, model, state, self.step_size), Info(jnp.ones_like(state.free_energy))


class MALA(AbstractKernel):
    """Metropolis-adjusted Langevin: the Langevin proposal with an accept test; leaves p(x) invariant.

    Optimal acceptance 0.574 as the dimension grows (Roberts and Rosenthal 1998).
    """

    step_size: Scalar
    target_acceptance: ClassVar[float | None] = 0.574

    def __init__(self, step_size: float | Scalar = 0.1):
        self.step_size = jnp.asarray(step_size, float)

    def init(self, key: RandomKey, model: Harmonium, position: Visible) -> LangevinState:
        """Evaluate F and its gradient at the position."""
        return _evaluate(model, position)

    def step(
        self, key: RandomKey, model: Harmonium, state: LangevinState
    ) -> tuple[LangevinState, Info]:
        """Propose, then accept or stay."""
        key_proposal, key_accept = jax.random.split(key)
        proposal = _propose(key_proposal, model, state, self.step_size)
        log_ratio = (
            state.free_energy
            - proposal.free_energy
            + self._log_proposal(proposal, state)
            - self._log_proposal(state, proposal)
        )
        # A non-finite proposal is a rejection, never a state.
        acceptance = jnp.where(jnp.isfinite(log_ratio), jnp.exp(jnp.minimum(log_ratio, 0)), 0)
        accept = jax.random.uniform(key_accept, dtype=acceptance.dtype) < acceptance
        moved = jax.tree.map(lambda new, old: jnp.where(accept, new, old), proposal, state)
        return moved, Info(acceptance)

    def _log_proposal(self, start: LangevinState, end: LangevinState) -> Scalar:
        # log q(end | start) up to a constant: -|end - start + eps grad F(start)|² / (4 eps)
        step_size = self.step_size.astype(start.position.dtype)
        residual = end.position - start.position + step_size * start.gradient
        return -(residual @ residual) / (4 * step_size)
