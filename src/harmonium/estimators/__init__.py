"""Layer 6: the scikit-learn faces."""

from harmonium.estimators.comparison import SampleComparison, compare_samples
from harmonium.estimators.density import DensityEstimator
from harmonium.estimators.detector import AnomalyDetector
from harmonium.estimators.files import load
from harmonium.estimators.images import ImageDensity
from harmonium.estimators.imputer import Imputer
from harmonium.estimators.monitor import Monitor

__all__ = [
    "AnomalyDetector",
    "DensityEstimator",
    "ImageDensity",
    "Imputer",
    "Monitor",
    "SampleComparison",
    "compare_samples",
    "load",
]
