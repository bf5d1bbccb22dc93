"""Gaussian mixtures of one variable, fitted to many columns at once by expectation-maximization."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

# Weighted points that stand for a column: so many of the lowest and of the highest cells by
# themselves, the others in groups of equal size.
N_EXTREME, N_GROUPS = 48, 400
_MAX_PASSES = 150
# Where groups begin, between edges of equal width (0) and of equal mass (1).
STARTS = (0.5, 1.0)
# Nats per row by which a pass has to improve the fit, or it is the last one.
_LEAST_GAIN = 2e-6

Points = Float[np.ndarray, "columns points"]
Parts = Float[np.ndarray, "columns components"]
Members = Float[np.ndarray, "columns components points"]


class Mixtures(NamedTuple):
    """One mixture per column: arrays (columns, components); the weights of a column add up to 1."""

    weights: Parts
    means: Parts
    sds: Parts


class Weighted(NamedTuple):
    """Sorted points (columns, points) with weights that add up to 1 in every column."""

    points: Points
    weights: Points


class _End(NamedTuple):
    """The mixtures at the end, and the mean log-density of the points under each, (columns,)."""

    mixtures: Mixtures
    fits: Float[np.ndarray, "columns"]


def weighted_points(
    columns: list[tuple[np.ndarray, np.ndarray]],
) -> Weighted:
    """Points that stand for columns, each given by its distinct sorted values and their counts."""
    parts = [_grouped(values, counts) for values, counts in columns]
    width = max(len(points) for points, _ in parts)
    # What is added to shorter columns weighs nothing.
    points = np.stack([np.pad(own, (0, width - len(own)), mode="edge") for own, _ in parts])
    weights = np.stack([np.pad(own, (0, width - len(own))) for _, own in parts])
    return Weighted(points, weights / weights.sum(axis=1, keepdims=True))


def _grouped(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of neighboring values, and how many cells each stands for."""
    if len(values) <= 2 * N_EXTREME + N_GROUPS:
        return values, counts
    middle = slice(N_EXTREME, len(values) - N_EXTREME)
    passed = np.cumsum(counts[middle])
    group = np.minimum(N_GROUPS * (passed - counts[middle] / 2) // passed[-1], N_GROUPS - 1)
    labels = np.concatenate(
        [
            np.arange(N_EXTREME),
            N_EXTREME + group,
            N_EXTREME + N_GROUPS + np.arange(N_EXTREME),
        ]
    ).astype(np.int64)
    totals = np.bincount(labels, counts)
    sums = np.bincount(labels, counts * values)
    filled = totals > 0
    return sums[filled] / totals[filled], totals[filled]


def fit_mixtures(data: Weighted, n_components: int, least_sd: np.ndarray) -> Mixtures:
    """Maximum-likelihood mixtures of so many components, no narrower than `least_sd` (columns,).

    Expectation-maximization (Dempster, Laird and Rubin 1977) from two starts, groups of points of
    equal mass, and groups halfway between these and those of equal width; the better end is kept.
    """

    def fit_from(share: float) -> _End:
        return _maximize(data, _first_members(data, n_components, share), least_sd)

    one, other = map(fit_from, STARTS)
    better = (other.fits > one.fits)[:, None]
    pairs = zip(one.mixtures, other.mixtures, strict=True)
    return Mixtures(*(np.where(better, second, first) for first, second in pairs))


def _maximize(data: Weighted, first: Members, least_sd: np.ndarray) -> _End:
    """Expectation-maximization of every column from its first groups."""
    # Moments are one product of matrices with the powers of the points.
    powers = np.stack([np.ones_like(data.points), data.points, data.points**2], axis=2)
    mixtures = _moments(first, powers, least_sd)
    fits = np.full(len(data.points), -np.inf)
    # What has not converged: numbers of columns, and their own points, powers and mixtures.
    active, own, own_powers, current = np.arange(len(fits)), data, powers, mixtures
    for _ in range(_MAX_PASSES):
        members, fit = _members(own, current)
        gain, fits[active] = fit - fits[active], fit
        current = _moments(members, own_powers, least_sd[active])
        for part, new in zip(mixtures, current, strict=True):
            part[active] = new
        gains = gain > _LEAST_GAIN
        if not gains.any():
            break
        if not gains.all():
            active, own_powers = active[gains], own_powers[gains]
            own = Weighted(*(part[gains] for part in own))
            current = Mixtures(*(part[gains] for part in current))
    return _End(mixtures, fits)


def _first_members(data: Weighted, n_components: int, share: float) -> Members:
    """Groups of neighboring points, with a share of everything in each so that none is empty.

    Their edges are those of equal mass by `share`, and of equal width by the rest.
    """
    passed = np.cumsum(data.weights, axis=1) - data.weights / 2
    low, high = data.points[:, :1], data.points[:, -1:]
    along = (data.points - low) / np.maximum(high - low, np.finfo(float).tiny)
    place = share * passed + (1 - share) * along
    group = np.minimum(n_components * place, n_components - 1).astype(np.int64)
    member = group[:, None] == np.arange(n_components)[:, None]
    return (0.95 * member + 0.05 / n_components) * data.weights[:, None]


def _moments(members: Members, powers: np.ndarray, least_sd: np.ndarray) -> Mixtures:
    """Weights, means and standard deviations of points that belong to components in part."""
    sums = members @ powers
    totals = np.maximum(sums[:, :, 0], 1e-300)
    means = sums[:, :, 1] / totals
    variances = np.maximum(sums[:, :, 2] / totals - means**2, least_sd[:, None] ** 2)
    return Mixtures(totals / totals.sum(axis=1, keepdims=True), means, np.sqrt(variances))


def _members(data: Weighted, mixtures: Mixtures) -> tuple[Members, Float[np.ndarray, "columns"]]:
    """How much of the weight of every point belongs to each component, and the mean log-density.

    In single precision, whose exponentials take a fifth of the time: points lie within some hundred
    standard deviations, and no component is narrower than `LEAST_SD`.
    """
    z = data.points[:, None].astype(np.float32) - mixtures.means[:, :, None].astype(np.float32)
    z *= (math.sqrt(0.5) / mixtures.sds)[:, :, None].astype(np.float32)
    logs = np.square(z, out=z)
    np.subtract(np.log(mixtures.weights / mixtures.sds)[:, :, None].astype(np.float32), logs, logs)
    peak = logs.max(axis=1, keepdims=True)
    logs -= peak
    members = np.exp(logs, out=logs)
    total = members.sum(axis=1, keepdims=True)
    fit = np.sum(data.weights * (peak + np.log(total))[:, 0], axis=1)
    members *= (data.weights[:, None] / total).astype(np.float32)
    return members.astype(float), fit
