"""log(1 + exp(a)) against NumPy's, in both precisions, up to where it overflows or vanishes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harmonium.model.softplus import softplus

LOGITS = np.concatenate([np.linspace(-80, 80, 16001), np.linspace(-1, 1, 2001), [-1e-30, 0.0]])
# Roundings: of exp, of the quotient and of the sum.
ROUNDINGS = 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_value_to_a_few_roundings(dtype):
    logits = LOGITS.astype(dtype)
    exact = np.log1p(np.exp(-np.abs(logits).astype(np.longdouble))) + np.maximum(logits, 0)
    found = np.asarray(softplus(jnp.asarray(logits)))
    assert found.dtype == dtype
    # exp of XLA is good to 2 roundings of its own, which is all that is left for very negative
    # logits.
    assert np.max(np.abs(found - exact) / exact) <= ROUNDINGS * np.finfo(dtype).eps


def test_limits():
    a = jnp.asarray([-1e4, 1e4, -jnp.inf, jnp.inf, jnp.nan])
    np.testing.assert_array_equal(softplus(a), [0.0, 1e4, 0.0, jnp.inf, jnp.nan])


@pytest.mark.parametrize("logit", [-30.0, -1.0, 0.0, 0.3, 25.0])
def test_derivatives_are_those_of_the_logistic_function(logit):
    mean = 1 / (1 + np.exp(-logit))
    a = jnp.asarray(logit)
    first = jax.grad(softplus)
    np.testing.assert_allclose(first(a), mean, rtol=1e-14)
    np.testing.assert_allclose(jax.grad(first)(a), mean * (1 - mean), rtol=1e-12, atol=1e-16)
    third = mean * (1 - mean) * (1 - 2 * mean)
    np.testing.assert_allclose(jax.grad(jax.grad(first))(a), third, rtol=1e-12, atol=1e-16)
