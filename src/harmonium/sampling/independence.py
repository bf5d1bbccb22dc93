"""Independent proposals from the tilted base: jumps between modes that the base has."""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from harmonium.errors import InvalidInputError, describe
from harmonium.model import Harmonium
from harmonium.model.precision import full_precision
from harmonium.sampling.kernel import AbstractKernel, Info, StepSize, evaluate_state
from harmonium.sampling.metropolis import metropolis
from harmonium.sampling.noise import draw_noise
from harmonium.typing import RandomKey, Scalar, Visible


def jump(
    key: RandomKey,
    model: Harmonium,
    state: Any,
    evaluate_state: Callable[[RandomKey, Visible], Any],
) -> tuple[Any, Info]:
    """Propose a draw of the base tilted by b, then accept or stay: the independence sampler of
    Tierney (1994).

    What is left of the ratio is what the hidden units add: with R(x) = F(x) - U(x) + b·x, the
    proposal x' is accepted with probability min(1, exp(R(x) - R(x'))). `evaluate_state` makes the
    state at a position.
    """
    noise, uniform = draw_noise(key, model.n_visible + 1, 1, state.position.dtype)
    position = model.base.conditional(model.visible_bias).from_noise(noise)
    # A key that `evaluate_state` leaves unused costs nothing.
    proposal = evaluate_state(jax.random.fold_in(key, 1), position)
    log_ratio = _of_hidden_units(model, state) - _of_hidden_units(model, proposal)
    return metropolis(uniform[0], log_ratio, proposal, state)


@full_precision
def _of_hidden_units(model: Harmonium, state: Any) -> Scalar:
    x = state.position
    return state.free_energy - model.base.energy(x) + model.visible_bias @ x


class Independence(AbstractKernel):
    """Jumps alone: every step proposes an independent draw of the tilted base. Nothing to tune.

    With W = 0 every draw is accepted. The further a model is from its base, the fewer are:
    `Alternate` puts them between the moves of another kernel. (Tierney 1994, "Markov chains for
    exploring posterior distributions", section 2.3.3.)
    """

    step_size: Scalar
    target_acceptance: ClassVar[float | None] = None
    is_exact: ClassVar[bool] = True

    def __init__(self):
        self.step_size = jnp.asarray(1.0)

    def init(self, key: RandomKey, model: Harmonium, position: Visible) -> "IndependenceState":
        """Evaluate F at the position."""
        return IndependenceState(*evaluate_state(model, position))

    def retarget(
        self, key: RandomKey, model: Harmonium, state: "IndependenceState"
    ) -> "IndependenceState":
        """Evaluate the position under another model."""
        return self.init(key, model, state.position)

    def step(
        self, key: RandomKey, model: Harmonium, state: "IndependenceState"
    ) -> tuple["IndependenceState", Info]:
        """Propose, then accept or stay."""
        return jump(key, model, state, lambda key, x: self.init(key, model, x))


class IndependenceState(NamedTuple):
    """A position and F there, which the accept test reads."""

    position: Visible
    free_energy: Scalar


class AlternateInfo(NamedTuple):
    """The mean acceptance of the moves of a step, and that of its jump."""

    acceptance: StepSize
    jump_acceptance: Scalar


class Alternate(AbstractKernel):
    """`n_moves` moves by `kernel`, then one jump (`Independence`): local moves and travel between
    modes.

    The state, the step size and the target acceptance are those of `kernel`; the acceptance is
    the mean over its moves, `jump_acceptance` that of the jump. It leaves p(x) invariant where
    `kernel` does. Raises `InvalidInputError` for a kernel that moves several replicas, which a jump
    of one would tear apart: such a kernel may move by this one instead.
    """

    kernel: AbstractKernel
    n_moves: int = eqx.field(static=True)

    def __init__(self, kernel: AbstractKernel, n_moves: int = 3):
        if n_moves < 1 or jnp.ndim(kernel.step_size) > 0:
            raise InvalidInputError(
                describe(
                    "Alternate(kernel, n_moves=...)",
                    expected="a kernel of one replica, and at least one move between jumps",
                    got=f"{type(kernel).__name__}, n_moves={n_moves}",
                    hint=(
                        "Independence() to jump only; ReplicaExchange(Alternate(kernel)) for "
                        "replicas"
                    ),
                )
            )
        self.kernel = kernel
        self.n_moves = n_moves

    @property
    def step_size(self) -> Any:
        """That of the kernel between jumps."""
        # No array while `eqx.tree_at` looks for its place, so it is not annotated as one.
        return self.kernel.step_size

    @property
    def target_acceptance(self) -> float | None:
        """That of the kernel between jumps."""
        return self.kernel.target_acceptance

    @property
    def is_exact(self) -> bool:
        """Whether the kernel between jumps is."""
        return self.kernel.is_exact

    def init(self, key: RandomKey, model: Harmonium, position: Visible) -> Any:
        """The state of the kernel between jumps."""
        return self.kernel.init(key, model, position)

    def retarget(self, key: RandomKey, model: Harmonium, state: Any) -> Any:
        """Evaluate the position under another model."""
        return self.kernel.retarget(key, model, state)

    def step(self, key: RandomKey, model: Harmonium, state: Any) -> tuple[Any, AlternateInfo]:
        """Move, then jump."""
        keys = jax.random.split(key, self.n_moves + 1)

        def one_move(state: Any, key: RandomKey) -> tuple[Any, StepSize]:
            state, info = self.kernel.step(key, model, state)
            return state, info.acceptance

        state, acceptance = jax.lax.scan(one_move, state, keys[:-1])
        state, info = jump(keys[-1], model, state, lambda key, x: self.kernel.init(key, model, x))
        return state, AlternateInfo(jnp.mean(acceptance, axis=0), info.acceptance)


def alternating(kernel: AbstractKernel, n_moves: int) -> AbstractKernel:
    """The kernel with a jump after every `n_moves` moves; as it is where it moves several
    replicas.
    """
    if jnp.ndim(kernel.step_size) > 0:
        return kernel
    return Alternate(kernel.kernel if isinstance(kernel, Alternate) else kernel, n_moves)


def name_of(kernel: AbstractKernel) -> str:
    """The name of a kernel, with that of the one between its jumps in brackets."""
    name = type(kernel).__name__
    return f"{name}({type(kernel.kernel).__name__})" if isinstance(kernel, Alternate) else name
