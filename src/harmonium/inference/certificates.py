"""Certificates: bounds that hold at once for every list and every threshold, whoever picks one.

A false-discovery rate is kept on average, by a list that was fixed beforehand. A user who looks at
the rows and then decides how far down to go needs bounds that hold for all choices together.

Both certificates rest on the law of ranks: n calibration rows and m normal rows are ordered
completely at random. That law is known, so that a family of bounds with one free parameter is
calibrated by drawing from it. The parameter is chosen by its rank among N_DRAWS draws. Over these
draws, too, the stated confidence holds exactly; with the fixed ones used here it holds to within
about sqrt((1 - confidence) confidence / N_DRAWS).
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from harmonium.errors import InvalidInputError, describe
from harmonium.inference.conformal import check_calibration, p_values

N_DRAWS, _SEED = 4999, 5
# Ranks at which bounds are made, about evenly in their logarithm; other ranks take the next.
N_RANKS = 100


@dataclass(frozen=True, eq=False)
class ListCertificate:
    """How many rows of any list can be normal, with this `confidence` for all lists at once.

    `p_values` (m,) are split-conformal p-values of the rows. With probability `confidence` or more,
    for every place at once, at most `most_false[i]` normal rows have a p-value of at most
    `levels[i]`, (places,) both. Needs normal rows exchangeable with the calibration rows; the
    others may be anything.
    """

    confidence: float
    p_values: np.ndarray
    levels: np.ndarray
    most_false: np.ndarray

    @staticmethod
    def of_scores(
        calibration: np.ndarray, scores: np.ndarray, confidence: float = 0.9
    ) -> "ListCertificate":
        """The certificate for rows with these `scores` (m,), by `calibration` scores (n,).

        The joint law of the p-values of m normal rows is that of a Polya urn, whatever the scores
        (Gazin, Blanchard & Roquain 2024, "Transductive conformal inference with adaptive scores",
        arXiv 2310.18108, proposition 2.1). Their p-values of at most j / (n + 1) are counted by a
        beta-binomial law, nearly negative binomial for small j; the bounds are quantiles of the
        latter, all at one level, which is calibrated. Fewer normal rows than m, and ties, only make
        the counts smaller.
        """
        check_confidence("certify(X, confidence)", confidence)
        p = p_values(calibration, scores)
        n, m = len(calibration), len(p)
        if not m:
            return ListCertificate(confidence, p, np.zeros(0), np.zeros(0, dtype=int))
        ranks = _ranks(n)
        rng = np.random.default_rng(_SEED)
        below = _counts_below(_uniform_order_statistics(n, ranks, rng), m, rng)
        rarest = _tail(ranks, below, n, m).min(axis=1)
        most = _largest_count(ranks, n, m, _rank_level(rarest, confidence))
        return ListCertificate(confidence, p, ranks / (n + 1), most)

    def most_false_in(self, listed: np.ndarray) -> int:
        """At most so many of the rows `listed` (m,), bool, are normal.

        A list has at most as many normal rows as there can be at some level, plus its rows beyond
        that level (Blanchard, Neuvial & Roquain 2020, "Post hoc confidence bounds on false
        positives", arXiv 1703.02307, section 2).
        """
        listed = np.asarray(listed)
        if listed.dtype != bool or listed.shape != self.p_values.shape:
            raise InvalidInputError(
                describe(
                    "most_false_in(listed)",
                    expected=f"one truth value per row, {len(self.p_values)} in all",
                    got=f"{listed.dtype} of shape {listed.shape}",
                )
            )
        own = np.sort(self.p_values[listed])
        beyond = len(own) - np.searchsorted(own, self.levels, side="right")
        return int(min([len(own), *(self.most_false + beyond)]))

    def false_share(self, listed: np.ndarray) -> float:
        """At most this share of the rows `listed` (m,), bool, is normal; 0 for an empty list."""
        return self.most_false_in(listed) / max(1, int(np.sum(listed)))

    def of_lowest(self) -> np.ndarray:
        """For k = 1, 2, ..., m: at most so many of the k rows of the lowest scores are normal,
        (m,).
        """
        sizes = np.arange(1, len(self.p_values) + 1)
        most = sizes.copy()
        counts = np.searchsorted(np.sort(self.p_values), self.levels, side="right")
        for false, count in zip(self.most_false, counts, strict=True):
            most = np.minimum(most, false + np.maximum(0, sizes - count))
        return most

    def largest_list(self, share: float) -> np.ndarray:
        """The rows (m,), bool, of the longest list {k lowest} with a false share of at most
        `share`.

        Ties with its last row are left out.
        """
        allowed = self.of_lowest() <= share * np.arange(1, len(self.p_values) + 1)
        ranked = np.sort(self.p_values)
        # A list of k rows is one only where the next row has a larger p-value.
        ends = np.append(ranked[1:] > ranked[:-1], True) if len(ranked) else allowed
        sizes = np.flatnonzero(allowed & ends)
        if not len(sizes):
            return np.zeros(len(ranked), dtype=bool)
        return self.p_values <= ranked[sizes[-1]]


@dataclass(frozen=True, eq=False)
class ThresholdCertificate:
    """How often normal rows fall below any threshold, with this `confidence` for all at once.

    `calibration` (n,) are sorted scores. With probability `confidence` or more over the calibration
    rows, for every c = 0, ..., n at once, a new normal row scores as low as a threshold that c
    calibration rows reach with probability at most `most_often[c]`, (n + 1,). Needs calibration
    rows that are independent draws of normal rows.
    """

    confidence: float
    calibration: np.ndarray
    most_often: np.ndarray

    @staticmethod
    def of_scores(calibration: np.ndarray, confidence: float = 0.9) -> "ThresholdCertificate":
        """The certificate of these `calibration` scores (n,).

        The chance of falling below the i-th lowest calibration score is the i-th of n ordered
        uniform numbers. Its quantiles, all at one level, bound all of them, and that level is
        calibrated (Bates, Candes, Lei, Romano & Sesia 2023, "Testing for outliers with conformal
        p-values", arXiv 2104.08279, section 3, whose Simes and Monte-Carlo adjustments are such
        bounds of other shapes). Ties are allowed.
        """
        call = "certify_thresholds(confidence)"
        check_confidence(call, confidence)
        calibration = np.sort(check_calibration(call, calibration))
        n = len(calibration)
        ranks = _ranks(n)
        places = _uniform_order_statistics(n, ranks, np.random.default_rng(_SEED))
        # The chance that the order statistic is larger still.
        rarest = special.betainc(n + 1 - ranks, ranks, 1 - places).min(axis=1)
        level = _rank_level(rarest, confidence)
        most = 1 - special.betaincinv(n + 1 - ranks, ranks, level)
        # A threshold that c calibration rows reach lies below the next of them.
        after = np.searchsorted(ranks, np.arange(1, n + 1))
        return ThresholdCertificate(confidence, calibration, np.append(most[after], 1.0))

    def false_positive_rate(self, thresholds: np.ndarray | float) -> np.ndarray:
        """At most this share of normal rows scores as low as each threshold, in its shape."""
        return self.most_often[np.searchsorted(self.calibration, thresholds, side="right")]

    def threshold(self, rate: float) -> float:
        """The highest calibration score that at most this share of normal rows scores as low as;
        -inf where there is none.
        """
        passing = np.flatnonzero(self.false_positive_rate(self.calibration) <= rate)
        return float(self.calibration[passing[-1]]) if len(passing) else -np.inf


def check_confidence(call: str, confidence: float) -> None:
    """Raise `InvalidInputError` unless the confidence can be had from the draws."""
    if not 0 < confidence <= 1 - 2 / (N_DRAWS + 1):
        raise InvalidInputError(
            describe(
                call,
                expected=f"a confidence above 0 and at most {1 - 2 / (N_DRAWS + 1):.4f}",
                got=f"{confidence}",
                hint="0.9 lets the bounds fail for one table in ten",
            )
        )


def _ranks(n: int) -> np.ndarray:
    """Ranks from 1 to n at which bounds are made."""
    return np.unique(np.rint(np.geomspace(1, n, N_RANKS)).astype(int))


def _uniform_order_statistics(n: int, ranks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Of n uniform numbers the i-th smallest for every rank i, (draws, ranks), many times."""
    gaps = np.diff(np.concatenate([[0], ranks, [n + 1]]))
    sums = np.cumsum(rng.gamma(gaps, size=(N_DRAWS, len(gaps))), axis=1)
    return np.minimum(sums[:, :-1] / sums[:, -1:], 1.0)


def _counts_below(places: np.ndarray, m: int, rng: np.random.Generator) -> np.ndarray:
    """How many of m uniform numbers lie below each of these rising places, (draws, places)."""
    counts = np.zeros(places.shape, dtype=int)
    below, last = np.zeros(len(places), dtype=int), np.zeros(len(places))
    for j, place in enumerate(places.T):
        share = np.clip((place - last) / np.maximum(1 - last, 1e-300), 0, 1)
        below, last = below + rng.binomial(m - below, share), place
        counts[:, j] = below
    return counts


def _tail(ranks: np.ndarray, counts: np.ndarray, n: int, m: int) -> np.ndarray:
    """How rarely m normal rows have so many p-values of at most rank / (n + 1), or more.

    By the negative binomial law; of the right order only, as the level is calibrated.
    """
    rare = special.betainc(np.maximum(counts, 1), ranks, m / (m + n + 1))
    return np.where(counts > 0, rare, 1.0)


def _rank_level(rarest: np.ndarray, confidence: float) -> float:
    """The level that a new draw falls below with probability at most 1 - confidence."""
    k = int((1 - confidence) * (N_DRAWS + 1) * (1 + 1e-12))
    return float(np.partition(rarest, k - 1)[k - 1])


def _largest_count(ranks: np.ndarray, n: int, m: int, level: float) -> np.ndarray:
    """The largest count at every rank that is not rarer than this level, by bisection."""
    low, high = np.zeros(len(ranks), dtype=int), np.full(len(ranks), m + 1)
    while (high - low > 1).any():
        middle = (low + high) // 2
        passes = _tail(ranks, middle, n, m) >= level
        low, high = np.where(passes, middle, low), np.where(passes, high, middle)
    return low
