"""Layer 6: the scikit-learn faces."""

from harmonium.estimators.density import DensityEstimator, load

__all__ = ["DensityEstimator", "load"]
