"""Kind of truth: exact. Parts side by side give what they give one after the other."""

import os

import numpy as np
import pytest

from harmonium.model.mixture_fit import MixtureSettings, fit_bag
from harmonium.parallel import (
    LEAST_SIZE,
    NUMBER_VARIABLE,
    count_threads,
    side_by_side,
    side_by_side_if,
)


@pytest.fixture(params=["1", "2", "5"])
def n_threads(request, monkeypatch):
    monkeypatch.setenv(NUMBER_VARIABLE, request.param)
    return int(request.param)


def test_results_come_in_the_order_of_the_parts(n_threads):
    assert count_threads() == n_threads
    assert side_by_side(lambda part: part**2, range(20)) == [i**2 for i in range(20)]
    assert side_by_side_if(LEAST_SIZE, str, (3, 1)) == side_by_side_if(0, str, (3, 1))
    assert side_by_side(str, ()) == []


def test_an_error_reaches_the_caller(n_threads):
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda part: 1 // part, (1, 0, 2))


def test_numpy_treats_errors_as_in_the_thread_of_the_caller(n_threads):
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        side_by_side(np.log, (np.ones(2), np.zeros(2)))
    with np.errstate(divide="ignore"):
        assert np.isneginf(side_by_side(np.log, (np.ones(2), np.zeros(2)))[1]).all()


@pytest.mark.parametrize("asked", ["", "0", "many"])
def test_there_is_a_thread_per_core_unless_a_number_is_asked_for(asked, monkeypatch):
    monkeypatch.setenv(NUMBER_VARIABLE, asked)
    assert 1 <= count_threads() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_mixtures_are_equal_whatever_the_threads(missing, monkeypatch):
    # More rows than one block has.
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(30_000, 4)) + 3 * rng.integers(0, 2, (30_000, 1))
    rows[rng.random(rows.shape) < missing] = np.nan
    fits = []
    for asked in ("1", "3"):
        monkeypatch.setenv(NUMBER_VARIABLE, asked)
        own = np.random.default_rng(1)
        fits.append(fit_bag(rows, MixtureSettings(3), own, 2, most_passes=3))
    for one, other in zip(*fits, strict=True):
        np.testing.assert_array_equal(one.weights, other.weights)
        np.testing.assert_array_equal(one.means, other.means)
        np.testing.assert_array_equal(one.covariances, other.covariances)
