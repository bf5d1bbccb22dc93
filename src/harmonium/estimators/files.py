"""Loading whatever estimator a file holds."""

from dataclasses import asdict
from pathlib import Path

import equinox as eqx

from harmonium.artifact import load_artifact
from harmonium.estimators.density import DensityEstimator
from harmonium.estimators.detector import AnomalyDetector
from harmonium.inference import Density


def load(
    path: str | Path, *, feature_map: eqx.Module | None = None
) -> DensityEstimator | AnomalyDetector:
    """Load what `save` wrote; raises `ArtifactError` for a damaged or foreign file.

    `feature_map` is an instance of the same structure, needed only for a map of your own.
    """
    fitted, settings, extra = load_artifact(path, feature_map=feature_map)
    parameters = asdict(settings)
    seed = parameters.pop("seed")
    if isinstance(fitted, Density):
        return DensityEstimator(random_state=seed, **parameters).adopt(fitted, settings)
    return AnomalyDetector(random_state=seed, **parameters).adopt(fitted, settings, extra["offset"])
