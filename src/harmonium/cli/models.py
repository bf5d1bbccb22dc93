"""The fitted models that commands ask. Imports wait until they are needed, as in `asking`."""

from pathlib import Path
from typing import Any

from harmonium.cli.options import find_model
from harmonium.cli.runs import TABLE_SUFFIXES, check_table_output
from harmonium.errors import InvalidInputError


def load_density(
    model: Path, output: Path | None, *, overwrite: bool, suffixes: tuple[str, ...] | None = None
) -> Any:
    """The `StoredDensity` of a run, after checking that the output may be written.

    No estimator: scikit-learn takes a second to import.
    """
    if output is not None:
        check_table_output(output, overwrite=overwrite, suffixes=suffixes or TABLE_SUFFIXES)
    from harmonium.artifact import StoredDensity, StoredImages, load_artifact

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
    from harmonium.artifact import read_kind

    return read_kind(find_model(model)) == "images"


def image_commands() -> Any:
    """What commands do with images, imported when one is asked."""
    from harmonium.cli import images

    return images
