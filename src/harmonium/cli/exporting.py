"""The work of `harmonium export`."""

from collections.abc import Sequence
from pathlib import Path

from harmonium.artifact import StoredDensity, StoredImages, load_artifact
from harmonium.cli.options import DETECTOR_FILE, find_model
from harmonium.errors import InvalidInputError
from harmonium.export import Exported, check_export, export_fitted


def export_model(
    model: Path, folder: Path, formats: Sequence[str], *, overwrite: bool
) -> tuple[Exported, bool]:
    """What was written, and whether the run of the model has a detector beside it."""
    check_export("harmonium export", folder, formats, overwrite=overwrite)
    stored = load_artifact(find_model(model))
    if isinstance(stored, StoredImages):
        raise InvalidInputError(
            f"harmonium export: {model} holds a density of images, which is not exported. "
            "Try: hm.load(path), whose model any program in JAX may call."
        )
    found = export_fitted(stored, folder, formats, overwrite=overwrite)
    has_detector = model.is_dir() and (model / DETECTOR_FILE).is_file()
    return found, isinstance(stored, StoredDensity) and has_detector
