"""Kind of truth: closed forms, by conditioning covariances, and enumeration by the density itself.

Seeds: NumPy 3 and 4.
"""

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

from harmonium.data import as_table
from harmonium.estimators import DensityEstimator
from harmonium.inference import expect_cells
from harmonium.inference.expectation import PARTS
from harmonium.model import Mixture
from harmonium.sampling.open_cells import draw_open, open_cells

N_COMPONENTS, N_COLUMNS = 3, 4


@pytest.fixture(scope="module")
def parts():
    """Weights, means and covariances of a mixture."""
    rng = np.random.default_rng(3)
    roots = rng.normal(size=(N_COMPONENTS, N_COLUMNS, N_COLUMNS))
    covariances = roots @ np.swapaxes(roots, 1, 2) + 0.3 * np.eye(N_COLUMNS)
    return np.array([0.2, 0.5, 0.3]), 2 * rng.normal(size=(N_COMPONENTS, N_COLUMNS)), covariances


def conditioned(parts, row, column):
    """Shares, means and standard deviations of one open cell, by solving with covariances."""
    known = ~np.isnan(row)
    logs, means, scales = [], [], []
    for weight, mean, covariance in zip(*parts, strict=True):
        own, at = covariance[np.ix_(known, known)], row[known]
        cross = covariance[column, known]
        pull = np.linalg.solve(own, cross) if known.any() else np.zeros(0)
        density = multivariate_normal(mean[known], own).logpdf(at) if known.any() else 0.0
        logs.append(np.log(weight) + density)
        means.append(mean[column] + pull @ (at - mean[known]))
        scales.append(np.sqrt(covariance[column, column] - pull @ cross))
    return np.exp(np.array(logs) - logsumexp(logs)), np.array(means), np.array(scales)


def test_open_cells_are_conditioned_on_the_known_ones(parts):
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(40, N_COLUMNS))
    rows[rng.random(rows.shape) < 0.5] = np.nan
    rows[0], rows[1] = np.nan, 0.5
    mixture = Mixture.from_moments(*parts)
    met = np.zeros(rows.shape, int)
    for cells in open_cells(mixture, rows):
        for k, row in enumerate(cells.rows):
            met[row, cells.column] += 1
            found = cells.shares[:, k], cells.means[:, k], cells.scales[:, k]
            for own, truth in zip(found, conditioned(parts, rows[row], cells.column), strict=True):
                # The mixture is stored in single precision.
                np.testing.assert_allclose(own, truth, rtol=2e-4, atol=2e-5)
    np.testing.assert_array_equal(met, np.isnan(rows))


@pytest.mark.parametrize("known", [(), (0,), (1, 3)])
def test_draws_of_open_cells_have_the_moments_of_the_mixture(known, parts):
    """Means, squares and products within 5 standard errors of what the components say."""
    row = np.full(N_COLUMNS, np.nan)
    row[list(known)] = [0.5, -1.0][: len(known)]
    others = np.full((2, N_COLUMNS), 0.3)
    n = 40_000
    rng = np.random.default_rng(4)
    drawn = draw_open(Mixture.from_moments(*parts), np.vstack([row, others]), n, rng)
    np.testing.assert_array_equal(drawn[1:], np.repeat(others[:, None], n, axis=1))
    found = drawn[0][:, np.isnan(row)]
    np.testing.assert_array_equal(drawn[0][:, list(known)], np.tile(row[list(known)], (n, 1)))
    first, second = exact_moments(parts, row)
    for i in range(found.shape[1]):
        assert abs(found[:, i].mean() - first[i]) < 5 * found[:, i].std() / n**0.5
        for j in range(i + 1):
            products = found[:, i] * found[:, j]
            assert abs(products.mean() - second[i, j]) < 5 * products.std() / n**0.5


def exact_moments(parts, row):
    """E[x] and E[x xᵀ] of the open cells of a row."""
    known, opened = np.flatnonzero(~np.isnan(row)), np.flatnonzero(np.isnan(row))
    shares = conditioned(parts, row, opened[0])[0]
    first, second = np.zeros(len(opened)), np.zeros((len(opened), len(opened)))
    for share, mean, covariance in zip(shares, *parts[1:], strict=True):
        cross = covariance[np.ix_(opened, known)]
        pull = cross @ np.linalg.inv(covariance[np.ix_(known, known)])
        own = mean[opened] + pull @ (row[known] - mean[known])
        first += share * own
        second += share * (covariance[np.ix_(opened, opened)] - pull @ cross.T + np.outer(own, own))
    return first, second


@pytest.fixture(scope="module")
def sized():
    """Two numbers and a color, in clusters; with a density of more than one component."""
    rng = np.random.default_rng(4)
    color = rng.integers(0, 3, 500)
    center = np.array([-3.0, 0.0, 4.0])[color]
    frame = pd.DataFrame(
        {
            "size": center + rng.normal(size=500),
            "weight": np.exp(0.3 * center + 0.2 * rng.normal(size=500)),
            "color": np.array(["blue", "green", "red"])[color],
        }
    )
    return frame, DensityEstimator(effort="quick", base="mixture").fit(frame)


def expected_of(estimator, rows):
    """What is expected of rows of a frame, column by column."""
    density = estimator.density_
    table = as_table(rows, call="test", fields=density.columns.fields)
    found = expect_cells(density, table.values, "squared", seed=0)
    assert np.all(np.isinf(found.ess))
    return found.cells


def test_categories_have_the_probabilities_that_scores_give_them(sized):
    frame, estimator = sized
    rows = frame.iloc[:8].assign(color=None)
    colors = ["blue", "green", "red"]
    scores = np.stack([estimator.score_samples(rows.assign(color=own)) for own in colors], axis=1)
    truth = np.exp(scores - logsumexp(scores, axis=1, keepdims=True))
    codes = estimator.density_.coordinates.marginals.parts[2].atoms.astype(int)
    found = expected_of(estimator, rows)[2].values
    np.testing.assert_allclose(found[:, np.argsort(codes)], truth, atol=1e-4)


def test_numbers_have_the_mean_that_scores_give_them(sized):
    """Of a row of which nothing but one number is known: the mean over the other, by quadrature."""
    frame, estimator = sized
    rows = frame.iloc[:6].assign(color=None, weight=np.nan)
    weights = np.linspace(0.0, 2 * frame["weight"].max(), 4001)[1:]
    lowest, highest = frame["weight"].min(), frame["weight"].max()
    found = expected_of(estimator, rows)[1].values[:, 0]
    for place, size in enumerate(rows["size"]):
        grid = pd.DataFrame({"size": size, "weight": weights, "color": None})
        density = np.exp(estimator.score_samples(grid))
        truth = np.clip(weights, lowest, highest) @ density / density.sum()
        assert found[place] == pytest.approx(truth, rel=0.01)


def test_parts_of_a_normal_are_equally_likely_and_have_its_moments():
    assert np.mean(PARTS) == pytest.approx(0, abs=1e-12)
    # Each part by its mean: what is lost is the variance inside of the parts.
    assert 0.99 < np.mean(PARTS**2) < 1
    ends = norm.ppf(np.arange(1, len(PARTS)) / len(PARTS))
    assert np.all((PARTS[:-1] < ends) & (ends < PARTS[1:]))
