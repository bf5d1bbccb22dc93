"""Loading whatever estimator a file holds."""

from dataclasses import asdict
from pathlib import Path

import equinox as eqx

from harmonium.artifact import StoredDensity, StoredImages, load_artifact
from harmonium.errors import ArtifactError, describe
from harmonium.estimators.density import DensityEstimator
from harmonium.estimators.detector import AnomalyDetector
from harmonium.estimators.images import ImageDensity, as_parameters

MODEL_FILE = "model.safetensors"


def load(
    path: str | Path, *, feature_map: eqx.Module | None = None
) -> DensityEstimator | AnomalyDetector | ImageDensity:
    """Load what `save` wrote, or the density of a run folder that `harmonium fit` wrote.

    The detector of a run is its file detector.safetensors. Raises `ArtifactError` for a damaged or
    foreign file, and for a folder without a model.

    `feature_map` is an instance of the same structure, needed only for a map of your own. Of an
    objective of your own the file has the class name, which another `fit` does not take; of a
    kernel it has nothing to draw with, so that `sample` goes by the default one.
    """
    stored = load_artifact(_model_file(Path(path)), feature_map=feature_map)
    if isinstance(stored, StoredImages):
        return ImageDensity(**as_parameters(stored.settings)).adopt(*stored)
    parameters = asdict(stored.settings)
    seed = parameters.pop("seed")
    if isinstance(stored, StoredDensity):
        parameters["kernel"] = "auto"
        if feature_map is not None:
            parameters["feature_map"] = feature_map
        return DensityEstimator(random_state=seed, **parameters).adopt(*stored)
    return AnomalyDetector(random_state=seed, **parameters).adopt(*stored)


def _model_file(path: Path) -> Path:
    """The file itself, or that of the density in a run folder."""
    if not path.is_dir():
        return path
    model = path / MODEL_FILE
    if not model.is_file():
        raise ArtifactError(
            describe(
                f"load({str(path)!r})",
                expected="a file, or a run folder of `harmonium fit`",
                got=f"a folder without a {MODEL_FILE}",
            )
        )
    return model
