"""Layer 4: how parameters are found."""

from harmonium.learning.callback import Callback, TrainingState
from harmonium.learning.devices import use_devices
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
from harmonium.learning.noise_contrastive import NoiseContrastive
from harmonium.learning.objectives import AbstractObjective, MaximumLikelihood
from harmonium.learning.result import FitResult
from harmonium.learning.score_matching import DenoisingScoreMatching
from harmonium.learning.stages import Stage
from harmonium.learning.sweep import Run, sweep
from harmonium.learning.trainer import FitSettings

__all__ = [
    "AbstractNegatives",
    "AbstractObjective",
    "Callback",
    "DataStartedChains",
    "DenoisingScoreMatching",
    "ExactSamples",
    "FitResult",
    "FitSettings",
    "MaximumLikelihood",
    "Negatives",
    "NoiseContrastive",
    "PersistentChains",
    "Run",
    "Stage",
    "TrainingState",
    "WeightedPopulation",
    "fit",
    "log_likelihood_gradient",
    "sweep",
    "use_devices",
]
