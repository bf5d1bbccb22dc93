"""How an estimator goes to a file, and its scores to programs."""

from collections.abc import Sequence
from pathlib import Path

from harmonium.artifact import StoredDensity, StoredDetector, StoredImages, save_artifact
from harmonium.export import FORMATS, Exported, export_fitted


class Saves:
    """An estimator that a file holds whole."""

    def _stored(self) -> StoredDensity | StoredDetector | StoredImages:
        """What was fitted, as the file has it."""
        raise NotImplementedError

    def save(self, path: str | Path) -> None:
        """Write everything that the fitted estimator needs to one `.safetensors` file."""
        save_artifact(path, self._stored())


class Exports(Saves):
    """An estimator of tables, whose scores other programs can compute."""

    def _stored(self) -> StoredDensity | StoredDetector:
        raise NotImplementedError

    def export(
        self, folder: str | Path, formats: Sequence[str] = FORMATS, *, overwrite: bool = False
    ) -> Exported:
        """Write `score_samples` as programs that need no harmonium, into a folder: of a density for
        all rows, of a detector for complete ones.

        `formats` are "onnx", which needs the extra `export`, and "stablehlo", which `jax.export`
        reads. The folder also holds the rules of the columns and a script that scores rows; with
        `overwrite` it replaces an older export. Raises `InvalidInputError` for a path that is
        taken, and `ExportError` where an operation of the model has no counterpart; nothing is then
        written.
        """
        return export_fitted(self._stored(), folder, formats, overwrite=overwrite)
