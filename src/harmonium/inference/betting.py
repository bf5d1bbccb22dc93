"""Bets against p-values: densities on [0, 1], by which an even bet on a uniform p is multiplied.

For a uniform p the mean of every factor is 1, so that no strategy of such bets gains by chance: the
product of the factors is a martingale (Vovk, "Testing randomness online", 2021). Against a drift
gains the bet whose density is nearest to that of the drifting p-values. Which one that is nobody
has to know: their mean is a bet too, and lags behind the best of them by the log of their number.
"""

from itertools import product

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

Factors = Float[np.ndarray, "*shape bets"]

# Normal quantiles of p that are moved to these means, with these standard deviations.
MEANS = (-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0)
SPREADS = (2 / 3, 1.0, 3 / 2)
GAUSSIANS = tuple(pair for pair in product(MEANS, SPREADS) if pair != (0.0, 1.0))
# Shares of the p-values at either end, and the probability that the bet gives to them: for rare
# rows that become frequent, which no moved mean describes, and for those that cease.
STEPS = ((0.01, 0.04), (0.03, 0.12), (0.1, 0.3), (0.3, 0.5), (0.1, 0.02))
N_BETS = len(GAUSSIANS) + 2 * len(STEPS)


def bet_factors(p: Float[np.ndarray, "*shape"]) -> Factors:
    """The factor of every bet at p-values inside (0, 1); 1 where there is none (NaN)."""
    factors = np.concatenate([_gaussian_factors(p), _step_factors(p), _step_factors(1 - p)], -1)
    return np.where(np.isnan(p)[..., None], 1.0, factors)


def _gaussian_factors(p: np.ndarray) -> Factors:
    """The density of N(mean, spread²) over that of N(0, 1) at the normal quantiles of p."""
    means, spreads = np.array(GAUSSIANS).T
    z = ndtri(p)[..., None]
    return np.exp((z**2 - ((z - means) / spreads) ** 2) / 2) / spreads


def _step_factors(p: np.ndarray) -> Factors:
    """Constant densities below and above the edge of the lowest p-values."""
    shares, masses = np.array(STEPS).T
    return np.where(p[..., None] < shares, masses / shares, (1 - masses) / (1 - shares))
