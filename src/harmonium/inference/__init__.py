"""Layer 5: what people ask of a fitted model."""

from harmonium.inference.density import Density, DensityFit, HeldOut, fit_density
from harmonium.inference.evaluation import Evaluation, evaluate_density
from harmonium.inference.settings import DensitySettings

__all__ = [
    "Density",
    "DensityFit",
    "DensitySettings",
    "Evaluation",
    "HeldOut",
    "evaluate_density",
    "fit_density",
]
