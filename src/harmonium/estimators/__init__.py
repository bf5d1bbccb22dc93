"""Layer 6: the scikit-learn faces."""

from harmonium.estimators.density import DensityEstimator, load
from harmonium.estimators.detector import AnomalyDetector

__all__ = ["AnomalyDetector", "DensityEstimator", "load"]
