"""The gradient of the log-likelihood (theory, section 7), with the hidden units summed out or
sampled.
"""

from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from harmonium.errors import InvalidInputError, describe
from harmonium.model import Harmonium, split_trainable
from harmonium.typing import (
    Batch,
    Hidden,
    HiddenBatch,
    HiddenPositions,
    PerChain,
    Positions,
    RandomKey,
    Scalar,
    Visible,
)

HiddenEstimator = Literal["marginal", "sampled"]


def log_likelihood_gradient(
    model: Harmonium,
    data: Batch,
    negatives: Positions,
    hidden: HiddenEstimator = "marginal",
    *,
    key: RandomKey | None = None,
    log_weights: PerChain | None = None,
) -> Harmonium:
    """Ascent direction of the mean log-likelihood, one leaf per parameter of the model.

        E_negatives[dF/dphi] - mean_data[dF/dphi]

    `data` (batch, visible) are rows in model units; `negatives` (chains, visible) are draws of the
    model, weighted by exp(`log_weights`) (chains,) where given. With hidden="marginal" the hidden
    units are summed out exactly, which needs no key; hidden="sampled" draws h from p(h|x) once per
    row instead: also unbiased, with a larger variance. Parts of the model that are not
    floating-point arrays, and its base, come back as None. Raises `InvalidInputError` for a wrong
    shape or a missing key.
    """
    return contrast(model, data, negatives, hidden, key=key, log_weights=log_weights)[1]


@eqx.filter_jit
def contrast(
    model: Harmonium,
    batch: Batch,
    negatives: Positions,
    hidden: HiddenEstimator = "marginal",
    *,
    key: RandomKey | None = None,
    log_weights: PerChain | None = None,
) -> tuple[Scalar, Harmonium]:
    """Mean F (with sampled hidden units: E) over negatives minus that over the batch, in nats, and
    its gradient.

    Arguments as of `log_likelihood_gradient`, of which `batch` is the data. The value is round 0 at
    equilibrium.
    """
    _check_rows(model, data=batch, negatives=negatives)
    if log_weights is None:
        log_weights = jnp.zeros(negatives.shape[0], negatives.dtype)
    weight = jax.nn.softmax(log_weights)
    if hidden == "marginal":
        return value_and_gradient(
            lambda model: _marginal_contrast(model, batch, negatives, weight), model
        )
    if hidden != "sampled" or key is None:
        raise InvalidInputError(
            describe(
                "log_likelihood_gradient(hidden=..., key=...)",
                expected='hidden="marginal", or hidden="sampled" with a random key',
                got=f"hidden={hidden!r}, key={key}",
            )
        )
    key_data, key_negatives = jax.random.split(key)
    hidden_data = sample_hidden(key_data, model, batch)
    hidden_negatives = sample_hidden(key_negatives, model, negatives)
    pairs = (batch, hidden_data), (negatives, hidden_negatives)
    return value_and_gradient(lambda model: _sampled_contrast(model, *pairs, weight), model)


def value_and_gradient(
    function: Callable[[Harmonium], Scalar], model: Harmonium
) -> tuple[Scalar, Harmonium]:
    """The value of a function of the model, and its gradient in what is trained; None elsewhere."""
    parameters, static = split_trainable(model)

    def of_parameters(parameters: Harmonium) -> Scalar:
        return function(eqx.combine(parameters, static))

    return eqx.filter_value_and_grad(of_parameters)(parameters)


def sample_hidden(key: RandomKey, model: Harmonium, rows: Batch) -> HiddenBatch:
    """One draw of h from p(h|x) for each row, shape (batch, hidden)."""

    def draw(key: RandomKey, x: Visible) -> Hidden:
        return model.hidden_units.sample(key, model.hidden_logits(x))

    return jax.vmap(draw)(jax.random.split(key, rows.shape[0]), rows)


def _marginal_contrast(
    model: Harmonium, batch: Batch, negatives: Positions, weight: PerChain
) -> Scalar:
    rows = jax.lax.stop_gradient(jnp.concatenate([batch, negatives]))
    free_energies = jax.vmap(model.free_energy)(rows)
    return weight @ free_energies[batch.shape[0] :] - jnp.mean(free_energies[: batch.shape[0]])


def _sampled_contrast(
    model: Harmonium,
    data: tuple[Batch, HiddenBatch],
    negatives: tuple[Positions, HiddenPositions],
    weight: PerChain,
) -> Scalar:
    energy = jax.vmap(model.energy)
    return weight @ energy(*negatives) - jnp.mean(energy(*data))


def _check_rows(model: Harmonium, **tables: Array) -> None:
    for name, rows in tables.items():
        if rows.ndim != 2 or rows.shape[1] != model.n_visible or rows.shape[0] == 0:
            raise InvalidInputError(
                describe(
                    "log_likelihood_gradient(model, data, negatives)",
                    expected=f"{name} of shape (rows, {model.n_visible}) with at least one row",
                    got=f"shape {rows.shape}",
                )
            )
