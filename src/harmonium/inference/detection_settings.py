"""The settings of a detector."""

from dataclasses import dataclass

from harmonium.inference.checks import Checks, plain_numbers
from harmonium.inference.settings import MAX_SEED


@dataclass(frozen=True)
class DetectorSettings:
    """What to fit; `AnomalyDetector` documents each field."""

    contamination: float | str = "auto"
    calibration_fraction: float = 0.1
    seed: int = 0

    def __post_init__(self):
        plain_numbers(self)
        checks = Checks("AnomalyDetector")
        checks.whole("random_state", self.seed, 0, MAX_SEED)
        checks.share("calibration_fraction", self.calibration_fraction)
        if self.contamination == "auto":
            return
        if isinstance(self.contamination, str):
            raise checks.error("contamination", self.contamination, '"auto" or a share up to 0.5')
        checks.share("contamination", self.contamination, 0.5 + 1e-9)

    @property
    def share_abnormal(self) -> float:
        """Stated share of abnormal training rows; 0 where none is stated."""
        return 0.0 if isinstance(self.contamination, str) else float(self.contamination)
