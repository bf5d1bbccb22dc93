"""The settings of a detector, and the members of its default ensemble."""

from dataclasses import dataclass
from typing import NamedTuple

from harmonium.inference.checks import Checks, plain_numbers
from harmonium.inference.settings import MAX_SEED
from harmonium.learning.ensemble import EnsembleSettings

SCORES = ("combined", "energy", "gradient", "typicality")


class Member(NamedTuple):
    """How one member sees the rows: its whitening and its noise, in standard deviations of a
    column.

    Its free energy votes; with `slope`, the length of its gradient is one more vote.
    """

    whitening: str
    noise: tuple[float, float]
    slope: bool = False


# Chosen on the benchmark sets (docs/decisions.md): wide noise shapes the energy far out; with
# correlations half removed, little noise resolves small directions, where the gradient tells most.
MEMBERS = (
    Member("diagonal", (0.5, 0.5)),
    Member("diagonal", (0.25, 1.0)),
    Member("partial", (0.2, 0.2), slope=True),
)


@dataclass(frozen=True)
class DetectorSettings:
    """What to fit and how long; `AnomalyDetector` documents each field."""

    score_kind: str = "combined"
    contamination: float | str = "auto"
    n_repeats: int = 2
    n_hidden: int = 128
    width: int = 128
    n_updates: int = 2000
    batch_size: int = 128
    learning_rate: float = 2e-3
    calibration_fraction: float = 0.1
    seed: int = 0

    def __post_init__(self):
        plain_numbers(self)
        checks = Checks("AnomalyDetector")
        checks.choice("score_kind", self.score_kind, SCORES)
        for name in ("n_repeats", "n_hidden", "width", "n_updates", "batch_size"):
            checks.whole(name, getattr(self, name), 1, 2**31 - 1)
        checks.whole("random_state", self.seed, 0, MAX_SEED)
        checks.number("learning_rate", self.learning_rate, "a positive number", 1e-12)
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

    def build_ensemble_settings(self) -> EnsembleSettings:
        """How the members are trained; a stated contamination is trimmed from every batch."""
        return EnsembleSettings(
            n_updates=self.n_updates,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            trim=self.share_abnormal,
        )
