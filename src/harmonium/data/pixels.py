"""Pixels as levels: how often each pixel takes each, and the normal coordinates made of that."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtr, ndtri

from harmonium.data.state import take_arrays
from harmonium.errors import ArtifactError, InvalidInputError, describe

LOG_2PI = float(np.log(2 * np.pi))
# Rows that the shares of all pixels nearby count for; held-out rows choose.
STRENGTHS = (2.0, 8.0, 32.0, 128.0)
# Pixels across the neighborhood, and the share of all images' levels in what it says.
NEIGHBORHOOD, EVERYWHERE = 3, 0.02
# Shares of levels are no smaller, so that every level has a cell of its own.
LEAST_SHARE = 1e-9
# Shares of the training rows that choose the strength, and rows that do at most.
HELD_OUT, MOST_HELD_OUT = 0.1, 1000

Levels = Int[np.ndarray, "rows visible"]
Units = Float[np.ndarray, "rows visible"]


@dataclass(frozen=True, eq=False)
class Pixels:
    """How often every pixel takes each level 0, 1, …: `shares` (visible, levels).

    A level is an interval of a coordinate u that is standard normal on its own, of the level's
    probability. `dequantize` puts a row at places in its intervals, uniformly by probability; a
    density p(u) then gives a row at least exp(E log(p(u)/φ(u))) times the product of its shares
    (Theis et al. 2016, "A note on the evaluation of generative models", eq. 9, in coordinates of
    our own).
    """

    shares: Float[np.ndarray, "visible levels"]

    @staticmethod
    def fit(
        rows: Levels, image_shape: tuple[int, int, int], n_levels: int, rng: np.random.Generator
    ) -> "Pixels":
        """The shares of rows, and of pixels nearby, with the weight that held-out rows prefer."""
        order = rng.permutation(len(rows))
        n_held = max(1, min(round(HELD_OUT * len(rows)), MOST_HELD_OUT))
        held, kept = rows[order[:n_held]], rows[order[n_held:]]
        counts = _counts(kept, n_levels)
        nearby = _nearby(counts, image_shape)
        scores = [
            _log_shares(_shrunk(counts, nearby, strength), held).sum() for strength in STRENGTHS
        ]
        strength = STRENGTHS[int(np.argmax(scores))]
        counts = _counts(rows, n_levels)
        return Pixels(_shrunk(counts, _nearby(counts, image_shape), strength))

    @property
    def n_visible(self) -> int:
        """Numbers of an image."""
        return self.shares.shape[0]

    @property
    def n_levels(self) -> int:
        """How many levels there are."""
        return self.shares.shape[1]

    @cached_property
    def cumulative(self) -> Float[np.ndarray, "visible ends"]:
        """The probability below every level, with 1 at the end."""
        sums = np.cumsum(self.shares, axis=1)
        return np.pad(sums / sums[:, -1:], ((0, 0), (1, 0)))

    def dequantize(self, rows: Levels, places: Units) -> Units:
        """The coordinates of rows of levels, at these places in (0, 1) of their intervals."""
        index = np.arange(self.n_visible)
        low, high = self.cumulative[index, rows], self.cumulative[index, rows + 1]
        tiny = np.finfo(np.float64).eps
        return ndtri(np.clip(low + places * (high - low), tiny, 1 - tiny))

    def intervals(self, row: Int[np.ndarray, "visible"]) -> Float[np.ndarray, "2 visible"]:
        """The ends of the intervals of a row of levels."""
        index = np.arange(self.n_visible)
        return ndtri(np.stack([self.cumulative[index, row], self.cumulative[index, row + 1]]))

    def log_measure(self, rows: Levels, units: Units) -> Float[np.ndarray, "rows"]:
        """What log p(u) lacks to the log-probability of the row, nats: Σ log share - log φ(u)."""
        log_normal = -0.5 * (units**2 + LOG_2PI)
        return _log_shares(self.shares, rows) - log_normal.sum(axis=1)

    def log_independent(self, rows: Levels) -> Float[np.ndarray, "rows"]:
        """The log-probability of rows whose pixels are independent, exactly, nats."""
        return _log_shares(self.shares, rows)

    def levels(self, units: Units) -> Levels:
        """The levels whose intervals hold these coordinates."""
        found = np.empty(units.shape, np.int64)
        below = ndtr(units)
        for pixel, ends in enumerate(self.cumulative):
            found[:, pixel] = np.searchsorted(ends[1:-1], below[:, pixel], side="right")
        return found

    def to_state(self) -> dict[str, np.ndarray]:
        """The shares."""
        return {"shares": self.shares}

    @staticmethod
    def from_state(arrays: dict[str, np.ndarray], n_visible: int, n_levels: int) -> "Pixels":
        """The pixels that `to_state` described; raises `ArtifactError` for anything else."""
        shares = take_arrays(arrays, {"shares": (n_visible, n_levels)}, "Pixels")["shares"]
        if not np.all(shares > 0) or np.any(np.abs(shares.sum(axis=1) - 1) > 1e-6):
            raise ArtifactError("the shares of the levels are no probabilities.")
        return Pixels(shares)


def bits_per_dimension(
    log_probability: Float[np.ndarray, "rows"], n_visible: int
) -> Float[np.ndarray, "rows"]:
    """Log-probabilities of images in nats as bits per number of the image."""
    return -np.asarray(log_probability) / (n_visible * np.log(2))


def check_levels(rows: Levels, n_levels: int, call: str) -> Levels:
    """The rows, or `InvalidInputError` where a level was not known to the fit."""
    if rows.size and rows.max() >= n_levels:
        raise InvalidInputError(
            describe(
                call,
                expected=f"levels from 0 to {n_levels - 1}, as in the images of the fit",
                got=f"{rows.max()}",
            )
        )
    return rows


def _counts(rows: Levels, n_levels: int) -> Float[np.ndarray, "visible levels"]:
    n_visible = rows.shape[1]
    flat = rows + n_levels * np.arange(n_visible)
    counts = np.bincount(flat.ravel(), minlength=n_visible * n_levels)
    return counts.reshape(n_visible, n_levels).astype(np.float64)


def _nearby(
    counts: Float[np.ndarray, "visible levels"], image_shape: tuple[int, int, int]
) -> Float[np.ndarray, "visible levels"]:
    """The shares of levels among the pixels around every pixel, and a little of all pixels'."""
    grid = counts.reshape(*image_shape, -1)
    for axis in (0, 1):
        grid = _window_means(grid, axis)
    around = grid.reshape(counts.shape)
    whole = counts.sum(axis=0) + 1
    around /= around.sum(axis=1, keepdims=True)
    return (1 - EVERYWHERE) * around + EVERYWHERE * whole / whole.sum()


def _window_means(
    grid: Float[np.ndarray, "height width channels levels"], axis: int
) -> Float[np.ndarray, "height width channels levels"]:
    """Means over `NEIGHBORHOOD` places along an axis; beyond an edge it goes on as it ends."""
    # A tenth of a second of SciPy's image filters to import, which tables would wait for, too.
    margins = [(0, 0)] * grid.ndim
    margins[axis] = (NEIGHBORHOOD // 2, (NEIGHBORHOOD - 1) // 2)
    padded = np.pad(grid, margins, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, NEIGHBORHOOD, axis).mean(axis=-1)


def _shrunk(
    counts: Float[np.ndarray, "visible levels"],
    nearby: Float[np.ndarray, "visible levels"],
    strength: float,
) -> Float[np.ndarray, "visible levels"]:
    shares = counts + strength * nearby
    shares = np.maximum(shares / shares.sum(axis=1, keepdims=True), LEAST_SHARE)
    return shares / shares.sum(axis=1, keepdims=True)


def _log_shares(
    shares: Float[np.ndarray, "visible levels"], rows: Levels
) -> Float[np.ndarray, "rows"]:
    return np.log(shares)[np.arange(rows.shape[1]), rows].sum(axis=1)
