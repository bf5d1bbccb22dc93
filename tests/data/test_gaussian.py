"""The Gaussian of a table with missing cells. Kind of truth: closed forms, a likelihood written out
here, 5 sigma.

Every seed is NumPy's, as written in the test. Where the fixed point is meant,
expectation-maximization runs on to it.
"""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from harmonium.data import gaussian
from harmonium.data.gaussian import Moments, draw_missing, fit_moments

MEAN = np.array([0.5, -1.0, 2.0])
COVARIANCE = np.array([[1.0, 0.6, -0.3], [0.6, 2.0, 0.4], [-0.3, 0.4, 0.5]])


def draws(n, seed):
    """Rows of an asymmetric Gaussian of three columns."""
    return np.random.default_rng(seed).multivariate_normal(MEAN, COVARIANCE, size=n)


def with_holes(rows, share, seed):
    """Rows of which cells are missing at random, one of them at least observed in every row but the
    first."""
    rng = np.random.default_rng(seed)
    missing = rng.uniform(size=rows.shape) < share
    missing[np.arange(len(rows)), rng.integers(0, rows.shape[1], len(rows))] = False
    missing[0] = True
    return np.where(missing, np.nan, rows)


def log_likelihood(values, mean, covariance):
    """The log-density of the observed cells, row by row, added up."""
    total = 0.0
    for row in values:
        seen = ~np.isnan(row)
        if seen.any():
            total += multivariate_normal.logpdf(
                row[seen], mean[seen], covariance[np.ix_(seen, seen)]
            )
    return total


@pytest.fixture
def to_the_end(monkeypatch):
    """Expectation-maximization until nothing changes, with next to no ridge."""
    monkeypatch.setattr(gaussian, "MAX_PASSES", 2000)
    monkeypatch.setattr(gaussian, "TOLERANCE", 1e-13)
    monkeypatch.setattr(gaussian, "RIDGE", 1e-12)


def test_without_missing_cells_these_are_the_plain_moments():
    rows = draws(200, seed=0)
    moments = fit_moments(rows)
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.covariance, np.cov(rows.T, bias=True), rtol=1e-12)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_second_of_two_columns_missing_has_a_closed_form(to_the_end, seed):
    """Regression of the second on the first where both are seen; the first from all rows (Anderson
    1957)."""
    rows = draws(60, seed)[:, :2]
    rows[35:, 1] = np.nan
    x, seen = rows[:, 0], rows[:35]
    slope, intercept = np.polyfit(seen[:, 0], seen[:, 1], 1)
    residual = np.mean((seen[:, 1] - intercept - slope * seen[:, 0]) ** 2)
    variance = x.var()
    moments = fit_moments(rows)
    np.testing.assert_allclose(moments.mean, [x.mean(), intercept + slope * x.mean()], rtol=1e-7)
    expected = [
        [variance, slope * variance],
        [slope * variance, residual + slope**2 * variance],
    ]
    np.testing.assert_allclose(moments.covariance, expected, rtol=1e-7)


def test_the_fit_is_a_stationary_point_of_the_observed_likelihood(to_the_end):
    values = with_holes(draws(40, seed=3), 0.4, seed=4)
    mean, covariance = fit_moments(values)
    step = 1e-4
    start = log_likelihood(values, mean, covariance)
    for i in range(3):
        change = step * np.eye(3)[i]
        ends = [log_likelihood(values, mean + sign * change, covariance) for sign in (1, -1)]
        assert abs(ends[0] - ends[1]) / (2 * step) < 1e-4
        assert max(ends) < start
        for j in range(i, 3):
            change = np.zeros((3, 3))
            change[i, j] = change[j, i] = step
            ends = [log_likelihood(values, mean, covariance + sign * change) for sign in (1, -1)]
            assert abs(ends[0] - ends[1]) / (2 * step) < 1e-4
            assert max(ends) < start


def test_as_it_stops_the_fit_is_close_to_the_maximum():
    """Nats per row below what running on gives: nothing that one could see in a table of this
    size."""
    values = with_holes(draws(500, seed=5), 0.3, seed=6)
    stopped = log_likelihood(values, *fit_moments(values)) / 500
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gaussian, "MAX_PASSES", 2000)
        patch.setattr(gaussian, "TOLERANCE", 1e-13)
        best = log_likelihood(values, *fit_moments(values)) / 500
    assert best - 2e-4 < stopped <= best + 1e-9


def test_cells_missing_at_random_bias_the_mean_but_not_the_fit():
    """The second column is seen where the first is low. Statistical: seed 7, 5 standard errors."""
    n, rng = 20_000, np.random.default_rng(7)
    rows = draws(n, seed=8)[:, :2]
    seen = rng.uniform(size=n) < 1 / (1 + np.exp(3 * (rows[:, 0] - MEAN[0])))
    values = rows.copy()
    values[~seen, 1] = np.nan
    # The closed form above has, for large n, the error of a regression: its intercept at the mean
    # of the first column.
    residual = COVARIANCE[1, 1] - COVARIANCE[0, 1] ** 2 / COVARIANCE[0, 0]
    x = rows[seen, 0]
    leverage = 1 / seen.sum() + (MEAN[0] - x.mean()) ** 2 / np.sum((x - x.mean()) ** 2)
    slope = COVARIANCE[0, 1] / COVARIANCE[0, 0]
    error = np.sqrt(residual * leverage + slope**2 * COVARIANCE[0, 0] / n)
    assert abs(np.nanmean(values[:, 1]) - MEAN[1]) > 20 * error
    found = fit_moments(values)
    assert abs(found.mean[1] - MEAN[1]) < 5 * error
    slope_error = np.sqrt(residual / np.sum((x - x.mean()) ** 2))
    found_slope = found.covariance[0, 1] / found.covariance[0, 0]
    # The fit stops a little before the maximum.
    assert abs(found_slope - slope) < 5 * slope_error + 2e-3


def conditional(row):
    """Mean and covariance of the missing cells given the others, from the definition."""
    gap, seen = np.isnan(row), ~np.isnan(row)
    gain = COVARIANCE[np.ix_(gap, seen)] @ np.linalg.inv(COVARIANCE[np.ix_(seen, seen)])
    mean = MEAN[gap] + gain @ (row[seen] - MEAN[seen])
    return mean, COVARIANCE[np.ix_(gap, gap)] - gain @ COVARIANCE[np.ix_(seen, gap)]


NAN = np.nan
PATTERNS = np.array(
    [
        [1.0, NAN, 3.0],
        [NAN, 0.5, NAN],
        [0.2, NAN, NAN],
        [NAN, NAN, NAN],
        [NAN, -2.0, 1.0],
        [2.0, 1.0, 1.5],
    ]
)


def test_drawn_cells_have_the_conditional_moments():
    """Statistical, seed 9: six patterns in turn, 20,000 draws each, means and second moments."""
    n = 20_000
    values = np.tile(PATTERNS, (n, 1))
    drawn = draw_missing(values, Moments(MEAN, COVARIANCE), np.random.default_rng(9))
    np.testing.assert_array_equal(drawn[~np.isnan(values)], values[~np.isnan(values)])
    for index, row in enumerate(PATTERNS):
        gap = np.isnan(row)
        if not gap.any():
            continue
        mean, covariance = conditional(row)
        centered = drawn[index :: len(PATTERNS)][:, gap] - mean
        products = np.einsum("ri,rj->rij", centered, centered).reshape(n, -1)
        both = np.concatenate([centered, products], axis=1)
        expected = np.concatenate([np.zeros(len(mean)), covariance.ravel()])
        z = (both.mean(axis=0) - expected) / (both.std(axis=0) / np.sqrt(n))
        assert np.all(np.abs(z) < 5), (row, z)


def test_batches_do_not_matter(monkeypatch):
    """Rows come in batches whose order is that of their patterns; each has its own mean and
    covariance."""
    values = with_holes(draws(50, seed=10), 0.4, seed=11)
    whole = fit_moments(values)
    monkeypatch.setattr(gaussian, "MAX_NUMBERS", 3 * 9)
    parts = fit_moments(values)
    np.testing.assert_allclose(whole.mean, parts.mean, rtol=1e-10)
    np.testing.assert_allclose(whole.covariance, parts.covariance, rtol=1e-10)


def test_columns_that_determine_each_other_are_filled_by_each_other():
    rng = np.random.default_rng(12)
    first = rng.normal(size=300)
    values = np.column_stack([first, 2 * first + 1, rng.normal(size=300)])
    values[::3, 1] = np.nan
    filled = draw_missing(values, fit_moments(values), rng)
    error = filled[::3, 1] - (2 * first + 1)[::3]
    # What is left of the residual when the covariance changes no more, in the units of the largest
    # variance.
    assert error.std() < np.sqrt(gaussian.TOLERANCE) * 2 * first.std()
