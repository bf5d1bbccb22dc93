"""Layer 5: what people ask of a fitted model."""

from harmonium.inference.density import Density, fit_density
from harmonium.inference.settings import DensitySettings

__all__ = ["Density", "DensitySettings", "fit_density"]
