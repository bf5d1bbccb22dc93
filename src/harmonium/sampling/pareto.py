"""Generalized Pareto distributions: what lies beyond a high threshold, whatever lies below it."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

Excesses = Float[np.ndarray, "tail"]
Shapes = Float[np.ndarray, "shapes"]
# Halvings of the interval in which the scale lies.
_BISECTIONS = 60
# A smaller shape is taken for the exponential distribution.
_FLAT = 1e-9


class Pareto(NamedTuple):
    """A mean of generalized Pareto distributions, for excesses of which nothing else is known.

    Of each, P(excess > x) = (1 + shape x / scale)^(-1 / shape), exp(-x / scale) for the shape 0;
    shapes are at least 0, and weights add up to 1.
    """

    shapes: Shapes
    scales: Shapes
    weights: Shapes

    @property
    def shape(self) -> float:
        """The mean shape."""
        return float(self.weights @ self.shapes)

    def log_survival(self, excesses: Excesses) -> Excesses:
        """log P(excess > x), and 0 for x <= 0."""
        relative = np.maximum(excesses, 0.0)[:, None] / self.scales
        is_flat = self.shapes < _FLAT
        shapes = np.where(is_flat, 1.0, self.shapes)
        logs = np.where(is_flat, -relative, -np.log1p(shapes * relative) / shapes)
        return np.asarray(logsumexp(logs, axis=1, b=self.weights))

    def excess_of(self, log_survival: float) -> float:
        """The excess that so large a log-probability of more belongs to, by bisection."""
        low, high = 0.0, float(self.scales.max())
        while self.log_survival(np.array([high]))[0] > log_survival:
            low, high = high, 2 * high
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            is_below = self.log_survival(np.array([middle]))[0] > log_survival
            low, high = (middle, high) if is_below else (low, middle)
        return low


def average_shapes(excesses: Excesses, shapes: Shapes, *, prior_precision: float) -> Pareto:
    """The mean over these shapes, each with its likeliest scale, by profile likelihoods.

    Beforehand shapes are half-normal of this precision. A mean of tails says more of what is far
    out than the tail of a mean shape: the heavier ones have it nearly alone.
    """
    scales = np.array([fit_scale(excesses, shape) for shape in shapes])
    n = len(excesses)
    density = [
        -n * np.log(scale)
        - (1 + 1 / shape if shape >= _FLAT else 1.0)
        * float(np.sum(np.log1p(shape * excesses / scale) if shape >= _FLAT else excesses / scale))
        for shape, scale in zip(shapes, scales, strict=True)
    ]
    posterior = np.array(density) - 0.5 * prior_precision * shapes**2
    return Pareto(shapes, scales, np.exp(posterior - np.logaddexp.reduce(posterior)))


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
