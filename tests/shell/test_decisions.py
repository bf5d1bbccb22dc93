"""Ways to calibrate a detector, as users combine them with p-values and lists."""

import warnings

import numpy as np
import pytest

import harmonium as hm
from harmonium.data import Table
from harmonium.errors import HarmoniumWarning, InvalidInputError
from harmonium.estimators import AnomalyDetector
from harmonium.inference import (
    CrossCalibration,
    DetectorSettings,
    GroupCalibration,
    ImposedCalibration,
    ShiftCalibration,
)
from harmonium.inference.calibrations import FEWEST_IN_GROUP
from harmonium.inference.conformal import p_values

COLUMNS = ("a", "b", "site")


def make_table(n, seed, share=0.2, holes=0.0):
    """Two numbers that are further apart at the rarer of two sites; cells of `b` are missing."""
    rng = np.random.default_rng(seed)
    site = (rng.random(n) < share).astype(float)
    rows = np.column_stack([rng.normal(size=(n, 2)) * (1 + 2 * site[:, None]), site])
    rows[rng.random(n) < holes, 1] = np.nan
    return Table(rows, COLUMNS)


@pytest.fixture(scope="module")
def detector():
    fitted = AnomalyDetector(calibration_fraction=0.4).fit(make_table(800, 0, holes=0.2))
    return fitted


@pytest.fixture(scope="module")
def rows():
    table = make_table(400, 1, holes=0.2)
    table.values[:60, :2] = 40 + np.random.default_rng(2).normal(size=(60, 2))
    return table


def count_odd(listed):
    return listed[:60].sum(), listed[60:].sum()


def test_groups_are_calibrated_by_their_own_rows(detector, rows):
    calibration, fitted = detector.by_group("site"), detector.detector_
    p = detector.p_values(rows, calibration)
    for site in (0, 1):
        own = fitted.calibration[fitted.calibration_rows[:, 2] == site]
        assert FEWEST_IN_GROUP < len(own) < len(fitted.calibration)
        at = rows.values[:, 2] == site
        np.testing.assert_array_equal(p[at], p_values(own, detector.score_samples(rows)[at]))
    # Pooled p-values are too small at the rarer site, which is not what these are.
    fresh = make_table(2000, 3, share=1.0)
    assert np.mean(detector.p_values(fresh) <= 0.1) > 0.2
    assert np.mean(detector.p_values(fresh, calibration) <= 0.1) < 0.1 + 5 * 0.03
    assert count_odd(detector.select(rows, 0.2, calibration))[0] == 60


def test_a_group_without_calibration_rows_falls_back_and_says_so(detector, rows):
    few = GroupCalibration(detector.detector_, (2,), of_holes=False, fewest=100)
    with pytest.warns(HarmoniumWarning, match="of a group with too few calibration rows"):
        detector.select(rows, 0.2, few)
    at = rows.values[:, 2] == 1
    np.testing.assert_array_equal(detector.p_values(rows, few)[at], detector.p_values(rows)[at])


def test_holes_are_imposed_on_calibration_rows(detector, rows):
    calibration, fitted = detector.by_imposed_pattern(), detector.detector_
    p, scores = detector.p_values(rows, calibration), detector.score_samples(rows)
    has_hole = np.isnan(rows.values[:, 1])
    assert 0.1 < has_hole.mean() < 0.3
    imposed = fitted.calibration_rows.copy()
    imposed[:, 1] = np.nan
    np.testing.assert_array_equal(p[has_hole], p_values(fitted.scores(imposed), scores[has_hole]))
    complete = fitted.calibration[~np.isnan(fitted.calibration_rows[:, 1])]
    np.testing.assert_array_equal(p[~has_hole], p_values(complete, scores[~has_hole]))
    # Batches are measured as the whole is.
    both = [calibration.measure(part) for part in np.array_split(rows.values[~has_hole], 2)]
    np.testing.assert_array_equal(np.concatenate(both)[:, 0], p[~has_hole])


def test_patterns_of_their_own_need_rows_that_share_them(detector, rows):
    has_hole, fitted = np.isnan(rows.values[:, 1]), detector.detector_
    p, scores = detector.p_values(rows, detector.by_pattern()), detector.score_samples(rows)
    own = fitted.calibration[np.isnan(fitted.calibration_rows[:, 1])]
    np.testing.assert_array_equal(p[has_hole], p_values(own, scores[has_hole]))
    odd = rows.values.copy()
    odd[:, 0] = np.nan
    found = ImposedCalibration(fitted, fewest=10_000)
    selection = found.select(found.measure(odd), 0.2)
    assert (
        "400 of 400 rows are of a pattern" in selection.concern and "at random" in selection.promise
    )


def test_weights_follow_the_mix_of_new_rows(detector):
    new = make_table(400, 4, share=0.8)
    calibration = detector.under_shift(new, ["site"])
    weights = calibration.ratio.weights(make_table(50, 5).values)
    site = make_table(50, 5).values[:, 2]
    # 0.2 / 0.8 and 0.8 / 0.2.
    assert np.all(abs(np.log(weights[site == 0] * 4)) < 0.4)
    assert np.all(abs(np.log(weights[site == 1] / 4)) < 0.4)
    fresh = make_table(2000, 6, share=0.8)
    n_effective = calibration.effective
    assert 20 < n_effective < 250
    assert np.mean(detector.p_values(fresh) <= 0.1) > 0.2
    assert np.mean(detector.p_values(fresh, calibration) <= 0.1) < 0.1 + 5 * (0.09 / 100) ** 0.5
    same = detector.under_shift(make_table(400, 7), ["site"])
    assert same.effective > 0.95 * len(detector.detector_.calibration) and not same.concern


def test_lists_under_a_shift_depend_on_nothing_but_the_rows(detector, rows):
    calibration = detector.under_shift(make_table(400, 4, share=0.5), ["site"])
    measures = calibration.measure(rows.values)
    order = np.random.default_rng(0).permutation(400)
    found = []
    for number in range(20):
        # Another table, hardly: another number as good as random.
        moved = measures + np.array([1e-9 * number, 0.0])
        listed = calibration.select(moved, 0.2).listed
        np.testing.assert_array_equal(calibration.select(moved[order], 0.2).listed, listed[order])
        found.append(count_odd(listed))
    odd, normal = np.mean(found, axis=0)
    # All or nothing, and nothing seldom: the price of the number is the length of the list.
    assert {own[0] for own in found} <= {0, 60} and odd > 40
    assert normal < 0.2 * (odd + normal)


def test_clipping_is_told(detector):
    calibration = detector.under_shift(make_table(200, 8, share=1.0), ["a", "site"])
    clipped = type(calibration.ratio)(
        calibration.ratio.scale,
        calibration.ratio.index,
        calibration.ratio.old,
        calibration.ratio.new,
        most=1.5,
    )
    found = ShiftCalibration.of_ratio(detector.detector_, clipped)
    assert found.clipped > 0.01 and "Clipping ratios at 1.5 may add" in found.concern
    assert found.calibration_weights.max() == 1.5


@pytest.fixture(scope="module")
def training():
    return make_table(160, 10)


def test_every_row_calibrates_once(detector, training, rows):
    calibration = detector.cross_calibrate(training, n_folds=3)
    own = np.concatenate([fit.calibration_rows for fit in calibration.fits])
    order = np.lexsort(own.T), np.lexsort(training.values.T)
    np.testing.assert_array_equal(own[order[0]], training.values[order[1]])
    p = detector.p_values(rows, calibration)
    assert p.min() == pytest.approx(1 / 161)
    # Which a single split of so small a table cannot list.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        single = AnomalyDetector().fit(training).select(rows, 0.05)
    odd, normal = count_odd(detector.select(rows, 0.05, calibration))
    assert not single.any() and odd == 60 and normal < 20


def test_lists_by_e_values_of_halves(detector, training, rows):
    calibration = detector.resplit(training, n_splits=3)
    assert [len(fit.calibration) for fit in calibration.fits] == [80] * 3
    odd, normal = count_odd(detector.select(rows, 0.3, calibration))
    assert odd == 60 and normal < 40
    with pytest.warns(HarmoniumWarning, match="below all 80 calibration rows.*fewer than"):
        assert not detector.select(rows, 0.01, calibration).any()


def test_certificates_of_a_table(detector, rows):
    found = detector.certify(rows, 0.9)
    np.testing.assert_array_equal(found.p_values, detector.p_values(rows))
    lowest = np.arange(400) < 60
    assert found.most_false_in(lowest) < 60
    rates = detector.certify_thresholds(0.9)
    fresh = detector.score_samples(make_table(4000, 11, holes=0.2))
    threshold = rates.threshold(0.1)
    assert np.mean(fresh <= threshold) < 0.1 and rates.false_positive_rate(threshold) <= 0.1


def test_what_calibrations_need_is_saved(detector, rows, tmp_path):
    detector.save(tmp_path / "detector.safetensors")
    loaded = hm.load(tmp_path / "detector.safetensors")
    for make in ("by_pattern", "by_imposed_pattern"):
        np.testing.assert_array_equal(
            loaded.p_values(rows, getattr(loaded, make)()),
            detector.p_values(rows, getattr(detector, make)()),
        )


def test_calibration_rows_that_repeat_training_rows_are_told():
    table = make_table(200, 12)
    fitted = AnomalyDetector().fit(table)
    assert "repeat" not in fitted.verdict_
    with pytest.warns(HarmoniumWarning, match="calibration rows repeat training rows"):
        fitted.calibrate(table)
    with warnings.catch_warnings():
        warnings.simplefilter("error", HarmoniumWarning)
        fitted.calibrate(make_table(200, 13))
    assert "repeat" not in fitted.verdict_


def test_repeats_that_tables_of_few_values_have_anyway_are_not_told():
    rng = np.random.default_rng(14)
    with warnings.catch_warnings():
        warnings.simplefilter("error", HarmoniumWarning)
        fitted = AnomalyDetector().fit(rng.integers(4, size=(300, 2)).astype(float))
        fitted.calibrate(rng.integers(4, size=(300, 2)).astype(float))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda d: d.by_group("c"), "column 'c': expected a column .* 'a', 'b', 'site'"),
        (lambda d: d.under_shift(make_table(50, 0), ["c"]), "column 'c': expected a column"),
        (lambda d: d.under_shift(make_table(50, 0), []), "expected one column or more; got none"),
        (lambda d: d.under_shift(make_table(3, 0)), "at least 8 new normal rows; got 3"),
        (lambda d: d.cross_calibrate(make_table(50, 0), 1), "n_folds=1: expected .* from 2 to 50"),
        (lambda d: d.cross_calibrate(make_table(4, 0), 2), "4 rows or more to train on.*got 4"),
        (lambda d: d.resplit(make_table(50, 0), 0), "n_splits=0: expected a whole number from 1"),
        (lambda d: d.certify(make_table(5, 0), 2), "confidence above 0.*got 2"),
    ],
)
def test_errors_say_what_was_expected_and_got(call, words, detector):
    with pytest.raises(InvalidInputError, match=words):
        call(detector)


def test_folds_and_seeds_give_the_same_fits(training, rows):
    one, other = (CrossCalibration.fit(training, DetectorSettings(seed=3), 2) for _ in range(2))
    np.testing.assert_array_equal(one.measure(rows.values), other.measure(rows.values))
