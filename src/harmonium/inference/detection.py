"""A fitted anomaly detector: views of the training rows, calibrated on rows they have not seen."""

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy.special import logsumexp, softmax

from harmonium.data import Columns, Marginals
from harmonium.errors import HarmoniumWarning, joined
from harmonium.inference.completion import Completion, on_levels
from harmonium.inference.conformal import p_values
from harmonium.inference.detection_settings import DetectorSettings
from harmonium.inference.finite import warn_if_not_finite
from harmonium.inference.repeats import repeats_in_words
from harmonium.inference.rules import Rules
from harmonium.inference.tails import Tail
from harmonium.inference.views import Space, Surprise, Votes
from harmonium.sampling.boxes import Boxes
from harmonium.sampling.cells import move_in_cells

MIN_DISTINCT = 0.5
# Draws of the missing cells of a row that is scored.
N_COMPLETIONS = 16
_COMPLETION_SEED = 11
NO_SCORES = np.zeros(0)
# Modelled p-value of the rows that are flagged where no share is stated.
AUTO_LEVEL = 0.05


@dataclass(frozen=True)
class Detector:
    """Views of a table, each a surprise; scores are higher for normal rows.

    `completion` fills missing cells. Each of `spaces` sees complete rows in coordinates of its own,
    and votes by the joint surprise under mixtures of several sizes, by the mean surprise of the
    columns given the others, by kernels at training rows, and by distances to the nearest of them.
    `surprise` makes votes comparable; those of one kind are averaged to -log p, and a row is as
    abnormal, in nats, as the weighted harmonic mean of these p is small (Wilson 2019, "The harmonic
    mean p-value"). `rules` say how surprising broken rules are. `candidates` (candidates, modeled)
    are cells of the training columns, for explanations.
    `calibration` (rows,) are the sorted scores of normal rows that shaped nothing, and
    `calibration_rows` (rows, columns) these rows in that order; `tail` is of scores of normal rows,
    these and training rows in views that have not seen them; `verdict` says what scores and
    p-values are good for, `trusted` says it to programs.
    """

    completion: Completion
    spaces: tuple[Space, ...]
    surprise: Surprise
    rules: Rules
    candidates: np.ndarray
    calibration: np.ndarray
    calibration_rows: np.ndarray
    tail: Tail
    verdict: str
    trusted: bool

    @property
    def marginals(self) -> Marginals:
        """Those of the first space, which takes numbers as they are."""
        return self.spaces[0].scale.marginals

    @property
    def columns(self) -> Columns:
        """The rules of the columns."""
        return self.marginals.columns

    @property
    def weights(self) -> np.ndarray:
        """How much each kind of votes counts, (kinds,), of all spaces one after the other."""
        return np.concatenate([space.weights(self.columns.n_rows) for space in self.spaces])

    @cached_property
    def candidate_places(self) -> tuple[np.ndarray, ...]:
        """Where the candidates stand in every space, (modeled, candidates) each."""
        return tuple(space.places(self.candidates) for space in self.spaces)

    def scores(self, values: np.ndarray) -> np.ndarray:
        """The scores of rows (rows, columns), shape (rows,): higher = more normal.

        Of a row that breaks rules of constant or duplicate columns, or holds categories that
        training has not seen, they are one kind of votes more, of weight 1. A row with missing
        cells (NaN) gets the mean over draws of these cells given the others, weighted for what the
        views make of them. Warns if some scores are not finite.
        """
        abnormality = np.zeros(len(values))
        incomplete = self.missing(values).any(axis=1)
        if not incomplete.all():
            abnormality[~incomplete] = self.abnormality(values[~incomplete])
        if incomplete.any():
            found = np.stack([self.abnormality(d) for d in self.completions(values[incomplete])])
            # Where the mixtures do not hold, most draws are abnormal with any row.
            abnormality[incomplete] = np.sum(softmax(-found, axis=0) * found, axis=0)
        broken = self.rules.surprises(self.columns, values)
        whole = np.logaddexp(abnormality, broken - np.log(self.weights.sum()))
        abnormality = np.where(broken > 0, whole, abnormality)
        return warn_if_not_finite("scores", -abnormality)

    def missing(self, values: np.ndarray) -> np.ndarray:
        """Which modeled cells of rows (rows, columns) are missing, or of unseen categories."""
        return np.isnan(self.marginals.centers(values))

    def completions(self, values: np.ndarray) -> np.ndarray:
        """Rows (rows, columns) with missing cells drawn, (draws, rows, columns)."""
        rng = np.random.default_rng(_COMPLETION_SEED)
        return np.stack([self._completed(values, rng) for _ in range(N_COMPLETIONS)])

    def _completed(self, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Rows with missing cells drawn from the mixtures of the first space, given the others."""
        space, missing = self.spaces[0], self.missing(values)
        start = on_levels(self.completion.fill(values, rng), values, self.marginals)
        points = space.scale.forward(start)
        boxes = Boxes(np.where(missing, -np.inf, points), np.where(missing, np.inf, points))
        cells = space.scale.restore(move_in_cells(space.pooled, boxes, points, 1, rng))
        cells = np.clip(cells, self.completion.lowest, self.completion.highest)
        filled, index = np.array(values), self.columns.modeled_index
        filled[:, index] = np.where(missing, cells, values[:, index])
        for own in self.spaces:
            filled = on_levels(filled, values, own.scale.marginals)
        return filled

    def p_values(self, values: np.ndarray) -> np.ndarray:
        """Split-conformal p-values of rows (rows, columns), shape (rows,); small is abnormal."""
        return self.p_values_of(self.scores(values))

    def p_values_of(self, scores: np.ndarray) -> np.ndarray:
        """Split-conformal p-values of rows with these scores, (rows,) both."""
        return p_values(self.calibration, scores)

    def modelled_p_values_of(self, scores: np.ndarray) -> np.ndarray:
        """p-values of rows with these scores, (rows,) both, by `tail`: they go on below all of
        its own.
        """
        return self.tail.p_values(scores)

    def calibrated_on(
        self,
        values: np.ndarray,
        remarks: tuple[str, ...] = (),
        *,
        further: np.ndarray = NO_SCORES,
    ) -> "Detector":
        """The same detector with p-values from these rows (rows, columns), which no view has seen.

        `remarks` are added to the verdict; `further` (rows,) are scores for the tail alone. Warns
        where scores are not to be used, and where the rows repeat training rows.
        """
        scores = self.scores(values)
        order = np.argsort(scores, kind="stable")
        calibration = scores[order]
        tail = Tail.fit(np.concatenate([calibration, further]))
        problems = _problems(values, calibration)
        repeats = repeats_in_words(self.columns, self.spaces[0], values)
        words = [_guarantee(len(calibration)), *problems, *remarks, repeats]
        verdict = joined(word for word in words if word)
        if problems or repeats:
            warnings.warn(verdict, HarmoniumWarning, stacklevel=3)
        return replace(
            self,
            calibration=calibration,
            calibration_rows=values[order],
            tail=tail,
            verdict=str(verdict),
            trusted=not problems,
        )

    def offset(self, settings: DetectorSettings, values: np.ndarray) -> float:
        """The score below which a row is flagged: that of a modelled p-value of 0.05, or of the
        stated share of the training rows (rows, columns).
        """
        if settings.share_abnormal:
            return float(np.percentile(self.scores(values), 100 * settings.share_abnormal))
        return self.tail.score_of(AUTO_LEVEL)

    def abnormality(self, values: np.ndarray) -> np.ndarray:
        """How abnormal complete rows (rows, columns) are, (rows,), whatever rules they break."""
        return self.together(np.concatenate([s.votes(values) for s in self.spaces], axis=1))

    def together(self, votes: Votes) -> np.ndarray:
        """How abnormal rows with these votes (rows, views) of all spaces are, (rows,)."""
        surprises = self.surprise.of(votes)
        ends = np.cumsum([0, *(n for space in self.spaces for n in space.groups)])
        kinds = np.stack([surprises[:, a:b].mean(axis=1) for a, b in pairwise(ends)], axis=1)
        return np.asarray(logsumexp(kinds, axis=1, b=self.weights / self.weights.sum()))


def _guarantee(n: int) -> str:
    return (
        f"p-values are valid for rows exchangeable with the {n} calibration rows; the smallest is "
        f"1/{n + 1}."
    )


def _problems(rows: np.ndarray, calibration: np.ndarray) -> list[str]:
    """What forbids the use of the scores, in words."""
    words = []
    distinct_rows = len(np.unique(rows, axis=0))
    distinct = len(np.unique(calibration))
    if distinct < MIN_DISTINCT * distinct_rows:
        words.append(
            f"The scores have COLLAPSED: {distinct} distinct values for {distinct_rows} distinct "
            "rows; do not use them."
        )
    if not np.all(np.isfinite(calibration)):
        words.append("Some scores are NOT finite; do not use them.")
    return words
