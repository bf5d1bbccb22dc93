"""Training rows, complete or with missing cells: where batches of data come from, and how a model
scores them.
"""

from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt

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


# Rows up to which tables are padded to a power of two, from the least one on.
LEAST_BUCKET, LAST_DOUBLING = 128, 8192


def bucket(n: int) -> int:
    """As many rows as compiled code sees of `n`: tables of about one length share their programs.

    Powers of two at first; of long tables the next of four steps between them.
    """
    if n <= LAST_DOUBLING:
        return max(LEAST_BUCKET, 1 << (n - 1).bit_length())
    step = 1 << ((n - 1).bit_length() - 3)
    return -(-n // step) * step


def pad_rows(values: np.ndarray) -> np.ndarray:
    """Rows (rows, columns) up to the length of their bucket, where they begin again."""
    return values[np.arange(bucket(len(values))) % len(values)]


class AbstractRows(eqx.Module):
    """A table of rows in model units, which may have to be completed for every batch.

    The first `n_rows` are those of the table, every row of which may come `n_copies` times, all
    rows once and then again: draws of its cells. What follows repeats some of them, so that tables
    of about one length are alike to compiled code (`pad_rows`).
    """

    n_rows: eqx.AbstractVar[UInt[Array, ""]]
    n_copies: eqx.AbstractVar[UInt[Array, ""]]

    @property
    @abstractmethod
    def completed(self) -> Training:
        """All rows, missing cells as they were filled at first, and repeated ones after them."""

    def mean(self, values: Float[Array, "rows *features"]) -> Float[Array, "*features"]:
        """The mean of what was found of the first rows, without those that are repeated."""
        is_own = jnp.arange(values.shape[0], dtype=jnp.uint32) < self.n_rows
        is_own = is_own.reshape(-1, *[1] * (values.ndim - 1))
        n_own = jnp.minimum(self.n_rows, values.shape[0]).astype(values.dtype)
        return jnp.sum(jnp.where(is_own, values, 0), axis=0) / n_own

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
        """F of the first rows, or -log ∫ exp(-F) over missing cells, (rows,), in nats; of repeated
        rows, too.
        """


class CompleteRows(AbstractRows):
    """Rows without missing cells, (training, visible)."""

    values: Training
    n_rows: UInt[Array, ""]
    n_copies: UInt[Array, ""]

    def __init__(self, values: Training, n_rows: int | None = None, n_copies: int = 1):
        self.values = values
        self.n_rows = jnp.asarray(values.shape[0] if n_rows is None else n_rows, jnp.uint32)
        self.n_copies = jnp.asarray(n_copies, jnp.uint32)

    @property
    def completed(self) -> Training:
        """The rows."""
        return self.values

    def start(self) -> None:
        """Nothing is carried."""

    def draw(self, key: RandomKey, model: Harmonium, carry: None, size: int) -> tuple[Batch, None]:
        """Rows at random."""
        return self.values[draw_indices(key, size, self.n_rows)], None

    def free_energies(self, model: Harmonium) -> PerRow:
        """F of the first rows."""
        return jax.vmap(model.free_energy)(shard(self.values[:MAX_EVALUATION_ROWS]))


def draw_indices(key: RandomKey, size: int, n: UInt[Array, ""]) -> Int[Array, "_"]:
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
    n_rows: UInt[Array, ""]
    n_copies: UInt[Array, ""]

    def __init__(
        self,
        standard: Training,
        missing: Bool[Array, "training visible"],
        matrix: Matrix,
        key: RandomKey,
        n_rows: int | None = None,
        n_copies: int = 1,
    ):
        self.n_rows = jnp.asarray(standard.shape[0] if n_rows is None else n_rows, jnp.uint32)
        self.n_copies = jnp.asarray(n_copies, jnp.uint32)
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
        rows = draw_indices(key_rows, size, self.n_rows)
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
