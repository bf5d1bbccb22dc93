"""Langevin kernels: unadjusted (biased) and Metropolis-adjusted (exact).

Every kernel that moves by a gradient and a Gaussian step is made of the functions of this file.
They take F as a function of x, so that x given h is moved by the same code with E(x, h) for F.
"""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from harmonium.model import Harmonium
from harmonium.model.precision import full_precision
from harmonium.sampling.kernel import AbstractKernel, Info, PositionState, evaluate_state
from harmonium.sampling.metropolis import metropolis
from harmonium.sampling.noise import draw_noise
from harmonium.typing import RandomKey, Scalar, Visible

FreeEnergy = Callable[[Visible], Scalar]


class LangevinState(NamedTuple):
    """A position with the free energy and its gradient there."""

    position: Visible
    free_energy: Scalar
    gradient: Visible


class Drift(NamedTuple):
    """The numbers eta and v of the proposal x' = x - eta ∇F(x) + sqrt(v) noise."""

    rate: Scalar
    variance: Scalar


def evaluate(free_energy: FreeEnergy, position: Visible) -> LangevinState:
    """F and its gradient at a position: one evaluation."""
    value, gradient = jax.value_and_grad(free_energy)(position)
    return LangevinState(position, value, gradient)


def euler(step_size: Scalar, state: LangevinState) -> Drift:
    """Euler's step of the diffusion dx = -∇F dt + sqrt(2) dB: eta = eps, v = 2 eps."""
    step_size = step_size.astype(state.position.dtype)
    return Drift(step_size, 2 * step_size)


def propose(noise: Visible, state: LangevinState, drift: Drift) -> Visible:
    """A draw from q(x'|x) = N(x - eta ∇F(x), v), made of standard normal noise (visible,)."""
    drifted = state.position - drift.rate * state.gradient
    return drifted + jnp.sqrt(drift.variance) * noise


@full_precision
def log_proposal(start: LangevinState, end: LangevinState, drift: Drift) -> Scalar:
    """log q(end | start) up to a constant: -|end - start + eta ∇F(start)|² / (2 v)."""
    residual = end.position - start.position + drift.rate * start.gradient
    return -(residual @ residual) / (2 * drift.variance)


def adjusted_step(
    key: RandomKey, free_energy: FreeEnergy, state: LangevinState, drift: Drift
) -> tuple[LangevinState, Info]:
    """Propose, then accept or stay: leaves exp(-F(x)) invariant for every eta and v."""
    noise, uniform = draw_noise(key, state.position.size, 1, state.position.dtype)
    proposal = evaluate(free_energy, propose(noise, state, drift))
    log_ratio = (
        state.free_energy
        - proposal.free_energy
        + log_proposal(proposal, state, drift)
        - log_proposal(state, proposal, drift)
    )
    return metropolis(uniform[0], log_ratio, proposal, state)


class Langevin(AbstractKernel):
    """Unadjusted Langevin: x' = x - eps ∇F(x) + sqrt(2 eps) noise. BIASED, by an amount of order
    eps.

    Its stationary distribution is not p(x), and log-densities must not be quoted from it; it is
    here for comparisons and as a cheap mover. Use `MALA` otherwise. (Roberts and Tweedie 1996.)
    """

    step_size: Scalar
    target_acceptance: ClassVar[float | None] = None
    is_exact: ClassVar[bool] = False

    def __init__(self, step_size: float | Scalar = 0.01):
        self.step_size = jnp.asarray(step_size, float)

    def init(self, key: RandomKey, model: Harmonium, position: Visible) -> PositionState:
        """Evaluate F at the position."""
        return evaluate_state(model, position)

    def retarget(self, key: RandomKey, model: Harmonium, state: PositionState) -> PositionState:
        """Evaluate the position under another model."""
        return self.init(key, model, state.position)

    def step(
        self, key: RandomKey, model: Harmonium, state: PositionState
    ) -> tuple[PositionState, Info]:
        """Move without an accept test."""
        start = evaluate(model.free_energy, state.position)
        noise = jax.random.normal(key, start.position.shape, start.position.dtype)
        moved = evaluate_state(model, propose(noise, start, euler(self.step_size, start)))
        return moved, Info(jnp.ones_like(moved.free_energy))


class MALA(AbstractKernel):
    """Metropolis-adjusted Langevin: the Langevin proposal with an accept test; leaves p(x)
    invariant.

    Optimal acceptance 0.574 as the dimension grows (Roberts and Rosenthal 1998).
    """

    step_size: Scalar
    target_acceptance: ClassVar[float | None] = 0.574
    is_exact: ClassVar[bool] = True

    def __init__(self, step_size: float | Scalar = 0.1):
        self.step_size = jnp.asarray(step_size, float)

    def init(self, key: RandomKey, model: Harmonium, position: Visible) -> LangevinState:
        """Evaluate F and its gradient at the position."""
        return evaluate(model.free_energy, position)

    def retarget(self, key: RandomKey, model: Harmonium, state: LangevinState) -> LangevinState:
        """Evaluate the position under another model."""
        return self.init(key, model, state.position)

    def step(
        self, key: RandomKey, model: Harmonium, state: LangevinState
    ) -> tuple[LangevinState, Info]:
        """Propose, then accept or stay."""
        return adjusted_step(key, model.free_energy, state, euler(self.step_size, state))
