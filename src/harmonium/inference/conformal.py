"""Abnormal rows with a guarantee: scores of held-out rows turned into p-values, then a list.

The only assumption is that calibration rows and normal new rows are exchangeable and that neither
was used in training; the model may be as wrong as it likes, and then merely finds fewer rows.
"""

import math
from collections.abc import Sequence
from operator import index
from typing import NamedTuple

import numpy as np

from harmonium.errors import InvalidInputError, describe

# Conformal p-values are multiples of 1 / (n + 1) and so often meet a BH threshold exactly. This
# keeps such a tie a tie under rounding: 1/10 <= 0.3 * 1/3 is true. The level grows by as little.
SLACK = 1 + 1e-12


def p_values(
    calibration: np.ndarray,
    scores: np.ndarray,
    *,
    weights: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """Split-conformal p-values (m,) of rows with these `scores` (m,): small is abnormal.

    `calibration` (n,) holds the scores of normal rows that training did not see; higher is more
    normal, as for log-densities. p = (1 + #{calibration <= score}) / (n + 1), so a tied calibration
    row counts as at least as abnormal; then P(p <= t) <= t for a normal row, for every t (Vovk et
    al. 2005; Bates et al. 2023, arXiv 2104.08279). Infinite scores are ordered as usual.

    `weights` = (calibration weights (n,), row weights (m,)) corrects for a covariate shift: the
    likelihood ratios new / calibration at each row, up to one common factor. Then p = (sum of
    weights of calibration <= score, plus the row's own) / (sum of all calibration weights, plus the
    row's own), valid row by row (Tibshirani et al. 2019, arXiv 1904.06019).
    """
    call = "p_values(calibration, scores)"
    calibration = check_calibration(call, calibration)
    scores = check_vector(call, "scores", scores)
    if weights is None:
        n_below = np.searchsorted(np.sort(calibration), scores, side="right")
        return (1 + n_below) / (len(calibration) + 1)
    call = "p_values(calibration, scores, weights=(calibration_weights, row_weights))"
    calibration_weights = _weights(call, "calibration_weights", weights[0], len(calibration))
    row_weights = _weights(call, "row_weights", weights[1], len(scores))
    order = np.argsort(calibration)
    n_below = np.searchsorted(calibration[order], scores, side="right")
    weight_below = np.concatenate([[0.0], np.cumsum(calibration_weights[order])])
    total = weight_below[-1] + row_weights
    if not ((total > 0) & (total < np.inf)).all():
        raise InvalidInputError(
            describe(
                call,
                expected="weights with a positive, finite sum for every row",
                got=f"a sum of {total[~((total > 0) & (total < np.inf))][0]}",
                hint="subtract the largest log-weight of all rows before exponentiating",
            )
        )
    return (weight_below[n_below] + row_weights) / total


def cross_p_values(calibrations: Sequence[np.ndarray], scores: np.ndarray) -> np.ndarray:
    """Cross-conformal p-values (m,) of rows with these `scores` (m, folds): every row calibrates.

    `calibrations[k]` (rows of the fold,) are scores of fold k by a model fitted to the other folds,
    which also gave `scores[:, k]`. p = (1 + sum over k of #{calibrations[k] <= scores[:, k]}) /
    (n + 1), with n rows in all folds (Vovk 2015, "Cross-conformal predictors"). For a normal row
    and K equal folds, P(p <= t) <= 2 t + min(2 (1 - 1/K) / (n/K + 1), (1 - K/n) / (K + 1)), and so
    at most 2 t + sqrt(2/n) (Barber, Candes, Ramdas & Tibshirani 2021, "Predictive inference with
    the jackknife+", arXiv 1905.02928, theorem 4, for fits that do not depend on the order of their
    rows). Where fits of K - 1 folds hardly differ, it is about t.
    """
    call = "cross_p_values(calibrations, scores)"
    scores = _check_fits(call, calibrations, scores)
    n = sum(len(own) for own in calibrations)
    below = [
        np.searchsorted(np.sort(own), column, side="right")
        for own, column in zip(calibrations, scores.T, strict=True)
    ]
    return (1 + np.sum(below, axis=0)) / (n + 1)


def mean_p_values(calibrations: Sequence[np.ndarray], scores: np.ndarray) -> np.ndarray:
    """p-values (m,) by several splits of one table: twice the mean of those of every split.

    `calibrations[k]` are the calibration scores of split k, `scores` (m, splits) those of the rows
    by every split's model. Twice a mean of p-values is a p-value, however they depend on each other
    (Vovk & Wang 2020, "Combining p-values via averaging", arXiv 1212.4966, proposition 1).
    """
    scores = _check_fits("mean_p_values(calibrations, scores)", calibrations, scores)
    pairs = zip(calibrations, scores.T, strict=True)
    return np.minimum(1.0, 2 * np.mean([p_values(own, column) for own, column in pairs], axis=0))


class GroupPValues(NamedTuple):
    """p-values (m,), the numbers (m,) of calibration rows that each rests on, and which, (m,),
    bool, fell back on all of them.
    """

    p_values: np.ndarray
    n_calibration: np.ndarray
    fell_back: np.ndarray


def group_p_values(
    calibration: tuple[np.ndarray, np.ndarray], rows: tuple[np.ndarray, np.ndarray], fewest: int
) -> GroupPValues:
    """p-values of m rows by the calibration rows of their own group.

    `calibration` and `rows` are (scores, groups) each, groups being whole numbers. For a normal row
    exchangeable with the calibration rows of its group, P(p <= t given the group) <= t (Vovk,
    Lindsay, Nouretdinov & Gammerman 2003, "Mondrian confidence machine"). Groups share no
    calibration row, so that Benjamini-Hochberg keeps its guarantee. Where a group has fewer than
    `fewest` calibration rows, all calibration rows count: valid on average over groups alone, and
    without a theorem for lists that mix both kinds.
    """
    call = "group_p_values(calibration, rows, fewest)"
    own, own_groups = check_vector(call, "calibration", calibration[0]), np.asarray(calibration[1])
    scores, groups = check_vector(call, "scores", rows[0]), np.asarray(rows[1])
    found, n_calibration = p_values(own, scores), np.full(len(scores), len(own))
    fell_back = np.ones(len(scores), dtype=bool)
    for group in np.unique(groups):
        at, peers = groups == group, own[own_groups == group]
        if len(peers) >= max(1, fewest):
            found[at], n_calibration[at] = p_values(peers, scores[at]), len(peers)
            fell_back[at] = False
    return GroupPValues(found, n_calibration, fell_back)


def benjamini_hochberg(p_values: np.ndarray, level: float) -> np.ndarray:
    """Which rows to list (m,), bool, so that at most a share `level` of the list is false on
    average.

    Rejects the k smallest of `p_values` (m,), for the largest k whose k-th smallest is at most
    level k / m (Benjamini & Hochberg 1995). Conformal p-values share their calibration rows and so
    depend on each other, but positively (Bates et al. 2023, theorem 2), which keeps the false
    discovery rate below level times the share of normal rows. Weighted p-values have no such proof.
    """
    call = "benjamini_hochberg(p_values, level)"
    p_values = check_vector(call, "p_values", p_values)
    check_level(call, level)
    outside = (p_values < 0) | (p_values > 1)
    if outside.any():
        raise InvalidInputError(
            describe(
                call,
                expected="p-values between 0 and 1",
                got=f"{p_values[outside][0]}",
                hint="turn scores into p-values with p_values(calibration, scores)",
            )
        )
    m = len(p_values)
    ranked = np.sort(p_values)
    passing = ranked[ranked <= level * np.arange(1, m + 1) / m * SLACK]
    return p_values <= passing[-1] if len(passing) else np.zeros(m, dtype=bool)


def fewest_calibration_rows(n_rejected: int, n_rows: int, level: float) -> int:
    """How many calibration rows it takes before `n_rejected` of `n_rows` rows can be listed.

    No conformal p-value is below 1 / (n + 1), and r of m are rejected by `benjamini_hochberg` only
    if that is at most level r / m; hence n = ceil(m / (level r)) - 1. With fewer, no list of r rows
    is possible, however abnormal the rows are.
    """
    call = f"fewest_calibration_rows({n_rejected}, {n_rows}, {level})"
    check_level(call, level)
    n_rejected, n_rows = index(n_rejected), index(n_rows)
    if not 1 <= n_rejected <= n_rows:
        raise InvalidInputError(
            describe(
                call,
                expected="1 <= n_rejected <= n_rows",
                got=f"n_rejected = {n_rejected}, n_rows = {n_rows}",
            )
        )
    return max(1, math.ceil(n_rows / (level * n_rejected) / SLACK) - 1)


def lack_of_calibration(
    p_values: np.ndarray, listed: np.ndarray, n_calibration: int, level: float
) -> str:
    """In words, if nothing is listed though some rows score below all calibration rows; else empty.

    `p_values` (m,) of `p_values`, unweighted, from `n_calibration` scores, and `listed` (m,) of
    `benjamini_hochberg`.
    """
    n_below = int(np.sum(p_values <= SLACK / (n_calibration + 1)))
    if listed.any():
        return ""
    return shortage_in_words(n_below, len(p_values), n_calibration, level)


def shortage_in_words(n_below: int, n_rows: int, n_calibration: int, level: float) -> str:
    """In words, if calibration rows are too few to list these `n_below` of `n_rows` rows, which
    score below all of them; else empty.
    """
    if not n_below:
        return ""
    needed = fewest_calibration_rows(n_below, n_rows, level)
    if n_calibration >= needed:
        return ""
    return (
        f"{n_below} of {n_rows} rows score below all {n_calibration} calibration rows, but cannot "
        f"be listed at a false-discovery rate of {level:g} with fewer than {needed} calibration "
        "rows. Try: more calibration rows, or a higher rate."
    )


def _check_fits(call: str, calibrations: Sequence[np.ndarray], scores: np.ndarray) -> np.ndarray:
    """`scores` as a matrix with a column for each of these calibration scores."""
    scores = np.asarray(scores, dtype=float)
    if not calibrations or scores.ndim != 2 or scores.shape[1] != len(calibrations):
        raise InvalidInputError(
            describe(
                call,
                expected=f"scores of shape (rows, {len(calibrations)}), a column per fit",
                got=f"shape {scores.shape}",
            )
        )
    for own, column in zip(calibrations, scores.T, strict=True):
        check_vector(call, "calibrations", own)
        check_vector(call, "scores", column)
    return scores


def check_calibration(call: str, values: np.ndarray) -> np.ndarray:
    """Calibration scores as a vector of floats; raises `InvalidInputError` for none or NaN."""
    values = check_vector(call, "calibration", values)
    if not len(values):
        raise InvalidInputError(
            describe(
                call,
                expected="at least one calibration score",
                got="none",
                hint="hold out normal rows; fewest_calibration_rows says how many",
            )
        )
    return values


def check_vector(call: str, name: str, values: np.ndarray) -> np.ndarray:
    """`values` as a vector of floats; raises `InvalidInputError` for NaN or another shape."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 1:
        raise InvalidInputError(
            describe(call, expected=f"{name} of one dimension", got=f"shape {values.shape}")
        )
    n_missing = int(np.isnan(values).sum())
    if n_missing:
        raise InvalidInputError(
            describe(
                call,
                expected=f"{name} without NaN",
                got=f"{n_missing} NaN of {len(values)}",
                hint="score rows that the model cannot take as -inf, old and new alike",
            )
        )
    return values


def _weights(call: str, name: str, values: np.ndarray, length: int) -> np.ndarray:
    """`values` as `length` finite weights of at least 0."""
    values = np.asarray(values, dtype=float)
    if values.shape != (length,):
        raise InvalidInputError(
            describe(call, expected=f"{name} of shape {(length,)}", got=f"shape {values.shape}")
        )
    bad = ~(np.isfinite(values) & (values >= 0))
    if bad.any():
        raise InvalidInputError(
            describe(
                call,
                expected=f"finite {name} of at least 0",
                got=f"{values[bad][0]}",
                hint="pass likelihood ratios, not their logarithms",
            )
        )
    return values


def check_level(call: str, level: float) -> None:
    """Raise `InvalidInputError` unless `level` lies strictly between 0 and 1."""
    if not 0 < level < 1:
        raise InvalidInputError(
            describe(
                call,
                expected="a level strictly between 0 and 1",
                got=f"{level}",
                hint="0.1 allows one false row in ten listed",
            )
        )
