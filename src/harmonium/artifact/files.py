"""One fitted density or detector as one `.safetensors` file: arrays as tensors, everything else as JSON in its header.

Nothing is ever unpickled. A file is written to a temporary name in the same folder and renamed, so that
a half-written artifact cannot be found.
"""

import json
import math
import os
import platform
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from harmonium.artifact.models import Arrays, Config, build_model, describe_model
from harmonium.data import Columns, Transform
from harmonium.data.frames import CONTAINERS
from harmonium.errors import ArtifactError, HarmoniumError
from harmonium.inference import Density, DensitySettings, Detector, DetectorSettings
from harmonium.learning.ensemble import stack_members
from harmonium.likelihood import LogPartition

FORMAT = "harmonium"
FORMAT_VERSION = 2
_DETECTOR_ARRAYS = ("location", "scale", "quantiles", "calibration")


class StoredDensity(NamedTuple):
    """A density and the settings it was made by."""

    density: Density
    settings: DensitySettings
    container: str


class StoredDetector(NamedTuple):
    """A detector, the settings it was made by, and the offset of its decisions."""

    detector: Detector
    settings: DetectorSettings
    offset: float


def save_density(
    density: Density, path: str | Path, settings: DensitySettings, *, container: str = "array"
) -> None:
    """Write a fitted density, with the settings it was made by and the kind of table, to one `.safetensors` file."""
    columns, column_arrays = density.columns.to_state()
    transform, transform_arrays = density.transform.to_state()
    model, model_arrays = describe_model(density.model)
    header = {
        "kind": "density",
        "container": container,
        "columns": columns,
        "transform": transform,
        "model": model,
        "log_partition": _describe_log_partition(density.log_partition),
        "verdict": density.verdict,
        "trusted": density.trusted,
        "settings": asdict(settings),
    }
    arrays = {
        **_prefixed("columns", column_arrays),
        **_prefixed("transform", transform_arrays),
        **_prefixed("model", model_arrays),
    }
    _save(path, header, arrays)


def save_detector(
    detector: Detector, path: str | Path, settings: DetectorSettings, *, offset: float
) -> None:
    """Write a fitted detector, its settings and the offset of its decisions to one `.safetensors` file."""
    columns, arrays = detector.columns.to_state()
    arrays = _prefixed("columns", arrays)
    transforms, models = [], []
    for index, transform in enumerate(detector.transforms):
        config, transform_arrays = transform.to_state()
        transforms.append(config)
        arrays |= _prefixed(f"transform{index}", transform_arrays)
        config, model_arrays = describe_model(detector.member(index))
        models.append(config)
        arrays |= _prefixed(f"model{index}", model_arrays)
    completion, completion_arrays = detector.completion.to_state()
    arrays |= _prefixed("completion", completion_arrays)
    header = {
        "kind": "detector",
        "columns": columns,
        "completion": completion,
        "transforms": transforms,
        "models": models,
        "slopes": list(detector.slopes),
        "verdict": detector.verdict,
        "trusted": detector.trusted,
        "offset": offset,
        "settings": asdict(settings),
    }
    own = {name: getattr(detector, name) for name in _DETECTOR_ARRAYS}
    _save(path, header, {**arrays, **_prefixed("detector", own)})


def load_artifact(
    path: str | Path, *, feature_map: eqx.Module | None = None
) -> StoredDensity | StoredDetector:
    """Read what `save_density` or `save_detector` wrote.

    A density with a feature map of your own is loaded by giving a `feature_map` of the same structure; its
    arrays are replaced. Raises `ArtifactError` for a damaged or foreign file.
    """
    path = Path(path)
    header, arrays = _read(path)
    try:
        if header["kind"] == "detector":
            _refuse_feature_map(feature_map)
            return _build_detector(header, arrays)
        density = _build_density(header, arrays, feature_map)
        container = header["container"]
        if container not in ("array", *CONTAINERS):
            raise ArtifactError(f"unknown container {container!r}.")
        return StoredDensity(density, DensitySettings(**header["settings"]), container)
    except ArtifactError as error:
        raise ArtifactError(f"load({str(path)!r}): {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, HarmoniumError) as error:
        raise ArtifactError(
            f"load({str(path)!r}): the file is damaged or was not written by harmonium "
            f"({type(error).__name__}: {error}). Try: fit and save the model again."
        ) from error


def _build_density(header: Config, arrays: Arrays, feature_map: Any) -> Density:
    return Density(
        columns=Columns.from_state(header["columns"], _taken("columns", arrays)),
        transform=Transform.from_state(header["transform"], _taken("transform", arrays)),
        model=build_model(header["model"], _taken("model", arrays), feature_map),
        log_partition=_build_log_partition(header["log_partition"]),
        verdict=str(header["verdict"]),
        trusted=bool(header["trusted"]),
    )


def _refuse_feature_map(feature_map: Any) -> None:
    if feature_map is not None:
        raise ArtifactError("the file holds a detector, which takes no feature_map.")


def _build_detector(header: Config, arrays: Arrays) -> StoredDetector:
    n_members = len(header["models"])
    if n_members < 1 or len(header["transforms"]) != n_members:
        raise ArtifactError("expected one transform for each of one or more models.")
    models = [
        build_model(config, _taken(f"model{index}", arrays), None)
        for index, config in enumerate(header["models"])
    ]
    transforms = tuple(
        Transform.from_state(config, _taken(f"transform{index}", arrays))
        for index, config in enumerate(header["transforms"])
    )
    slopes = tuple(int(index) for index in header["slopes"])
    if not all(0 <= index < n_members for index in slopes):
        raise ArtifactError(f"slopes: expected indices below {n_members}; got {slopes}.")
    offset = float(header["offset"])
    settings = DetectorSettings(**header["settings"])
    own = _taken("detector", arrays)
    n_votes = n_members + len(slopes)
    columns = Columns.from_state(header["columns"], _taken("columns", arrays))
    shapes = {"location": (n_votes,), "scale": (n_votes,)}
    for name, array in own.items():
        if array.shape != shapes.get(name, array.shape) or not np.all(np.isfinite(array)):
            raise ArtifactError(f"{name}: expected finite numbers of the right shape.")
    completion = Transform.from_state(header["completion"], _taken("completion", arrays))
    widths = {
        columns.n_modeled,
        completion.n_columns,
        *(t.n_columns for t in transforms),
        *(m.n_visible for m in models),
    }
    if len(widths) > 1 or own["quantiles"].shape[1:] != (columns.n_modeled,):
        raise ArtifactError(f"columns, transforms and models differ in width: {sorted(widths)}.")
    if own["calibration"].ndim != 1 or not len(own["calibration"]):
        raise ArtifactError("calibration: expected one or more scores.")
    if not np.all(own["scale"] > 0) or not math.isfinite(offset):
        raise ArtifactError("scale and offset: expected positive and finite numbers.")
    detector = Detector(
        columns=columns,
        completion=completion,
        transforms=transforms,
        models=stack_members(models),
        slopes=slopes,
        score_kind=settings.score_kind,
        verdict=str(header["verdict"]),
        trusted=bool(header["trusted"]),
        **{name: own[name] for name in _DETECTOR_ARRAYS},
    )
    return StoredDetector(detector, settings, offset)


def _save(path: str | Path, header: Config, arrays: Arrays) -> None:
    header = {"format_version": FORMAT_VERSION, **header, "provenance": _provenance()}
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    metadata = {FORMAT: json.dumps(header, allow_nan=False)}
    write_atomically(path, lambda temporary: save_file(contiguous, temporary, metadata))


def write_atomically(path: str | Path, write: Callable[[str], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it; nothing is left on failure."""
    path = Path(path)
    if not path.parent.is_dir():
        raise ArtifactError(
            f"save({str(path)!r}): the folder {str(path.parent)!r} does not exist. Try: create it first."
        )
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    try:
        write(temporary)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _read(path: Path) -> tuple[Config, Arrays]:
    if not path.is_file():
        raise ArtifactError(
            f"load({str(path)!r}): there is no such file. Try: the path of a model.safetensors."
        )
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(metadata[FORMAT])
        found = header["format_version"]
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ArtifactError(
            f"load({str(path)!r}): not a harmonium model ({type(error).__name__}: {error}). "
            "Try: a file written by save() or by `harmonium fit`."
        ) from error
    if found != FORMAT_VERSION:
        raise ArtifactError(
            f"load({str(path)!r}): expected format version {FORMAT_VERSION}; got {found}. "
            f"Try: the harmonium release that wrote it; this one is {version('harmonium')}."
        )
    return header, arrays


def _describe_log_partition(log_partition: LogPartition) -> Config:
    """An exact value has an infinite effective sample size, which JSON cannot say: null."""
    described = asdict(log_partition)
    return described | {"ess": described["ess"] if math.isfinite(log_partition.ess) else None}


def _build_log_partition(config: Config) -> LogPartition:
    ess = math.inf if config["ess"] is None else config["ess"]
    numbers = {name: config[name] for name in ("value", "low", "high", "standard_error")}
    if not all(isinstance(value, float) and math.isfinite(value) for value in numbers.values()):
        raise ArtifactError(f"log_partition: expected finite numbers; got {numbers}.")
    return LogPartition(**{**config, "ess": float(ess)})


def _provenance() -> dict[str, str]:
    packages = ("harmonium", "jax", "equinox", "optax", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _prefixed(prefix: str, arrays: Mapping[str, np.ndarray]) -> Arrays:
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def _taken(prefix: str, arrays: Arrays) -> Arrays:
    start = f"{prefix}/"
    return {name[len(start) :]: array for name, array in arrays.items() if name.startswith(start)}
