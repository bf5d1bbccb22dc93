"""The contract of every MCMC kernel. State is what the next step needs, Info what a diagnostician
needs.
"""

from abc import abstractmethod
from typing import Any, NamedTuple, Protocol

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from harmonium.model import Harmonium
from harmonium.typing import RandomKey, Scalar, Visible

StepSize = Float[Array, "..."]


class State(Protocol):
    """What all states share; a kernel adds what else it must remember."""

    @property
    def position(self) -> Visible:
        """x, in model units."""
        ...

    @property
    def free_energy(self) -> Scalar:
        """F(x) under the model the state was made for."""
        ...


class Info(NamedTuple):
    """Diagnostics of one step."""

    acceptance: StepSize
    """Probability with which the proposal was accepted; 1 for exact and unadjusted kernels."""


def jump_acceptance(info: Any) -> Float[Array, "..."]:
    """The acceptance of the jumps of a step; NaN for kernels that do not jump."""
    return getattr(info, "jump_acceptance", jnp.full_like(info.acceptance, jnp.nan))


class AbstractKernel(eqx.Module):
    """One Markov transition for ONE chain.

    `init` prepares a state at a position for a model; `step` moves it and describes the move in
    an object that has at least the fields of `Info`. A kernel with a `target_acceptance` has its
    `step_size` adapted to it by the chain runner; others keep theirs. A kernel that `is_exact`
    leaves p(x) invariant; draws and estimates of any other are not to be trusted. Step size and
    acceptance have one shape: a scalar, or one entry per level of a kernel that moves several
    replicas.
    """

    step_size: eqx.AbstractVar[StepSize]
    target_acceptance: eqx.AbstractVar[float | None]
    is_exact: eqx.AbstractVar[bool]

    @abstractmethod
    def init(self, key: RandomKey, model: Harmonium, position: Visible) -> Any:
        """The state of a chain that stands at `position`."""

    @abstractmethod
    def retarget(self, key: RandomKey, model: Harmonium, state: Any) -> Any:
        """The same chain for another model: positions stay, what is remembered of them is computed
        anew.
        """

    @abstractmethod
    def step(self, key: RandomKey, model: Harmonium, state: Any) -> tuple[Any, Any]:
        """One transition."""


class PositionState(NamedTuple):
    """The state of a kernel that needs no more than a position to move; F is there for others."""

    position: Visible
    free_energy: Scalar


def evaluate_state(model: Harmonium, position: Visible) -> PositionState:
    """The state at a position."""
    return PositionState(position, model.free_energy(position))


def refresh_free_energy(model: Harmonium, state: Any) -> Any:
    """The same state after the last of several steps.

    Of a kernel that moves without F it is evaluated here once more: nothing then reads the F of
    earlier steps, and compiled code leaves them out.
    """
    return evaluate_state(model, state.position) if isinstance(state, PositionState) else state
