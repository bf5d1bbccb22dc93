"""Convolutional feature maps: rows that are images, of any height, width and channels."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from harmonium.compiling import as_floats
from harmonium.errors import InvalidInputError, describe
from harmonium.typing import Features, RandomKey, Visible

# Pixels on either side of the one in the middle of a kernel.
REACH = 1
KERNEL = 2 * REACH + 1
# Pieces of a line are at least so wide, so that no slope is infinite.
LEAST_WIDTH = 1e-2

Picture = Float[Array, "height width channels"]


class ImageShape(NamedTuple):
    """The shape of an image; rows hold its numbers line by line, channels innermost."""

    height: int
    width: int
    channels: int = 1

    @property
    def n_visible(self) -> int:
        """Numbers of one image."""
        return self.height * self.width * self.channels


class Convolution(eqx.Module):
    """A convolution by kernels of 3 x 3 pixels, with zeros around the image, at every
    `stride`-th pixel.

    It is a matrix product with shifted copies of the image, which CPUs do several times faster
    than XLA's own convolutions of small images.
    """

    weight: Float[Array, "inputs outputs"]
    bias: Float[Array, "outputs"]
    stride: int = eqx.field(static=True)

    def __init__(self, n_inputs: int, n_outputs: int, *, stride: int = 1, key: RandomKey):
        # Uniform within 1/sqrt(inputs), as in `eqx.nn.Conv2d`.
        n_numbers = KERNEL**2 * n_inputs
        drawn = jax.random.uniform(key, (n_numbers + 1, n_outputs), minval=-1, maxval=1)
        drawn = drawn / math.sqrt(n_numbers)
        self.weight, self.bias = drawn[:-1], drawn[-1]
        self.stride = stride

    def __call__(self, image: Picture) -> Float[Array, "lines places outputs"]:
        """The image (height, width, inputs) as (⌈height/stride⌉, ⌈width/stride⌉, outputs)."""
        height, width, _ = image.shape
        padded = jnp.pad(image, ((REACH, REACH), (REACH, REACH), (0, 0)))
        shifts = _shifts(padded, height, width, KERNEL, self.stride)
        return jnp.concatenate(shifts, axis=2) @ self.weight + self.bias[None, None, :]


def _shifts(padded: Any, height: int, width: int, side: int, stride: int = 1) -> list[Any]:
    """Copies of a padded image (..., lines, places, channels), one for every pixel of a window of
    so many pixels a side, taken at every `stride`-th pixel.
    """
    return [
        padded[..., down : down + height : stride, right : right + width : stride, :]
        for down in range(side)
        for right in range(side)
    ]


class Intensities(eqx.Module):
    """What a head says of intensities, which are increasing, piecewise linear functions of the
    numbers of a row, one for every number.

    `knots` (visible, pieces + 1) are where the pieces begin and end, `rises` (visible, pieces) what
    the intensity gains in each; below the first knot it is 0, above the last it is constant. They
    are trained with the rest. So a map in coordinates that are normal one by one sees pixels as
    they look, with a flat background, and what it learns at one place holds at another.
    """

    knots: Float[Array, "visible ends"]
    rises: Float[Array, "visible pieces"]
    head: eqx.Module

    def intensities(self, x: Visible) -> Visible:
        """The intensities of a row."""
        widths = jnp.maximum(jnp.diff(self.knots, axis=1), LEAST_WIDTH)
        passed = jnp.clip((x[:, None] - self.knots[:, :-1]) / widths, 0, 1)
        return jnp.sum(self.rises * passed, axis=1)

    def __call__(self, x: Visible) -> Features:
        """The features of the head."""
        return self.head(self.intensities(x))  # pyright: ignore[reportCallIssue]


class LocalWhitening(eqx.Module):
    """What a head says of a locally whitened image: every number becomes a weighted sum of those
    within `reach` pixels, less the mean of its channel, so that neighbors tell little of each
    other.

    `kernel` (numbers of a window, channels) are these weights, line by line and channels innermost,
    the same at every place; around the image numbers stand at their means. `fit` takes the
    symmetric ones that change windows the least (Bell and Sejnowski, "The independent components of
    natural scenes are edge filters", Vision Research 37, 1997), which weigh differences most where
    images are smooth. They are trained with the rest.
    """

    kernel: Float[Array, "window channels"]
    means: Float[Array, "channels"]
    head: eqx.Module
    image_shape: ImageShape = eqx.field(static=True)

    def __init__(
        self,
        image_shape: Sequence[int],
        kernel: Float[Array, "window channels"],
        means: Float[Array, "channels"],
        head: eqx.Module,
    ):
        self.image_shape = _checked("LocalWhitening", image_shape, [1])
        self.kernel, self.means, self.head = kernel, means, head
        if self.window**2 * self.image_shape.channels != len(kernel) or self.window % 2 == 0:
            raise InvalidInputError(
                describe(
                    "LocalWhitening(image_shape, kernel, means, head)",
                    expected="a kernel of (odd width² * channels, channels) numbers",
                    got=f"shape {kernel.shape} for {self.image_shape.channels} channel(s)",
                )
            )

    @property
    def window(self) -> int:
        """Pixels of a side of the window."""
        return math.isqrt(len(self.kernel) // self.image_shape.channels)

    @staticmethod
    def fit(
        images: Float[np.ndarray, "images height width channels"],
        head: eqx.Module,
        *,
        reach: int = 2,
        floor: float = 1e-2,
    ) -> "LocalWhitening":
        """Of images of floating-point numbers; `floor` of the mean variance is added to every
        variance of a window.
        """
        _, height, width, n_channels = images.shape
        means = images.mean(axis=(0, 1, 2))
        padded = np.pad(images - means, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
        side = 2 * reach + 1
        windows = np.concatenate(_shifts(padded, height, width, side), axis=3)
        windows = windows.reshape(-1, side**2 * n_channels)
        covariance = windows.T @ windows / len(windows)
        # Images of one level alone stay what they are.
        typical = np.trace(covariance) / len(covariance) or 1.0
        variances, directions = np.linalg.eigh(
            covariance + floor * typical * np.eye(len(covariance))
        )
        root = (directions / np.sqrt(variances)) @ directions.T
        middle = len(root) // 2 - n_channels // 2
        kernel = root[:, middle : middle + n_channels]
        return LocalWhitening(images.shape[1:], as_floats(kernel), as_floats(means), head)

    def whitened(self, x: Visible) -> Visible:
        """The locally whitened image, as a row."""
        height, width, _ = self.image_shape
        picture = x.reshape(self.image_shape) - self.means[None, None, :]
        reach, side = self.window // 2, self.window
        padded = jnp.pad(picture, ((reach, reach), (reach, reach), (0, 0)))
        shifts = _shifts(padded, height, width, side)
        return (jnp.concatenate(shifts, axis=2) @ self.kernel).reshape(-1)

    def __call__(self, x: Visible) -> Features:
        """The features of the head."""
        return self.head(self.whitened(x))  # pyright: ignore[reportCallIssue]


class ConvNet(eqx.Module):
    """Convolutions one on the other, each followed by the nonlinearity and taken at every
    `stride`-th pixel: by default at all in the first layer, and at every second in the others.

    `ConvNet((28, 28, 1), (16, 32), key=key)` maps (784,) to 14 · 14 · 32 features. Features move
    with the image: by one pixel when that moves by the product of the strides, except where the
    border is in sight. With `is_bounded` the last nonlinearity is tanh: F then differs from that of
    the base by no more than sum_k |w_k| (`ResidualMLP`).
    """

    layers: tuple[Convolution, ...]
    image_shape: ImageShape = eqx.field(static=True)
    is_bounded: bool = eqx.field(static=True)

    def __init__(
        self,
        image_shape: Sequence[int],
        channels: Sequence[int] = (16, 32),
        *,
        strides: Sequence[int] | None = None,
        is_bounded: bool = False,
        key: RandomKey,
    ):
        self.image_shape = _checked("ConvNet", image_shape, channels)
        self.is_bounded = is_bounded
        strides = [1] + [2] * (len(channels) - 1) if strides is None else list(strides)
        if len(strides) != len(channels) or min(strides) < 1:
            raise InvalidInputError(
                describe(
                    "ConvNet(image_shape, channels, strides)",
                    expected="a positive stride per layer",
                    got=f"channels={tuple(channels)}, strides={tuple(strides)}",
                )
            )
        inputs = [self.image_shape.channels, *channels[:-1]]
        keys = jax.random.split(key, len(channels))
        self.layers = tuple(
            Convolution(*sizes, stride=stride, key=key)
            for *sizes, stride, key in zip(inputs, channels, strides, keys, strict=True)
        )

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the layers."""
        return tuple(layer.bias.shape[0] for layer in self.layers)

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of the layers."""
        return tuple(layer.stride for layer in self.layers)

    def __call__(self, x: Visible) -> Features:
        """The activations of the last layer, line by line, channels innermost."""
        hidden = x.reshape(self.image_shape)
        for layer in self.layers[:-1]:
            hidden = jax.nn.silu(layer(hidden))
        last = jnp.tanh if self.is_bounded else jax.nn.silu
        return last(self.layers[-1](hidden)).reshape(-1)


class ResidualConvNet(eqx.Module):
    """One lifting convolution that halves height and width, then blocks z + silu(A * z + d).

    The features are those of the last block, tanh of them with `is_bounded`.
    """

    lift: Convolution
    blocks: tuple[Convolution, ...]
    image_shape: ImageShape = eqx.field(static=True)
    is_bounded: bool = eqx.field(static=True)

    def __init__(
        self,
        image_shape: Sequence[int],
        channels: int = 32,
        depth: int = 2,
        *,
        is_bounded: bool = False,
        key: RandomKey,
    ):
        self.image_shape = _checked("ResidualConvNet", image_shape, [channels] * (depth + 1))
        self.is_bounded = is_bounded
        key_lift, *keys = jax.random.split(key, depth + 1)
        self.lift = Convolution(self.image_shape.channels, channels, stride=2, key=key_lift)
        self.blocks = tuple(Convolution(channels, channels, key=key) for key in keys)

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the layers, all alike."""
        return tuple(layer.bias.shape[0] for layer in (self.lift, *self.blocks))

    def __call__(self, x: Visible) -> Features:
        """The residual stream after the last block, line by line, channels innermost."""
        hidden = jax.nn.silu(self.lift(x.reshape(self.image_shape)))
        for block in self.blocks:
            hidden = hidden + jax.nn.silu(block(hidden))
        hidden = hidden.reshape(-1)
        return jnp.tanh(hidden) if self.is_bounded else hidden


def _checked(name: str, image_shape: Sequence[int], channels: Sequence[int]) -> ImageShape:
    shape = tuple(image_shape)
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) != 3 or min(shape) < 1 or not channels or min(channels) < 1:
        raise InvalidInputError(
            describe(
                f"{name}(image_shape, channels)",
                expected="a height, a width and a number of channels, and layers with channels",
                got=f"image_shape={tuple(image_shape)}, channels={tuple(channels)}",
            )
        )
    return ImageShape(*shape)
