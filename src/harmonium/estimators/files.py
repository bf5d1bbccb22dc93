"""Loading whatever estimator a file holds."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harmonium.artifact import StoredDensity, StoredImages, load_artifact
from harmonium.errors import ArtifactError, describe, file_call
from harmonium.estimators.density import DensityEstimator
from harmonium.estimators.detector import AnomalyDetector
from harmonium.estimators.images import ImageDensity, as_parameters
from harmonium.inference import split_parts
from harmonium.inference.own_parts import PARTS
from harmonium.learning import AbstractObjective
from harmonium.model import AbstractBase
from harmonium.sampling import AbstractKernel

MODEL_FILE = "model.safetensors"


def load(
    path: str | Path,
    *,
    feature_map: Callable[..., Any] | None = None,
    base: AbstractBase | type | None = None,
    marginals: type | None = None,
    objective: AbstractObjective | None = None,
    kernel: AbstractKernel | None = None,
) -> DensityEstimator | AnomalyDetector | ImageDensity:
    """Load what `save` wrote, or the density of a run folder that `harmonium fit` wrote.

    The detector of a run is its file detector.safetensors. Raises `ArtifactError` for a damaged or
    foreign file, for a folder without a model, and for a model with parts of your own that are not
    given.

    Parts of your own are given as to the estimator. A file holds no code: of `feature_map`, `base`
    and `marginals` it has the numbers, which are put into what is given: a factory or a class, or
    an instance of the same structure. Of an `objective` and a `kernel` it has the class names; they
    are for further calls of `fit` and `sample`, which go by the default kernel without one.
    """
    given = {
        "feature_map": feature_map,
        "base": base,
        "marginals": marginals,
        "objective": objective,
        "kernel": kernel,
    }
    given = {name: own for name, own in given.items() if own is not None}
    own = split_parts({**dict.fromkeys(PARTS, "auto"), **given})[1]
    stored = load_artifact(_model_file(Path(path)), own=own)
    if isinstance(stored, StoredImages):
        return ImageDensity(**as_parameters(stored.settings)).adopt(*stored)
    parameters = asdict(stored.settings)
    seed = parameters.pop("seed")
    if isinstance(stored, StoredDensity):
        parameters |= {"kernel": "auto"} | given
        if isinstance(base, AbstractBase):
            # With the numbers of the file, which those of a template are not.
            parameters["base"] = stored.density.model.base
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
                file_call("load", path),
                expected="a file, or a run folder of `harmonium fit`",
                got=f"a folder without a {MODEL_FILE}",
            )
        )
    return model
