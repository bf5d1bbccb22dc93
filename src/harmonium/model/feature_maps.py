"""Feature maps f: R^n -> R^m for one row. Any `equinox.Module` with `__call__(x)` works as well.

A map that is affine says so by a method `affine_form() -> (matrix, offset)`; the model then
knows p(x|h), exact block Gibbs and exact enumeration (theory, section 3). No map ends in a
free linear layer: the weights W of the model already are one.
"""

import math
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from harmonium.errors import InvalidInputError, check_shape, describe
from harmonium.model.convolutions import ConvNet as ConvNet
from harmonium.model.convolutions import Intensities as Intensities
from harmonium.model.convolutions import LocalWhitening as LocalWhitening
from harmonium.model.convolutions import ResidualConvNet as ResidualConvNet
from harmonium.model.softplus import softplus
from harmonium.typing import Features, RandomKey, Visible

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
    "softplus": softplus,
    "gelu": jax.nn.gelu,
    "relu": jax.nn.relu,
}

# The base of the model has variance 1/2 per coordinate; this gives the first layer unit variance.
UNIT_VARIANCE = math.sqrt(2.0)


@runtime_checkable
class SupportsAffineForm(Protocol):
    """A feature map f(x) = A x + d that gives its A and d."""

    def affine_form(self) -> tuple[Float[Array, "features visible"], Features]:
        """The matrix A and the offset d."""
        ...


class Identity(eqx.Module):
    """f(x) = x: the Gaussian-Bernoulli restricted Boltzmann machine."""

    n_visible: int = eqx.field(static=True)

    def __call__(self, x: Visible) -> Features:
        """X itself."""
        return x

    def affine_form(self) -> tuple[Float[Array, "features visible"], Features]:
        """The identity matrix and zero."""
        return jnp.eye(self.n_visible), jnp.zeros(self.n_visible)


class Affine(eqx.Module):
    """f(x) = A x + d with a trainable matrix A (features, visible) and offset d (features,)."""

    matrix: Float[Array, "features visible"]
    offset: Features

    def __init__(self, matrix: Float[Array, "features visible"], offset: Features | None = None):
        self.matrix = jnp.asarray(matrix, float)
        if self.matrix.ndim != 2:
            raise InvalidInputError(
                describe(
                    "Affine(matrix, offset)",
                    expected="a matrix of shape (features, visible)",
                    got=f"shape {self.matrix.shape}",
                )
            )
        n_features = self.matrix.shape[0]
        self.offset = jnp.zeros(n_features) if offset is None else jnp.asarray(offset, float)
        check_shape("Affine(matrix, offset)", "offset", self.offset, (n_features,))

    def __call__(self, x: Visible) -> Features:
        """A x + d."""
        return self.matrix @ x + self.offset

    def affine_form(self) -> tuple[Float[Array, "features visible"], Features]:
        """A and d."""
        return self.matrix, self.offset


class MLP(eqx.Module):
    """A multilayer perceptron with the nonlinearity after every layer, the last included.

    `MLP(n_visible, (128, 128), key=key)` maps (n_visible,) to (128,). `input_scale` multiplies
    x before the first layer: fine structure needs a larger value.
    """

    layers: tuple[eqx.nn.Linear, ...]
    activation: str = eqx.field(static=True)
    input_scale: float = eqx.field(static=True)

    def __init__(
        self,
        n_visible: int,
        widths: Sequence[int] = (128, 128),
        *,
        activation: str = "silu",
        input_scale: float = UNIT_VARIANCE,
        key: RandomKey,
    ):
        _check_widths("MLP(n_visible, widths)", n_visible, widths)
        _check_activation("MLP(activation=...)", activation)
        self.layers = _linear_layers(key, n_visible, widths)
        self.activation = activation
        self.input_scale = float(input_scale)

    def __call__(self, x: Visible) -> Features:
        """The activations of the last layer."""
        hidden = x * self.input_scale
        for layer in self.layers:
            hidden = ACTIVATIONS[self.activation](layer(hidden))
        return hidden


class ResidualMLP(eqx.Module):
    """One lifting layer, then blocks z + activation(A z + d): deep maps that keep their input in
    sight.

    With `is_bounded` the features are tanh of the last block: F then differs from that of the base
    by no more than sum_k |w_k|, far out too, so that importance weights from the base are bounded.
    """

    lift: eqx.nn.Linear
    blocks: tuple[eqx.nn.Linear, ...]
    activation: str = eqx.field(static=True)
    input_scale: float = eqx.field(static=True)
    is_bounded: bool = eqx.field(static=True)

    def __init__(
        self,
        n_visible: int,
        width: int = 128,
        depth: int = 3,
        *,
        activation: str = "silu",
        input_scale: float = UNIT_VARIANCE,
        is_bounded: bool = False,
        key: RandomKey,
    ):
        _check_widths("ResidualMLP(n_visible, width, depth)", n_visible, [width] * max(depth, 0))
        _check_activation("ResidualMLP(activation=...)", activation)
        self.lift, *blocks = _linear_layers(key, n_visible, [width] * (depth + 1))
        self.blocks = tuple(blocks)
        self.activation = activation
        self.input_scale = float(input_scale)
        self.is_bounded = is_bounded

    def __call__(self, x: Visible) -> Features:
        """The residual stream after the last block, bounded if the map is."""
        activation = ACTIVATIONS[self.activation]
        hidden = activation(self.lift(x * self.input_scale))
        for block in self.blocks:
            hidden = hidden + activation(block(hidden))
        return jnp.tanh(hidden) if self.is_bounded else hidden


class FourierFeatures(eqx.Module):
    """sin and cos of random projections, then optionally any feature map on top of them.

    Frequencies are Gaussian with standard deviation `frequency_scale` (radians per model unit)
    and are trained with the rest (Tancik et al. 2020, "Fourier features let networks learn
    high frequency functions", eq. 5).
    """

    frequencies: Float[Array, "frequencies visible"]
    head: eqx.Module | None

    def __init__(
        self,
        n_visible: int,
        n_frequencies: int = 64,
        *,
        frequency_scale: float = 2.0,
        head: eqx.Module | None = None,
        key: RandomKey,
    ):
        _check_widths("FourierFeatures(n_visible, n_frequencies)", n_visible, [n_frequencies])
        shape = (n_frequencies, n_visible)
        self.frequencies = frequency_scale * jax.random.normal(key, shape)
        self.head = head

    def __call__(self, x: Visible) -> Features:
        """[sin(Bx), cos(Bx)], passed through the head if there is one."""
        phase = self.frequencies @ x
        waves = jnp.concatenate([jnp.sin(phase), jnp.cos(phase)])
        return waves if self.head is None else self.head(waves)  # pyright: ignore[reportCallIssue]


def _linear_layers(
    key: RandomKey, n_inputs: int, widths: Sequence[int]
) -> tuple[eqx.nn.Linear, ...]:
    """Layers with the first values of `eqx.nn.Linear`, uniform within 1/sqrt(inputs), all of one
    draw: one program to compile.
    """
    sizes = list(zip([n_inputs, *widths[:-1]], widths, strict=True))
    ends = np.cumsum([fan_out * (fan_in + 1) for fan_in, fan_out in sizes])
    parts = jnp.split(jax.random.uniform(key, (int(ends[-1]),), minval=-1, maxval=1), ends[:-1])

    def build(fan_in: int, fan_out: int, part: Float[Array, "_"]) -> eqx.nn.Linear:
        layer = eqx.filter_eval_shape(eqx.nn.Linear, fan_in, fan_out, key=key)
        bias, weight = jnp.split(part / math.sqrt(fan_in), [fan_out])
        drawn = (weight.reshape(fan_out, fan_in), bias)
        return eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, drawn)

    return tuple(build(*size, part) for size, part in zip(sizes, parts, strict=True))


def _check_widths(call: str, n_visible: int, widths: Sequence[int]) -> None:
    if n_visible < 1 or not widths or min(widths) < 1:
        raise InvalidInputError(
            describe(
                call,
                expected="at least one visible unit and at least one layer of positive width",
                got=f"n_visible={n_visible}, widths={tuple(widths)}",
            )
        )


def _check_activation(call: str, activation: str) -> None:
    if activation not in ACTIVATIONS:
        raise InvalidInputError(
            describe(call, expected=f"one of {sorted(ACTIVATIONS)}", got=repr(activation))
        )
