"""Conformal p-values and Benjamini-Hochberg against their definitions and exact distributions."""

from collections import Counter
from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest

from harmonium.errors import InvalidInputError
from harmonium.inference.conformal import (
    benjamini_hochberg,
    cross_p_values,
    fewest_calibration_rows,
    group_p_values,
    lack_of_calibration,
    mean_p_values,
    p_values,
)

INF = np.inf


def naive_bh(p: np.ndarray, level: Fraction) -> np.ndarray:
    """The k smallest, for the largest k with #{p <= level k / m} >= k, in rational arithmetic."""
    exact, m = [Fraction(float(value)) for value in p], len(p)
    ks = [k for k in range(1, m + 1) if sum(q <= level * k / m for q in exact) >= k]
    return np.array([bool(ks) and q <= level * ks[-1] / m for q in exact], dtype=bool)


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_p_values_are_their_definition_ties_and_infinities_included(levels):
    rng = np.random.default_rng(levels)
    for n, m in [(1, 1), (1, 7), (13, 4), (40, 60)]:
        calibration = rng.integers(levels, size=n).astype(float)
        scores = np.append(rng.integers(levels, size=m).astype(float), [INF, -INF])
        calibration[rng.random(n) < 0.1] = -INF
        calibration[rng.random(n) < 0.1] = INF
        weights, own = rng.exponential(size=n), rng.exponential(size=m + 2)
        weights[rng.random(n) < 0.2] = 0
        plain = [(1 + sum(c <= s for c in calibration)) / (n + 1) for s in scores]
        weighted = [
            (sum(w for c, w in zip(calibration, weights, strict=True) if c <= s) + v)
            / (sum(weights) + v)
            for s, v in zip(scores, own, strict=True)
        ]
        np.testing.assert_array_equal(p_values(calibration, scores), plain)
        np.testing.assert_allclose(
            p_values(calibration, scores, weights=(weights, own)), weighted, rtol=1e-13
        )


def test_a_tied_calibration_row_counts_as_at_least_as_abnormal():
    calibration = np.array([1.0, 2.0, 2.0, 3.0])
    got = p_values(calibration, np.array([0.0, 2.0, 3.0, 4.0]))
    np.testing.assert_array_equal(got, [1 / 5, 4 / 5, 1, 1])


def test_the_p_value_of_an_exchangeable_row_is_uniform_over_all_orders():
    orders = list(permutations([-3.0, 0.5, 0.7, 2.0, 9.0]))
    counts = Counter(
        float(p_values(np.array(order[:4]), np.array(order[4:]))[0]) for order in orders
    )
    assert counts == {k / 5: len(orders) // 5 for k in range(1, 6)}


def test_ties_only_make_the_p_value_of_an_exchangeable_row_larger():
    orders = list(permutations([1.0, 1.0, 2.0, 2.0, 5.0]))
    p = np.array([p_values(np.array(order[:4]), np.array(order[4:]))[0] for order in orders])
    assert all(np.count_nonzero(p <= k / 5) <= len(orders) * k / 5 for k in range(1, 6))


def test_under_a_covariate_shift_weighted_p_values_are_exactly_valid():
    # Given the bag of all n + 1 rows, row j is the new one with probability w_j / sum(w).
    scores, w = np.array([4.0, -1.0, 3.0, 0.0, 8.0]), np.array([0.2, 3.0, 1.0, 0.0, 0.7])
    others = [np.arange(5) != j for j in range(5)]
    p = np.array(
        [
            p_values(scores[o], scores[j : j + 1], weights=(w[o], w[j : j + 1]))[0]
            for j, o in enumerate(others)
        ]
    )
    for j in np.flatnonzero(w):
        at_most = w[p <= p[j] + 1e-12].sum() / w.sum()
        assert at_most == pytest.approx(p[j], rel=1e-12)


def test_equal_weights_change_nothing_and_a_common_factor_cancels():
    rng = np.random.default_rng(0)
    calibration, scores = rng.normal(size=50).round(1), rng.normal(size=30).round(1)
    weights, own = rng.exponential(size=50), rng.exponential(size=30)
    plain = p_values(calibration, scores)
    np.testing.assert_array_equal(
        p_values(calibration, scores, weights=(np.ones(50), np.ones(30))), plain
    )
    np.testing.assert_allclose(
        p_values(calibration, scores, weights=(np.full(50, 0.3), np.full(30, 0.3))),
        plain,
        rtol=1e-13,
    )
    np.testing.assert_allclose(
        p_values(calibration, scores, weights=(weights * 1e-200, own * 1e-200)),
        p_values(calibration, scores, weights=(weights, own)),
        rtol=1e-13,
    )


def test_a_row_above_all_calibration_rows_has_p_of_exactly_one():
    rng = np.random.default_rng(1)
    weights, own = rng.exponential(size=1000), rng.exponential(size=5)
    got = p_values(rng.normal(size=1000), np.full(5, 10.0), weights=(weights, own))
    np.testing.assert_array_equal(got, np.ones(5))


def test_benjamini_hochberg_is_its_definition():
    rng = np.random.default_rng(2)
    n_listed = 0
    for trial in range(300):
        p = rng.random(rng.integers(1, 25)) ** rng.integers(1, 4)
        if trial % 2:
            p = np.ceil(p * 64) / 64
        for level in (Fraction(1, 8), Fraction(1, 2), Fraction(7, 8)):
            got = benjamini_hochberg(p, float(level))
            np.testing.assert_array_equal(got, naive_bh(p, level))
            n_listed += got.any()
    assert 100 < n_listed < 900


def test_benjamini_hochberg_lets_a_later_pass_carry_earlier_failures():
    p = np.array([0.09, 0.9, 0.08, 0.1])
    np.testing.assert_array_equal(benjamini_hochberg(p, 0.15), [True, False, True, True])
    np.testing.assert_array_equal(benjamini_hochberg(p, 0.13), np.zeros(4, bool))


def test_nothing_in_nothing_out():
    assert p_values(np.zeros(3), np.zeros(0)).shape == (0,)
    empty = benjamini_hochberg(np.zeros(0), 0.1)
    assert empty.shape == (0,) and empty.dtype == bool


def test_the_false_discovery_rate_is_what_theory_says():
    # It is exactly level m0 / m where level (n + 1) / m is whole (Marandon et al. 2024, arXiv
    # 2208.06685), where p-values meet the thresholds exactly and a lost tie would show.
    n, m, m0, level, n_trials = 199, 20, 15, 0.2, 4000
    rng = np.random.default_rng(3)
    false_share, n_found = np.empty(n_trials), 0
    for trial in range(n_trials):
        scores = rng.normal(size=m)
        scores[m0:] -= 3
        listed = benjamini_hochberg(p_values(rng.normal(size=n), scores), level)
        false_share[trial] = listed[:m0].sum() / max(1, listed.sum())
        n_found += listed[m0:].sum()
    error = false_share.std() / np.sqrt(n_trials)
    assert error < 0.004
    assert abs(false_share.mean() - level * m0 / m) < 5 * error
    assert n_found > 0.5 * n_trials * (m - m0)


@pytest.mark.parametrize("level", [0.01, 0.05, 0.1, 0.3, 0.7, 0.9])
def test_fewest_calibration_rows_is_sharp(level):
    def can_list(n: int, r: int, m: int) -> bool:
        scores = np.where(np.arange(m) < r, -1.0, 1.0)
        return bool(benjamini_hochberg(p_values(np.zeros(n), scores), level)[:r].all())

    for m in (1, 2, 3, 7, 10, 60):
        for r in {1, (m + 1) // 2, m}:
            n = fewest_calibration_rows(r, m, level)
            exact = -(-Fraction(m) // (Fraction(str(level)) * r)) - 1
            assert n == exact
            assert can_list(n, r, m)
            # Fewer than one calibration row is an error rather than a list of none.
            assert n == 1 or not can_list(n - 1, r, m)


ONES = np.ones(3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: p_values(np.zeros(0), ONES), "at least one calibration score; got none"),
        (lambda: p_values(np.array([1, np.nan]), ONES), "calibration without NaN; got 1 NaN of 2"),
        (lambda: p_values(ONES, np.array([np.nan])), "scores without NaN; got 1 NaN of 1"),
        (
            lambda: p_values(np.ones((3, 1)), ONES),
            r"calibration of one dimension; got shape \(3, 1",
        ),
        (lambda: p_values(ONES, np.float64(1)), r"scores of one dimension; got shape \(\)"),
        (
            lambda: p_values(ONES, np.ones(2), weights=(np.ones(2), np.ones(2))),
            r"calibration_weights of shape \(3,\); got shape \(2,\)",
        ),
        (
            lambda: p_values(ONES, np.ones(2), weights=(ONES, ONES)),
            r"row_weights of shape \(2,\); got shape \(3,\)",
        ),
        (
            lambda: p_values(ONES, ONES, weights=(np.array([1, -2.0, 1]), ONES)),
            "finite calibration_weights of at least 0; got -2.0.* not their logarithms",
        ),
        (lambda: p_values(ONES, ONES, weights=(ONES, ONES * INF)), "finite row_weights.*got inf"),
        (lambda: p_values(ONES, ONES, weights=(0 * ONES, 0 * ONES)), "positive.*got a sum of 0.0"),
        (lambda: benjamini_hochberg(ONES, 0.0), "level strictly between 0 and 1; got 0.0"),
        (lambda: benjamini_hochberg(ONES, 1.0), "level strictly between 0 and 1; got 1.0"),
        (lambda: benjamini_hochberg(ONES, np.nan), "level strictly between 0 and 1; got nan"),
        (lambda: benjamini_hochberg(-ONES, 0.1), "p-values between 0 and 1; got -1.0"),
        (lambda: benjamini_hochberg(2 * ONES, 0.1), "p-values between 0 and 1; got 2.0"),
        (lambda: benjamini_hochberg(ONES * np.nan, 0.1), "p_values without NaN"),
        (lambda: benjamini_hochberg(np.ones((2, 2)), 0.1), "p_values of one dimension"),
        (lambda: cross_p_values([ONES], np.ones((2, 2))), r"\(rows, 1\), a column per fit; got"),
        (lambda: mean_p_values([], np.ones((2, 0))), r"a column per fit; got shape \(2, 0\)"),
        (lambda: cross_p_values([ONES], ONES[:, None] * np.nan), "scores without NaN"),
        (lambda: fewest_calibration_rows(0, 5, 0.1), r"\(0, 5, 0.1\): expected 1 <= n_rejected"),
        (lambda: fewest_calibration_rows(6, 5, 0.1), "got n_rejected = 6, n_rows = 5"),
        (lambda: fewest_calibration_rows(1, 5, 2), "level strictly between 0 and 1; got 2"),
    ],
)
def test_errors_say_what_was_expected_and_got(call, words):
    with pytest.raises(InvalidInputError, match=words):
        call()


@pytest.mark.parametrize(("n_calibration", "n_below"), [(50, 1), (50, 3), (198, 1), (199, 1)])
def test_a_lack_of_calibration_rows_is_told_exactly_where_the_list_must_stay_empty(
    n_calibration, n_below
):
    calibration = np.arange(n_calibration, dtype=float)
    scores = np.concatenate([np.full(n_below, -1.0), np.full(20 - n_below, 1e6)])
    p = p_values(calibration, scores)
    listed = benjamini_hochberg(p, 0.1)
    told = lack_of_calibration(p, listed, n_calibration, 0.1)
    needed = fewest_calibration_rows(n_below, 20, 0.1)
    # The formula for the rows needed and the procedure itself must agree.
    assert bool(told) == (n_calibration < needed)
    if told:
        assert f"{n_below} of 20 rows" in told and f"fewer than {needed} calibration" in told
    assert lack_of_calibration(np.ones(20), np.zeros(20, bool), n_calibration, 0.1) == ""


def fold_scores(table, rows, n_folds):
    """Minus the distance to the mean of the other folds: calibration scores and those of rows."""
    folds = np.array_split(np.arange(len(table)), n_folds)
    means = [np.delete(table, fold).mean() for fold in folds]
    own = [-abs(table[fold] - mean) for fold, mean in zip(folds, means, strict=True)]
    return own, np.stack([-abs(rows - mean) for mean in means], axis=1)


@pytest.mark.parametrize("values", [[0.0, 1.0, 2.5, 4.0, 9.0, 11.0, 30.0], [0, 0, 1, 1, 1, 5, 6]])
@pytest.mark.parametrize("n_folds", [2, 3, 6])
def test_cross_conformal_p_values_keep_their_bound_over_all_orders(values, n_folds):
    orders = np.array(list(permutations(values)), dtype=float)
    n = len(values) - 1
    p = np.array([cross_p_values(*fold_scores(o[:-1], o[-1:], n_folds))[0] for o in orders])
    more = min(2 * (1 - 1 / n_folds) / (n / n_folds + 1), (1 - n_folds / n) / (n_folds + 1))
    for level in np.arange(1, n + 2) / (n + 1):
        assert np.mean(p <= level * (1 + 1e-12)) <= 2 * level + more + 1e-12


def test_folds_with_the_same_scores_are_one_calibration():
    rng = np.random.default_rng(4)
    calibration, scores = rng.normal(size=30).round(1), rng.normal(size=20).round(1)
    folds, columns = np.array_split(calibration, 3), np.tile(scores[:, None], 3)
    np.testing.assert_array_equal(cross_p_values(folds, columns), p_values(calibration, scores))
    means = np.mean([p_values(fold, scores) for fold in folds], axis=0)
    np.testing.assert_allclose(mean_p_values(folds, columns), np.minimum(1, 2 * means))


def test_the_mean_of_p_values_is_a_p_value_once_doubled_over_all_orders():
    orders = np.array(list(permutations([0.0, 1.0, 2.5, 4.0, 9.0, 30.0])))
    p = np.array([mean_p_values(*fold_scores(o[:-1], o[-1:], 5))[0] for o in orders])
    for level in np.arange(1, 100) / 100:
        assert np.mean(p <= level) <= level + 1e-12


def test_group_p_values_count_rows_of_the_group_alone_or_all():
    rng = np.random.default_rng(5)
    calibration, groups = rng.normal(size=60).round(1), rng.integers(4, size=60)
    groups[groups == 3] = rng.permutation(np.arange((groups == 3).sum()) % 2)
    groups[:5] = 3
    scores, own = rng.normal(size=50).round(1), rng.integers(-1, 4, size=50)
    found = group_p_values((calibration, groups), (scores, own), fewest=6)
    for score, group, p, n, fell_back in zip(scores, own, *found, strict=True):
        peers = calibration[groups == group]
        assert fell_back == (group in (-1, 3))
        peers = calibration if fell_back else peers
        assert n == len(peers) and p == (1 + (peers <= score).sum()) / (n + 1)


def test_group_p_values_are_uniform_within_each_group_over_all_orders():
    # A rare group of low scores: pooled p-values of it are too small.
    counts = Counter()
    for order in permutations([-3.0, -2.0, -1.0]):
        calibration = np.array([*order[:2], 5.0, 6.0, 7.0, 8.0, 9.0])
        groups = np.array([0, 0, 1, 1, 1, 1, 1])
        found = group_p_values((calibration, groups), (np.array(order[2:]), np.zeros(1)), fewest=2)
        counts[float(found.p_values[0])] += 1
        assert p_values(calibration, np.array(order[2:]))[0] <= 3 / 8
    assert counts == {k / 3: 2 for k in (1, 2, 3)}
