"""Hidden pixels given the levels of the others, under a mixture of factor analyzers."""

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import ndtr, ndtri

from harmonium.model.factor_mixture import FactorMixture
from harmonium.model.factor_mixture_fit import Analyzers

N_SWEEPS = 24

Rows = Float[np.ndarray, "chains _"]


def draw_hidden(
    mixture: FactorMixture,
    low: Float[np.ndarray, "visible"],
    high: Float[np.ndarray, "visible"],
    hidden: Bool[np.ndarray, "visible"],
    n_chains: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "chains visible"]:
    """Ends of Gibbs chains of q(x | low_j < x_j < high_j for every j that is not hidden).

    Given a component and its factors the coordinates are independent: those that are known move in
    their intervals, component and factors move given them, and those that are hidden follow at the
    end (the data augmentation of Tanner and Wong 1987). Chains start uniformly by probability.
    """
    parts = analyzers(mixture)
    seen = Analyzers(
        parts.weights,
        parts.means[:, ~hidden],
        parts.loadings[:, ~hidden],
        parts.variances[:, ~hidden],
    )
    covariances = seen.posterior_covariances()
    roots = np.linalg.cholesky(covariances)
    maps = (seen.loadings / seen.variances[:, :, None]) @ covariances
    ends = np.stack([low[~hidden], high[~hidden]])
    shape = (n_chains, ends.shape[1])
    rows = truncated(np.zeros(shape), np.ones(shape), ends, rng)

    def draw_factors(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        joint = seen.joint_log_densities(rows)
        chosen = np.argmax(joint + rng.gumbel(size=joint.shape), axis=1)
        expected = np.einsum("cn,cnr->cr", rows - seen.means[chosen], maps[chosen])
        noise = rng.standard_normal(expected.shape)
        return chosen, expected + np.einsum("crs,cs->cr", roots[chosen], noise)

    chosen, factors = draw_factors(rows)
    for _ in range(N_SWEEPS):
        centers = seen.means[chosen] + np.einsum("cnr,cr->cn", seen.loadings[chosen], factors)
        rows = truncated(centers, np.sqrt(seen.variances[chosen]), ends, rng)
        chosen, factors = draw_factors(rows)
    whole = np.empty((n_chains, len(hidden)))
    whole[:, ~hidden] = rows
    centers = parts.means[:, hidden][chosen]
    centers = centers + np.einsum("cnr,cr->cn", parts.loadings[:, hidden][chosen], factors)
    spread = np.sqrt(parts.variances[:, hidden][chosen])
    whole[:, hidden] = centers + spread * rng.standard_normal(centers.shape)
    return whole


def analyzers(mixture: FactorMixture) -> Analyzers:
    """The mixture by its loadings, in double precision."""
    log_weights, means, scales, directions, gains = (
        np.asarray(part, np.float64)
        for part in (
            mixture.log_weights,
            mixture.means,
            mixture.scales,
            mixture.directions,
            mixture.gains,
        )
    )
    weights = np.exp(log_weights - np.logaddexp.reduce(log_weights))
    loadings = scales[:, :, None] * directions * np.sqrt(gains)[:, None, :]
    return Analyzers(weights, means, loadings, scales**2)


def truncated(
    centers: Rows, spreads: Rows, ends: Float[np.ndarray, "2 _"], rng: np.random.Generator
) -> Rows:
    """Normal numbers between their ends, by inverse cumulative probabilities.

    Intervals above the center are mirrored, so that far tails keep their digits; of an interval
    that is too far for that the nearer end is taken.
    """
    low, high = (ends[0] - centers) / spreads, (ends[1] - centers) / spreads
    is_above = low > 0
    below = np.where(is_above, -high, low), np.where(is_above, -low, high)
    first, last = ndtr(below[0]), ndtr(below[1])
    share = first + rng.random(centers.shape) * (last - first)
    drawn = np.where(last > 0, ndtri(np.maximum(share, 1e-300)), below[1])
    drawn = np.clip(drawn, *below)
    return centers + spreads * np.where(is_above, -drawn, drawn)
