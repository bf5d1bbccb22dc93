"""The fitted models that commands ask."""

from pathlib import Path

from harmonium.artifact import StoredDensity, load_artifact
from harmonium.cli.options import find_model
from harmonium.errors import InvalidInputError


def load_density(model: Path) -> StoredDensity:
    """The density of a run, with its settings.

    No estimator: scikit-learn takes a second to import.
    """
    stored = load_artifact(find_model(model))
    if not isinstance(stored, StoredDensity):
        raise InvalidInputError(
            f"{model} holds a detector, not a density. Try: the run folder, or its "
            "model.safetensors."
        )
    return stored
