"""Loading whatever estimator a file holds."""

from dataclasses import asdict
from pathlib import Path

import equinox as eqx

from harmonium.artifact import StoredDensity, load_artifact
from harmonium.estimators.density import DensityEstimator
from harmonium.estimators.detector import AnomalyDetector


def load(
    path: str | Path, *, feature_map: eqx.Module | None = None
) -> DensityEstimator | AnomalyDetector:
    """Load what `save` wrote; raises `ArtifactError` for a damaged or foreign file.

    `feature_map` is an instance of the same structure, needed only for a map of your own. Of an
    objective of your own the file has the class name, which another `fit` does not take; of a
    kernel it has nothing to draw with, so that `sample` goes by the default one.
    """
    stored = load_artifact(path, feature_map=feature_map)
    parameters = asdict(stored.settings)
    seed = parameters.pop("seed")
    if isinstance(stored, StoredDensity):
        parameters["kernel"] = "auto"
        if feature_map is not None:
            parameters["feature_map"] = feature_map
        return DensityEstimator(random_state=seed, **parameters).adopt(*stored)
    return AnomalyDetector(random_state=seed, **parameters).adopt(*stored)
