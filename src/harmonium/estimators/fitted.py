"""What densities of tables and of images have in common once they are fitted."""

import warnings
from typing import Any, Generic, TypeVar

from sklearn.utils.validation import check_is_fitted

from harmonium.errors import HarmoniumWarning
from harmonium.estimators.seeds import as_seed
from harmonium.inference import Density, DensitySettings
from harmonium.inference.image_density import ImageDensity
from harmonium.inference.image_settings import ImageSettings
from harmonium.likelihood import LogPartition
from harmonium.model import Harmonium

AnyDensity = TypeVar("AnyDensity", Density, ImageDensity)
AnySettings = TypeVar("AnySettings", DensitySettings, ImageSettings)


class HasDensity(Generic[AnyDensity, AnySettings]):
    """An estimator that keeps what it fitted as `density_`, and how as `settings_`."""

    density_: AnyDensity
    settings_: AnySettings

    @property
    def log_partition_(self) -> LogPartition:
        """Log Z of the model, in model units."""
        return self._fitted().log_partition

    @property
    def verdict_(self) -> str:
        """What may be trusted, in words."""
        return self._fitted().verdict

    @property
    def model_(self) -> Harmonium:
        """The fitted model, in model units."""
        return self._fitted().model

    def _fitted(self) -> AnyDensity:
        check_is_fitted(self, "density_")
        return self.density_

    def _seed(self, random_state: Any) -> int:
        """The seed of draws, by default that of the fit."""
        return self.settings_.seed if random_state is None else as_seed(random_state)


def warn_unless(trusted: bool, words: str) -> None:
    """Warn whoever called the method that calls this."""
    if not trusted:
        warnings.warn(words, HarmoniumWarning, stacklevel=3)
