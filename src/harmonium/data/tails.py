"""Choosing, column by column, between a linear scale and asinh tails.

With v = tail·asinh((x - location)/(scale·tail)) a column is linear near its median and logarithmic
far out. Both choices are compared as Gaussian fits in data units, so the Jacobian counts.
"""

import numpy as np

TAILS = ("auto", "none", "asinh")
# Where asinh may set in, in robust standard deviations.
_TAIL_GRID = (0.1, 0.3, 1.0, 3.0)
# Nats per row that asinh must gain: a bounded or Gaussian column gains nothing but noise.
_LEAST_GAIN = 0.05
# The standard deviation of a Gaussian over its median absolute deviation.
_SD_PER_MAD = 1.4826022185056018


def fit_tails(values: np.ndarray, tails: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Location, scale and tail of every column, shape (columns,) each; tail 0 means linear."""
    location, scale = mean_and_sd(values)
    tail = np.zeros(len(location))
    if tails == "none":
        return location, scale, tail
    median, robust = _median_and_scale(values, scale)
    linear = -np.log(scale)
    for i in range(len(location)):
        column = values[:, i]
        u = (column[~np.isnan(column)] - median[i]) / robust[i]
        gains = [_asinh_fit(u, t) - np.log(robust[i]) - linear[i] for t in _TAIL_GRID]
        best = int(np.argmax(gains))
        if tails == "asinh" or gains[best] >= _LEAST_GAIN:
            location[i], scale[i], tail[i] = median[i], robust[i], _TAIL_GRID[best]
    return location, scale, tail


def mean_and_sd(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and maximum-likelihood standard deviation of the observed cells of every column, safe from underflow."""
    mean = np.nanmean(values, axis=0)
    centered = values - mean
    peak = np.nanmax(np.abs(centered), axis=0)
    return mean, peak * np.sqrt(np.nanmean((centered / peak) ** 2, axis=0))


def _median_and_scale(values: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median and MAD-based standard deviation; the ordinary one where more than half are equal."""
    median = np.nanmedian(values, axis=0)
    robust = _SD_PER_MAD * np.nanmedian(np.abs(values - median), axis=0)
    return median, np.where(robust > 0, robust, sd)


def _asinh_fit(u: np.ndarray, tail: float) -> float:
    """Mean Gaussian log-likelihood of u after asinh, in units of u, up to the common constant."""
    v = tail * np.arcsinh(u / tail)
    log_slope = -np.log(np.hypot(1.0, u / tail)).mean()
    sd = mean_and_sd(v[:, None])[1][0]
    return float(log_slope - np.log(sd))
