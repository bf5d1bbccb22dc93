"""A fitted density of images as a header and arrays, and back."""

from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from harmonium.artifact.container import Arrays, Config
from harmonium.artifact.densities import (
    build_candidates,
    build_log_partition,
    describe_candidates,
    describe_log_partition,
)
from harmonium.artifact.entries import listing, mapping, text, whole
from harmonium.artifact.mixtures import build_factor_mixture, describe_factor_mixture
from harmonium.artifact.models import build_model, describe_model
from harmonium.artifact.parts import prefixed, taken
from harmonium.data.images import MOST_LEVELS
from harmonium.data.pixels import Pixels
from harmonium.data.state import take_arrays
from harmonium.errors import ArtifactError
from harmonium.inference.image_density import ImageDensity
from harmonium.inference.image_settings import ImageSettings
from harmonium.inference.image_watch import Watch
from harmonium.inference.own_parts import NAMED

_PARTS = ("pixels", "model", "watch", "held")
# Numbers of an image.
MOST_VISIBLE = 2**20


class StoredImages(NamedTuple):
    """A density of images, and the settings it was made by."""

    density: ImageDensity
    settings: ImageSettings


def describe_images(stored: StoredImages) -> tuple[Config, Arrays]:
    """All of a density of images as plain values and named arrays."""
    density = stored.density
    model, model_arrays = describe_model(density.model)
    header = {
        "kind": "images",
        "shape": list(density.shape),
        "n_levels": density.pixels.n_levels,
        "n_calibration": len(density.watch.calibration),
        "watch": list(density.watch.mixture.gains.shape),
        "model": model,
        "log_partition": describe_log_partition(density.log_partition),
        "verdict": density.verdict,
        "candidates": describe_candidates(density.candidates),
        "settings": asdict(stored.settings) | {"channels": list(stored.settings.channels)},
    }
    watch = density.watch
    held = {"calibration": watch.calibration, "usual": watch.usual}
    arrays = {
        **prefixed("pixels", density.pixels.to_state()),
        **prefixed("model", model_arrays),
        **prefixed("watch", describe_factor_mixture(watch.mixture)),
        **prefixed("held", held),
    }
    return header, arrays


def build_images(header: Config, arrays: Arrays) -> StoredImages:
    """A density of images from what `describe_images` made."""
    parts = taken(arrays, _PARTS)
    sizes = listing(header, "shape", 3)
    if len(sizes) != 3:
        raise ArtifactError(f"shape: expected height, width and channels; got {sizes!r:.80}.")
    height, width, channels = (whole({"size": s}, "size", 1, MOST_VISIBLE) for s in sizes)
    n_visible = height * width * channels
    n_held = whole(header, "n_calibration", 1, 2**31)
    n_levels = whole(header, "n_levels", 2, MOST_LEVELS)
    held = take_arrays(parts["held"], {"calibration": (n_held,), "usual": (n_visible,)}, "images")
    if np.any(np.diff(held["calibration"]) < 0):
        raise ArtifactError("the scores of the held-out images are not in order.")
    n_components, n_factors = _pair(listing(header, "watch", 2))
    mixture = build_factor_mixture(parts["watch"], n_visible, n_components, n_factors)
    model = build_model(mapping(header, "model"), parts["model"], NAMED)
    if model.n_visible != n_visible:
        raise ArtifactError(f"images of {n_visible} numbers, a model of {model.n_visible}.")
    density = ImageDensity(
        shape=(height, width, channels),
        pixels=Pixels.from_state(parts["pixels"], n_visible, n_levels),
        model=model,
        log_partition=build_log_partition(header),
        verdict=text(header, "verdict"),
        candidates=build_candidates(header),
        watch=Watch(mixture, n_levels, held["calibration"], held["usual"]),
    )
    settings: dict[str, Any] = mapping(header, "settings")
    return StoredImages(density, ImageSettings(**settings))


def _pair(sizes: list[Any]) -> tuple[int, int]:
    if len(sizes) != 2:
        raise ArtifactError(f"watch: expected two sizes; got {sizes!r:.80}.")
    first, second = (whole({"size": size}, "size", 1, MOST_VISIBLE) for size in sizes)
    return first, second
