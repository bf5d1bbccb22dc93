"""Layer 4: how parameters are found."""

from harmonium.learning.callback import Callback, TrainingState
from harmonium.learning.devices import use_devices
from harmonium.learning.fit import fit
from harmonium.learning.gradient import log_likelihood_gradient
from harmonium.learning.losses import MinimizedLoss
from harmonium.learning.negatives import (
    AbstractNegatives,
    Chains,
    DataStartedChains,
    Draw,
    ExactSamples,
    Negatives,
    PersistentChains,
    WeightedPopulation,
    training_kernel,
    unknown_log_partition,
)
from harmonium.learning.noise_contrastive import NoiseContrastive
from harmonium.learning.objectives import AbstractObjective, Ascent, MaximumLikelihood
from harmonium.learning.result import FitResult
from harmonium.learning.score_matching import DenoisingScoreMatching
from harmonium.learning.stages import Stage
from harmonium.learning.sweep import Run, sweep
from harmonium.learning.trainer import FitSettings

__all__ = [
    "AbstractNegatives",
    "AbstractObjective",
    "Ascent",
    "Callback",
    "Chains",
    "DataStartedChains",
    "DenoisingScoreMatching",
    "Draw",
    "ExactSamples",
    "FitResult",
    "FitSettings",
    "MaximumLikelihood",
    "MinimizedLoss",
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
    "training_kernel",
    "unknown_log_partition",
    "use_devices",
]
