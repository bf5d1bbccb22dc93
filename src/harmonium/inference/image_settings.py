"""How a density of images is fitted."""

from dataclasses import dataclass

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Int
from scipy.special import ndtri

from harmonium.compiling import as_floats
from harmonium.data.pixels import Pixels
from harmonium.errors import InvalidInputError, describe
from harmonium.inference.settings import paired_weights
from harmonium.model import Harmonium
from harmonium.model.convolutions import (
    ConvNet,
    ImageShape,
    Intensities,
    LocalWhitening,
    ResidualConvNet,
)
from harmonium.model.factor_mixture import FactorBase, FactorMixture
from harmonium.typing import RandomKey

FEATURE_MAPS = ("convolutional", "residual")
EFFORTS = ("normal", "quick")
AUGMENTATIONS = ("none", "flip", "shift")
WHITENINGS = ("none", "local")
# Pieces of an intensity, and its range, in the units in which coordinates have variance 1.
PIECES, RANGE = 7, 3.0
# Pixels up to which the first layer has all of them.
SMALL = 256
# Ends of pieces that nearly no row reaches are pulled in.
LEAST_BEYOND = 1e-4
# Images by which neighboring pixels are whitened.
MOST_WHITENED = 2000

Images = Int[np.ndarray, "rows height width channels"]


@dataclass(frozen=True)
class ImageSettings:
    """How a density of images is fitted; `ImageDensity` says what each setting means.

    Raises `InvalidInputError` for values that cannot be.
    """

    n_hidden: int = 64
    feature_map: str = "convolutional"
    channels: tuple[int, ...] = (16, 32)
    effort: str = "normal"
    n_updates: int = 1000
    time_budget: float | None = None
    learning_rate: float = 5e-3
    batch_size: int = 256
    n_components: int | None = None
    augment: str = "none"
    whitening: str = "none"
    n_levels: int | None = None
    validation_fraction: float = 0.1
    seed: int = 0

    def __post_init__(self):
        object.__setattr__(self, "channels", tuple(self.channels))
        positive = (self.n_hidden, self.n_updates, self.learning_rate, self.batch_size)
        problems = (
            (min(positive) > 0, "positive n_hidden, n_updates, learning_rate and batch_size"),
            (self.feature_map in FEATURE_MAPS, f"a feature_map of {list(FEATURE_MAPS)}"),
            (self.effort in EFFORTS, f"an effort of {list(EFFORTS)}"),
            (self.augment in AUGMENTATIONS, f"augment of {list(AUGMENTATIONS)}"),
            (self.whitening in WHITENINGS, f"a whitening of {list(WHITENINGS)}"),
            (0 < self.validation_fraction < 1, "a validation_fraction between 0 and 1"),
            (self.time_budget is None or self.time_budget > 0, "a positive time_budget, or None"),
            (self.n_components is None or self.n_components > 0, "n_components, or None"),
            (self.n_levels is None or self.n_levels > 1, "n_levels of at least 2, or None"),
            (bool(self.channels) and min(self.channels) > 0, "channels of at least one layer"),
        )
        for fine, expected in problems:
            if not fine:
                raise InvalidInputError(
                    describe("ImageDensity(...)", expected=expected, got=f"{self}")
                )

    def build_model(
        self, key: RandomKey, base: FactorMixture, pixels: Pixels, images: Images
    ) -> Harmonium:
        """The model before training: hidden units in pairs of opposite weights on a bounded map of
        intensities, whitened as in `images` (rows, height, width, channels) of levels if so.
        """
        key_map, key_model, key_weights = jax.random.split(key, 3)
        shape = ImageShape(*images.shape[1:])
        if self.feature_map == "convolutional":
            first = 1 if shape.height * shape.width <= SMALL else 2
            strides = [first] + [2] * (len(self.channels) - 1)
            head = ConvNet(shape, self.channels, strides=strides, is_bounded=True, key=key_map)
        else:
            depth = max(len(self.channels) - 1, 1)
            head = ResidualConvNet(shape, self.channels[-1], depth, is_bounded=True, key=key_map)
        if self.whitening == "local":
            scale = RANGE / (pixels.n_levels - 1)
            head = LocalWhitening.fit(scale * images[:MOST_WHITENED].astype(float), head)
        model = Harmonium(
            shape.n_visible,
            self.n_hidden,
            feature_map=intensities(pixels, head),
            base=FactorBase(base),
            key=key_model,
        )
        return eqx.tree_at(lambda own: own.weights, model, paired_weights(key_weights, model))


def intensities(pixels: Pixels, head: eqx.Module) -> Intensities:
    """The head on levels as they look, at the coordinates that `pixels` gives them."""
    ends = np.unique(np.round(np.linspace(1, pixels.n_levels, PIECES + 1)).astype(np.int64))
    # Of levels of two kinds there is one step, which takes all of the upper kind's interval.
    below = np.clip(pixels.cumulative[:, ends], LEAST_BEYOND, 1 - LEAST_BEYOND)
    knots = np.maximum.accumulate(ndtri(below), axis=1)
    rises = np.tile(RANGE * np.diff(ends) / (pixels.n_levels - 1), (pixels.n_visible, 1))
    return Intensities(as_floats(knots), as_floats(rises), head)
