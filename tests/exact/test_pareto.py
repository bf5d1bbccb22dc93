"""Generalized Pareto tails. Kind of truth: closed forms, and quantiles of known distributions."""

import numpy as np
import pytest
from scipy.stats import genpareto

from harmonium.inference.tails import FEWEST, TAIL_SHARE, Tail
from harmonium.sampling.pareto import Pareto, average_shapes, fit_scale, fit_shape

PLACES = (np.arange(20_000) + 0.5) / 20_000
X = np.array([-1.0, 0.0, 0.1, 2.0, 5.0])


def single(shape, scale):
    return Pareto(np.array([shape]), np.array([scale]), np.ones(1))


@pytest.mark.parametrize("shape", [0.0, 0.2, 1.5])
def test_survival_is_that_of_scipy(shape):
    expected = genpareto.logsf(X, shape, scale=1.7)
    np.testing.assert_allclose(single(shape, 1.7).log_survival(X), expected, rtol=1e-12)


def test_the_survival_of_several_is_their_mean():
    several = Pareto(np.array([0.0, 0.5]), np.array([1.0, 2.0]), np.array([0.3, 0.7]))
    parts = [single(0.0, 1.0).log_survival(X), single(0.5, 2.0).log_survival(X)]
    expected = np.log(0.3 * np.exp(parts[0]) + 0.7 * np.exp(parts[1]))
    np.testing.assert_allclose(several.log_survival(X), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [0.0, 0.2, 1.5])
@pytest.mark.parametrize("log_survival", [-0.1, -3.0, -40.0])
def test_an_excess_is_found_again(shape, log_survival):
    x = single(shape, 1.7).excess_of(log_survival)
    assert single(shape, 1.7).log_survival(np.array([x]))[0] == pytest.approx(log_survival)


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.3, 0.8])
def test_the_shape_of_quantiles_is_found(shape):
    excesses = genpareto.ppf(PLACES, shape, scale=2.0)
    assert fit_shape(excesses, prior=0.0, prior_weight=0.0) == pytest.approx(shape, abs=0.01)


def test_a_prior_counts_as_so_many_excesses():
    excesses = genpareto.ppf(PLACES[::40], 0.4)
    free = fit_shape(excesses, prior=0.0, prior_weight=0.0)
    drawn = fit_shape(excesses, prior=0.1, prior_weight=500.0)
    assert drawn == pytest.approx((free + 0.1) / 2)


@pytest.mark.parametrize("shape", [0.0, 0.5, 2.0])
def test_the_scale_is_where_the_likelihood_is_highest(shape):
    excesses = genpareto.ppf(PLACES[::100], 0.3, scale=0.7)
    found = fit_scale(excesses, shape)

    def log_likelihood(scale):
        return genpareto.logpdf(excesses, shape, scale=scale).sum()

    assert log_likelihood(found) > max(log_likelihood(0.99 * found), log_likelihood(1.01 * found))


def test_the_scale_of_an_exponential_is_the_mean():
    assert fit_scale(np.array([1.0, 2.0, 6.0]), 0.0) == pytest.approx(3.0)


def test_shapes_weigh_as_their_profile_likelihoods():
    excesses = genpareto.ppf(PLACES[::100], 0.3, scale=0.7)
    shapes = np.array([0.0, 0.2, 0.4])
    found = average_shapes(excesses, shapes, prior_precision=10.0)
    logs = [
        genpareto.logpdf(excesses, shape, scale=fit_scale(excesses, shape)).sum() - 5 * shape**2
        for shape in shapes
    ]
    expected = np.exp(np.array(logs) - np.max(logs))
    np.testing.assert_allclose(found.weights, expected / expected.sum(), rtol=1e-8)


@pytest.mark.parametrize("shape", [0.1, 0.3, 0.8])
def test_many_quantiles_leave_the_mean_shape_where_it_is(shape):
    excesses = genpareto.ppf(PLACES, shape, scale=2.0)
    found = average_shapes(excesses, np.linspace(0, 1, 21), prior_precision=0.0)
    assert found.shape == pytest.approx(shape, abs=0.01)


def test_an_exponential_tail_goes_on():
    tail = Tail.fit(np.log(PLACES))
    assert tail.share == pytest.approx(TAIL_SHARE)
    assert tail.edge == pytest.approx(np.log(TAIL_SHARE), abs=1e-3)
    # Heavier tails cannot be excluded by 600 excesses, and raise what is far out.
    far = np.log([1e-3, 1e-5, 1e-6])
    rise = np.log(tail.p_values(far)) - far
    assert np.all(np.diff(rise) > 0) and -0.1 < rise[0] < 0.1 and 0 < rise[-1] < 1.5


def test_a_score_is_found_again():
    tail = Tail.fit(np.log(PLACES))
    for p in (1e-6, 1e-4, 0.05, 0.5):
        assert tail.p_values(np.array([tail.score_of(p)]))[0] == pytest.approx(p, rel=1e-3)


def test_a_modelled_p_value_never_is_zero():
    tail = Tail.fit(-np.linspace(0, 1, 500))
    assert np.all(tail.p_values(np.array([-10.0, -100.0])) > 0)


@pytest.mark.parametrize("n", [0, 1, 2, 5, FEWEST, 3 * FEWEST])
def test_few_scores_make_a_tail(n):
    scores = -np.random.default_rng(0).exponential(size=n)
    found = Tail.fit(scores).p_values(np.array([-50.0, -2.0, 1.0]))
    assert np.all(found > 0) and np.all(np.diff(found) >= 0) and np.all(found <= 1)


def test_equal_and_infinite_scores_make_a_tail():
    assert 0 < Tail.fit(np.full(300, -2.0)).p_values(np.array([-9.0]))[0] < 1e-3
    finite = -np.random.default_rng(1).exponential(size=300)
    found, expected = Tail.fit(np.append(finite, [-np.inf, np.inf])), Tail.fit(finite)
    at = np.array([-3.0, -9.0])
    np.testing.assert_array_equal(found.p_values(at), expected.p_values(at))
