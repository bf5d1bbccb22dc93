"""Layer 4: how parameters are found."""

from harmonium.learning.fit import fit
from harmonium.learning.gradient import log_likelihood_gradient
from harmonium.learning.negatives import (
    AbstractNegatives,
    DataStartedChains,
    ExactSamples,
    Negatives,
    PersistentChains,
    WeightedPopulation,
)
from harmonium.learning.objectives import AbstractObjective, MaximumLikelihood
from harmonium.learning.result import FitResult
from harmonium.learning.trainer import FitSettings

__all__ = [
    "AbstractNegatives",
    "AbstractObjective",
    "DataStartedChains",
    "ExactSamples",
    "FitResult",
    "FitSettings",
    "MaximumLikelihood",
    "Negatives",
    "PersistentChains",
    "WeightedPopulation",
    "fit",
    "log_likelihood_gradient",
]
