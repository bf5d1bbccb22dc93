"""Layer 5: what people ask of a fitted model."""

from harmonium.inference.density import Density, DensityFit, HeldOut, fit_density
from harmonium.inference.detection import Detector, fit_detector
from harmonium.inference.detection_settings import DetectorSettings
from harmonium.inference.evaluation import Evaluation, evaluate_density
from harmonium.inference.explanation import Explanation, explain
from harmonium.inference.settings import DensitySettings

__all__ = [
    "Density",
    "DensityFit",
    "DensitySettings",
    "Detector",
    "DetectorSettings",
    "Evaluation",
    "Explanation",
    "HeldOut",
    "evaluate_density",
    "explain",
    "fit_density",
    "fit_detector",
]
