"""Intervals of u. Kind of truth: closed forms, symmetry, and integrals of the normal density."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import log_ndtr, ndtr
from scipy.stats import norm

from harmonium.data import Bounds, log_interval_mass, spread

INF = np.inf


def bounds(*pairs):
    """One column with a row per pair."""
    low, high = np.array(pairs, dtype=float).T
    return Bounds(low[:, None], high[:, None])


def test_points_and_open_cells_are_told_apart():
    cells = bounds((1.0, 1.0), (-INF, INF), (-INF, 0.5), (0.2, 0.3))
    assert cells.is_point[:, 0].tolist() == [True, False, False, False]
    assert cells.is_open[:, 0].tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (-1.0, 2.0),
        (0.3, 0.3001),
        (-0.2, -0.2 + 3e-5),
        (4.0, 4.0 + 1e-7),
        (-30.0, -29.0),
        (8.0, 9.0),
    ],
)
def test_masses_are_integrals_of_the_density(low, high):
    middle = (low + high) / 2
    # Scaled by the density in the middle, so that far out nothing is too small.
    scaled = quad(lambda t: np.exp((middle**2 - t**2) / 2), low, high, epsabs=0, epsrel=1e-12)[0]
    expected = np.log(scaled) + norm.logpdf(middle)
    assert log_interval_mass(bounds((low, high)))[0, 0] == pytest.approx(expected, abs=2e-9)


def test_half_lines_and_the_whole_line():
    cells = bounds((-INF, -50.0), (50.0, INF), (-INF, INF), (1.0, 1.0), (-INF, 2.0))
    expected = [log_ndtr(-50.0), log_ndtr(-50.0), 0.0, -INF, log_ndtr(2.0)]
    np.testing.assert_allclose(log_interval_mass(cells)[:, 0], expected, rtol=1e-14)


def test_masses_are_symmetric_and_continuous_where_the_series_begins():
    low = np.concatenate([np.linspace(-45, 45, 181), np.linspace(-45, 45, 181)])
    width = np.repeat([0.99999e-4, 1.00001e-4], 181)
    mass = log_interval_mass(bounds(*zip(low, low + width, strict=True)))[:, 0]
    mirrored = log_interval_mass(bounds(*zip(-low - width, -low, strict=True)))[:, 0]
    np.testing.assert_allclose(mass, mirrored, atol=1e-7)
    np.testing.assert_allclose(mass[:181] + np.log(1.00002), mass[181:], atol=1e-7)


@pytest.mark.parametrize("place", [1e-9, 0.2, 0.5, 0.9, 1 - 1e-9])
def test_spread_places_by_mass(place):
    cells = bounds((-1.0, 2.0), (-INF, -0.5), (1.0, INF), (3.0, 3.2), (-4.0, -3.9))
    found = spread(cells, place)[:, 0]
    low, high = (end[:, 0] for end in cells)
    share = (ndtr(found) - ndtr(low)) / (ndtr(high) - ndtr(low))
    np.testing.assert_allclose(share, place, rtol=1e-5, atol=1e-12)


def test_spread_keeps_its_digits_far_out():
    """Beyond x the normal tail is exponential: the median of (x, inf) is x + log(2)/x, nearly."""
    far = np.array([40.0, 1e3, 1e6])
    upper = spread(bounds(*[(x, INF) for x in far]), 0.5)[:, 0]
    lower = spread(bounds(*[(-INF, -x) for x in far]), 0.5)[:, 0]
    np.testing.assert_allclose(upper - far, np.log(2) / far, rtol=2e-3)
    np.testing.assert_array_equal(lower, -upper)
    narrow = spread(bounds((40.0, 40.0 + 1e-12), (-1e8, -1e8 + 1e-7)), 0.3)[:, 0]
    assert 40.0 <= narrow[0] <= 40.0 + 1e-12 and -1e8 <= narrow[1] <= -1e8 + 1e-7


def test_spread_leaves_points_and_missing_cells():
    cells = bounds((0.7, 0.7), (-INF, INF), (0.0, 1.0))
    found = spread(cells, np.array([[0.1], [0.5], [0.9]]))[:, 0]
    assert found[0] == 0.7 and np.isnan(found[1]) and 0.8 < found[2] < 1.0


def test_points_spread_evenly_have_the_normal_distribution_within_the_interval():
    place = (np.arange(1000) + 0.5) / 1000
    cells = bounds(*[(0.5, 2.0)] * 1000)
    points = spread(cells, place[:, None])[:, 0]
    mean = (norm.pdf(0.5) - norm.pdf(2.0)) / (norm.cdf(2.0) - norm.cdf(0.5))
    assert points.mean() == pytest.approx(mean, abs=1e-5)
    assert np.all(np.diff(points) > 0)
