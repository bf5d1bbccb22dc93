"""Fitting a density to images: levels, a base, and a convolutional energy on top."""

import logging
import time
import warnings
from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from harmonium.compiling import compiled_briefly
from harmonium.data.images import ImageRows
from harmonium.data.pixels import Levels, Pixels, bits_per_dimension, check_levels
from harmonium.errors import DivergedError, HarmoniumWarning, InvalidInputError, describe, message
from harmonium.inference.image_base import ImageBase, fit_image_base
from harmonium.inference.image_density import ImageDensity
from harmonium.inference.image_settings import ImageSettings
from harmonium.inference.image_watch import Watch
from harmonium.inference.stages import UNSTABLE
from harmonium.learning import FitSettings
from harmonium.learning.fit import fit
from harmonium.learning.noise_contrastive import NoiseContrastive
from harmonium.learning.result import FitResult, Record, Report
from harmonium.learning.rows import CompleteRows, pad_rows
from harmonium.learning.trainer import default_optimizer
from harmonium.likelihood.result import exact_result
from harmonium.model import Harmonium, base_log_partition

_log = logging.getLogger(__name__)

FEWEST_IMAGES = 20
# Dequantized rows that are trained on between two draws of all of them.
POOL_ROWS = 8192
N_EVALUATIONS = 12
# Draws of the base by which progress is judged.
HELD_DRAWS = 8192
UNTRAINED = "The effort 'quick' trains no energy."


class ImageScore(NamedTuple):
    """Held-out images in bits per dimension, and the gain of the model over its base in nats per
    image with its standard error.
    """

    n_images: int
    model: float
    standard_error: float
    base: float
    independent: float
    gain: float
    gain_error: float


@dataclass(frozen=True)
class ImageFit:
    """A fitted density, its training curve (nats per image, model units) and the score of the
    images held out.
    """

    density: ImageDensity
    history: tuple[Record, ...]
    held_out: ImageScore


def fit_images(
    images: ImageRows, settings: ImageSettings, *, report: Report | None = None
) -> ImageFit:
    """Fit a density to images; deterministic given `settings.seed` unless a time budget cuts it.

    Raises `InvalidInputError` for fewer than 20 images. Warns, and keeps the base alone, where
    training stays unstable.
    """
    started = time.monotonic()
    if len(images.rows) < FEWEST_IMAGES:
        raise InvalidInputError(
            describe(
                "fit(images)",
                expected=f"at least {FEWEST_IMAGES} images",
                got=f"{len(images.rows)}",
            )
        )
    n_levels = settings.n_levels or max(images.n_levels, 2)
    check_levels(images.rows, n_levels, "fit(images)")
    rng = np.random.default_rng(settings.seed)
    order = rng.permutation(len(images.rows))
    n_held = max(2, round(settings.validation_fraction * len(order)))
    held, kept = images.rows[order[:n_held]], images.rows[order[n_held:]]
    _log.info("fitting the levels of the pixels")
    pixels = Pixels.fit(kept, images.shape, n_levels, rng)
    _log.info("choosing the base")
    base = fit_image_base(pixels, kept, held, settings.n_components, rng)
    key_model, key_fit = jax.random.split(jax.random.key(settings.seed))
    pictures = kept.reshape(-1, *images.shape)
    build = compiled_briefly(
        lambda key, mixture: settings.build_model(key, mixture, pixels, pictures)
    )
    model = build(key_model, base.mixture)
    trained = None
    if settings.effort != "quick":
        spent = time.monotonic() - started
        sampler = _Sampler(pixels, kept, images.shape, settings)
        unseen = pixels.dequantize(held, rng.random(held.shape))
        trained = _trained(model, sampler, unseen, settings, key_fit, spent, report)
    _log.info("scoring the held-out images")
    watch = Watch.fit(kept, held, n_levels, rng)
    return _finished(images, pixels, model, base, trained, held, watch, settings)


@dataclass(frozen=True)
class _Sampler:
    """Dequantized rows to train on, drawn anew for every pool."""

    pixels: Pixels
    rows: Levels
    shape: tuple[int, int, int]
    settings: ImageSettings

    def __call__(self, number: int) -> CompleteRows:
        rng = np.random.default_rng([self.settings.seed, number])
        n_copies = max(1, -(-POOL_ROWS // len(self.rows)))
        rows = np.concatenate([self.rows] * n_copies)
        rows = augmented(rows, self.shape, self.settings.augment, rng)
        units = self.pixels.dequantize(rows, rng.random(rows.shape))
        padded = pad_rows(units.astype(np.float32))
        return CompleteRows(jnp.asarray(padded), len(units))


def augmented(
    rows: Levels, shape: tuple[int, int, int], how: str, rng: np.random.Generator
) -> Levels:
    """Rows of which half are mirrored ("flip") or moved by a pixel, with the border repeated
    ("shift"); "none" leaves them.
    """
    images = rows.reshape(-1, *shape).copy()
    chosen = np.flatnonzero(rng.random(len(images)) < 0.5)
    if how == "flip":
        images[chosen] = images[chosen, :, ::-1]
    elif how == "shift":
        padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
        for index, (down, right) in zip(chosen, rng.integers(0, 3, (len(chosen), 2)), strict=True):
            moved = padded[index, down : down + shape[0], right : right + shape[1]]
            images[index] = moved
    return images.reshape(rows.shape)


def _trained(
    model: Harmonium,
    sampler: _Sampler,
    unseen: np.ndarray,
    settings: ImageSettings,
    key,
    spent: float,
    report: Report | None,
) -> FitResult | None:
    left = None
    if settings.time_budget is not None:
        left = max(settings.time_budget - spent, 1e-3)
    try:
        return fit(
            model,
            sampler(0),
            key=key,
            objective=NoiseContrastive(held_size=HELD_DRAWS),
            optimizer=default_optimizer(settings.learning_rate),
            n_updates=settings.n_updates,
            validation=CompleteRows(jnp.asarray(pad_rows(unseen.astype(np.float32))), len(unseen)),
            time_budget=left,
            settings=FitSettings(batch_size=settings.batch_size, n_evaluations=N_EVALUATIONS),
            callback=report and (lambda state: report(state.record)),
            pools=sampler,
        )
    except DivergedError as error:
        warnings.warn(message("{} {}", error, UNSTABLE), HarmoniumWarning, stacklevel=3)
        return None


def _finished(
    images: ImageRows,
    pixels: Pixels,
    model: Harmonium,
    base: ImageBase,
    trained: FitResult | None,
    held: Levels,
    watch: Watch,
    settings: ImageSettings,
) -> ImageFit:
    """The density with what held-out images say of it."""
    if trained is None:
        model = eqx.tree_at(lambda own: own.weights, model, 0 * model.weights)
        log_partition = exact_result(float(base_log_partition(model)), "exact")
        why = UNTRAINED if settings.effort == "quick" else UNSTABLE
        verdict = f"{log_partition.verdict} {why}"
    else:
        model, log_partition, verdict = trained.model, trained.log_partition, trained.verdict
    density = ImageDensity(
        shape=images.shape,
        pixels=pixels,
        model=model,
        log_partition=log_partition,
        verdict=verdict,
        candidates=base.candidates,
        watch=watch,
    )
    scores, of_base = density.log_probability(held), density.log_base(held)
    bits = bits_per_dimension(scores, pixels.n_visible)
    gain = scores - of_base
    root = len(held) ** 0.5
    score = ImageScore(
        n_images=len(held),
        model=float(bits.mean()),
        standard_error=float(bits.std(ddof=1) / root),
        base=float(bits_per_dimension(of_base, pixels.n_visible).mean()),
        independent=float(
            bits_per_dimension(pixels.log_independent(held), pixels.n_visible).mean()
        ),
        gain=float(gain.mean()),
        gain_error=float(gain.std(ddof=1) / root),
    )
    history = () if trained is None else trained.history
    return ImageFit(density, history, score)
