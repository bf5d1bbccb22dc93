"""Training rows, complete or with missing cells: where batches of data come from, and how a model scores them."""

from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from harmonium.model import Harmonium
from harmonium.sampling.conditional import (
    TARGET_ACCEPTANCE,
    Given,
    Matrix,
    Opened,
    move_opened,
    open_rows,
)
from harmonium.sampling.population import log_mean_exp
from harmonium.typing import Batch, RandomKey, Scalar, Training, Visible

MAX_EVALUATION_ROWS = 4096
MAX_INCOMPLETE_EVALUATION_ROWS = 512
# Of the reference, to score an incomplete row.
N_DRAWS = 16
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
        """Rows at random, with replacement; missing cells follow the model given the observed ones."""

    @abstractmethod
    def mean_free_energy(self, model: Harmonium) -> Scalar:
        """The mean over the first rows of F, or of -log ∫ exp(-F) over missing cells, in nats."""


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
        return self.values[jax.random.randint(key, (size,), 0, self.values.shape[0])], None

    def mean_free_energy(self, model: Harmonium) -> Scalar:
        """The mean of F."""
        return jnp.mean(jax.vmap(model.free_energy)(self.values[:MAX_EVALUATION_ROWS]))


class _Completed(NamedTuple):
    standard: Training
    log_step: Scalar


class IncompleteRows(AbstractRows):
    """Rows x = `matrix` y + `noise`, some cells of y missing: these are latent variables.

    `standard` (training, visible) holds y, with draws of the Gaussian reference given the observed cells where
    `missing` says so. For every batch they make one Hamiltonian move that leaves p(missing | observed) of the
    current model invariant, so that the gradient is that of the likelihood of the observed cells (Fisher's identity;
    Little and Rubin, "Statistical Analysis with Missing Data", chapter 8). `key` makes the draws of `mean_free_energy`.
    """

    standard: Training
    missing: Bool[Array, "training visible"]
    noise: Training
    matrix: Matrix
    key: RandomKey

    @property
    def completed(self) -> Training:
        """The rows as they were filled at first."""
        return self.standard @ self.matrix.T + self.noise

    def start(self) -> _Completed:
        """The first filling, and a step size to be adapted."""
        return _Completed(self.standard, jnp.log(jnp.asarray(FIRST_STEP, self.standard.dtype)))

    def draw(
        self, key: RandomKey, model: Harmonium, carry: _Completed, size: int
    ) -> tuple[Batch, _Completed]:
        """Rows at random, their missing cells moved on."""
        key_rows, key_move = jax.random.split(key)
        rows = jax.random.randint(key_rows, (size,), 0, self.standard.shape[0])
        standard, missing, noise = carry.standard[rows], self.missing[rows], self.noise[rows]
        opened = self._open(standard, missing)
        step_size = jnp.exp(carry.log_step)

        def move(key: RandomKey, opened: Opened, y: Visible, noise: Visible):
            def energy(t: Visible) -> Scalar:
                return model.free_energy(self.matrix @ opened.position(t) + noise)

            t, acceptance = move_opened(key, energy, opened, opened.coordinates(y), step_size)
            return opened.position(t), acceptance

        keys = jax.random.split(key_move, size)
        moved, acceptance = jax.vmap(move)(keys, opened, standard, noise)
        # A row without missing cells accepts whatever the step size is.
        incomplete = jnp.any(missing, axis=1)
        n_moved = jnp.maximum(jnp.sum(incomplete), 1).astype(acceptance.dtype)
        excess = jnp.sum(jnp.where(incomplete, acceptance - TARGET_ACCEPTANCE, 0)) / n_moved
        carry = _Completed(
            carry.standard.at[rows].set(moved), carry.log_step + ADAPTATION_RATE * excess
        )
        return moved @ self.matrix.T + noise, carry

    def mean_free_energy(self, model: Harmonium) -> Scalar:
        """By importance sampling from the reference, with the same draws every time: a little high."""
        part = slice(MAX_INCOMPLETE_EVALUATION_ROWS)
        opened = self._open(self.standard[part], self.missing[part])
        keys = jax.random.split(self.key, (opened.low.shape[0], N_DRAWS))

        def of_row(keys: Array, opened: Opened, noise: Visible) -> Scalar:
            def log_weight(key: RandomKey) -> Scalar:
                t = opened.draw_reference(key)
                free_energy = model.free_energy(self.matrix @ opened.position(t) + noise)
                return opened.reference_energy(t) + opened.log_jacobian(t) - free_energy

            return -log_mean_exp(jax.vmap(log_weight)(keys))

        return jnp.mean(jax.vmap(of_row)(keys, opened, self.noise[part]))

    def _open(self, standard: Float[Array, "batch visible"], missing: Bool[Array, "batch visible"]) -> Opened:
        given = Given(
            jnp.where(missing, -jnp.inf, standard), jnp.where(missing, jnp.inf, standard)
        )
        return open_rows(given, self.matrix, jnp.zeros(standard.shape[1], standard.dtype))
