"""Training rows, complete or with missing cells: where batches of data come from, and how a model
scores them.
"""

from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from harmonium.learning.devices import shard
from harmonium.model import Harmonium
from harmonium.model.precision import full_precision
from harmonium.sampling.conditioned_row import ConditionedRow, Matrix, open_log_masses, open_rows
from harmonium.sampling.hamiltonian import move_free
from harmonium.typing import Batch, PerRow, RandomKey, Scalar, Training, Visible

MAX_EVALUATION_ROWS = 4096
MAX_INCOMPLETE_EVALUATION_ROWS = 512
# Of the reference, to score an incomplete row.
N_DRAWS = 16
TARGET_ACCEPTANCE = 0.8
ADAPTATION_RATE = 0.05
FIRST_STEP = 0.25


class AbstractRows(eqx.Module):
    """A table of rows in model units, which may have to be completed for every batch."""

    @property
    @abstractmethod
    def completed(self) -> Training:
        """All rows, missing cells as they were filled at first."""

    @abstractmethod
    def start(self) -> Any:
        """The state carried from batch to batch."""

    @abstractmethod
    def draw(self, key: RandomKey, model: Harmonium, carry: Any, size: int) -> tuple[Batch, Any]:
        """Rows at random, with replacement; missing cells follow the model given the observed
        ones.
        """

    @abstractmethod
    def free_energies(self, model: Harmonium) -> PerRow:
        """F of the first rows, or -log ∫ exp(-F) over missing cells, (rows,), in nats."""


class CompleteRows(AbstractRows):
    """Rows without missing cells, (training, visible)."""

    values: Training

    @property
    def completed(self) -> Training:
        """The rows."""
        return self.values

    def start(self) -> None:
        """Nothing is carried."""

    def draw(self, key: RandomKey, model: Harmonium, carry: None, size: int) -> tuple[Batch, None]:
        """Rows at random."""
        return self.values[draw_indices(key, size, self.values.shape[0])], None

    def free_energies(self, model: Harmonium) -> PerRow:
        """F of the first rows."""
        return jax.vmap(model.free_energy)(shard(self.values[:MAX_EVALUATION_ROWS]))


def draw_indices(key: RandomKey, size: int, n: int) -> Int[Array, "_"]:
    """Whole numbers (size,) from 0 to n - 1 at random, with replacement.

    Remainders of 32 random bits, whose probabilities differ by n / 2^32 of their size at most.
    `jax.random.randint` comes closer to evenness than anyone can see in a training, by three calls
    of the generator instead of one.
    """
    return (jax.random.bits(key, (size,), jnp.uint32) % n).astype(jnp.int32)


class _Completed(NamedTuple):
    standard: Training
    log_step: Scalar


class IncompleteRows(AbstractRows):
    """Rows x = `matrix` y, some cells of y missing: these are latent variables.

    `standard` (training, visible) holds y, with draws of the Gaussian reference given the observed
    cells where `missing` says so. For every batch they make one Hamiltonian move that leaves
    p(missing | observed) of the current model invariant, so that the gradient is that of the
    likelihood of the observed cells (Fisher's identity; Little and Rubin, "Statistical Analysis
    with Missing Data", chapter 8). `key` makes the draws of `free_energies`, for which `opened`
    holds the first rows with the reference given their observed cells.
    """

    standard: Training
    missing: Bool[Array, "training visible"]
    matrix: Matrix
    key: RandomKey
    opened: ConditionedRow

    def __init__(
        self,
        standard: Training,
        missing: Bool[Array, "training visible"],
        matrix: Matrix,
        key: RandomKey,
    ):
        self.standard, self.missing = standard, missing
        self.matrix, self.key = matrix, key
        part = slice(MAX_INCOMPLETE_EVALUATION_ROWS)
        self.opened = open_rows(standard[part], missing[part], matrix)

    @property
    @full_precision
    def completed(self) -> Training:
        """The rows as they were filled at first."""
        return self.standard @ self.matrix.T

    def start(self) -> _Completed:
        """The first filling, and a step size to be adapted."""
        return _Completed(self.standard, jnp.log(jnp.asarray(FIRST_STEP, self.standard.dtype)))

    @full_precision
    def draw(
        self, key: RandomKey, model: Harmonium, carry: _Completed, size: int
    ) -> tuple[Batch, _Completed]:
        """Rows at random, their missing cells moved on."""
        key_rows, key_move = jax.random.split(key)
        rows = draw_indices(key_rows, size, self.standard.shape[0])
        standard, missing = carry.standard[rows], self.missing[rows]
        step_size = jnp.exp(carry.log_step)
        # The spread of a column given all others in the reference.
        scale = 1 / jnp.sqrt(2 * jnp.sum(self.matrix**2, axis=0))

        def move(key: RandomKey, missing: Bool[Array, "visible"], y: Visible):
            def moved(t: Visible) -> Visible:
                # Observed cells must not feel the gradient either.
                return y + jnp.where(missing, scale * t, 0)

            def energy(t: Visible) -> Scalar:
                return model.free_energy(self.matrix @ moved(t))

            t, acceptance = move_free(key, energy, missing, jnp.zeros_like(y), step_size)
            return moved(t), acceptance

        keys = jax.random.split(key_move, size)
        moved, acceptance = jax.vmap(move)(keys, missing, standard)
        # A row without missing cells accepts whatever the step size is.
        incomplete = jnp.any(missing, axis=1)
        n_moved = jnp.maximum(jnp.sum(incomplete), 1).astype(acceptance.dtype)
        excess = jnp.sum(jnp.where(incomplete, acceptance - TARGET_ACCEPTANCE, 0)) / n_moved
        carry = _Completed(
            carry.standard.at[rows].set(moved), carry.log_step + ADAPTATION_RATE * excess
        )
        return moved @ self.matrix.T, carry

    def free_energies(self, model: Harmonium) -> PerRow:
        """By importance sampling from the reference, with the same draws every time: a little
        high.
        """
        return -open_log_masses(self.key, model, self.matrix, shard(self.opened), N_DRAWS)
