"""Kind of truth: an independent implementation (ArviZ), and chains of a known autocorrelation time.

Seeds: default_rng as written, one per kind of chain and shape.
"""

import math

import numpy as np
import pytest
from arviz_stats.base import array_stats

from harmonium.sampling.convergence import bulk_ess, nested_r_hat, split_r_hat, tail_ess

SIGMAS = 5.0
# Quantities, chains, draws: few and odd numbers of draws, many chains, long chains.
SHAPES = [(3, 2, 4), (2, 4, 5), (2, 4, 7), (1, 6, 11), (4, 8, 50), (2, 192, 50), (2, 4, 1001)]


def autoregressive(rng, shape, rho):
    """Stationary chains of unit variance whose correlation at lag t is rho**t."""
    chains = rng.normal(size=shape)
    for t in range(1, shape[2]):
        chains[..., t] = rho * chains[..., t - 1] + math.sqrt(1 - rho**2) * chains[..., t]
    return chains


def apart(rng, shape):
    """Chains in places of their own."""
    return rng.normal(size=shape) + 2 * np.arange(shape[1])[:, None]


def stuck(rng, shape):
    """The first chain does not move."""
    chains = rng.normal(size=shape)
    chains[:, 0] = 0.3
    return chains


CHAINS = {
    "independent": lambda rng, shape: rng.normal(size=shape),
    "slow": lambda rng, shape: autoregressive(rng, shape, 0.9),
    "antithetic": lambda rng, shape: autoregressive(rng, shape, -0.7),
    "without moments": lambda rng, shape: rng.standard_cauchy(shape),
    "of other scales": lambda rng, shape: (
        rng.normal(size=shape) * (1 + np.arange(shape[1])[:, None])
    ),
    "apart": apart,
    "stuck": stuck,
    "never moving": lambda rng, shape: np.broadcast_to(
        rng.normal(size=shape[:2])[..., None], shape
    ),
    "constant": lambda rng, shape: np.full(shape, 1.5),
    "of two values": lambda rng, shape: rng.choice([-1.0, 1.0], size=shape),
    "of few values": lambda rng, shape: rng.poisson(1.0, size=shape).astype(float),
    "drifting": lambda rng, shape: rng.normal(size=shape) + np.linspace(0, 3, shape[2]),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", CHAINS)
def test_numbers_are_those_of_arviz(kind, shape):
    traces = CHAINS[kind](np.random.default_rng(len(kind)), shape)
    n_starts = max(2, shape[1] // 2)
    starts = np.repeat(np.arange(n_starts), shape[1] // n_starts)
    ours = {
        "r_hat": split_r_hat(traces),
        "nested": nested_r_hat(traces, n_starts),
        "bulk": bulk_ess(traces),
        "tail": tail_ess(traces),
    }
    with np.errstate(all="ignore"):
        theirs = {
            "r_hat": array_stats.rhat(traces, method="rank"),
            "nested": array_stats.rhat_nested(traces, starts),
            "bulk": array_stats.ess(traces, method="bulk"),
            "tail": array_stats.ess(traces, method="tail", prob=(0.05, 0.95)),
        }
    for name, found in ours.items():
        assert found.shape == shape[:1]
        np.testing.assert_allclose(found, theirs[name], rtol=1e-10, err_msg=name)


@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.5, 0.9])
def test_the_effective_size_of_autoregressive_chains(rho):
    # Normal scores of the ranks of Gaussian draws are nearly these draws.
    shape = (64, 4, 4000)
    found = bulk_ess(autoregressive(np.random.default_rng(0), shape, rho))
    expected = shape[1] * shape[2] * (1 - rho) / (1 + rho)
    error = found.std(ddof=1) / math.sqrt(shape[0])
    # Where the sum of correlations ends, noise decides, which costs about a hundredth.
    assert found.mean() == pytest.approx(expected, abs=SIGMAS * error + 0.01 * expected)
