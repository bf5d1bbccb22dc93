"""Points in the cells of rows, drawn given the others. Kind of truth: closed forms.

Rows hold two numbers and one column of few levels, so that a row has one interval and its mass is
exact: of a mixture of Gaussians by scipy, with the normal distribution function of the interval.
Statistics within 5 standard errors. Seeds: tables 0, coordinates and bases 7, draws as written.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute
from scipy.special import logsumexp, ndtr
from scipy.stats import truncnorm

from harmonium.data import Columns, Field, Marginals, Table
from harmonium.inference.coordinates import Coordinates
from harmonium.inference.placement import Placement
from harmonium.learning.base_choice import fit_base
from harmonium.model import Mixture
from harmonium.model.mixture_fit import MixtureSettings

NAN = np.nan
FIELDS = (Field("a"), Field("color", "text", "categorical", ("red", "green", "blue")), Field("c"))
LEVEL = 1


def mixed_table(n=300):
    """Two numbers in two groups, and a color that goes with them."""
    rng = np.random.default_rng(0)
    group = rng.integers(0, 2, n) * 2.0 - 1
    first = group + rng.normal(size=n)
    color = np.digitize(first + 0.5 * rng.normal(size=n), [-0.8, 0.9])
    return np.stack([first, color, 0.5 * first + rng.normal(size=n) - group], axis=1)


def placement_of(values, n_components=2):
    """A placement by a mixture base fitted to random points, and that base."""
    columns = Columns.fit(Table(values, tuple(field.name for field in FIELDS), FIELDS))
    rng = np.random.default_rng(7)
    coordinates = Coordinates.fit(
        Marginals.fit(columns, values, "affine"), values, shape="full", rng=rng
    )
    z = coordinates.whitening.forward(coordinates.draw_points(values, rng))
    base = fit_base(z, MixtureSettings(n_components), rng)
    return Placement.of_base(coordinates, base), base


VALUES = mixed_table()
PLACEMENT, BASE = placement_of(VALUES)


def log_masses(mixture, bounds, j):
    """log of the mass of rows that are known but for one interval, column j."""
    weights, means, covariances = brute.mixture_parts(mixture)
    known = [column for column in range(bounds.low.shape[1]) if column != j]
    logs = []
    for weight, mean, covariance in zip(weights, means, covariances, strict=True):
        within = covariance[np.ix_(known, known)]
        gain = np.linalg.solve(within, covariance[known, j])
        off = bounds.low[:, known] - mean[known]
        center = mean[j] + off @ gain
        sd = np.sqrt(covariance[j, j] - covariance[j, known] @ gain)
        density = -0.5 * np.sum(off * np.linalg.solve(within, off.T).T, axis=1)
        density -= 0.5 * np.linalg.slogdet(2 * np.pi * within)[1]
        ends = [ndtr((end[:, j] - center) / sd) for end in (bounds.high, bounds.low)]
        logs.append(np.log(weight) + density + np.log(ends[0] - ends[1]))
    return logsumexp(logs, axis=0)


def test_the_mixture_of_a_base_is_its_density_in_coordinates():
    points = np.random.default_rng(1).normal(size=(20, 3))
    whitening = PLACEMENT.coordinates.whitening
    _, mixture = BASE.tilted(jnp.zeros(3))
    expected = brute.mixture_log_density(mixture, whitening.forward(points)) + whitening.log_det
    found = brute.mixture_log_density(PLACEMENT.mixture, points)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("has_base", [False, True])
def test_points_stay_in_the_cells_of_their_rows(has_base):
    placement = PLACEMENT if has_base else Placement(PLACEMENT.coordinates)
    points = placement.draw(VALUES, 4, np.random.default_rng(2))
    bounds = placement.coordinates.bounds(VALUES)
    assert points.shape == (4 * len(VALUES), 3)
    copies = points.reshape(4, *VALUES.shape)
    assert np.all(copies >= bounds.low) and np.all(copies <= bounds.high)
    # Numbers are points, and stay where they are to the last digit.
    assert np.all(bounds.is_point == [True, False, True])
    for copy in copies:
        np.testing.assert_array_equal(copy[:, [0, 2]], bounds.low[:, [0, 2]])
    assert np.all(np.ptp(copies[:, :, LEVEL], axis=0) > 0)


def test_points_stay_in_their_cells_in_single_precision_too():
    with jax.enable_x64(False):
        points = PLACEMENT.draw(VALUES, 1, np.random.default_rng(2))
    bounds = PLACEMENT.coordinates.bounds(VALUES)
    assert points.dtype == np.float64
    assert np.all(points >= bounds.low) and np.all(points <= bounds.high)


@pytest.mark.parametrize("has_base", [False, True])
def test_missing_cells_are_drawn_too(has_base):
    holed = VALUES[:60].copy()
    holed[::2, 0], holed[1::3, LEVEL] = NAN, NAN
    placement = PLACEMENT if has_base else Placement(PLACEMENT.coordinates)
    points = placement.draw(holed, 2, np.random.default_rng(3))
    assert np.all(np.isfinite(points))
    np.testing.assert_array_equal(placement.missing(holed, 2), np.tile(np.isnan(holed), (2, 1)))


def test_points_follow_the_base_given_the_rest_of_the_row():
    """One row many times: its interval is a normal number truncated, for a base of one Gaussian."""
    placement, _ = placement_of(VALUES, n_components=1)
    n_rows, n_copies = 400, 8
    row = np.repeat(VALUES[:1], n_rows, axis=0)
    drawn = placement.draw(row, n_copies, np.random.default_rng(4))[:, LEVEL]
    assert isinstance(placement.mixture, Mixture)
    _, means, covariances = brute.mixture_parts(placement.mixture)
    bounds = placement.coordinates.bounds(row[:1])
    gain = np.linalg.solve(covariances[0][np.ix_([0, 2], [0, 2])], covariances[0][[0, 2], LEVEL])
    center = means[0, LEVEL] + (bounds.low[0, [0, 2]] - means[0, [0, 2]]) @ gain
    sd = np.sqrt(covariances[0][LEVEL, LEVEL] - covariances[0][LEVEL, [0, 2]] @ gain)
    ends = [(end[0, LEVEL] - center) / sd for end in (bounds.low, bounds.high)]
    truth = truncnorm(*ends, loc=center, scale=sd)
    # All rows share the quasi-random points, of which each copy is one of 128.
    error = truth.std() / np.sqrt(n_copies)
    assert abs(drawn.mean() - truth.mean()) < 5 * error
    uniform = truth.cdf(drawn)
    assert 0 <= uniform.min() < 0.2 and 0.8 < uniform.max() <= 1


@pytest.mark.parametrize("seed", [5, 6])
def test_log_weights_turn_the_density_of_points_into_the_masses_of_rows(seed):
    coordinates, mixture = PLACEMENT.coordinates, PLACEMENT.mixture
    points = PLACEMENT.draw(VALUES, 1, np.random.default_rng(seed))
    _, tilted = BASE.tilted(jnp.zeros(3))
    log_density = brute.mixture_log_density(tilted, coordinates.whitening.forward(points))
    rows = log_masses(mixture, coordinates.bounds(VALUES), LEVEL)
    rows += coordinates.log_measure(VALUES) + coordinates.log_rule(VALUES)
    found = log_density.mean() + PLACEMENT.log_weight(VALUES, points)
    # Normal distribution functions of the sampler are good to single precision.
    assert found == pytest.approx(rows.mean(), abs=1e-5)


def test_other_densities_are_bounded_from_below():
    """Jensen's inequality, over the draws of all copies."""
    _, other = placement_of(mixed_table(40), n_components=1)
    _, tilted = other.tilted(jnp.zeros(3))
    coordinates = PLACEMENT.coordinates
    rng, found = np.random.default_rng(8), []
    for _ in range(8):
        points = PLACEMENT.draw(VALUES, 1, rng)
        log_density = brute.mixture_log_density(tilted, coordinates.whitening.forward(points))
        found.append(log_density.mean() + PLACEMENT.log_weight(VALUES, points))
    whitening = coordinates.whitening
    in_u = tilted.mapped(whitening.inverse_matrix.T, whitening.center)
    rows = log_masses(in_u, coordinates.bounds(VALUES), LEVEL)
    rows += coordinates.log_measure(VALUES) + coordinates.log_rule(VALUES)
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert np.mean(found) < rows.mean() + 5 * error
    assert np.mean(found) > rows.mean() - 0.5


def test_rows_of_points_have_nothing_to_draw():
    numbers = VALUES[:, [0, 2]]
    columns = Columns.fit(Table(numbers, ("a", "c")))
    rng = np.random.default_rng(7)
    coordinates = Coordinates.fit(
        Marginals.fit(columns, numbers, "affine"), numbers, shape="full", rng=rng
    )
    placement = Placement.of_base(
        coordinates, fit_base(coordinates.forward(numbers), MixtureSettings(2), rng)
    )
    assert not placement.is_free(numbers) and PLACEMENT.is_free(VALUES)
    points = placement.draw(numbers, 2, rng)
    np.testing.assert_array_equal(points, np.tile(coordinates.bounds(numbers).low, (2, 1)))
