"""Gibbs with Langevin moves for the visible block: for every feature map."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from harmonium.errors import InvalidInputError, describe
from harmonium.model import Harmonium
from harmonium.sampling.kernel import AbstractKernel, Info, PositionState, evaluate_state
from harmonium.sampling.langevin import LangevinState, adjusted_step, euler, evaluate
from harmonium.typing import RandomKey, Scalar, Visible


class GibbsLangevin(AbstractKernel):
    """h from p(h|x) exactly, then `n_langevin` steps of MALA on E(x, h) with that h.

        x' = x - eps ∇_x E(x, h) + sqrt(2 eps) noise,    accepted for exp(-E(x, h))

    Where the affine map lets `BlockGibbs` draw x from p(x|h), this kernel moves x so that p(x|h)
    stays invariant, and with it p(x, h) and p(x). Gibbs-Langevin of Liao, Kornblith, Ren, Fleet
    and Hinton 2022 ("Gaussian-Bernoulli RBMs without tears"), here always with the accept test.
    The acceptance reported is the mean over the Langevin steps.
    """

    step_size: Scalar
    n_langevin: int = eqx.field(static=True)
    target_acceptance: ClassVar[float | None] = 0.574
    is_exact: ClassVar[bool] = True

    def __init__(self, step_size: float | Scalar = 0.1, n_langevin: int = 2):
        if n_langevin < 1:
            raise InvalidInputError(
                describe(
                    "GibbsLangevin(n_langevin=...)",
                    expected="at least one Langevin step",
                    got=f"n_langevin={n_langevin}",
                )
            )
        self.step_size = jnp.asarray(step_size, float)
        self.n_langevin = n_langevin

    def init(self, key: RandomKey, model: Harmonium, position: Visible) -> PositionState:
        """Evaluate F at the position."""
        return evaluate_state(model, position)

    def retarget(self, key: RandomKey, model: Harmonium, state: PositionState) -> PositionState:
        """Evaluate the position under another model."""
        return self.init(key, model, state.position)

    def step(
        self, key: RandomKey, model: Harmonium, state: PositionState
    ) -> tuple[PositionState, Info]:
        """Draw h, then move x with h fixed."""
        key_hidden, key_visible = jax.random.split(key)
        hidden = model.hidden_units.sample(key_hidden, model.hidden_logits(state.position))

        def conditional(x: Visible) -> Scalar:
            # -log p(x|h) up to a constant: what F is to p(x).
            return model.energy(x, hidden)

        def one_move(state: LangevinState, key: RandomKey) -> tuple[LangevinState, Scalar]:
            moved, info = adjusted_step(key, conditional, state, euler(self.step_size, state))
            return moved, info.acceptance

        keys = jax.random.split(key_visible, self.n_langevin)
        start = evaluate(conditional, state.position)
        end, acceptance = jax.lax.scan(one_move, start, keys)
        moved = evaluate_state(model, end.position)
        return moved, Info(jnp.mean(acceptance))
