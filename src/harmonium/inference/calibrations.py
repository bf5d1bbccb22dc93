"""Ways to calibrate a detector: how rows get p-values, and which of them may be listed.

Each is an `AbstractCalibration` and says in `Selection.promise` what its lists are good for.
`SplitCalibration` and those of groups and patterns rest on the calibration rows that a detector
keeps; `resplits` holds those of several fits, `shift` the one for a covariate shift.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from harmonium.data import Columns
from harmonium.errors import InvalidInputError, describe
from harmonium.inference.conformal import (
    SLACK,
    GroupPValues,
    benjamini_hochberg,
    group_p_values,
    lack_of_calibration,
    p_values,
    shortage_in_words,
)
from harmonium.inference.detection import Detector
from harmonium.typing import Values

# With fewer calibration rows than this, no p-value of a group is as low as 0.05.
FEWEST_IN_GROUP = 19

Measures = Float[np.ndarray, "rows measures"]


@dataclass(frozen=True, eq=False)
class Selection:
    """The rows that are listed, (rows,), what is promised of the list, and what a user has to know
    of it, in words; `concern` is empty where there is nothing to know.
    """

    listed: Bool[np.ndarray, "rows"]
    promise: str
    concern: str


class AbstractCalibration(ABC):
    """How rows get p-values, and which of them may be listed at a false-discovery rate.

    `measure` takes the rows of a table in batches of any size. p-values and lists take the measures
    of all of its rows, since a list depends on all of them.
    """

    @abstractmethod
    def measure(self, rows: Values) -> Measures:
        """What a decision needs of each row; a p-value or a score comes first."""

    @abstractmethod
    def p_values(self, measures: Measures) -> Float[np.ndarray, "rows"]:
        """p-values of the measured rows; small is abnormal."""

    @abstractmethod
    def select(self, measures: Measures, level: float) -> Selection:
        """The list of measured rows at this false-discovery rate."""


@dataclass(frozen=True, eq=False)
class SplitCalibration(AbstractCalibration):
    """By rows that were set aside before the fit: the guarantee of `conformal.p_values`, and that
    of `conformal.benjamini_hochberg` for lists.
    """

    detector: Detector

    def measure(self, rows: Values) -> Measures:
        """Scores."""
        return self.detector.scores(rows)[:, None]

    def p_values(self, measures: Measures) -> Float[np.ndarray, "rows"]:
        """Split-conformal p-values."""
        return self.detector.p_values_of(measures[:, 0])

    def select(self, measures: Measures, level: float) -> Selection:
        """By Benjamini-Hochberg."""
        p, n = self.p_values(measures), len(self.detector.calibration)
        listed = benjamini_hochberg(p, level)
        promise = f"{kept_on_average(level)} for rows exchangeable with the {n} calibration rows."
        return Selection(listed, promise, lack_of_calibration(p, listed, n, level))


@dataclass(frozen=True, eq=False)
class GroupCalibration(AbstractCalibration):
    """By the calibration rows of the same group: the guarantee of `conformal.group_p_values`.

    A group is what rows have in common in the columns `index`: their cells, or, with `of_holes`,
    which of these cells are missing. Rows need to be exchangeable within their group only. Groups
    of fewer than `fewest` calibration rows fall back on all of them, and the selection says so.
    """

    detector: Detector
    index: tuple[int, ...]
    of_holes: bool
    fewest: int = FEWEST_IN_GROUP

    @staticmethod
    def of_column(detector: Detector, name: str) -> "GroupCalibration":
        """Groups are the values of a column, missing ones together."""
        return GroupCalibration(detector, (column_index(detector.columns, name),), of_holes=False)

    @staticmethod
    def of_patterns(detector: Detector) -> "GroupCalibration":
        """Groups are the patterns of missing cells; these may go with anything.

        `ImposedCalibration` has more calibration rows, and assumes more.
        """
        return GroupCalibration(detector, used_columns(detector.columns), of_holes=True)

    def measure(self, rows: Values) -> Measures:
        """Scores, and the number of the group, -1 for one that no calibration row has."""
        numbers = {key: i for i, key in enumerate(dict.fromkeys(self._calibration_keys()))}
        groups = [numbers.get(key, -1) for key in self._keys(rows)]
        return np.stack([self.detector.scores(rows), np.array(groups, dtype=float)], axis=1)

    def p_values(self, measures: Measures) -> Float[np.ndarray, "rows"]:
        """p-values by the calibration rows of the same group."""
        return self._found(measures).p_values

    def select(self, measures: Measures, level: float) -> Selection:
        """By Benjamini-Hochberg."""
        what = "pattern of missing cells" if self.of_holes else "group"
        promise = f"{kept_on_average(level)} for rows exchangeable within their {what}."
        return _select(self._found(measures), level, promise, what)

    def _found(self, measures: Measures) -> GroupPValues:
        own = self._calibration_keys()
        numbers = {key: i for i, key in enumerate(dict.fromkeys(own))}
        calibration = self.detector.calibration, np.array([numbers[key] for key in own])
        return group_p_values(calibration, (measures[:, 0], measures[:, 1]), self.fewest)

    def _calibration_keys(self) -> list[bytes]:
        return self._keys(self.detector.calibration_rows)

    def _keys(self, rows: Values) -> list[bytes]:
        """Equal for rows of one group; missing cells are equal to each other, and 0 to -0."""
        cells = rows[:, list(self.index)]
        cells = np.isnan(cells) if self.of_holes else np.nan_to_num(cells, nan=np.inf) + 0.0
        return [row.tobytes() for row in cells]


@dataclass(frozen=True, eq=False)
class ImposedCalibration(AbstractCalibration):
    """By calibration rows scored anew with the holes of the row: p-values valid for every pattern.

    Of the calibration rows those count that lack no cell that the row has; the cells that the row
    lacks are taken from them. Where cells are missing completely at random, that is, whatever their
    own value and those of the others, these rows are exchangeable with a normal row of that
    pattern, and so P(p <= t given the pattern) <= t (Zaffran, Dieuleveut, Josse & Romano 2023,
    "Conformal prediction with missing values", arXiv 2306.02732, CP-MDA-Exact). Complete
    calibration rows serve every pattern. Patterns for which fewer than `fewest` rows count fall
    back on p-values of all calibration rows as they are, valid on average over patterns; the
    selection says so. p-values of different patterns share calibration rows under different holes,
    and for these there is no theorem that Benjamini-Hochberg keeps its rate; for one pattern alone
    it does.
    """

    detector: Detector
    fewest: int = FEWEST_IN_GROUP
    # Scores of calibration rows by pattern, so that batches do not score them again.
    _known: dict[bytes, np.ndarray] = field(default_factory=dict)

    def measure(self, rows: Values) -> Measures:
        """p-values, the numbers of calibration rows that they rest on, and whether they fell
        back.
        """
        missing = np.isnan(rows)
        used = used_columns(self.detector.columns)
        scores = self.detector.scores(rows)
        n, n_calibration = len(rows), len(self.detector.calibration)
        whole = self.detector.p_values_of(scores)
        found = np.stack([whole, np.full(n, n_calibration), np.ones(n)], axis=1)
        patterns, number = np.unique(missing[:, used], axis=0, return_inverse=True)
        for i, pattern in enumerate(patterns):
            peers = self._scores_with(pattern, used)
            if len(peers) >= max(1, self.fewest):
                at = number.ravel() == i
                found[at, 0] = p_values(peers, scores[at])
                found[at, 1:] = len(peers), 0
        return found

    def p_values(self, measures: Measures) -> Float[np.ndarray, "rows"]:
        """p-values by calibration rows with the same holes."""
        return measures[:, 0]

    def select(self, measures: Measures, level: float) -> Selection:
        """By Benjamini-Hochberg."""
        promise = (
            f"{kept_on_average(level)} for rows of one pattern of missing cells, if cells are "
            "missing completely at random; over several patterns together this was measured, not "
            "proven."
        )
        found = GroupPValues(measures[:, 0], measures[:, 1], measures[:, 2] > 0)
        return _select(found, level, promise, "pattern of missing cells")

    def _scores_with(self, pattern: np.ndarray, used: tuple[int, ...]) -> np.ndarray:
        """Scores of the calibration rows that can take these holes, with them."""
        key = pattern.tobytes()
        if key not in self._known:
            rows = self.detector.calibration_rows
            holes = np.isnan(rows[:, used])
            fitting = np.array(rows[~(holes & ~pattern).any(axis=1)])
            fitting[:, np.array(used)[pattern]] = np.nan
            self._known[key] = self.detector.scores(fitting) if len(fitting) else np.zeros(0)
        return self._known[key]


def used_columns(columns: Columns) -> tuple[int, ...]:
    """The positions of the columns that scores depend on."""
    return tuple(i for i, kind in enumerate(columns.kinds) if kind != "ignored")


def column_index(columns: Columns, name: str) -> int:
    """The position of a column; raises `InvalidInputError` for a name that there is not."""
    if name not in columns.names:
        raise InvalidInputError(
            describe(
                f"column {name!r}",
                expected="a column of the training table",
                got=f"a name that is not among {', '.join(map(repr, columns.names[:8]))}",
            )
        )
    return columns.names.index(name)


def kept_on_average(level: float) -> str:
    """The promise of a false-discovery rate, in words that go on with what it is for."""
    return f"On average over tables, at most {level:.3g} of the list is normal,"


def _select(found: GroupPValues, level: float, promise: str, what: str) -> Selection:
    """The list by Benjamini-Hochberg, and in words what limits it."""
    listed = benjamini_hochberg(found.p_values, level)
    n, n_back = len(listed), int(found.fell_back.sum())
    concerns = []
    if n_back:
        concerns.append(
            f"{n_back} of {n} rows are of a {what} with too few calibration rows. They have the "
            f"p-values of all calibration rows, valid on average over every {what} together. Try: "
            "more calibration rows."
        )
    lowest = found.p_values <= SLACK / (found.n_calibration + 1)
    if lowest.any() and not listed.any():
        most = int(found.n_calibration[lowest].max())
        concerns.append(shortage_in_words(int(lowest.sum()), n, most, level))
    return Selection(listed, promise, " ".join(word for word in concerns if word))
