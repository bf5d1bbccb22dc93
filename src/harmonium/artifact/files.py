"""One fitted density or detector as one `.safetensors` file: arrays as tensors, everything else as
JSON in its header.
"""

from pathlib import Path

from harmonium.artifact.container import Arrays, Config, read_container, write_container
from harmonium.artifact.densities import StoredDensity, build_density, describe_density
from harmonium.artifact.detectors import StoredDetector, build_detector, describe_detector
from harmonium.artifact.entries import text
from harmonium.errors import ArtifactError
from harmonium.inference import OwnParts
from harmonium.inference.own_parts import NAMED


def save_artifact(path: str | Path, stored: StoredDensity | StoredDetector) -> None:
    """Write a fitted density or detector, and what goes with it, to one `.safetensors` file."""
    if isinstance(stored, StoredDensity):
        write_container(path, *describe_density(stored))
    else:
        write_container(path, *describe_detector(stored))


def load_artifact(path: str | Path, *, own: OwnParts = NAMED) -> StoredDensity | StoredDetector:
    """Read what `save_artifact` wrote.

    A density with parts of your own is loaded by giving these in `own`; their arrays are
    replaced. Raises `ArtifactError` for a damaged, foreign or hostile
    file, and nothing else.
    """
    header, arrays = read_container(path)
    try:
        return _build(header, arrays, own)
    except ArtifactError as error:
        raise ArtifactError(f"load({str(path)!r}): {error}") from error
    # Whatever a value trips that passed the checks, here or in JAX, is the fault of the file.
    except Exception as error:
        raise ArtifactError(
            f"load({str(path)!r}): the file is damaged or was not written by harmonium "
            f"({type(error).__name__}: {error!s:.300}). Try: fit and save the model again."
        ) from error


def _build(header: Config, arrays: Arrays, own: OwnParts) -> StoredDensity | StoredDetector:
    kind = text(header, "kind")
    if kind == "density":
        return build_density(header, arrays, own)
    if kind != "detector":
        raise ArtifactError(f"kind: expected a density or a detector; got {kind!r:.80}.")
    if own != NAMED:
        raise ArtifactError("the file holds a detector, which takes no parts of your own.")
    return build_detector(header, arrays)
