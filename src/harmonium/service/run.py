"""The run that is served: its density and its detector, each if it has one."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harmonium.artifact import StoredDensity, StoredDetector, load_artifact
from harmonium.data import Columns
from harmonium.errors import InvalidInputError
from harmonium.inference import Density, Detector
from harmonium.service.limits import Limits
from harmonium.service.messages import Column, Model
from harmonium.service.problems import ProblemError


@dataclass(frozen=True, eq=False)
class ServedRun:
    """What was fitted, under the name of its folder or file."""

    name: str
    stored_density: StoredDensity | None
    stored_detector: StoredDetector | None
    card: dict[str, Any] | None = None

    @staticmethod
    def load(name: str, files: tuple[Path, ...], card: dict[str, Any] | None = None) -> "ServedRun":
        """The density and the detector in files of a run, whose model card may be known.

        Raises `ArtifactError` for a damaged file, and `InvalidInputError` where the two are of
        different tables.
        """
        stored = [load_artifact(path) for path in files]
        density = next((own for own in stored if isinstance(own, StoredDensity)), None)
        detector = next((own for own in stored if isinstance(own, StoredDetector)), None)
        run = ServedRun(name, density, detector, card)
        if density is not None and detector is not None:
            fields = density.density.columns.fields
            if detector.detector.columns.fields != fields:
                raise InvalidInputError(
                    f"{name}: expected a density and a detector of one table; got those of two. "
                    "Try: harmonium fit anew, or one of the two files."
                )
        return run

    @property
    def density(self) -> Density:
        """The density; raises `ProblemError` if the run has none."""
        if self.stored_density is None:
            raise ProblemError(
                409,
                f"{self.name} holds no density, only a detector. Try: harmonium serve with the "
                "whole run folder.",
            )
        return self.stored_density.density

    @property
    def detector(self) -> Detector:
        """The detector; raises `ProblemError` if the run has none."""
        if self.stored_detector is None:
            raise ProblemError(
                409,
                f"{self.name} holds no detector. Try: harmonium fit without --no-detector, and "
                "serve that run.",
            )
        return self.stored_detector.detector

    @property
    def columns(self) -> Columns:
        """The rules of the columns, which density and detector share."""
        if self.stored_density is not None:
            return self.stored_density.density.columns
        return self.detector.columns

    def describe(self, limits: Limits) -> Model:
        """What the run is, with its model card where that is known."""
        return Model(
            name=self.name,
            columns=[
                Column(field.name, field.form, kind, list(field.categories))
                for field, kind in zip(self.columns.fields, self.columns.kinds, strict=True)
            ],
            density=self.stored_density and _of_density(self.stored_density),
            detector=self.stored_detector and _of_detector(self.stored_detector),
            limits={name: float(value) for name, value in asdict(limits).items()},
            card=self.card,
        )


def _of_density(stored: StoredDensity) -> dict[str, Any]:
    density = stored.density
    return {
        "trusted": density.trusted,
        "verdict": density.verdict,
        "base": density.chosen.base,
        "components": density.chosen.n_components,
        "residual": density.has_residual,
        "log_partition": asdict(density.log_partition),
        "provenance": stored.provenance,
    }


def _of_detector(stored: StoredDetector) -> dict[str, Any]:
    detector = stored.detector
    return {
        "trusted": detector.trusted,
        "verdict": detector.verdict,
        "calibration_rows": len(detector.calibration),
        "offset": stored.offset,
        "provenance": stored.provenance,
    }
