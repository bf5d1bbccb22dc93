"""Conformal p-values of a stream, each row among all before it, in bounded memory.

Of exchangeable rows the place of the next score among all earlier ones is uniform, and independent
of the places of these: smoothed ranks are independent and uniform, exactly and for any number of
rows (Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random World", 2005). p-values against a
fixed calibration sample are not: they share its error, which a long stream would find.

A channel keeps its first scores, `capacity` of them, as cuts of the line; of later ones it counts
into which gap between cuts they fell. The next score falls into a gap with probability (1 + its
count) / (all scores + 1), whatever the distribution is (Pólya's urn), so that a place drawn evenly
in the gap leaves p-values exactly independent and uniform. What is lost is resolution alone.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float, Int

CAPACITY = 1000
# Twice the spacing of numbers below 1: no p-value is 0 or 1, where quantiles are infinite.
MARGIN = 2.0**-52
# What stands for infinite scores, which are ordered as usual.
LARGEST = 1e300

Scores = Float[np.ndarray, "rows channels"]


@dataclass(frozen=True, eq=False)
class OnlineRanks:
    """What is kept of the scores of every channel.

    `cuts` (channels, capacity) are the first scores in their order, with a random mark as imaginary
    part that breaks ties (complex numbers are ordered by their real parts first), inf where there
    are none yet; `counts` (channels, capacity + 1) later scores per gap, below, between and above
    the cuts; `n_seen` (channels,) how many scores there were.
    """

    cuts: Complex[np.ndarray, "channels capacity"]
    counts: Float[np.ndarray, "channels gaps"]
    n_seen: Int[np.ndarray, "channels"]

    @staticmethod
    def empty(n_channels: int, capacity: int = CAPACITY) -> "OnlineRanks":
        """Before the first row."""
        return OnlineRanks(
            np.full((n_channels, capacity), np.inf, complex),
            np.zeros((n_channels, capacity + 1)),
            np.zeros(n_channels, np.int64),
        )

    def advance(self, scores: Scores, draws: np.ndarray) -> tuple["OnlineRanks", Scores]:
        """The ranks after further rows, and the p-values of these, (rows, channels), small for low
        scores.

        All pairs of the rows are compared, so that they should be few hundred. `scores`
        (rows, channels) are NaN where a row has none, and so are the p-values; `draws`
        (2, rows, channels) are uniform on [0, 1): marks, and places in the gaps.
        """
        cuts, counts = self.cuts.copy(), self.counts.copy()
        p_values = np.full(scores.shape, np.nan)
        known = ~np.isnan(scores)
        scores = np.clip(scores, -LARGEST, LARGEST)
        for channel, rows in enumerate(known.T):
            own = scores[rows, channel] + 1j * draws[0, rows, channel]
            n_before = int(self.n_seen[channel])
            below, width = _ranked(cuts[channel], counts[channel], n_before, own)
            total = n_before + 1 + np.arange(len(own))
            p_values[rows, channel] = (below + draws[1, rows, channel] * width) / total
        seen = self.n_seen + known.sum(axis=0)
        return OnlineRanks(cuts, counts, seen), np.clip(p_values, MARGIN, 1 - MARGIN)


def _ranked(
    cuts: np.ndarray, counts: np.ndarray, n_before: int, own: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How many scores lie below the gap of each of a channel's next scores (rows,), and the weight
    of the gap; cuts and counts are brought up to date.
    """
    n_cuts = min(n_before, len(cuts))
    new, later = np.split(own, [min(len(own), len(cuts) - n_cuts)])
    places = np.searchsorted(np.sort(new), new)
    below = np.searchsorted(cuts[:n_cuts], new) + _earlier(places, np.less)
    if len(new):
        cuts[: n_cuts + len(new)] = np.sort(np.concatenate([cuts[:n_cuts], new]))
    if not len(later):
        return below, np.ones(len(new))
    weights = 1 + counts
    gaps = np.searchsorted(cuts, later)
    below = np.append(below, (np.cumsum(weights) - weights)[gaps] + _earlier(gaps, np.less))
    width = np.append(np.ones(len(new)), weights[gaps] + _earlier(gaps, np.equal))
    counts += np.bincount(gaps, minlength=len(counts))
    return below, width


def _earlier(values: Int[np.ndarray, "rows"], compare: np.ufunc) -> Int[np.ndarray, "rows"]:
    """For every value, how many of those before it compare so with it."""
    small = values.astype(np.int32)
    pairs = compare(small[:, None], small[None, :]) & np.tri(len(small), k=-1, dtype=bool).T
    return np.asarray(np.sum(pairs, axis=0, dtype=np.int32))
