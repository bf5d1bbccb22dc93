"""Generalized Pareto tails. Kind of truth: closed forms, and quantiles of known distributions."""

import numpy as np
import pytest
from scipy.stats import genpareto

from harmonium.inference.tails import FEWEST, TAIL_SHARE, Tail
from harmonium.sampling.pareto import Pareto, fit_scale, fit_shape

PLACES = (np.arange(20_000) + 0.5) / 20_000


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.2, 1.5])
def test_survival_is_that_of_scipy(shape):
    x = np.array([-1.0, 0.0, 0.1, 2.0, 5.0])
    expected = genpareto.logsf(x, shape, scale=1.7)
    np.testing.assert_allclose(Pareto(shape, 1.7).log_survival(x), expected, rtol=1e-12)


def test_nothing_lies_beyond_the_end_of_a_bounded_tail():
    assert Pareto(-0.5, 1.0).log_survival(np.array([3.0]))[0] == -np.inf


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.2, 1.5])
def test_an_excess_is_found_again(shape):
    tail = Pareto(shape, 1.7)
    x = tail.excess_of(-1.2)
    assert tail.log_survival(np.array([x]))[0] == pytest.approx(-1.2)


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


def test_an_exponential_tail_goes_on():
    scores = np.log(PLACES)
    tail = Tail.fit(scores)
    assert tail.share == pytest.approx(TAIL_SHARE)
    assert tail.edge == pytest.approx(np.log(TAIL_SHARE), abs=1e-3)
    far = np.log([1e-3, 1e-6, 1e-9])
    np.testing.assert_allclose(tail.log_p_values(far), far, atol=0.2)


def test_a_modelled_p_value_never_is_zero():
    tail = Tail.fit(-np.linspace(0, 1, 500))
    assert np.all(np.isfinite(tail.log_p_values(np.array([-10.0, -100.0]))))


@pytest.mark.parametrize("n", [0, 1, 2, 5, FEWEST, 3 * FEWEST])
def test_few_scores_make_a_tail(n):
    scores = -np.random.default_rng(0).exponential(size=n)
    found = Tail.fit(scores).log_p_values(np.array([-50.0, -2.0, 1.0]))
    assert np.all(np.isfinite(found)) and np.all(np.diff(found) >= 0) and np.all(found <= 0)


def test_equal_and_infinite_scores_make_a_tail():
    assert np.isfinite(Tail.fit(np.full(300, -2.0)).log_p_values(np.array([-9.0])))
    finite = -np.random.default_rng(1).exponential(size=300)
    assert Tail.fit(np.append(finite, [-np.inf, np.inf])) == Tail.fit(finite)
