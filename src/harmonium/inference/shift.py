"""Rows from another mix of normal rows: calibration rows are weighted by a ratio of densities."""

import hashlib
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float

from harmonium.errors import InvalidInputError, describe
from harmonium.inference.batches import map_rows
from harmonium.inference.calibrations import (
    AbstractCalibration,
    Measures,
    Selection,
    column_index,
    kept_on_average,
)
from harmonium.inference.completion import on_levels
from harmonium.inference.conformal import p_values
from harmonium.inference.detection import Detector
from harmonium.inference.e_values import randomized_e_benjamini_hochberg, weighted_e_values
from harmonium.inference.views import Scale, Space, fit_mixtures, sizes_for
from harmonium.model import Mixture
from harmonium.typing import Values

# A calibration row counts as at most so many. Few rows of large weight would decide alone.
MOST_WEIGHT = 20.0
FEWEST_NEW_ROWS = 8
# What clipping may add to the probability of a p-value, from which on it is said.
NOTED_CLIPPING = 0.001


@dataclass(frozen=True, eq=False)
class DensityRatio:
    """How much likelier a row is among new normal rows than among the training rows.

    `old` and `new` are mixtures of the coordinates `index` that `scale` gives of a row. Ratios are
    clipped at `most`. Missing cells are integrated out of both.
    """

    scale: Scale
    index: tuple[int, ...]
    old: Mixture
    new: Mixture
    most: float = MOST_WEIGHT

    @staticmethod
    def fit(
        detector: Detector, normal: Values, columns: tuple[str, ...] | None = None, seed: int = 0
    ) -> "DensityRatio":
        """By the mixtures of a detector, and mixtures like these of new normal rows (rows,
        columns).

        `columns` are those whose mix has changed, where the others go with them as before; all if
        left out. Fewer columns make ratios that vary less. Raises `InvalidInputError` for columns
        that are not modeled, and for too few rows.
        """
        index = _coordinates(detector, columns)
        if len(normal) < FEWEST_NEW_ROWS:
            raise InvalidInputError(
                describe(
                    "under_shift(X, columns)",
                    expected=f"at least {FEWEST_NEW_ROWS} new normal rows",
                    got=f"{len(normal)}",
                    hint="more rows; the ratio is estimated from them",
                )
            )
        space, rng = detector.spaces[0], np.random.default_rng(seed)
        filled = detector.completion.fill(np.array(normal), rng)
        points = space.scale.forward(on_levels(filled, normal, space.scale.marginals))[:, index]
        mixtures = fit_mixtures(points, sizes_for(len(points), len(index)), rng)
        new = Space(space.scale, mixtures, points).pooled
        return DensityRatio(space.scale, index, space.pooled.marginal(index), new)

    def unclipped(self, rows: Values) -> Float[np.ndarray, "rows"]:
        """The ratios of rows (rows, columns) as the mixtures have them."""
        missing = np.isnan(self.scale.marginals.centers(rows))[:, self.index]
        points = self.scale.forward(rows)[:, self.index]
        logs = np.zeros(len(rows))
        for pattern in np.unique(missing, axis=0):
            known = np.flatnonzero(~pattern)
            at = (missing == pattern).all(axis=1)
            if len(known):
                logs[at] = _log_density(self.new, known, points[at]) - _log_density(
                    self.old, known, points[at]
                )
        return np.exp(np.clip(logs, -700, 700))

    def weights(self, rows: Values) -> Float[np.ndarray, "rows"]:
        """The clipped ratios of rows (rows, columns)."""
        return np.minimum(self.unclipped(rows), self.most)


@dataclass(frozen=True, eq=False)
class ShiftCalibration(AbstractCalibration):
    """By weighted calibration rows: valid for normal rows whose mix has changed as `ratio` says.

    With the true ratio w, p-values are valid (`conformal.p_values`) and lists keep their rate
    (`weighted_e_values` with `randomized_e_benjamini_hochberg`). With another ratio v, P(p <= t) is
    at most t + E|v / E v - w| / 2 over training rows (Lei & Candes 2021, "Conformal inference of
    counterfactuals and individual treatment effects", arXiv 2006.06138, theorem 3). `clipped` is
    what clipping adds to that, `effective` how many calibration rows of equal weight would say as
    much.
    """

    detector: Detector
    ratio: DensityRatio
    calibration_weights: Float[np.ndarray, "calibration"]
    clipped: float
    effective: float

    @staticmethod
    def of_ratio(detector: Detector, ratio: DensityRatio) -> "ShiftCalibration":
        """Weight the calibration rows of a detector by a ratio."""
        whole = ratio.unclipped(detector.calibration_rows)
        weights = np.minimum(whole, ratio.most)
        if not weights.sum() > 0:
            raise InvalidInputError(
                describe(
                    "under_shift(X, columns)",
                    expected="new rows among which some calibration rows could be",
                    got="none that could",
                    hint="calibrate(X) with the new normal rows, or fewer columns",
                )
            )
        shares = weights / weights.sum()
        # Half the distance between two distributions on the calibration rows.
        clipped = 0.5 * float(np.abs(shares - whole / whole.sum()).sum())
        return ShiftCalibration(detector, ratio, weights, clipped, 1 / float(np.sum(shares**2)))

    def measure(self, rows: Values) -> Measures:
        """Scores and weights."""
        return np.stack([self.detector.scores(rows), self.ratio.weights(rows)], axis=1)

    def p_values(self, measures: Measures) -> Float[np.ndarray, "rows"]:
        """Weighted p-values."""
        weights = self.calibration_weights, measures[:, 1]
        return p_values(self.detector.calibration, measures[:, 0], weights=weights)

    def select(self, measures: Measures, level: float) -> Selection:
        """By e-values, divided by one number that is as good as random: it is made of the scores,
        so that a table has one list.
        """
        scores, weights = measures[:, 0], (self.calibration_weights, measures[:, 1])
        found = weighted_e_values(self.detector.calibration, scores, level, weights=weights)
        digest = hashlib.sha256(np.sort(scores).tobytes()).digest()
        uniform = (1 + int.from_bytes(digest[:4], "big")) / 2**32
        promise = (
            f"{kept_on_average(level)} for independent rows whose mix has changed as the ratio of "
            "two fitted densities says; the ratio itself is a model."
        )
        listed = randomized_e_benjamini_hochberg(found, level, uniform)
        return Selection(listed, promise, self.concern)

    @property
    def concern(self) -> str:
        """What the weights cost, in words; empty where that is little."""
        n = len(self.calibration_weights)
        words = []
        if self.effective < n / 2:
            words.append(f"The {n} calibration rows count as {self.effective:.0f} of equal weight.")
        if self.clipped >= NOTED_CLIPPING:
            words.append(
                f"Clipping ratios at {self.ratio.most:g} may add {self.clipped:.3f} to the "
                "probability of any p-value."
            )
        return " ".join([*words, "Try: calibrate(X) with the new normal rows."]) if words else ""


def _coordinates(detector: Detector, columns: tuple[str, ...] | None) -> tuple[int, ...]:
    """The positions of columns among the modeled ones."""
    modeled = detector.columns.modeled_index.tolist()
    if columns is None:
        return tuple(range(len(modeled)))
    found = [column_index(detector.columns, name) for name in columns]
    for name, position in zip(columns, found, strict=True):
        if position not in modeled:
            kind = detector.columns.kinds[position]
            raise InvalidInputError(
                describe(
                    f"under_shift(X, columns={list(columns)})",
                    expected="columns that are modeled",
                    got=f"{name!r}, which is {kind}",
                )
            )
    if not found:
        raise InvalidInputError(
            describe("under_shift(X, columns=[])", expected="one column or more", got="none")
        )
    return tuple(modeled.index(position) for position in found)


def _log_density(
    mixture: Mixture, known: np.ndarray, points: Float[np.ndarray, "rows coordinates"]
) -> Float[np.ndarray, "rows"]:
    """The log-density of the known coordinates of rows, in nats."""
    own = mixture.marginal(known.tolist())
    return np.asarray(map_rows(jax.vmap(own.log_density), points[:, known]), np.float64)
