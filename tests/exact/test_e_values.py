"""e-values and lists on them against their definitions and exact distributions."""

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from harmonium.errors import InvalidInputError
from harmonium.inference.conformal import benjamini_hochberg, p_values
from harmonium.inference.e_values import (
    e_benjamini_hochberg,
    randomized_e_benjamini_hochberg,
    split_e_values,
    weighted_e_values,
)

ONES = np.ones(3)


@pytest.mark.parametrize("level", [0.05, 0.3, 0.8])
def test_lists_on_e_values_are_those_of_benjamini_hochberg_on_their_inverses(level):
    rng = np.random.default_rng(0)
    lengths = []
    for _ in range(100):
        p = np.ceil(rng.random(12) ** 2 * 40) / 40
        listed = e_benjamini_hochberg(1 / p, level)
        np.testing.assert_array_equal(listed, benjamini_hochberg(p, level))
        np.testing.assert_array_equal(listed, false_discovery_control(p) <= level * (1 + 1e-12))
        lengths.append(listed.sum())
    assert np.ptp(lengths) > 3


def test_a_list_is_the_longest_whose_e_values_are_large_enough():
    e = np.array([40.0, 9.0, 0.0, 11.0, 7.0])
    # m / (level k) at 0.25 is 20, 10, 6.67, 5: four are at least 5.
    np.testing.assert_array_equal(e_benjamini_hochberg(e, 0.25), [True, True, False, True, True])
    np.testing.assert_array_equal(e_benjamini_hochberg(e, 0.12), np.zeros(5, bool))


SCORES = ([0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 2, 3], [0, 0, 0, 1, 1, 1], [7, 7, 7, 7, 7, 7])


@pytest.mark.parametrize("scores", SCORES)
@pytest.mark.parametrize(("n", "m"), [(1, 5), (2, 4), (3, 3), (4, 2), (5, 1)])
def test_e_values_of_exchangeable_rows_add_up_to_their_number_at_most_over_all_orders(scores, n, m):
    orders = [np.array(order, dtype=float) for order in permutations(scores)]
    for level in (0.2, 0.4, 0.6, 0.9, 0.99):
        sums = [split_e_values(order[:n], order[n:], level).sum() for order in orders]
        assert np.mean(sums) <= m + 1e-9


def test_e_values_of_normal_rows_add_up_to_nearly_the_number_of_rows():
    # The bound above is not merely kept by e-values that are always small.
    rng, sums, n, m, m0 = np.random.default_rng(1), [], 200, 100, 70
    for _ in range(2000):
        scores = rng.normal(size=m)
        scores[m0:] -= 8
        sums.append(split_e_values(rng.normal(size=n), scores, 0.2)[:m0].sum() / m)
    error = np.std(sums) / len(sums) ** 0.5
    assert 0.8 < np.mean(sums) < 1 + 5 * error


def test_one_split_lists_what_few_normal_rows_allow():
    rng, shares, longer = np.random.default_rng(2), [], 0
    for _ in range(300):
        calibration, scores = rng.normal(size=200), rng.normal(size=100)
        scores[50:] -= 3
        listed = e_benjamini_hochberg(split_e_values(calibration, scores, 0.2), 0.2)
        plain = benjamini_hochberg(p_values(calibration, scores), 0.2)
        longer += listed.sum() - plain.sum()
        shares.append(listed[:50].sum() / max(1, listed.sum()))
    assert longer > 0
    assert np.mean(shares) < 0.2 + 5 * np.std(shares) / 300**0.5


@pytest.mark.parametrize("level", [0.2, 0.5, 0.9])
def test_weighted_e_values_of_a_normal_row_have_a_mean_of_one_at_most(level):
    # Given the bag of n + 1 rows, row j is the new one with probability w_j / sum(w).
    rng, means = np.random.default_rng(3), []
    for _ in range(200):
        n, m = rng.integers(1, 7), rng.integers(1, 6)
        scores, w = rng.integers(6, size=n + 1).astype(float), rng.exponential(size=n + 1)
        others, other_weights = rng.integers(-3, 6, size=m).astype(float), rng.exponential(size=m)
        mean = 0.0
        for j in range(n + 1):
            kept = np.arange(n + 1) != j
            weights = w[kept], np.append(w[j], other_weights)
            e = weighted_e_values(
                scores[kept], np.append(scores[j], others), level, weights=weights
            )
            mean += e[0] * w[j] / w.sum()
        means.append(mean)
    assert max(means) <= 1 + 1e-9 and max(means) > 0.5


def naive_weighted(calibration, scores, level, w, v):
    """Row by row, as they are defined."""
    m, p, found = len(scores), p_values(calibration, scores, weights=(w, v)), np.zeros(len(scores))
    for j in range(m):
        ranked = sorted(
            0.0
            if i == j
            else (sum(w[calibration <= scores[i]]) + v[j] * (scores[j] <= scores[i]))
            / (sum(w) + v[j])
            for i in range(m)
        )
        length = max(k for k in range(1, m + 1) if ranked[k - 1] <= level * k / m * (1 + 1e-12))
        found[j] = (p[j] <= level * length / m * (1 + 1e-12)) * m / (level * length)
    return found


def test_weighted_e_values_are_their_definition():
    rng, n_positive = np.random.default_rng(4), 0
    for _ in range(100):
        n, m = rng.integers(1, 40), rng.integers(1, 15)
        calibration, scores = rng.normal(size=n).round(1), rng.normal(size=m).round(1) - 1
        weights = rng.exponential(size=n), rng.exponential(size=m)
        for level in (0.1, 0.5):
            got = weighted_e_values(calibration, scores, level, weights=weights)
            expected = naive_weighted(calibration, scores, level, *weights)
            np.testing.assert_allclose(got, expected, rtol=1e-12)
            n_positive += (got > 0).sum()
    assert n_positive > 50


def test_a_common_divisor_keeps_the_false_discovery_rate_for_any_e_values():
    rng, places = np.random.default_rng(5), (np.arange(4000) + 0.5) / 4000
    for _ in range(5):
        e, level = rng.exponential(size=6) * 4, 0.5
        shares = np.zeros(6)
        for uniform in places:
            listed = randomized_e_benjamini_hochberg(e, level, uniform)
            assert not (e_benjamini_hochberg(e, level) & ~listed).any()
            shares += listed / max(1, listed.sum()) / len(places)
        # Each row's part of the false-discovery rate, were it normal.
        assert (shares <= level * e / 6 + 1 / len(places)).all() and shares.sum() > 0.3


def test_nothing_in_nothing_out():
    none = np.zeros(0)
    assert e_benjamini_hochberg(none, 0.1).shape == (0,)
    assert split_e_values(ONES, none, 0.1).shape == (0,)
    assert weighted_e_values(ONES, none, 0.1, weights=(ONES, none)).shape == (0,)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: e_benjamini_hochberg(-ONES, 0.1), "at least 0; got -1.0"),
        (lambda: e_benjamini_hochberg(ONES * np.nan, 0.1), "e_values without NaN"),
        (lambda: e_benjamini_hochberg(ONES, 1.0), "strictly between 0 and 1; got 1.0"),
        (lambda: randomized_e_benjamini_hochberg(ONES, 0.1, 0.0), "above 0 and at most 1; got 0.0"),
        (lambda: split_e_values(ONES, ONES, 0), "strictly between 0 and 1; got 0"),
        (lambda: weighted_e_values(ONES, ONES, 0.1, weights=(ONES, -ONES)), "row_weights"),
    ],
)
def test_errors_say_what_was_expected_and_got(call, words):
    with pytest.raises(InvalidInputError, match=words):
        call()


def test_ties_of_e_values_with_the_bound_are_listed():
    # 5 / (level k) meets e exactly in rational arithmetic.
    assert Fraction(5, 3) / Fraction(1, 3) == 5
    assert e_benjamini_hochberg(np.array([5.0, 5.0, 5.0, 0.0, 0.0]), 1 / 3).sum() == 3
