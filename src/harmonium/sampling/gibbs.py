"""Exact block Gibbs for affine feature maps (theory, section 3)."""

from typing import ClassVar

import jax
import jax.numpy as jnp

from harmonium.model import Harmonium
from harmonium.sampling.kernel import AbstractKernel, Info, PositionState, evaluate_state
from harmonium.typing import RandomKey, Scalar, Visible


class BlockGibbs(AbstractKernel):
    """h from p(h|x), then x from p(x|h): both exact, nothing to tune. Needs an affine feature map.

    On a non-affine map it raises `NotFactorizedError`. (Smolensky 1986; Welling et al. 2004.)
    """

    step_size: Scalar
    target_acceptance: ClassVar[float | None] = None
    is_exact: ClassVar[bool] = True

    def __init__(self):
        self.step_size = jnp.asarray(1.0)

    def init(self, key: RandomKey, model: Harmonium, position: Visible) -> PositionState:
        """Evaluate F at the position; fails early on a map that is not affine."""
        model.affine_form()
        return evaluate_state(model, position)

    def retarget(self, key: RandomKey, model: Harmonium, state: PositionState) -> PositionState:
        """Evaluate the position under another model."""
        return self.init(key, model, state.position)

    def step(
        self, key: RandomKey, model: Harmonium, state: PositionState
    ) -> tuple[PositionState, Info]:
        """One sweep over both blocks."""
        key_hidden, key_visible = jax.random.split(key)
        hidden = model.hidden_units.sample(key_hidden, model.hidden_logits(state.position))
        position = model.conditional_visible(hidden).sample(key_visible, 1)[0]
        moved = evaluate_state(model, position)
        return moved, Info(jnp.ones_like(moved.free_energy))
