"""`Monitor`: a stream of rows that is watched for drift."""

from pathlib import Path
from typing import Any

import numpy as np

from harmonium.artifact import (
    StoredDensity,
    StoredDetector,
    fingerprint_model,
    load_monitoring,
    save_monitoring,
)
from harmonium.cards import card
from harmonium.data import as_table
from harmonium.errors import InvalidInputError, describe
from harmonium.estimators.density import DensityEstimator
from harmonium.estimators.detector import AnomalyDetector
from harmonium.estimators.seeds import as_seed
from harmonium.inference import (
    Drift,
    DriftFindings,
    Ever,
    Monitoring,
    Restarting,
    Watched,
    find_drift,
)
from harmonium.inference.watching import KINDS


class Monitor:
    """Watch a stream of rows for drift, with a guarantee on false alarms.

    The score of every row, its cells, its cells given the others and its holes are ranked among
    those of all rows before it. Without drift these ranks are uniform and independent, and no bet
    against that gains; what such bets have gained is the evidence for a drift.

    Parameters
    ----------
    model : AnomalyDetector or DensityEstimator
        What says how normal a row is, and what is likely in a cell given the others.
    reference : table or None
        Normal rows (rows, columns) that the fit has not seen, with which the stream is compared
        from its first row on. Without them, whole rows are compared with the calibration rows of a
        detector, and all else with the first rows of the stream.
    alpha : float
        At most this share of all streams without drift ever raises an alarm.
    run_length : float or None
        Raise alarms again and again instead, of which at most one false one is expected in so many
        rows; `alpha` is then of no meaning.
    random_state : int, RandomState or None
        Seed of the places of ties.

    Attributes
    ----------
    monitoring_ : Monitoring
        The state: what is kept of the rows so far.
    """

    def __init__(
        self,
        model: AnomalyDetector | DensityEstimator,
        reference: Any = None,
        *,
        alpha: float = 0.01,
        run_length: float | None = None,
        random_state: int | np.random.RandomState | None = 0,
    ):
        self.model = model
        rule = Ever(alpha) if run_length is None else Restarting(run_length)
        watched = Watched.of(_fitted(model))
        rows = None if reference is None else self._values("Monitor(model, reference)", reference)
        seed = as_seed(random_state)
        self.monitoring_ = Monitoring.begin(watched, rule, reference=rows, seed=seed)
        self._n_before = 0

    def _repr_html_(self) -> str:
        found = self.findings
        facts = {
            "rows so far": self.n_rows,
            "evidence for a drift": f"{max(float(self.log_evidence), 0.0):.2f} nats; "
            f"{found.log_threshold:.2f} raise an alarm",
            "alarm": self.alarm,
            "drifts": "; ".join(own.describe() for own in self.drifts) or None,
        }
        return card("Monitor", facts)

    def update(self, X: Any) -> DriftFindings:
        """Take further rows X (rows, columns) of the stream, in their order, in batches of any
        size; what is to be said of all rows so far.

        However a stream is split, the result is the same, bit by bit. Raises `InvalidInputError`
        for input that cannot be used, naming column and row; the stream is then as it was.
        """
        values = self._values("Monitor.update(X)", X)
        self._n_before = self.monitoring_.n_rows
        self.monitoring_ = self.monitoring_.updated(values)
        return self.findings

    @property
    def findings(self) -> DriftFindings:
        """What the latest update returned."""
        return find_drift(self.monitoring_, after=self._n_before)

    @property
    def n_rows(self) -> int:
        """How many rows of the stream came in."""
        return self.monitoring_.n_rows

    @property
    def log_evidence(self) -> float:
        """The evidence after the last row, in nats, weighted by shares."""
        return self.monitoring_.log_level

    @property
    def alarm(self) -> bool:
        """Whether there was an alarm; with `run_length`, in the rows of the latest update."""
        return self.findings.alarm

    @property
    def drifts(self) -> tuple[Drift, ...]:
        """What drifts, the most telling first; nothing before an alarm."""
        return self.findings.drifts

    @property
    def history(self) -> dict[str, np.ndarray]:
        """The evidence over time: "row", and for every kind of score the log of the largest
        weighted evidence after it, (records,) each; NaN for what is not watched.
        """
        return dict(zip(("row", *KINDS), self.monitoring_.progress.records.T, strict=True))

    def save(self, path: str | Path) -> None:
        """Write the state to one file, with which another process goes on.

        It holds up to 2255 rows as they came, and nothing of the model.
        """
        save_monitoring(path, self.monitoring_, fingerprint_model(_stored(self.model)))

    @staticmethod
    def load(path: str | Path, model: AnomalyDetector | DensityEstimator) -> "Monitor":
        """Go on where `save` stopped, with the same model.

        Raises `ArtifactError` for a damaged or foreign file, and for one of another model.
        """
        loaded = Monitor.__new__(Monitor)
        loaded.model = model
        fingerprint = fingerprint_model(_stored(model))
        loaded.monitoring_ = load_monitoring(path, Watched.of(_fitted(model)), fingerprint)
        loaded._n_before = loaded.monitoring_.n_rows
        return loaded

    def _values(self, call: str, X: Any) -> np.ndarray:
        fields = _fitted(self.model).columns.fields
        return as_table(X, call=call, fields=fields).values


def _fitted(model: Any) -> Any:
    """The fitted detector or density of an estimator."""
    if isinstance(model, AnomalyDetector | DensityEstimator):
        return model._fitted()
    raise InvalidInputError(
        describe(
            "Monitor(model)",
            expected="a fitted AnomalyDetector or DensityEstimator",
            got=f"a {type(model).__name__}",
        )
    )


def _stored(model: AnomalyDetector | DensityEstimator) -> StoredDetector | StoredDensity:
    """The estimator as its file has it."""
    if isinstance(model, AnomalyDetector):
        return StoredDetector(model._fitted(), model.settings_, model.offset_, {})
    return StoredDensity(model._fitted(), model.settings_, model.container_, {})
