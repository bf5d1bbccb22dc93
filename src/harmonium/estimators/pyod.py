"""PyOD's conventions around a fitted detector; PyOD itself is not needed."""

from typing import Any, Protocol

import numpy as np

from harmonium.errors import InvalidInputError, describe


class FitsAndScores(Protocol):
    """What the adapter needs of a detector, in scikit-learn's signs."""

    contamination: float | str
    offset_: float

    def fit(self, X: Any, y: Any = None) -> Any:
        """Fit to rows (rows, columns)."""
        ...

    def score_samples(self, X: Any) -> np.ndarray:
        """Scores (rows,), higher = more normal."""
        ...


class PyODAdapter:
    """PyOD's signs and names: scores are higher for abnormal rows, labels are 0 and 1.

    `fit` fits the detector inside; after it (or around a detector that is fitted already, once
    `adopt` has seen its training rows) there are `decision_scores_` (rows,), `threshold_`
    and `labels_` of the training rows.
    """

    def __init__(self, detector: FitsAndScores):
        self.detector = detector

    @property
    def contamination(self) -> float | str:
        """That of the detector."""
        return self.detector.contamination

    @property
    def threshold_(self) -> float:
        """The score above which a row is an outlier."""
        return -float(self.detector.offset_)

    def fit(self, X: Any, y: Any = None) -> "PyODAdapter":
        """Fit the detector to X (rows, columns)."""
        self.detector.fit(X)
        return self.adopt(X)

    def adopt(self, X: Any) -> "PyODAdapter":
        """Take X as the training rows of a detector that is fitted already."""
        self.decision_scores_ = self.decision_function(X)
        self.labels_ = self._labels(self.decision_scores_)
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """The outlier score of each row, shape (rows,): higher = more abnormal."""
        return -self.detector.score_samples(X)

    def predict(self, X: Any) -> np.ndarray:
        """0 for inliers, 1 for outliers, shape (rows,)."""
        return self._labels(self.decision_function(X))

    def fit_predict(self, X: Any, y: Any = None) -> np.ndarray:
        """Fit, then the labels of the same rows."""
        return self.fit(X).labels_

    def predict_proba(self, X: Any, method: str = "linear") -> np.ndarray:
        """Scores rescaled to [0, 1], shape (rows, 2): not a probability; use p_values for that.

        "linear" maps the smallest training score to 0 and the largest to 1, as PyOD does.
        """
        if method != "linear":
            raise InvalidInputError(
                describe("predict_proba(method=...)", expected='"linear"', got=repr(method))
            )
        if not hasattr(self, "decision_scores_"):
            raise InvalidInputError(
                describe(
                    "predict_proba(X)",
                    expected="an adapter that knows the training rows",
                    got="one around a detector fitted elsewhere",
                    hint="fit(X) of the adapter, or adopt(X) with the training rows",
                )
            )
        low, high = self.decision_scores_.min(), self.decision_scores_.max()
        share = (self.decision_function(X) - low) / max(high - low, np.finfo(float).tiny)
        share = np.clip(share, 0.0, 1.0)
        return np.stack([1 - share, share], axis=1)

    def _labels(self, scores: np.ndarray) -> np.ndarray:
        return (scores > self.threshold_).astype(int)
