"""Bridge sampling: Bennett's acceptance ratio between neighboring levels of replica exchange (Bennett 1976).

Many independent ladders run side by side. Each pair of levels is bridged from both sides; the standard
error is taken over whole ladders, so that it knows of all correlations within one.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import expit

N_BISECTIONS = 80
# In draws: the sum over all draws of s (1 - s), at most a quarter of each.
SMALLEST_OVERLAP = 1.0
# Nats; finite, because files of results hold no infinities.
UNKNOWN_ERROR = 1e6

Works = Float[np.ndarray, "ladders swaps pairs"]


@dataclass(frozen=True)
class Bridge:
    """The sum over all pairs of log Z_upper - log Z_lower, nats, with its standard error over ladders."""

    value: float
    standard_error: float


def bridge(work_up: Works, work_down: Works) -> Bridge:
    """Bridge all pairs of neighboring levels.

    Works are F_upper(x) - F_lower(x), at draws x of the lower level (`work_up`) and of the upper one
    (`work_down`), shape (ladders, swaps, pairs), in nats.
    """
    up, down = np.asarray(work_up, np.float64), np.asarray(work_down, np.float64)
    n_ladders = up.shape[0]
    ratios = _solve(up, down)
    # Each ratio r solves sum_up s(-w - r) = sum_down s(w + r): the share of each ladder in that sum,
    # over its slope, is how much the ladder moves the solution (infinitesimal jackknife).
    low, high = expit(-(up + ratios)), expit(down + ratios)
    shares = np.sum(high - low, axis=1)
    slopes = np.sum(low * (1 - low) + high * (1 - high), axis=(0, 1))
    influences = np.sum(shares / np.maximum(slopes, 1e-300), axis=1)
    if n_ladders < 2 or np.any(slopes < SMALLEST_OVERLAP):
        # One ladder knows no error; between levels that share nothing any ratio solves the equation.
        return Bridge(float(ratios.sum()), UNKNOWN_ERROR)
    variance = np.sum((influences - influences.mean()) ** 2) * n_ladders / (n_ladders - 1)
    return Bridge(float(ratios.sum()), float(np.sqrt(variance)))


def _solve(up: Works, down: Works) -> Float[np.ndarray, "pairs"]:
    """The root of Bennett's equation for every pair, by bisection; both sides have equally many draws."""
    low = np.minimum(-up.max(axis=(0, 1)), -down.max(axis=(0, 1))) - 1
    high = np.maximum(-up.min(axis=(0, 1)), -down.min(axis=(0, 1))) + 1
    for _ in range(N_BISECTIONS):
        middle = (low + high) / 2
        # Increasing in the ratio.
        excess = np.sum(expit(down + middle) - expit(-(up + middle)), axis=(0, 1))
        low, high = np.where(excess < 0, middle, low), np.where(excess < 0, high, middle)
    return (low + high) / 2
