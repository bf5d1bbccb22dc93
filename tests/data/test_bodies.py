"""Bodies of columns. Kind of truth: closed forms, finite differences, quadrature, other routes."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import logsumexp
from scipy.stats import norm

from harmonium.data.bodies import Body
from harmonium.data.mixture_fit import fit_mixtures, weighted_points

ONE = np.ones(1)
BODIES = {
    "affine": Body(5.0, 3.0, 0.0, ONE, np.zeros(1), ONE),
    "asinh": Body(-1.0, 2.0, 0.3, ONE, np.array([0.1]), np.array([0.7])),
    "mixture": Body(
        2.0,
        10.0,
        0.0,
        np.array([0.3, 0.6, 0.1]),
        np.array([-1.0, 1.0, 0.5]),
        np.array([0.05, 0.4, 2]),
    ),
    "bent mixture": Body(
        0.0, 1.0, 1.0, np.array([0.5, 0.5]), np.array([-1.0, 2.0]), np.array([0.2, 1.0])
    ),
    # A wide component lets the map rise between two that are far apart, as in every fitted mixture.
    "gap": Body(
        0.0,
        1.0,
        0.0,
        np.array([0.5, 0.499, 1e-3]),
        np.array([-30.0, 30, 0]),
        np.array([1.0, 0.5, 60]),
    ),
}


@pytest.fixture(params=BODIES)
def body(request):
    return BODIES[request.param]


def test_kinds_are_told_from_the_parameters():
    assert [own.kind for own in BODIES.values()] == [
        "affine",
        "asinh",
        "mixture",
        "mixture",
        "mixture",
    ]


def test_inverse_of_the_map_is_the_identity(body):
    u = np.concatenate([np.linspace(-45, 45, 1801), [-1e4, -300.0, 300.0, 1e4]])
    if body.tail > 0:
        u = u[np.abs(u) * body.sds.max() / body.tail < 300]
    cells = body.from_normal(u)
    assert np.all(np.diff(np.sort(u)) > 0) and np.all(np.diff(cells[np.argsort(u)]) >= 0)
    # Where the map is steep, one digit of a cell is many of u.
    slope = np.exp(np.minimum(body.log_slope(cells), 600))
    tolerance = 1e-13 * np.abs(u) + 8 * slope * np.spacing(np.abs(cells) + body.scale) + 1e-14
    assert np.all(np.abs(body.to_normal(cells) - u) <= tolerance)


def test_cells_come_back(body):
    cells = np.concatenate([np.linspace(-40, 40, 2001) * body.scale + body.location, [-1e6, 1e6]])
    back = body.from_normal(body.to_normal(cells))
    # Where the map is flat, one digit of u is many of a cell.
    flat = np.exp(-body.log_slope(cells)) * np.spacing(np.abs(body.to_normal(cells)) + 0.5)
    assert np.all(np.abs(back - cells) <= 1e-12 * np.abs(cells) + 20 * flat + 1e-13)


def test_the_map_increases_far_out(body):
    steps = np.sort(np.concatenate([[0.0], np.geomspace(1e-3, 1e12, 4000)]))
    cells = body.location + body.scale * np.concatenate([-steps[:0:-1], steps])
    assert np.all(np.diff(body.to_normal(cells)) > 0)
    assert np.all(np.isfinite(body.log_slope(cells)))
    ends = body.to_normal(np.array([-np.inf, -1e100, 1e100, np.inf]))
    assert ends[0] == -np.inf and ends[3] == np.inf and np.all(np.isfinite(ends[1:3]))


def test_slopes_are_finite_differences_of_the_map(body):
    place = np.concatenate([np.linspace(-3, 3, 301), [-40.0, 40.0, -38.0, 38.0, 25.0]])
    cells = body.location + body.scale * place
    step = 1e-6 * body.scale
    difference = (body.to_normal(cells + step) - body.to_normal(cells - step)) / (2 * step)
    slope = np.exp(body.log_slope(cells))
    # Where the map bends within a step, differences are as wrong as that; elsewhere they round.
    noise = np.spacing(np.abs(body.to_normal(cells)) + 1) / step
    assert np.all(np.abs(difference - slope) <= 1e-4 * slope + 20 * noise)


def test_densities_integrate_to_one(body):
    knots = np.sort(body.from_normal(np.array([-8.0, -5, -2, -1, -0.5, 0, 0.5, 1, 2, 5, 8])))
    total = sum(
        quad(lambda x: float(np.exp(body.log_density(np.array([x])))[0]), low, high, limit=200)[0]
        for low, high in pairwise(knots)
    )
    assert total == pytest.approx(1, abs=1e-7)


def test_density_is_the_slope_times_the_normal_density(body):
    cells = body.from_normal(np.linspace(-30, 30, 601))
    u = body.to_normal(cells)
    expected = body.log_slope(cells) + norm.logpdf(u)
    np.testing.assert_allclose(body.log_density(cells), expected, rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("name", ["mixture", "gap"])
@pytest.mark.parametrize("place", [-60.0, -8.0, -0.9, 0.0, 0.3, 11.0, 70.0])
def test_the_coordinate_by_another_route(name, place):
    """Solve log Φ(u) = log F(x) on the side of the smaller mass."""
    body = BODIES[name]
    z = (place - body.means) / body.sds
    lower = logsumexp(norm.logcdf(z), b=body.weights)
    upper = logsumexp(norm.logsf(z), b=body.weights)
    tail, goal = (norm.logcdf, lower) if lower < upper else (norm.logsf, upper)
    expected = brentq(lambda u: tail(u) - goal, -300, 300, xtol=1e-13, rtol=1e-14)
    found = body.to_normal(np.array([body.location + body.scale * place]))[0]
    assert found == pytest.approx(expected, rel=1e-11, abs=1e-11)


def draws(weights, means, sds, n, seed):
    """Sorted draws of a mixture."""
    rng = np.random.default_rng(seed)
    part = rng.choice(len(weights), n, p=weights)
    return np.sort(np.asarray(means)[part] + np.asarray(sds)[part] * rng.standard_normal(n))


def log_likelihood(values, weights, means, sds):
    z = (values[:, None] - means) / sds
    return logsumexp(norm.logpdf(z) - np.log(sds), b=weights, axis=1).mean()


def test_a_fit_is_as_likely_as_the_truth():
    """Statistical: seed 0. The likeliest mixture is no less likely than what made the rows."""
    truth = [0.3, 0.7], [-2.0, 1.0], [0.2, 1.0]
    values = draws(*truth, 4000, seed=0)
    data = weighted_points([(values, np.ones(4000))])
    fitted = fit_mixtures(data, 2, np.array([0.01]))
    found = log_likelihood(values, *(part[0] for part in fitted))
    assert found > log_likelihood(values, *map(np.array, truth)) - 1e-5
    order = np.argsort(fitted.means[0])
    # Five standard errors, as if the components of the rows were known, twice over.
    np.testing.assert_allclose(fitted.weights[0][order], truth[0], atol=10 * np.sqrt(0.21 / 4000))
    np.testing.assert_allclose(fitted.means[0][order], truth[1], atol=10 / np.sqrt(2800))
    np.testing.assert_allclose(fitted.sds[0][order], truth[2], atol=10 / np.sqrt(2 * 2800))


def test_columns_are_fitted_each_by_itself():
    parts = [draws([0.5, 0.5], [-1, 1], [0.3, 0.3], n, seed) for n, seed in ((300, 1), (80, 2))]
    columns = [(values, np.ones(len(values))) for values in parts]
    least = np.array([0.01, 0.02])
    together = fit_mixtures(weighted_points(columns), 3, least)
    for i, column in enumerate(columns):
        alone = fit_mixtures(weighted_points([column]), 3, least[i : i + 1])
        for part, own in zip(together, alone, strict=True):
            np.testing.assert_allclose(part[i], own[0], rtol=1e-6)


def test_no_component_is_narrower_than_the_least():
    values = np.sort(np.append(np.full(50, 0.3), np.random.default_rng(3).normal(size=50)))
    fitted = fit_mixtures(weighted_points([(values, np.ones(100))]), 3, np.array([0.05]))
    assert fitted.sds.min() == pytest.approx(0.05)
    assert fitted.weights.sum() == pytest.approx(1, abs=1e-12)


def test_grouped_points_keep_mass_and_mean():
    rng = np.random.default_rng(4)
    values, counts = np.sort(rng.standard_t(2, size=5000)), rng.integers(1, 5, 5000).astype(float)
    data = weighted_points([(values, counts), (values[:10], counts[:10])])
    np.testing.assert_allclose(data.weights.sum(axis=1), 1)
    assert data.points.shape[1] < 1000
    for i, own in enumerate((slice(None), slice(10))):
        mean = np.average(values[own], weights=counts[own])
        assert data.weights[i] @ data.points[i] == pytest.approx(mean, abs=1e-12)
    assert data.points[0][0] == values[0] and data.points[0].max() == values[-1]
