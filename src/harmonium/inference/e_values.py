"""Lists that rest on e-values: several of one row may be averaged, so that no single split decides.

An e-value is a bet against a row being normal. It is at least 0 and at most 1 on average over
normal rows, and a mean of e-values is an e-value, however they depend on each other. p-values have
no such mean.
"""

import numpy as np

from harmonium.errors import InvalidInputError, describe
from harmonium.inference.conformal import (
    SLACK,
    check_calibration,
    check_level,
    check_vector,
    p_values,
)


def e_benjamini_hochberg(e_values: np.ndarray, level: float) -> np.ndarray:
    """Which rows to list (m,), bool, so that at most a share `level` of the list is false on
    average.

    Lists the k largest of `e_values` (m,), for the largest k whose k-th largest is at least
    m / (level k) (Wang & Ramdas 2022, "False discovery rate control with e-values", arXiv
    2009.02824, theorem 5.1 and its remarks). Every listed row has e >= m / (level k), so that the
    false share is at most level / m times the sum of the e-values of normal rows: the
    false-discovery rate is below `level` where that sum is at most m on average, however the
    e-values depend on each other.
    """
    call = "e_benjamini_hochberg(e_values, level)"
    e_values = check_vector(call, "e_values", e_values)
    check_level(call, level)
    if (e_values < 0).any():
        raise InvalidInputError(
            describe(call, expected="e-values of at least 0", got=f"{e_values.min()}")
        )
    m = len(e_values)
    ranked = np.sort(e_values)[::-1]
    passing = ranked[ranked * np.arange(1, m + 1) * SLACK >= m / level]
    return e_values >= passing[-1] if len(passing) else np.zeros(m, dtype=bool)


def randomized_e_benjamini_hochberg(
    e_values: np.ndarray, level: float, uniform: float
) -> np.ndarray:
    """The list (m,), bool, of `e_benjamini_hochberg` with all e-values divided by one `uniform`
    number between 0 and 1, which is independent of them.

    It is never shorter, and keeps its false-discovery rate on average over that number: as the
    number grows, the list of length R shrinks, and row j stays on it up to some u with
    u <= level e_j R(u) / m, so that the mean of 1 / R while it is listed is at most level e_j / m
    (homogeneous pruning of Jin & Candes 2023, arXiv 2307.09291; Xu & Ramdas 2023, arXiv 2305.11126,
    for other ways).
    """
    if not 0 < uniform <= 1:
        raise InvalidInputError(
            describe(
                "randomized_e_benjamini_hochberg(e_values, level, uniform)",
                expected="a number above 0 and at most 1",
                got=f"{uniform}",
            )
        )
    return e_benjamini_hochberg(np.asarray(e_values, dtype=float) / uniform, level)


def split_e_values(calibration: np.ndarray, scores: np.ndarray, level: float) -> np.ndarray:
    """e-values (m,) of rows with these `scores` (m,), by one set of `calibration` scores (n,).

    Rows are taken in from the lowest score on, up to the largest score t with m0 (1 +
    #{calibration <= t}) / (n + 1) <= level #{scores <= t}, where Benjamini-Hochberg at `level`
    would stop if m0 of the rows were normal. Then e = (m / m0) (n + 1) / (1 + #{calibration <= t})
    for rows at or below t, and 0 for the others (Bashari, Epstein, Romano & Sesia 2023, arXiv
    2302.07294, there with m0 = m). Here m0 is estimated as by Storey, from the rows above the lower
    half of the calibration scores: m0 = (1 + #{scores >= s}) (n + 1) / (n - l), where s is the l-th
    lowest of these, l = floor(n / 2), and t stays below s.

    For normal rows exchangeable with the calibration rows given all others, the e-values of normal
    rows add up to at most m on average: as t falls from s, (normal rows at or below t) / (1 +
    calibration rows at or below t) is a supermartingale that begins at V / l, and t is a stopping
    time; so the mean of the sum is at most m (n - l) / l E[V / (1 + B)], with V normal rows below s
    and B not below, and that mean is at most l / (n - l). A single row may have more than 1 on
    average, so that these e-values serve lists and are no evidence on one row.
    """
    call = "split_e_values(calibration, scores, level)"
    calibration = np.sort(check_calibration(call, calibration))
    scores = check_vector(call, "scores", scores)
    check_level(call, level)
    n, m = len(calibration), len(scores)
    n_lower = n // 2
    if not n_lower or not m:
        return np.zeros(m)
    end = calibration[n_lower - 1]
    n_normal = (1 + np.sum(scores >= end)) * (n + 1) / (n - n_lower)
    # Counts change at scores of both kinds. Stopping at those of the rows alone would look ahead.
    places = np.unique(np.concatenate([calibration, scores]))
    places = places[places < end]
    n_calibration = np.searchsorted(calibration, places, side="right")
    n_rows = np.searchsorted(np.sort(scores), places, side="right")
    estimates = n_normal * (1 + n_calibration)
    passing = np.flatnonzero(estimates <= level * SLACK * (n + 1) * n_rows)
    if not len(passing):
        return np.zeros(m)
    last = passing[-1]
    return np.where(scores <= places[last], m * (n + 1) / estimates[last], 0.0)


def weighted_e_values(
    calibration: np.ndarray,
    scores: np.ndarray,
    level: float,
    *,
    weights: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """e-values (m,) of rows with these `scores` (m,) under a covariate shift.

    `weights` = (calibration weights (n,), row weights (m,)) are likelihood ratios, as for
    `p_values`. Row j has e = m / (level R_j) if its weighted p-value is at most level R_j / m, and
    0 otherwise. R_j counts the list of Benjamini-Hochberg at `level` in which row j has p-value 0
    and takes the place of the new row among the calibration rows for all others. Given the scores
    and weights of these n + 1 rows, but not which of them is row j, R_j is fixed and the p-value
    still valid, so that e is at most 1 on average (Jin & Candes 2023, "Model-free selective
    inference under covariate shift", arXiv 2307.09291, conditional calibration). It needs the true
    ratio, and normal rows that are independent of each other.
    """
    call = "weighted_e_values(calibration, scores, level, weights=...)"
    check_level(call, level)
    p = p_values(calibration, scores, weights=weights)
    own, row_weights = (np.asarray(part, dtype=float) for part in (scores, weights[1]))
    if not len(own):
        return np.zeros(0)
    m, total = len(own), float(np.sum(weights[0]))
    order = np.argsort(own, kind="stable")
    below = _weight_below(np.asarray(calibration), np.asarray(weights[0]), own[order])
    # No list is longer than this, whichever row calibrates it.
    least = below / (total + row_weights.max())
    most = _longest(np.append(0.0, least[:-1]), level, m)
    e_values = np.zeros(m)
    lowest, below = order[: most + 1], below[: most + 1]
    for j in np.flatnonzero(p <= level * most / m * SLACK).tolist():
        length = _length_with(j, lowest, below, own, row_weights, total, level)
        if p[j] <= level * length / m * SLACK:
            e_values[j] = m / (level * length)
    return e_values


def _length_with(
    j: int,
    lowest: np.ndarray,
    below: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray,
    total: float,
    level: float,
) -> int:
    """R_j: how many rows are listed where row j has p-value 0 and calibrates the others.

    `lowest` are the rows of the lowest scores, in that order, `below` the calibration weight at or
    below each of these, and `total` that of all calibration rows.
    """
    counted = below + np.where(scores[lowest] >= scores[j], weights[j], 0.0)
    ranked = counted[lowest != j] / (total + weights[j])
    return _longest(np.append(0.0, ranked), level, len(scores))


def _longest(ranked: np.ndarray, level: float, n_rows: int) -> int:
    """The largest k whose k-th of these rising p-values is at most level k / n_rows."""
    steps = level * np.arange(1, len(ranked) + 1) / n_rows
    return 1 + int(np.flatnonzero(ranked <= steps * SLACK)[-1])


def _weight_below(calibration: np.ndarray, weights: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The weight of calibration rows that score as low as each score, or lower."""
    order = np.argsort(calibration, kind="stable")
    cumulative = np.concatenate([[0.0], np.cumsum(weights[order])])
    return cumulative[np.searchsorted(calibration[order], scores, side="right")]
