"""Kind of truth: statistical, 5 sigma: what one call of the generator gives. Seeds: keys 0 to 3."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute
from scipy import stats

from harmonium.learning.rows import draw_indices
from harmonium.sampling.noise import draw_noise

N_DRAWS = 50_000


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_noise_is_normal_then_uniform_and_independent(dtype):
    keys = jax.random.split(jax.random.key(0), N_DRAWS)
    normal, uniform = jax.vmap(lambda key: draw_noise(key, 3, 2, dtype))(keys)
    assert normal.shape == (N_DRAWS, 3) and uniform.shape == (N_DRAWS, 2)
    assert normal.dtype == uniform.dtype == dtype
    # As numbers of variance 1 all five have the identity for their covariance.
    both = np.hstack([normal, np.sqrt(12) * (np.asarray(uniform, float) - 0.5)])
    products = np.einsum("ri,rj->rij", both, both)
    brute.assert_within(both, 0.0, label="means")
    brute.assert_within(products, np.eye(5), label="covariance")
    for column in np.asarray(normal, float).T:
        assert stats.kstest(column, "norm").pvalue > 1e-6
    for column in np.asarray(uniform, float).T:
        assert stats.kstest(column, "uniform").pvalue > 1e-6


def test_noise_is_finite_and_uniform_numbers_lie_between_0_and_1():
    # Single precision has 2^23 uniform numbers: -1, whose normal number is infinite, would be among
    # so many draws.
    @jax.jit
    def ends(key):
        normal, uniform = draw_noise(key, 5_000_000, 100_000, jnp.float32)
        return jnp.max(jnp.abs(normal)), jnp.min(uniform), jnp.max(uniform)

    largest, low, high = zip(*map(ends, jax.random.split(jax.random.key(1), 10)), strict=True)
    assert np.isfinite(largest).all() and min(low) >= 0 and max(high) <= 1


@pytest.mark.parametrize("n", [1, 7, 1450])
def test_indices_are_even(n):
    drawn = np.asarray(draw_indices(jax.random.key(2), N_DRAWS, jnp.uint32(n)))
    counts = np.bincount(drawn, minlength=n)
    assert counts.shape == (n,) and counts.sum() == N_DRAWS
    if n > 1:
        assert stats.chisquare(counts).pvalue > 1e-6
    other = np.asarray(draw_indices(jax.random.key(3), N_DRAWS, jnp.uint32(n)))
    assert n == 1 or np.any(other != drawn)
