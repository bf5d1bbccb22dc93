"""Bridge sampling: Bennett's acceptance ratio between neighboring levels of replica exchange
(Bennett 1976).

Many independent ladders run side by side. Each pair of levels is bridged from both sides; the
standard error is taken over whole ladders, so that it knows of all correlations within one.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit

N_BISECTIONS = 80
# In draws: the sum over all draws of s (1 - s), at most a quarter of each.
SMALLEST_OVERLAP = 1.0
# Nats; finite, because files of results hold no infinities.
UNKNOWN_ERROR = 1e6
# In place of works that are not finite.
LARGEST_WORK = 1e6

# Of any number of swaps, which may differ from side to side.
Works = Float[np.ndarray, "ladders _ pairs"]


@dataclass(frozen=True)
class Bridge:
    """The sum over all pairs of log Z_upper - log Z_lower, nats, with its standard error over
    ladders.
    """

    value: float
    standard_error: float


def bridge(
    work_up: Works, work_down: Works, origins: Int[np.ndarray, "ladders"] | None = None
) -> Bridge:
    """Bridge all pairs of neighboring levels.

    Works are F_upper(x) - F_lower(x), at draws x of the lower level (`work_up`) and of the upper
    one (`work_down`), shape (ladders, swaps, pairs), in nats; the two may have different numbers of
    swaps. Ladders of one origin may be alike: the standard error is taken over origins, which are
    the ladders themselves if none are given.
    """
    up, down = np.asarray(work_up, np.float64), np.asarray(work_down, np.float64)
    roots = _solve(up, down)
    # Of n and m draws Bennett's equation has r + log(n/m) in place of r.
    ratios = roots - np.log(up.shape[1] / down.shape[1])
    # Each root r solves sum_up s(-w - r) = sum_down s(w + r): the share of each ladder in that sum,
    # over its slope, is how much the ladder moves the solution (infinitesimal jackknife).
    low, high = expit(-(up + roots)), expit(down + roots)
    shares = np.sum(high, axis=1) - np.sum(low, axis=1)
    slopes = np.sum(low * (1 - low), axis=(0, 1)) + np.sum(high * (1 - high), axis=(0, 1))
    influences = np.sum(shares / np.maximum(slopes, 1e-300), axis=1)
    influences -= influences.mean()
    if origins is not None:
        influences = np.bincount(np.unique(origins, return_inverse=True)[1], influences)
    n_origins = len(influences)
    if n_origins < 2 or np.any(slopes < SMALLEST_OVERLAP):
        # One ladder knows no error; between levels that share nothing any ratio solves the
        # equation.
        return Bridge(float(ratios.sum()), UNKNOWN_ERROR)
    variance = np.sum(influences**2) * n_origins / (n_origins - 1)
    return Bridge(float(ratios.sum()), float(np.sqrt(variance)))


def _solve(up: Works, down: Works) -> Float[np.ndarray, "pairs"]:
    """The root of Bennett's equation for every pair, by bisection."""
    # With n times as many draws on one side the root lies up to log n beyond all works.
    margin = 1 + abs(np.log(up.shape[1] / down.shape[1]))
    low = np.minimum(-up.max(axis=(0, 1)), -down.max(axis=(0, 1))) - margin
    high = np.maximum(-up.min(axis=(0, 1)), -down.min(axis=(0, 1))) + margin
    for _ in range(N_BISECTIONS):
        middle = (low + high) / 2
        # Increasing in the ratio.
        excess = np.sum(expit(down + middle), axis=(0, 1))
        excess -= np.sum(expit(-(up + middle)), axis=(0, 1))
        low, high = np.where(excess < 0, middle, low), np.where(excess < 0, high, middle)
    return (low + high) / 2
