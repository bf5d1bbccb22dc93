"""Kind of truth: quadrature and enumeration, within stated errors, and 5 sigma over the points.

Covariances of one or two common factors make masses of boxes in many columns integrals over the
factors alone. Seeds: sampler 0 unless told; tables in the tests.
"""

import jax
import numpy as np
import pytest
from exact import brute
from scipy.special import logsumexp, ndtr

from harmonium.model.mixture import Mixture
from harmonium.sampling.boxes import Boxes
from harmonium.sampling.truncated import TruncatedSampler

INF = np.inf
CUTS = np.array([-INF, -0.6, 0.5, INF])
N_COLUMNS, N_LEVELS = 8, 3
# A rectangle rule for two standard normal factors: its error is below 1e-9 here.
GRID = np.linspace(-7, 7, 71)
FACTORS = np.stack(np.meshgrid(GRID, GRID), axis=-1).reshape(-1, 2)
FACTOR_WEIGHTS = np.exp(-(FACTORS**2).sum(axis=1) / 2)
FACTOR_WEIGHTS /= FACTOR_WEIGHTS.sum()


def factor_model(n_components, seed, n_columns=N_COLUMNS, unique=0.3, spread=0.7):
    """Weights, means, loadings (components, columns, 2), and the variance that is not shared."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(n_components, 3.0))
    means = spread * rng.normal(size=(n_components, n_columns))
    loadings = rng.normal(size=(n_components, n_columns, 2)) * np.sqrt((1 - unique) / 2)
    return weights, means, loadings, unique


def mixture_of(weights, means, loadings, unique):
    covariances = loadings @ np.swapaxes(loadings, 1, 2) + unique * np.eye(means.shape[1])
    return Mixture.from_moments(weights, means, covariances)


def true_masses(model, levels):
    """Masses of cells of levels (cells, columns), by the rectangle rule over the factors."""
    weights, means, loadings, unique = model
    total = np.zeros(len(levels))
    for weight, mean, loading in zip(weights, means, loadings, strict=True):
        centers = mean + FACTORS @ loading.T
        below = ndtr((CUTS[:, None, None] - centers) / np.sqrt(unique))
        log_share = np.log(np.maximum(np.diff(below, axis=0), 1e-300))
        for part in np.array_split(np.arange(len(levels)), 1 + len(levels) // 512):
            inside = sum(log_share[levels[part, j], :, j] for j in range(levels.shape[1]))
            total[part] += weight * np.exp(inside) @ FACTOR_WEIGHTS
    return total


def bounds_of(levels):
    return Boxes(CUTS[levels], CUTS[levels + 1])


ALL_CELLS = np.stack(np.unravel_index(np.arange(N_LEVELS**N_COLUMNS), (N_LEVELS,) * N_COLUMNS), 1)


@pytest.mark.parametrize("n_components", [1, 2, 5])
def test_masses_of_all_cells_add_up_to_one(n_components):
    model = factor_model(n_components, seed=n_components)
    truth = true_masses(model, ALL_CELLS)
    assert truth.sum() == pytest.approx(1, abs=1e-8)
    found = TruncatedSampler(mixture_of(*model)).mass(bounds_of(ALL_CELLS))
    masses = np.exp(found.log_mass)
    assert masses.sum() == pytest.approx(1, abs=0.005)
    # Cells as they occur, then all cells alike. All bounds hold for eight seeds.
    relative = np.abs(masses / truth - 1)
    assert np.sqrt(truth @ relative**2) < 0.04
    assert np.median(relative) < 0.02 and np.quantile(relative, 0.95) < 0.1


@pytest.mark.parametrize("n_components", [1, 4])
def test_many_draws_converge_to_the_mass(n_components):
    model = factor_model(n_components, seed=10 + n_components)
    rng = np.random.default_rng(0)
    cells = rng.integers(0, N_LEVELS, (60, N_COLUMNS))
    truth = true_masses(model, cells)
    mixture = mixture_of(*model)
    errors = []
    for n_draws in (32, 256, 2048):
        found = TruncatedSampler(mixture, n_draws=n_draws).mass(bounds_of(cells))
        errors.append(np.sqrt(np.mean((np.exp(found.log_mass) / truth - 1) ** 2)))
        deviations = (found.log_mass - np.log(truth)) / found.log_mass_error
        assert np.abs(deviations).max() < 5
    # Independent points would gain a factor of 8.
    assert errors[2] < 0.01 and errors[2] < errors[0] / 8


SMALL = mixture_of(*factor_model(2, seed=3, n_columns=3, unique=0.2))
# One row: an interval, a known value and an open column; then boxes and corners.
LOW = np.array([[-0.4, 0.3, -INF], [-1.0, -0.5, 0.2], [0.5, -INF, 1.0], [-INF, 1.2, -INF]])
HIGH = np.array([[0.9, 0.3, INF], [0.2, 0.6, 1.5], [INF, -0.3, 3.0], [-0.5, INF, 0.1]])


def test_functions(positions):
    """What is integrated over the box: (..., 4)."""
    one = np.ones(positions.shape[:-1])
    x, y, z = np.moveaxis(positions, -1, 0)
    return np.stack([one, x, np.sin(2 * x) + y * z, np.exp(-(z**2)) * (y > 0)], axis=-1)


test_functions.__test__ = False


def true_integrals(mixture, low, high):
    """Gauss-Legendre on each axis: of pieces between -9 and 9, with 0 as one of their ends."""
    nodes, node_weights = np.polynomial.legendre.leggauss(48)
    axes, axis_weights = [], []
    for bottom, top in zip(low, high, strict=True):
        if bottom == top:
            axes.append(np.array([bottom]))
            axis_weights.append(np.ones(1))
            continue
        ends = np.unique(np.clip([bottom, top, 0.0, -3.0, 3.0], max(bottom, -9), min(top, 9)))
        half = np.diff(ends)[:, None] / 2
        axes.append((ends[:-1, None] + half * (nodes + 1)).ravel())
        axis_weights.append((half * node_weights).ravel())
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    weights = np.einsum("i,j,k->ijk", *axis_weights).ravel()
    density = np.exp(brute.mixture_log_density(mixture, points))
    return (weights * density) @ test_functions(points)


def assert_near(samples, truth, slack):
    """Means over the first axis within 5 standard errors; `slack` is for what has no spread."""
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    distance = np.abs(samples.mean(axis=0) - truth)
    assert (distance < 5 * error + slack).all(), distance / error


TRUE_INTEGRALS = np.array([true_integrals(SMALL, *row) for row in zip(LOW, HIGH, strict=True)])


def test_boxes_in_three_columns():
    draws = TruncatedSampler(SMALL, n_draws=4096).draw(Boxes(LOW, HIGH))
    np.testing.assert_allclose(draws.log_mass, np.log(TRUE_INTEGRALS[:, 0]), atol=2e-3)
    found = np.einsum("rd,rdg->rg", draws.weights, test_functions(draws.positions))
    np.testing.assert_allclose(found, TRUE_INTEGRALS / TRUE_INTEGRALS[:, :1], atol=5e-3)


def test_weighted_draws_are_unbiased():
    """Few draws, so that a bias would be large; seeds 0 to 499, 5 sigma."""

    def one(seed):
        draws = TruncatedSampler(SMALL, n_draws=2, seed=seed).draw(Boxes(LOW, HIGH))
        weights = np.exp(draws.log_weights)
        return np.mean(weights[:, :, None] * test_functions(draws.positions), axis=1)

    found = np.array([one(seed) for seed in range(500)])
    assert found[:, 1:, 0].std(axis=0).min() > 0.01 * found[:, 1:, 0].mean(axis=0).min()
    assert_near(found, TRUE_INTEGRALS, slack=1e-9)


def test_a_factor_is_integrated_over_the_open_columns():
    """exp(tilt·u) over all columns has the closed form of `Mixture.tilted`."""
    mixture = mixture_of(*factor_model(3, seed=5, n_columns=4))
    values = np.array([[0.3, np.nan, np.nan, -0.2], [np.nan] * 4])
    tilt = np.array([0.4, -0.3, 0.2, 0.1])
    found = TruncatedSampler(mixture, n_draws=2048).mass(
        Boxes.of_values(values), lambda u: u @ tilt
    )
    log_known, given = mixture.conditional(values[0])
    log_open, _ = given.tilted(jax.numpy.asarray(tilt[1:3]))
    truth = [log_known + tilt[[0, 3]] @ values[0, [0, 3]] + float(log_open)]
    truth.append(float(mixture.tilted(jax.numpy.asarray(tilt))[0]))
    np.testing.assert_allclose(found.log_mass, truth, atol=5e-3)
    assert (found.ess < 2048).all() and (found.log_mass_error > 0).all()


def test_components_that_only_the_intervals_tell_apart():
    """A pilot finds components whose means lie in other cells than the weights suggest."""
    weights = np.array([0.98, 0.01, 0.01])
    means = np.array([[0.0] * 6, [4.0] * 6, [-4.0] * 6])
    mixture = Mixture.from_moments(weights, means, np.stack([0.25 * np.eye(6)] * 3))
    low = np.array([[3.0] * 6, [-5.0] * 6, [-0.5] * 6])
    found = TruncatedSampler(mixture).mass(Boxes(low, low + 1.5))
    ends = (np.stack([low, low + 1.5])[:, :, None, :] - means) / 0.5
    inside = np.log(ndtr(ends[1]) - ndtr(ends[0]) + 1e-300).sum(axis=2)
    truth = logsumexp(np.log(weights) + inside, axis=1)
    np.testing.assert_allclose(found.log_mass, truth, atol=0.02)
    assert (found.ess > 124).all()


def test_resampled_draws_follow_the_box():
    bounds = Boxes(np.repeat(LOW, 250, axis=0), np.repeat(HIGH, 250, axis=0))
    draws = TruncatedSampler(SMALL, n_draws=512).draw(bounds)
    drawn = draws.resampled(4, seed=1)
    assert (drawn >= bounds.low[:, None]).all() and (drawn <= bounds.high[:, None]).all()
    # Rows with the same cells get other draws.
    assert len(np.unique(drawn[:250, 0, 0])) > 100
    means = test_functions(drawn).mean(axis=1).reshape(4, 250, -1)
    for found, truth in zip(means, TRUE_INTEGRALS, strict=True):
        # The points themselves are a sample, whose error adds to that of choosing among them.
        assert_near(found, truth / truth[0], slack=0.02)
