"""Kind of truth: exact. The normal between two bounds, against scipy's log-tails and quadrature.

Seeds: generators 0 and 1.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_ndtr

from harmonium.sampling.truncated_normal import truncated_normal

NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(60)
SHARES = np.array([1e-6, 0.01, 0.3, 0.5, 0.9, 1 - 1e-6])
LOW = np.array([-40.0, -12.0, -8.3, -5.0, -1.0, -0.2, 0.0, 0.4, 3.0, 7.9, 8.1, 11.0, 35.0, 200.0])
WIDTHS = np.array([1e-6, 3e-4, 9e-4, 2e-3, 0.03, 0.05, 0.3, 2.0, 9.0, 60.0])


def true_log_mass(low, width):
    """Gauss-Legendre where the density varies little, else a difference of tails on one side."""
    if np.isfinite(width):
        middle = low + width / 2
        if width * (abs(middle) + 1) < 12:
            x = NODES * width / 2
            inside = np.exp(-x * (middle + x / 2)) @ NODE_WEIGHTS * width / 2
            return np.log(inside) - middle**2 / 2 - 0.5 * np.log(2 * np.pi)
    low, high = (low, low + width) if low > -np.inf else (-np.inf, np.inf)
    near, far = (low, high) if low + high >= 0 or low == -np.inf else (-high, -low)
    rest = log_ndtr(-far) - log_ndtr(-near)
    return log_ndtr(-near) + np.log1p(-np.exp(rest))


def found(low, high, width, share, dtype=jnp.float64):
    parts = (jnp.asarray(part, dtype) for part in np.broadcast_arrays(low, high, width, share))
    return tuple(np.asarray(part) for part in jax.jit(truncated_normal)(*parts))


def test_mass_is_that_of_quadrature_and_of_tails():
    low, width = (grid.ravel() for grid in np.meshgrid(LOW, WIDTHS))
    truth = np.array([true_log_mass(*pair) for pair in zip(low, width, strict=True)])
    log_mass, _ = found(low, low + width, width, 0.5)
    # Tails of scipy themselves are good to some 1e-13 of their logarithm.
    np.testing.assert_allclose(log_mass, truth, rtol=1e-12, atol=2e-11)


def test_mass_in_single_precision():
    low, width = (grid.ravel().astype(np.float32) for grid in np.meshgrid(LOW, WIDTHS))
    pairs = zip(low.astype(float), width.astype(float), strict=True)
    truth = np.array([true_log_mass(*pair) for pair in pairs])
    log_mass, _ = found(low, low + width, width, 0.5, jnp.float32)
    assert log_mass.dtype == np.float32
    np.testing.assert_allclose(log_mass, truth, rtol=1e-6, atol=5e-5)


@pytest.mark.parametrize(("low", "high"), [(-np.inf, 1.3), (-np.inf, -30.0), (-2.0, np.inf)])
def test_half_lines(low, high):
    log_mass, quantile = found(low, high, np.inf, SHARES)
    truth = log_ndtr(high) if low == -np.inf else log_ndtr(-low)
    np.testing.assert_allclose(log_mass, truth, rtol=1e-13)
    cdf = log_ndtr(quantile) if low == -np.inf else log_ndtr(-quantile)
    below = np.exp(cdf - truth) if low == -np.inf else 1 - np.exp(cdf - truth)
    np.testing.assert_allclose(below, SHARES, rtol=1e-9)


def test_the_whole_line():
    log_mass, quantile = found(-np.inf, np.inf, np.inf, SHARES)
    assert (log_mass == 0).all()
    np.testing.assert_allclose(np.exp(log_ndtr(quantile)), SHARES, rtol=1e-10)


@pytest.mark.parametrize("low", LOW)
@pytest.mark.parametrize("width", WIDTHS)
def test_quantiles_leave_the_share_of_the_mass_below(low, width):
    _, quantile = found(low, low + width, width, SHARES)
    assert (quantile >= low).all() and (quantile <= low + width).all()
    assert (np.diff(quantile) > 0).all() or width < 1e-3
    truth = true_log_mass(low, width)
    # The side with less mass keeps its digits.
    is_right = 2 * low + width >= 0
    part = low + width - quantile if is_right else quantile - low
    start = quantile if is_right else np.full_like(quantile, low)
    share = np.exp([true_log_mass(*pair) - truth for pair in zip(start, part, strict=True)])
    share[part == 0] = 0.0
    wanted = 1 - SHARES if is_right else SHARES
    # The quantile itself is rounded: to one part in 1e16 of its size, not of the width.
    rounding = 1e-14 * (1 + abs(low)) * max(1 / width, abs(low))
    np.testing.assert_allclose(share, wanted, atol=1e-11 + rounding)


def test_single_precision_is_finite_far_out():
    rng = np.random.default_rng(0)
    low = np.append(rng.uniform(-60, 60, 4000), [-1e20, 1e20, -1e12, 1e12, 3e8])
    width = np.append(10 ** rng.uniform(-6, 2, 4000), [1.0, 1.0, 1e8, 1e-3, np.inf])
    share = rng.uniform(1e-7, 1 - 1e-7, low.size)
    log_mass, quantile = found(low, low + width, width, share, jnp.float32)
    assert np.isfinite(log_mass).all() and np.isfinite(quantile).all()
    assert (log_mass < 1e-6).all()


def test_mirrored_intervals_have_the_same_mass_and_mirrored_quantiles():
    rng = np.random.default_rng(1)
    low, width = rng.uniform(-20, 20, 500), 10 ** rng.uniform(-5, 1, 500)
    share = rng.uniform(0.01, 0.99, 500)
    one = found(low, low + width, width, share)
    other = found(-low - width, -low, width, 1 - share)
    np.testing.assert_allclose(one[0], other[0], rtol=1e-9)
    np.testing.assert_allclose(one[1], -other[1], rtol=1e-9)
