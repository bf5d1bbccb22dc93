"""How far chains agree and what their draws are worth: R-hat and effective sample sizes.

All take traces of several quantities, shape (quantities, chains, draws), finite, of at least 4
draws, and return one number for each quantity. Every chain is cut into halves first, so that a
chain that drifts disagrees with itself; of an odd number of draws the one in the middle is left
out.

References: Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021), Rank-normalization, folding, and
localization; Margossian et al. (2024), Nested R-hat; Geyer (1992), Practical Markov chain Monte
Carlo.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Shaped
from scipy.special import ndtri

Traces = Float[np.ndarray, "quantities chains draws"]
PerQuantity = Float[np.ndarray, "quantities"]

# A quantity that varies less is constant: all its draws are worth the same.
RESOLUTION = 1e-15


def split_r_hat(traces: Traces) -> PerQuantity:
    """The larger R-hat of ranks and of folded ranks: one sees means, the other scales that differ.

    NaN for a constant quantity, and infinite where chains differ of which none varies.
    """
    return _larger_of_ranks(_r_hat, traces)


def nested_r_hat(traces: Traces, n_starts: int) -> PerQuantity:
    """The same between starts: equally many chains from each, those of one start side by side.

    It compares means over the chains of a start, so that short chains can agree.
    """

    def between_starts(scores: Traces) -> PerQuantity:
        n_quantities, _, n_draws = scores.shape
        # Both halves of a chain belong to its start.
        split = scores.reshape(n_quantities, 2, n_starts, -1, n_draws)
        chains = split.swapaxes(1, 2).reshape(n_quantities, n_starts, -1, n_draws)
        means = chains.mean(axis=3)
        within = chains.var(axis=3, ddof=1).mean(axis=2) + means.var(axis=2, ddof=1)
        return np.sqrt(1 + means.mean(axis=2).var(axis=1, ddof=1) / within.mean(axis=1))

    return _larger_of_ranks(between_starts, traces)


def bulk_ess(traces: Traces) -> PerQuantity:
    """Effective sample size of ranks: for the middle of a distribution, whether or not it has
    moments.
    """
    return _ess(_normal_scores(_halves(traces)))


def tail_ess(traces: Traces, shares: tuple[float, ...] = (0.05, 0.95)) -> PerQuantity:
    """The smallest effective sample size for the quantiles of these shares."""
    limits = np.quantile(traces, shares, axis=(1, 2))[..., None, None]
    found = [_ess(_halves((traces <= limit).astype(float))) for limit in limits]
    return np.min(found, axis=0)


def _larger_of_ranks(r_hat: Callable[[Traces], PerQuantity], traces: Traces) -> PerQuantity:
    halves = _halves(traces)
    folded = np.abs(halves - np.median(halves, axis=(1, 2), keepdims=True))
    # What never varies has no variance to divide by.
    with np.errstate(divide="ignore", invalid="ignore"):
        # A quantity of two values is constant once it is folded: its ranks alone count.
        return np.fmax(r_hat(_normal_scores(halves)), r_hat(_normal_scores(folded)))


def _halves(traces: Traces) -> Float[np.ndarray, "quantities halves draws_of_half"]:
    """First halves of all chains, then the second ones."""
    half = traces.shape[2] // 2
    return np.concatenate([traces[..., :half], traces[..., -half:]], axis=1)


def _normal_scores(traces: Traces) -> Traces:
    """The normal quantiles of the ranks among all draws of a quantity; of equal draws the mean
    rank. The offset 3/8 is Blom's (1958).
    """
    ranks = np.stack([_ranks(trace.ravel()).reshape(trace.shape) for trace in traces])
    return ndtri((ranks - 3 / 8) / (traces[0].size + 1 / 4))


def _ranks(values: Shaped[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]


def _r_hat(chains: Traces) -> PerQuantity:
    """The square root of the variance of all draws over that within chains."""
    n_draws = chains.shape[2]
    within = chains.var(axis=2, ddof=1).mean(axis=1)
    between = chains.mean(axis=2).var(axis=1, ddof=1)
    return np.sqrt(between / within + (n_draws - 1) / n_draws)


def _ess(chains: Traces) -> PerQuantity:
    """Draws over their autocorrelation time, which chains that disagree make longer.

    No more than a multiple log10(draws) of the draws is claimed for chains that overshoot.
    """
    _, n_chains, n_draws = chains.shape
    size = n_chains * n_draws
    covariances = _autocovariances(chains).mean(axis=1)
    within = covariances[:, :1] * n_draws / (n_draws - 1)
    total = covariances[:, :1] + chains.mean(axis=2).var(axis=1, ddof=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlations = 1 - (within - covariances) / total
    times = np.array([_autocorrelation_time(found) for found in correlations])
    constant = np.ptp(chains, axis=(1, 2)) < RESOLUTION
    return np.where(constant, size, size / np.maximum(times, 1 / np.log10(size)))


def _autocovariances(chains: Traces) -> Traces:
    """Of every chain at all lags, by Fourier transform; divided by the number of draws."""
    n_draws = chains.shape[2]
    # So long that no lag wraps around.
    length = 1 << (2 * n_draws - 1).bit_length()
    spectrum = np.fft.rfft(chains - chains.mean(axis=2, keepdims=True), length, axis=2)
    return np.fft.irfft(np.abs(spectrum) ** 2, length, axis=2)[..., :n_draws] / n_draws


def _autocorrelation_time(correlations: Float[np.ndarray, "lags"]) -> float:
    """1 + 2 (rho_1 + rho_2 + …) by Geyer's initial monotone sequence; NaN for correlations that
    are.

    Sums of neighbors, rho_2k + rho_2k+1, are positive and fall with k for a reversible chain. Noise
    begins where one is not: there the sum ends, and up to there no one counts more than those
    before it. Of the pair at the end the first half counts once if it is positive, which makes
    less of chains that overshoot (Vehtari et al. 2021).
    """
    if np.isnan(correlations).any():
        return np.nan
    # The correlation at no lag is 1, whatever the chains say of each other.
    correlations = np.append(1.0, correlations[1:])
    # The largest lags rest on a draw or two.
    n_pairs = max(1, (len(correlations) - 1) // 2)
    pairs = correlations[: 2 * n_pairs].reshape(n_pairs, 2).sum(axis=1)
    last = int(np.argmax(pairs <= 0)) if np.any(pairs <= 0) else n_pairs - 1
    end = correlations[2 * last]
    counts = end > 0 or pairs[last] >= 0
    return float(2 * np.minimum.accumulate(pairs[:last]).sum() + counts * end - 1)
