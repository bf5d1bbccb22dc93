"""Generalized Pareto distributions: what lies beyond a high threshold, whatever lies below it."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Excesses = Float[np.ndarray, "tail"]
# Halvings of the interval in which the scale lies.
_BISECTIONS = 60
# A shape nearer to 0 is taken for the exponential distribution.
_FLAT = 1e-9


class Pareto(NamedTuple):
    """P(excess > x) = (1 + shape x / scale)^(-1 / shape), exp(-x / scale) for the shape 0.

    With a negative shape no excess is larger than -scale / shape.
    """

    shape: float
    scale: float

    def log_survival(self, excesses: Excesses) -> Excesses:
        """log P(excess > x); 0 for x <= 0, minus infinity beyond the largest possible."""
        relative = np.maximum(excesses, 0.0) / self.scale
        if abs(self.shape) < _FLAT:
            return -relative
        with np.errstate(divide="ignore"):
            return -np.log(np.maximum(1 + self.shape * relative, 0.0)) / self.shape

    def excess_of(self, log_survival: float) -> float:
        """The excess that so large a log-probability of more belongs to."""
        if abs(self.shape) < _FLAT:
            return -self.scale * log_survival
        return self.scale * float(np.expm1(-self.shape * log_survival)) / self.shape


def fit_shape(excesses: Excesses, *, prior: float, prior_weight: float) -> float:
    """The shape of excesses over a threshold, sorted upwards, not all of them equal.

    Zhang and Stephens ("A new and efficient estimation method for the generalized Pareto
    distribution", Technometrics 51, 2009): the posterior mean over a grid of theta = -shape /
    scale, by profile likelihoods; then drawn to `prior` as if that were the shape of so many more
    excesses.
    """
    n = len(excesses)
    n_grid = 30 + int(n**0.5)
    quartile = excesses[int(n / 4 + 0.5) - 1]
    steps = 1 - np.sqrt(n_grid / (np.arange(1, n_grid + 1) - 0.5))
    thetas = steps / (3 * quartile) + 1 / excesses[-1]
    shapes = np.mean(np.log1p(-thetas[:, None] * excesses[None, :]), axis=1)
    profile = n * (np.log(-thetas / shapes) - shapes - 1)
    weights = np.exp(profile - np.logaddexp.reduce(profile))
    theta = float(weights @ thetas)
    shape = float(np.mean(np.log1p(-theta * excesses)))
    return (n * shape + prior_weight * prior) / (n + prior_weight)


def fit_scale(excesses: Excesses, shape: float) -> float:
    """The most likely scale for this shape of at least 0: where the mean of (1 + shape) x / (scale
    + shape x) is 1.
    """
    low, high = 0.0, (1 + shape) * float(excesses.mean())
    for _ in range(_BISECTIONS):
        scale = 0.5 * (low + high)
        is_below = np.mean((1 + shape) * excesses / (scale + shape * excesses)) > 1
        low, high = (scale, high) if is_below else (low, scale)
    return high
