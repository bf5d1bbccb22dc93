"""Deep energy-based models with binary latent units: densities, samples and scores from one model.

The names below are loaded when they are first used, so that `import harmonium` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harmonium import plot
    from harmonium.cache import enable_cache
    from harmonium.estimators import (
        AnomalyDetector,
        DensityEstimator,
        ImageDensity,
        Imputer,
        Monitor,
        load,
    )
    from harmonium.learning import (
        DataStartedChains,
        DenoisingScoreMatching,
        ExactSamples,
        FitResult,
        FitSettings,
        MaximumLikelihood,
        MinimizedLoss,
        NoiseContrastive,
        PersistentChains,
        Run,
        Stage,
        WeightedPopulation,
        fit,
        log_likelihood_gradient,
        sweep,
        use_devices,
    )
    from harmonium.likelihood import LogPartition, estimate_log_partition, follow_log_partition
    from harmonium.model import (
        Bernoulli,
        GaussianBase,
        Harmonium,
        Mixture,
        MixtureBase,
        Spin,
        exact_log_partition,
        feature_maps,
        temper,
    )
    from harmonium.sampling import (
        HMC,
        MALA,
        Alternate,
        BlockGibbs,
        CrankNicolsonMALA,
        GibbsLangevin,
        Independence,
        Langevin,
        ReplicaExchange,
        SampleResult,
        draw_chains,
        sample,
        to_inference_data,
        tune_replica_exchange,
    )

__version__ = "0.2.0"

_HOMES = {
    "harmonium.cache": ("enable_cache",),
    "harmonium.estimators": (
        "AnomalyDetector",
        "DensityEstimator",
        "ImageDensity",
        "Imputer",
        "Monitor",
        "load",
    ),
    "harmonium.learning": (
        "DataStartedChains",
        "DenoisingScoreMatching",
        "ExactSamples",
        "FitResult",
        "FitSettings",
        "MaximumLikelihood",
        "MinimizedLoss",
        "NoiseContrastive",
        "PersistentChains",
        "Run",
        "Stage",
        "WeightedPopulation",
        "fit",
        "log_likelihood_gradient",
        "sweep",
        "use_devices",
    ),
    "harmonium.likelihood": (
        "LogPartition",
        "estimate_log_partition",
        "follow_log_partition",
    ),
    "harmonium.model": (
        "Bernoulli",
        "GaussianBase",
        "Harmonium",
        "Mixture",
        "MixtureBase",
        "Spin",
        "exact_log_partition",
        "feature_maps",
        "temper",
    ),
    "harmonium.sampling": (
        "HMC",
        "MALA",
        "Alternate",
        "BlockGibbs",
        "CrankNicolsonMALA",
        "GibbsLangevin",
        "Independence",
        "Langevin",
        "ReplicaExchange",
        "SampleResult",
        "draw_chains",
        "sample",
        "to_inference_data",
        "tune_replica_exchange",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "HMC",
    "MALA",
    "Alternate",
    "AnomalyDetector",
    "Bernoulli",
    "BlockGibbs",
    "CrankNicolsonMALA",
    "DataStartedChains",
    "DenoisingScoreMatching",
    "DensityEstimator",
    "ExactSamples",
    "FitResult",
    "FitSettings",
    "GaussianBase",
    "GibbsLangevin",
    "Harmonium",
    "ImageDensity",
    "Imputer",
    "Independence",
    "Langevin",
    "LogPartition",
    "MaximumLikelihood",
    "MinimizedLoss",
    "Mixture",
    "MixtureBase",
    "Monitor",
    "NoiseContrastive",
    "PersistentChains",
    "ReplicaExchange",
    "Run",
    "SampleResult",
    "Spin",
    "Stage",
    "WeightedPopulation",
    "draw_chains",
    "enable_cache",
    "estimate_log_partition",
    "exact_log_partition",
    "feature_maps",
    "fit",
    "follow_log_partition",
    "load",
    "log_likelihood_gradient",
    "plot",
    "sample",
    "sweep",
    "temper",
    "to_inference_data",
    "tune_replica_exchange",
    "use_devices",
]


def __getattr__(name: str) -> Any:
    if name == "plot":
        return import_module("harmonium.plot")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'harmonium' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
