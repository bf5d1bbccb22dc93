"""What may be trusted of a density: comparisons with simpler ones, and draws beside training
rows."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from harmonium.data import Whitening, as_table
from harmonium.errors import HarmoniumWarning
from harmonium.estimators import DensityEstimator
from harmonium.inference import Comparison, Difference, DrawComparison, Verdict
from harmonium.inference.density import gaussian
from harmonium.inference.draw_comparison import (
    _compare_marginals,
    _correlations,
    _unseen_share,
    compare_draws,
)
from harmonium.inference.verdict import with_error

NAMES = ("a", "b", "c")


def verdict(*, gains=((0.5, 0.1),), value=0.02, ess=1024.0, log_partition=True):
    comparisons = tuple(Comparison("gaussian", *own) for own in gains)
    draws = DrawComparison(1024, ess, Difference(value, 0.1, ("a",)), None, None)
    return Verdict(log_partition, 180, 20, comparisons, draws)


@pytest.mark.parametrize(
    ("gain", "error", "is_gain", "is_loss"),
    [
        (0.5, 0.2, True, False),
        (0.3, 0.2, False, False),
        (-0.5, 0.2, False, True),
        (-1.0, math.nan, False, False),
    ],
)
def test_a_difference_counts_beyond_two_standard_errors(gain, error, is_gain, is_loss):
    found = Comparison("base", gain, error)
    assert (found.is_gain, found.is_loss) == (is_gain, is_loss)


def test_facts_decide_and_words_follow():
    good = verdict()
    assert good.baselines and good.draws and good.trusted
    worse = verdict(gains=((0.5, 0.1), (-0.5, 0.1)))
    assert not worse.baselines and not worse.trusted
    assert "do NOT rely" in worse.describe() and "do NOT rely" not in good.describe()
    odd = verdict(value=0.2)
    assert odd.draws is False and odd.trusted
    assert "do NOT look like" in odd.describe()
    unknown = verdict(ess=3.0)
    assert unknown.draws is None and "could not be compared" in unknown.describe()
    assert not verdict(log_partition=False).trusted


def test_combinations_that_never_occur_by_enumeration():
    """Of 3 x 2 combinations four are seen in 60 rows: two unseen ones may have 3/60 each."""
    rows = np.array([[0, 0, 1, 2], [0, 1, 0, 1]]).repeat(15, axis=1)
    rows = np.concatenate([rows, [[-1], [0]]], axis=1)
    drawn = np.array([[0, 1, 2, 2], [0, 1, 0, 1]])
    share, allowed = _unseen_share(rows, drawn, (3, 2), 100.0)
    assert share == 0.5
    assert allowed == pytest.approx(0.1 + 3 * (0.1 * 0.9 / 100) ** 0.5)
    whole = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])
    assert _unseen_share(whole, whole, (2, 2), 100.0) == (0.0, 0.0)


def test_correlations_are_those_of_the_known_cells():
    points = np.random.default_rng(0).normal(size=(50, 3)) @ np.array(
        [[1, 0.5, 0], [0, 1, 0.2], [0, 0, 1]]
    )
    found, counts = _correlations(points)
    np.testing.assert_allclose(found, np.corrcoef(points.T), atol=1e-12)
    points[:5, 0] = np.nan
    found, counts = _correlations(points)
    np.testing.assert_allclose(found[0, 0], 1.0)
    assert counts[0, 1] == 45 and counts[1, 2] == 50


def test_columns_of_another_law_are_found_and_those_of_the_same_are_not():
    rng = np.random.default_rng(1)
    rows, drawn = rng.normal(size=(2, 1000, 3))
    assert _compare_marginals(rows, drawn, 1000.0, NAMES).is_allowed
    moved = drawn + np.array([0.0, 0.5, 0.0])
    found = _compare_marginals(rows, moved, 1000.0, NAMES)
    assert not found.is_allowed and found.columns == ("b",)
    # Phi(0.25) - Phi(-0.25), give or take five standard errors.
    assert found.value == pytest.approx(0.197, abs=5 * (0.5 / 1000**0.5))


@pytest.fixture(scope="module")
def related():
    """Rows with two correlated numbers and two categories of which some combinations never
    occur."""
    rng = np.random.default_rng(2)
    first = rng.normal(size=600)
    codes = rng.integers(0, 3, 600)
    return pd.DataFrame(
        {
            "first": first,
            "second": 0.9 * first + 0.3 * rng.normal(size=600),
            "color": np.array(["red", "green", "blue"])[codes],
            "warm": np.where(codes == 0, "yes", "no"),
        }
    )


@pytest.fixture(scope="module")
def estimator(related):
    return DensityEstimator(effort="quick").fit(related)


def test_a_fit_is_judged(related):
    estimator = DensityEstimator(effort="quick", base="gaussian").fit(related.iloc[:, :2])
    judgment = estimator.density_.judgment
    assert judgment.log_partition and judgment.baselines and judgment.draws
    against = {own.against: own for own in judgment.comparisons}
    assert against["independent columns"].is_gain
    assert judgment.describe() in estimator.verdict_
    assert estimator.density_.trusted


def test_dependence_that_is_lost_is_found(estimator, related):

    density = gaussian(estimator.density_)
    values = as_table(related, call="test", fields=density.columns.fields).values
    rng = np.random.default_rng(0)
    points = density.coordinates.draw_points(values, rng)
    apart = replace(density.coordinates, whitening=Whitening.fit(points, "diagonal"))
    found = compare_draws(replace(density, coordinates=apart), values, rng, seed=0)
    assert found.marginals.is_allowed
    assert not found.correlations.is_allowed
    assert set(found.correlations.columns) == {"first", "second"}
    assert not found.combinations.is_allowed
    assert set(found.combinations.columns) == {"color", "warm"}


def test_small_tables_are_told_to_be_small(related):
    estimator = DensityEstimator(effort="quick", base="gaussian")
    with pytest.warns(HarmoniumWarning, match="100 rows are few: 10 held-out rows"):
        estimator.fit(related.head(100))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator.fit(related)


def test_one_row_has_no_error():
    assert with_error(1.5, 0.25, "+.2f") == "+1.50 ± 0.25"
    assert with_error(-1.5, math.nan, ".3f") == "-1.500"
