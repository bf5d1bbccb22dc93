"""Several fits to parts of one table, so that every row calibrates, or no single split decides."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from harmonium.data import Table
from harmonium.errors import InvalidInputError, describe
from harmonium.inference.calibrations import (
    AbstractCalibration,
    Measures,
    Selection,
    kept_on_average,
)
from harmonium.inference.conformal import (
    benjamini_hochberg,
    cross_p_values,
    lack_of_calibration,
    mean_p_values,
    shortage_in_words,
)
from harmonium.inference.detection import Detector
from harmonium.inference.detection_settings import DetectorSettings
from harmonium.inference.e_values import e_benjamini_hochberg, split_e_values
from harmonium.inference.fit_detector import fit_split
from harmonium.inference.hold_out import MIN_ROWS, set_aside
from harmonium.typing import Values

N_FOLDS, N_SPLITS = 10, 10
# Share of the rows that calibrate in every split for e-values. No e-value is above calibration rows
# plus 1, and these are not pooled, so that more of them are needed than for p-values.
CALIBRATION_SHARE = 0.5
# Level at which each split stops, relative to that of the list: a row is listed that about this
# share of the splits lists at so much smaller a level.
STOP_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class CrossCalibration(AbstractCalibration):
    """Every row of the training table calibrates, once, a fit to the other folds.

    The guarantee is that of `conformal.cross_p_values`: P(p <= t) is at most 2 t and a little, and
    about t where the fits of the folds agree. For lists by Benjamini-Hochberg there is no theorem.
    `fits` are detectors, each calibrated on its fold.
    """

    fits: tuple[Detector, ...]

    @staticmethod
    def fit(table: Table, settings: DetectorSettings, n_folds: int = N_FOLDS) -> "CrossCalibration":
        """Fit a detector to the rows outside every fold of the table; folds are of random rows.

        Raises `InvalidInputError` for fewer than 2 folds, or more than rows.
        """
        _check_number("n_folds", n_folds, 2, table.n_rows)
        rng = np.random.default_rng(settings.seed)
        folds = np.array_split(rng.permutation(table.n_rows), n_folds)
        return CrossCalibration(_fits(table, settings, folds, rng))

    def measure(self, rows: Values) -> Measures:
        """The scores by every fit."""
        return _scores(self.fits, rows)

    def p_values(self, measures: Measures) -> Float[np.ndarray, "rows"]:
        """Cross-conformal p-values."""
        return cross_p_values([own.calibration for own in self.fits], measures)

    def select(self, measures: Measures, level: float) -> Selection:
        """By Benjamini-Hochberg."""
        p = self.p_values(measures)
        listed = benjamini_hochberg(p, level)
        n = sum(len(own.calibration) for own in self.fits)
        promise = (
            f"p-values rest on {n} calibration rows in {len(self.fits)} folds: a normal row has "
            "p <= t with probability at most 2 t in theory, and about t where fits agree; a "
            f"false-discovery rate of {level:.3g} was measured, not proven."
        )
        return Selection(listed, promise, lack_of_calibration(p, listed, n, level))


@dataclass(frozen=True, eq=False)
class ResplitCalibration(AbstractCalibration):
    """Means of e-values over several random splits of the training table, so that lists hardly
    depend on a seed.

    The false-discovery rate is kept, however splits depend on each other: `split_e_values` and
    `e_benjamini_hochberg` say why. `fits` are detectors, each calibrated on the rows that it was
    not fitted to.
    """

    fits: tuple[Detector, ...]

    @staticmethod
    def fit(
        table: Table, settings: DetectorSettings, n_splits: int = N_SPLITS
    ) -> "ResplitCalibration":
        """Fit a detector to every half of the table; raises `InvalidInputError` for no splits."""
        _check_number("n_splits", n_splits, 1, 1000)
        rng = np.random.default_rng(settings.seed)
        n = max(1, round(CALIBRATION_SHARE * table.n_rows))
        parts = [rng.permutation(table.n_rows)[:n] for _ in range(n_splits)]
        return ResplitCalibration(_fits(table, settings, parts, rng))

    def measure(self, rows: Values) -> Measures:
        """The scores by every fit."""
        return _scores(self.fits, rows)

    def p_values(self, measures: Measures) -> Float[np.ndarray, "rows"]:
        """Twice the means of the p-values of all splits."""
        return mean_p_values([own.calibration for own in self.fits], measures)

    def e_values(self, measures: Measures, level: float) -> Float[np.ndarray, "rows"]:
        """Means of the e-values of all splits, for a list at this level."""
        pairs = zip(self.fits, measures.T, strict=True)
        found = [split_e_values(own.calibration, s, STOP_SHARE * level) for own, s in pairs]
        return np.mean(found, axis=0)

    def select(self, measures: Measures, level: float) -> Selection:
        """By the e-value version of Benjamini-Hochberg."""
        listed = e_benjamini_hochberg(self.e_values(measures, level), level)
        n = len(self.fits[0].calibration)
        promise = (
            f"{kept_on_average(level)} for rows exchangeable with the training rows, whichever of "
            f"{len(self.fits)} splits of them is looked at."
        )
        below = [
            (s < own.calibration[0]).sum() for own, s in zip(self.fits, measures.T, strict=True)
        ]
        short = shortage_in_words(int(np.median(below)), len(measures), n, STOP_SHARE * level)
        return Selection(listed, promise, "" if listed.any() else short)


def _fits(
    table: Table, settings: DetectorSettings, parts: list[np.ndarray], rng: np.random.Generator
) -> tuple[Detector, ...]:
    """A detector for every part of the rows, fitted to the others and calibrated on the part."""
    if table.n_rows - max(map(len, parts)) < MIN_ROWS // 2:
        raise InvalidInputError(
            describe(
                "fits to parts of X",
                expected=f"{MIN_ROWS // 2} rows or more to train on in every part",
                got=f"{table.n_rows} rows in all",
                hint="more rows",
            )
        )
    return tuple(fit_split(table, set_aside(table, part), settings, rng) for part in parts)


def _scores(fits: tuple[Detector, ...], rows: Values) -> Measures:
    return np.stack([own.scores(rows) for own in fits], axis=1)


def _check_number(name: str, value: int, least: int, most: int) -> None:
    """Raise `InvalidInputError` unless the number is a whole one in this range."""
    if isinstance(value, bool) or value != int(value) or not least <= value <= most:
        raise InvalidInputError(
            describe(
                f"{name}={value!r}",
                expected=f"a whole number from {least} to {most}",
                got=f"{value}",
            )
        )
