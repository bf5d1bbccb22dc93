"""Metropolis-adjusted Langevin that integrates the Gaussian part of F exactly."""

from typing import ClassVar

import jax.numpy as jnp

from harmonium.model import Harmonium
from harmonium.sampling.kernel import AbstractKernel, Info
from harmonium.sampling.langevin import Drift, LangevinState, adjusted_step, evaluate
from harmonium.typing import RandomKey, Scalar, Visible


class CrankNicolsonMALA(AbstractKernel):
    """MALA whose error comes from W alone; accepts with probability 1 where W = 0.

        rho = exp(-2 eps),  eta = (1 - rho)/2,  x' = x - eta ∇F(x) + sqrt((1 - rho²)/2) noise

    The Gaussian part x·x - b·x of F makes the Langevin diffusion an Ornstein-Uhlenbeck process
    (OU), solved here exactly over the time eps; ∇F of the rest is held constant meanwhile, and
    the accept test of this proposal leaves p(x) invariant. It is the OU-exact version of pCNL
    (Cotter, Roberts, Stuart and White 2013): their Crank-Nicolson step has
    rho = (1 - eps)/(1 + eps), the same proposals under another name of the step size.

    Position and noise have shape (visible,). As the step size grows, the proposal tends to
    N(x - ∇F(x)/2, I/2) instead of leaving the space: with a weak W, large steps are good ones.

    It is made for a `GaussianBase`. On any other the accept test keeps it exact, but proposals have
    the width of the Gaussian, so that small steps are left, which are those of `MALA`.
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
        return adjusted_step(key, model.free_energy, state, ornstein(self.step_size, state))


def ornstein(step_size: Scalar, state: LangevinState) -> Drift:
    """The exact step of dx = -(2x - b) dt + sqrt(2) dB: eta = (1 - rho)/2, v = (1 - rho²)/2."""
    # Written with expm1, because 1 - rho loses all digits of a small step.
    step_size = step_size.astype(state.position.dtype)
    return Drift(-jnp.expm1(-2 * step_size) / 2, -jnp.expm1(-4 * step_size) / 2)
