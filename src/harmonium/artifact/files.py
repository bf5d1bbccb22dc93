"""One fitted density, detector or density of images as one `.safetensors` file: arrays as tensors,
everything else as JSON in its header.
"""

from pathlib import Path

from harmonium.artifact.container import Arrays, Config, read_container, write_container
from harmonium.artifact.densities import StoredDensity, build_density, describe_density
from harmonium.artifact.detectors import StoredDetector, build_detector, describe_detector
from harmonium.artifact.entries import text
from harmonium.artifact.images import StoredImages, build_images, describe_images
from harmonium.errors import ArtifactError, file_call, message
from harmonium.inference import OwnParts
from harmonium.inference.own_parts import NAMED

Stored = StoredDensity | StoredDetector | StoredImages


def save_artifact(path: str | Path, stored: Stored) -> None:
    """Write what was fitted, and what goes with it, to one `.safetensors` file."""
    if isinstance(stored, StoredDensity):
        write_container(path, *describe_density(stored))
    elif isinstance(stored, StoredImages):
        write_container(path, *describe_images(stored))
    else:
        write_container(path, *describe_detector(stored))


def load_artifact(path: str | Path, *, own: OwnParts = NAMED) -> Stored:
    """Read what `save_artifact` wrote.

    A density with parts of your own is loaded by giving these in `own`; their arrays are
    replaced. Raises `ArtifactError` for a damaged, foreign or hostile
    file, and nothing else.
    """
    header, arrays = read_container(path)
    try:
        return _build(header, arrays, own)
    except ArtifactError as error:
        raise ArtifactError(message("{}: {}", file_call("load", path), error)) from error
    # Whatever a value trips that passed the checks, here or in JAX, is the fault of the file.
    except Exception as error:
        words = (
            "{}: the file is damaged or was not written by harmonium ({}: {:.300}). Try: fit and "
            "save the model again."
        )
        call, kind = file_call("load", path), type(error).__name__
        raise ArtifactError(message(words, call, kind, str(error))) from error


def _build(header: Config, arrays: Arrays, own: OwnParts) -> Stored:
    kind = text(header, "kind")
    if kind == "density":
        return build_density(header, arrays, own)
    if kind not in ("detector", "images"):
        raise ArtifactError(f"kind: expected a density or a detector; got {kind!r:.80}.")
    if own != NAMED:
        raise ArtifactError("the file holds no density of a table: it takes no parts of your own.")
    if kind == "images":
        return build_images(header, arrays)
    return build_detector(header, arrays)
