"""`ImageDensity`: the scikit-learn face of a density of images."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin

from harmonium.artifact import StoredImages
from harmonium.data.images import ImageRows, as_images
from harmonium.data.pixels import check_levels
from harmonium.errors import InvalidInputError, describe
from harmonium.estimators.fitted import HasDensity, warn_unless
from harmonium.estimators.saves import Saves
from harmonium.estimators.seeds import given_settings
from harmonium.inference.fit_images import fit_images
from harmonium.inference.image_density import ImageDensity as Fitted
from harmonium.inference.image_settings import ImageSettings
from harmonium.inference.progress import printing, shown_too
from harmonium.learning.result import Report

UNTRUSTED = (
    "log Z of this model is not reliable: use these scores as a ranking, do not quote them. "
    "verdict_ says why."
)
FEW_EFFECTIVE = (
    "of {} image(s) fewer than 20 proposals for the hidden pixels were effective: their draws are "
    "too much alike."
)


class ImageDensity(HasDensity[Fitted, ImageSettings], Saves, DensityMixin, BaseEstimator):
    """Fit a normalized density to images of levels, of any height, width and channels.

    Images are arrays (rows, height, width) or (rows, height, width, channels) of whole numbers,
    such as bytes. Three parts are fitted, one after the other: how often every pixel takes each
    level, a mixture of factor analyzers for how pixels go together, and a convolutional energy with
    hidden units for what the mixture lacks. Held-out images choose the size of the mixture, and
    whether the energy is kept.

    Parameters
    ----------
    n_hidden : int
        Number of binary hidden units.
    feature_map : {"convolutional", "residual"}
        `feature_maps.ConvNet` or `feature_maps.ResidualConvNet` of the intensities.
    channels : sequence of int
        Channels of the layers; "residual" has the last number in all of them.
    effort : {"normal", "quick"}
        "quick" trains no energy: the density is the mixture, with an exact log Z.
    n_updates : int
        Parameter updates at most; training stops earlier when held-out images stop gaining.
    time_budget : float or None
        Seconds for the fit. With a budget, results depend on the machine.
    learning_rate : float
        Of AdamW.
    batch_size : int
        Images per update.
    n_components : int or None
        Components of each of the three mixtures of the base; None lets held-out images choose.
    augment : {"none", "flip", "shift"}
        Whether half of the training images are mirrored, or moved by a pixel, anew at every visit.
        The energy then learns the augmented images; held-out images say whether it helps.
    whitening : {"none", "local"}
        "local" gives the map images in which neighboring pixels tell little of each other
        (`feature_maps.LocalWhitening`), instead of intensities as they are.
    n_levels : int or None
        Levels of a pixel; None takes 256 where one is beyond 63, else one more than the largest.
    validation_fraction : float
        Share of the images held out from all parts. p-values rest on them.
    random_state : int, RandomState or None
        Seed of everything random; the same integer gives the same fit.
    verbose : bool
        Whether `fit` prints its progress, in lines on standard output.

    Attributes
    ----------
    held_out_ : ImageScore
        Bits per dimension of the held-out images under the model, its base and independent pixels.
        Not stored in a saved model.
    log_partition_ : LogPartition
        log Z of the model with interval and verdict (nats).
    verdict_ : str
        What may be trusted, in words.
    model_ : Harmonium
        The fitted model, in coordinates that are normal pixel by pixel.
    image_shape_ : tuple
        Height, width and channels.
    history_ : tuple of dict
        The training curve, in coordinates of the model. Not stored.
    """

    def __init__(
        self,
        n_hidden: int = ImageSettings.n_hidden,
        feature_map: str = ImageSettings.feature_map,
        *,
        channels: Sequence[int] = ImageSettings.channels,
        effort: str = ImageSettings.effort,
        n_updates: int = ImageSettings.n_updates,
        time_budget: float | None = ImageSettings.time_budget,
        learning_rate: float = ImageSettings.learning_rate,
        batch_size: int = ImageSettings.batch_size,
        n_components: int | None = ImageSettings.n_components,
        augment: str = ImageSettings.augment,
        whitening: str = ImageSettings.whitening,
        n_levels: int | None = ImageSettings.n_levels,
        validation_fraction: float = ImageSettings.validation_fraction,
        random_state: int | np.random.RandomState | None = 0,
        verbose: bool = False,
    ):
        self.n_hidden = n_hidden
        self.feature_map = feature_map
        self.channels = channels
        self.effort = effort
        self.n_updates = n_updates
        self.time_budget = time_budget
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_components = n_components
        self.augment = augment
        self.whitening = whitening
        self.n_levels = n_levels
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> "ImageDensity":
        """Fit to images X, (rows, height, width) or (rows, height, width, channels).

        Raises `InvalidInputError` for arrays that are no images of levels.
        """
        return self.fit_images(as_images(X, call="ImageDensity.fit(X)"))

    def fit_images(self, images: ImageRows, *, report: Report | None = None) -> "ImageDensity":
        """Fit to images that are already read, sending each record of the history to `report`."""
        self.settings_ = self.check_settings()
        with printing(verbose=self.verbose) as display:
            report = shown_too(display, self.settings_.n_updates, report)
            fitted = fit_images(images, self.settings_, report=report)
        self.density_, self.history_ = fitted.density, fitted.history
        self.held_out_ = fitted.held_out
        return self

    def check_settings(self) -> ImageSettings:
        """The settings of a fit; raises `InvalidInputError` for values that cannot be."""
        return ImageSettings(**given_settings(self))

    def adopt(self, density: Fitted, settings: ImageSettings) -> "ImageDensity":
        """Take over a density that is already fitted."""
        self.density_, self.settings_, self.history_ = density, settings, ()
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """The log-probability of each image in nats, (rows,), from below.

        It is a mean over eight dequantizations, which by Jensen's inequality is no more than the
        truth, up to the error of log Z. Warns where log Z is not to be trusted.
        """
        warn_unless(self._fitted().trusted, UNTRUSTED)
        return self._fitted().log_probability(self._rows("score_samples", X))

    def score(self, X: Any, y: Any = None) -> float:  # pyright: ignore
        """Mean log-probability of the images, in nats per image."""
        return float(np.mean(self.score_samples(X)))

    def bits_per_dimension(self, X: Any) -> np.ndarray:
        """-log2 of the probability of each image over height · width · channels, (rows,)."""
        warn_unless(self._fitted().trusted, UNTRUSTED)
        return self._fitted().bits_per_dimension(self._rows("bits_per_dimension", X))

    def anomaly_scores(self, X: Any) -> np.ndarray:
        """How usual each image looks, (rows,), nats: the log-density of its intensities, smoothed
        by a tenth of their range, under a mixture of their own. Higher is more normal.
        """
        return self._fitted().watch.scores(self._rows("anomaly_scores", X))

    def p_values(self, X: Any) -> np.ndarray:
        """Conformal p-values of the anomaly scores, (rows,): the share of the held-out images that
        look no more usual. Small for images unlike those of the fit.
        """
        return self._fitted().watch.p_values(self._rows("p_values", X))

    def explain(self, X: Any) -> np.ndarray:
        """Heat maps (rows, height, width, channels): by how many nats each pixel is more surprising
        given all others than it usually is, for the anomaly score.
        """
        return self._as_images(self._fitted().watch.reasons(self._rows("explain", X)))

    def transform(self, X: Any) -> np.ndarray:
        """E[h|x] of each image, (rows, n_hidden)."""
        return self._fitted().hidden_mean(self._rows("transform", X))

    def sample(
        self, n: int = 1, *, random_state: int | np.random.RandomState | None = None
    ) -> np.ndarray:
        """Draw n images (n, height, width, channels) of levels.

        Chains start at weighted draws of the base; of a base alone the draws are exact. Warns where
        they are not to be trusted; `draw_diagnostics_` has their figures.
        """
        rows, self.draw_diagnostics_ = self._fitted().sample(n, seed=self._seed(random_state))
        warn_unless(self.draw_diagnostics_.trusted, self.draw_diagnostics_.verdict)
        return self._as_images(rows)

    def inpaint(
        self,
        X: Any,
        mask: Any,
        *,
        n_draws: int = 1,
        random_state: int | np.random.RandomState | None = None,
    ) -> np.ndarray:
        """Draw the pixels where `mask` (height, width) is true given the others; the images come
        back as (draws, rows, height, width, channels).

        Proposals are the ends of Gibbs chains of the base given the known pixels, and are chosen by
        their weights for the energy. Warns where few proposals are effective.
        """
        density = self._fitted()
        rows = self._rows("inpaint", X)
        mask = np.asarray(mask)
        if mask.dtype != bool or mask.shape != density.shape[:2]:
            raise InvalidInputError(
                describe(
                    "ImageDensity.inpaint(X, mask)",
                    expected=f"truth values of shape {density.shape[:2]}",
                    got=f"{mask.dtype} of shape {mask.shape}",
                )
            )
        hidden = np.repeat(mask.ravel(), density.shape[2])
        found = density.inpaint(rows, hidden, n_draws, seed=self._seed(random_state))
        warn_unless(found.trusted, FEW_EFFECTIVE.format(int((found.ess < 20).sum())))
        return found.draws.reshape(n_draws, len(rows), *density.shape)

    @property
    def image_shape_(self) -> tuple[int, int, int]:
        """Height, width and channels of the images."""
        return self._fitted().shape

    def _stored(self) -> StoredImages:
        return StoredImages(self._fitted(), self.settings_)

    def _rows(self, method: str, X: Any) -> np.ndarray:
        density, call = self._fitted(), f"ImageDensity.{method}(X)"
        rows = as_images(X, call=call, shape=density.shape).rows
        return check_levels(rows, density.pixels.n_levels, call)

    def _as_images(self, rows: np.ndarray) -> np.ndarray:
        return rows.reshape(len(rows), *self._fitted().shape)


def as_parameters(settings: ImageSettings) -> dict[str, Any]:
    """The parameters of an estimator with these settings."""
    parameters = asdict(settings)
    return {"random_state": parameters.pop("seed"), **parameters}
