"""The fitted models that commands ask."""

from pathlib import Path

from harmonium.artifact import StoredDensity, StoredImages, load_artifact, read_kind
from harmonium.cli.options import MODEL_FILE, find_model
from harmonium.errors import InvalidInputError


def load_density(model: Path) -> StoredDensity:
    """The density of a run, with its settings.

    No estimator: scikit-learn takes a second to import.
    """
    stored = load_artifact(find_model(model))
    if isinstance(stored, StoredImages):
        raise InvalidInputError(
            f"{model} holds a density of images, which this command does not take. Try: score, "
            "sample, impute or detect."
        )
    if not isinstance(stored, StoredDensity):
        raise InvalidInputError(
            f"{model} holds a detector, not a density. Try: the run folder, or its "
            "model.safetensors."
        )
    return stored


def is_image_run(model: Path) -> bool:
    """Whether a run holds a density of images; nothing is loaded but the header of its file."""
    file = model / MODEL_FILE if model.is_dir() else model
    return file.is_file() and read_kind(file) == "images"
