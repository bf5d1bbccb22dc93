"""`AnomalyDetector`: the scikit-learn face of a fitted detector."""

import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted

from harmonium.artifact import StoredDetector
from harmonium.data import as_table
from harmonium.errors import HarmoniumWarning
from harmonium.estimators.cards import NOT_FITTED, ShowsCard
from harmonium.estimators.containers import TakesTables
from harmonium.estimators.pyod import PyODAdapter
from harmonium.estimators.saves import Exports
from harmonium.estimators.seeds import given_settings, name_features
from harmonium.inference import (
    AbstractCalibration,
    CrossCalibration,
    DensityRatio,
    Detector,
    DetectorSettings,
    Explanation,
    GroupCalibration,
    ImposedCalibration,
    ListCertificate,
    ResplitCalibration,
    ShiftCalibration,
    SplitCalibration,
    ThresholdCertificate,
    explain,
)
from harmonium.inference.progress import printing
from harmonium.inference.resplits import N_FOLDS, N_SPLITS


class AnomalyDetector(Exports, TakesTables, ShowsCard, OutlierMixin, BaseEstimator):
    """Find rows that do not belong: scores, p-values with a guarantee, and reasons.

    Mixtures of Gaussians of several sizes and kernels at training rows look at every row in two
    ways, with numbers as they are and by their own distribution: at the whole row, at every column
    given the others, and at its neighbors. Each view is made a surprise by training rows that it
    has not seen, and the score is the logarithm of the harmonic mean of their p-values. Rows set
    aside calibrate the p-values.

    Parameters
    ----------
    contamination : "auto" or float
        "auto" flags rows with a modelled p-value of at most 0.05 and trains on all rows. A share
        (0, 0.5] says how many
        training rows are abnormal: twice as many, those that an isolation forest separates first,
        shape nothing (half of the rows at most), and that share of the training rows is flagged.
    calibration_fraction : float
        Share of the rows set aside for p-values; they shape nothing else.
    kinds : dict or None
        What columns are, by name, where the cells do not tell: "continuous", "integer",
        "categorical" or "identifier".
    random_state : int, RandomState or None
        Seed of everything random.
    verbose : bool
        Whether `fit` prints its progress, in lines on standard output.

    Attributes
    ----------
    offset_ : float
        decision_function = score_samples - offset_.
    verdict_ : str
        What the scores and p-values are good for; a detector with collapsed scores warns when it is
        fitted.
    detector_ : Detector
        The fitted views.
    provenance_ : dict
        Where the fit comes from: time, versions, seed, digest of the training table, figures,
        verdict.
    n_features_in_ : int
        Number of columns of the table.
    """

    def __init__(
        self,
        contamination: float | str = DetectorSettings.contamination,
        *,
        calibration_fraction: float = DetectorSettings.calibration_fraction,
        kinds: dict[str, str] | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: bool = False,
    ):
        self.contamination = contamination
        self.calibration_fraction = calibration_fraction
        self.kinds = kinds
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> "AnomalyDetector":
        """Fit to X (rows, columns), mostly normal rows: an array or a pandas or polars frame.

        Raises `InvalidInputError` for input that cannot be used, naming column and row.
        """
        table = as_table(X, call="AnomalyDetector.fit(X)", kinds=self.kinds)
        with printing(verbose=self.verbose):
            return self.adopt(*StoredDetector.fit(table, self.check_settings()))

    def check_settings(self) -> DetectorSettings:
        """The settings of a fit; raises `InvalidInputError` for values that cannot be."""
        return DetectorSettings(**given_settings(self))

    def calibrate(self, X: Any) -> "AnomalyDetector":
        """Take X (rows, columns), normal rows that training has not seen, for the p-values from now
        on.

        For training tables with abnormal rows, whose calibration rows are contaminated too, or
        where normal rows have changed. With `contamination="auto"` decisions follow.
        """
        values = self._values("calibrate", X)
        self.detector_ = self._fitted().calibrated_on(values)
        if isinstance(self.settings_.contamination, str):
            self.offset_ = self.detector_.offset(self.settings_, values)
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """The score of each row, shape (rows,): higher = more normal."""
        return self._fitted().scores(self._values("score_samples", X))

    def decision_function(self, X: Any) -> np.ndarray:
        """score_samples - offset_, shape (rows,): negative = outlier."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """+1 for inliers and -1 for outliers, shape (rows,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def p_values(self, X: Any, calibration: AbstractCalibration | None = None) -> np.ndarray:
        """p-values, shape (rows,): small is abnormal.

        By default split-conformal ones: for a normal row, P(p <= a) <= a for every a. A
        `calibration`, such as `by_pattern()` returns, makes its own.
        """
        chosen = calibration or SplitCalibration(self._fitted())
        return chosen.p_values(chosen.measure(self._values("p_values", X)))

    def modelled_p_values(self, X: Any) -> np.ndarray:
        """p-values, shape (rows,), that go on below those of the calibration rows: a generalized
        Pareto tail.

        A model without a guarantee, for the order of magnitude; `p_values` has the guarantee.
        """
        scores = self.score_samples(X)
        return self._fitted().modelled_p_values_of(scores)

    def select(
        self, X: Any, fdr: float = 0.05, calibration: AbstractCalibration | None = None
    ) -> np.ndarray:
        """Rows flagged at this false-discovery rate, boolean (rows,).

        By default by Benjamini-Hochberg on the split-conformal p-values. A `calibration`, such as
        `resplit(X)` returns, lists in its own way, with its own guarantee. Warns where more
        calibration rows are needed to list the rows that score below all of them, and of whatever
        else concerns the list.
        """
        chosen = calibration or SplitCalibration(self._fitted())
        found = chosen.select(chosen.measure(self._values("select", X)), fdr)
        if found.concern:
            warnings.warn(found.concern, HarmoniumWarning, stacklevel=2)
        return found.listed

    def cross_calibrate(self, X: Any, n_folds: int = N_FOLDS) -> CrossCalibration:
        """The calibration by which every row of the training table X calibrates, for small tables.

        Fits a detector to the rows outside every fold: P(p <= a) is at most 2 a and a little for a
        normal row, about a in practice.
        """
        return CrossCalibration.fit(self._table("cross_calibrate", X), self.settings_, n_folds)

    def resplit(self, X: Any, n_splits: int = N_SPLITS) -> ResplitCalibration:
        """The calibration by e-values of several random halves of the training table X.

        Lists hardly depend on the seed and keep their false-discovery rate. Fits a detector to
        every half.
        """
        return ResplitCalibration.fit(self._table("resplit", X), self.settings_, n_splits)

    def by_group(self, column: str) -> GroupCalibration:
        """The calibration by rows with the same value in a column: valid for every such group."""
        return GroupCalibration.of_column(self._fitted(), column)

    def by_pattern(self) -> GroupCalibration:
        """The calibration by rows that lack the same cells: valid for every such pattern.

        `by_imposed_pattern()` needs fewer rows, and cells that are missing at random.
        """
        return GroupCalibration.of_patterns(self._fitted())

    def by_imposed_pattern(self) -> ImposedCalibration:
        """The calibration by rows from which the cells are taken that a row lacks.

        Valid for every pattern of missing cells, if cells are missing completely at random.
        """
        return ImposedCalibration(self._fitted())

    def under_shift(self, X: Any, columns: list[str] | None = None) -> ShiftCalibration:
        """The calibration for normal rows such as X, whose mix differs from the training rows'.

        `columns` are those whose mix has changed, where the other columns go with them as before.
        """
        detector, values = self._fitted(), self._values("under_shift", X)
        names = None if columns is None else tuple(columns)
        return ShiftCalibration.of_ratio(detector, DensityRatio.fit(detector, values, names))

    def certify(self, X: Any, confidence: float = 0.9) -> ListCertificate:
        """Bounds on how many rows of any list of rows of X are normal, for all lists at once."""
        scores = self.score_samples(X)
        return ListCertificate.of_scores(self._fitted().calibration, scores, confidence)

    def certify_thresholds(self, confidence: float = 0.9) -> ThresholdCertificate:
        """Bounds on how often normal rows score below any threshold, for all thresholds at once."""
        return ThresholdCertificate.of_scores(self._fitted().calibration, confidence)

    def explain(self, X: Any, group_size: int = 1) -> Explanation:
        """Which cells make each row unlikely, and what would be likely instead.

        `group_size` cells are also sought that are likeliest wrong together, such as two cells of
        another row, which vouch for each other.
        """
        values = self._values("explain", X)
        return explain(self._fitted(), values, group_size=group_size)

    def as_pyod(self) -> PyODAdapter:
        """A thin adapter with PyOD's signs: higher = more abnormal, labels 0 and 1."""
        return PyODAdapter(self)

    @property
    def verdict_(self) -> str:
        """What the scores and p-values are good for."""
        return self._fitted().verdict

    def adopt(
        self,
        detector: Detector,
        settings: DetectorSettings,
        offset: float,
        provenance: dict[str, Any] | None = None,
    ) -> "AnomalyDetector":
        """Take over a fitted detector, as loading does."""
        self.provenance_ = provenance or {}
        self.detector_, self.settings_, self.offset_ = detector, settings, offset
        name_features(self, detector.columns.names)
        return self

    def _card_facts(self) -> tuple[dict[str, Any], str, bool | None]:
        if not hasattr(self, "detector_"):
            return NOT_FITTED
        found = self.detector_
        facts = {
            "state": f"fitted to {found.columns.n_rows:,} rows, {found.columns.n_modeled} of "
            f"{len(found.columns.names)} columns modeled",
            "calibration rows": len(found.calibration),
            "threshold of the score": float(self.offset_),
        }
        return facts, self.verdict_, found.trusted

    def _stored(self) -> StoredDetector:
        return StoredDetector(self._fitted(), self.settings_, self.offset_, self.provenance_)

    def _fitted(self) -> Detector:
        check_is_fitted(self, "detector_")
        return self.detector_
