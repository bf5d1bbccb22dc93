"""Certificates against the exact law of ranks."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from harmonium.errors import InvalidInputError
from harmonium.inference.certificates import N_DRAWS, ListCertificate, ThresholdCertificate
from harmonium.inference.conformal import p_values


def slack(confidence):
    """Five standard errors of a level that N_DRAWS draws calibrate."""
    return 5 * (confidence * (1 - confidence) / N_DRAWS) ** 0.5


@pytest.mark.parametrize(("n", "m"), [(3, 5), (6, 4), (8, 2)])
@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95])
def test_bounds_hold_for_every_subset_in_all_orders_but_a_few(n, m, confidence):
    subsets = [np.array([bool(i >> j & 1) for j in range(m)]) for i in range(2**m)]
    orders = list(combinations(range(n + m), n))
    # What is certified depends on the numbers of rows alone.
    certificate = ListCertificate.of_scores(np.zeros(n), np.zeros(m), confidence)
    failures = 0
    for places in orders:
        calibration = np.array(places, dtype=float)
        scores = np.setdiff1d(np.arange(n + m), calibration).astype(float)
        found = replace(certificate, p_values=p_values(calibration, scores))
        failures += any(found.most_false_in(listed) < listed.sum() for listed in subsets)
        # Lists of the lowest rows are subsets, too.
        lowest = [found.most_false_in(np.arange(m) < k) for k in range(1, m + 1)]
        np.testing.assert_array_equal(found.of_lowest(), lowest)
    assert failures / len(orders) <= 1 - confidence + slack(confidence)


@pytest.mark.parametrize(("n", "m"), [(100, 300), (400, 100)])
def test_bounds_hold_as_often_as_is_stated_and_hardly_more_often(n, m):
    rng, confidence, n_trials = np.random.default_rng(n), 0.8, 2000
    certificate, held = ListCertificate.of_scores(np.zeros(n), np.zeros(m), confidence), []
    for _ in range(n_trials):
        own = replace(certificate, p_values=p_values(rng.random(n), rng.random(m)))
        held.append((own.of_lowest() == np.arange(1, m + 1)).all())
    error = 5 * (0.16 / n_trials) ** 0.5 + slack(confidence)
    # Counts are whole numbers, and so bounds cannot be met exactly.
    assert confidence - error <= np.mean(held) <= confidence + error + 0.03


def test_bounds_are_of_use_where_rows_are_far_out():
    rng = np.random.default_rng(0)
    scores = np.append(rng.normal(size=150), np.full(50, -9.0))
    found = ListCertificate.of_scores(rng.normal(size=1000), scores, 0.9)
    far = scores == -9
    assert found.most_false_in(far) <= 5 and found.false_share(far) <= 0.1
    listed = found.largest_list(0.25)
    assert listed[far].all() and found.false_share(listed) <= 0.25
    # One row more would be too many.
    assert (found.of_lowest()[listed.sum() :] > 0.25 * np.arange(listed.sum() + 1, 201)).all()
    assert found.false_share(np.ones(200, bool)) > 0.5
    assert found.most_false_in(np.zeros(200, bool)) == 0


def test_more_confidence_is_more_cautious():
    rng = np.random.default_rng(1)
    calibration, scores = rng.normal(size=300), rng.normal(size=200) - 1
    bounds = [ListCertificate.of_scores(calibration, scores, c).of_lowest() for c in (0.6, 0.99)]
    assert (bounds[0] <= bounds[1]).all() and (bounds[0] < bounds[1]).any()
    rates = [ThresholdCertificate.of_scores(calibration, c).most_often for c in (0.6, 0.99)]
    assert (rates[0] <= rates[1]).all() and (rates[0] < rates[1]).any()


@pytest.mark.parametrize(("n", "confidence"), [(1, 0.9), (7, 0.5), (40, 0.8), (600, 0.95)])
def test_bounds_hold_for_all_thresholds(n, confidence):
    rng, n_trials = np.random.default_rng(n), 4000
    found = ThresholdCertificate.of_scores(rng.random(n), confidence)
    # Uniform scores are their own chances; a threshold may lie just below the next score.
    places = np.sort(rng.random((n_trials, n)), axis=1)
    held = (places <= found.most_often[:-1]).all(axis=1).mean()
    error = 5 * (confidence * (1 - confidence) / n_trials) ** 0.5 + slack(confidence)
    assert held >= confidence - error
    # Few ranks are bounded at once, so that the bounds are hardly too wide.
    assert held <= confidence + error + 0.03


def test_a_single_calibration_row_is_bounded_by_its_own_law():
    found = ThresholdCertificate.of_scores(np.zeros(1), 0.9)
    # P(U <= 0.9) = 0.9.
    assert found.most_often[0] == pytest.approx(0.9, abs=slack(0.9))
    assert found.most_often[1] == 1


def test_thresholds_of_scores_with_ties():
    rng, held = np.random.default_rng(3), []
    certificate = ThresholdCertificate.of_scores(np.zeros(50), 0.8)
    chances = np.cumsum([0.1, 0.2, 0.3, 0.4])
    for _ in range(2000):
        scores = np.sort(rng.choice(4, p=(0.1, 0.2, 0.3, 0.4), size=50)).astype(float)
        found = replace(certificate, calibration=scores)
        held.append((found.false_positive_rate(np.arange(4.0)) >= chances - 1e-12).all())
    assert np.mean(held) > 0.8 - 5 * (0.16 / 2000) ** 0.5


def test_a_threshold_for_a_rate_keeps_it():
    found = ThresholdCertificate.of_scores(np.random.default_rng(4).normal(size=1000), 0.9)
    threshold = found.threshold(0.05)
    assert found.false_positive_rate(threshold) <= 0.05
    above = found.calibration[found.calibration > threshold][0]
    assert found.false_positive_rate(above) > 0.05
    assert found.threshold(1e-9) == -np.inf


def test_no_rows():
    found = ListCertificate.of_scores(np.ones(3), np.zeros(0))
    assert found.of_lowest().shape == (0,) and found.largest_list(0.1).shape == (0,)


CERTIFICATE = ListCertificate.of_scores(np.arange(9.0), np.arange(4.0))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ListCertificate.of_scores(np.ones(3), np.ones(2), 1.0), "confidence.*got 1.0"),
        (lambda: ThresholdCertificate.of_scores(np.ones(3), 0.0), "confidence.*got 0.0"),
        (lambda: ThresholdCertificate.of_scores(np.array([np.nan])), "without NaN"),
        (lambda: ThresholdCertificate.of_scores(np.zeros(0)), "at least one"),
        (lambda: ListCertificate.of_scores(np.zeros(0), np.ones(2)), "at least one"),
        (lambda: CERTIFICATE.most_false_in(np.ones(4)), "one truth value per row, 4 in all"),
        (
            lambda: CERTIFICATE.most_false_in(np.ones(3, bool)),
            r"4 in all; got bool of shape \(3,\)",
        ),
    ],
)
def test_errors_say_what_was_expected_and_got(call, words):
    with pytest.raises(InvalidInputError, match=words):
        call()
