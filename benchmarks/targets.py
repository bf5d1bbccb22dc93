"""Densities whose truth is known: draws, exact log-densities, entropies, and modes if there are."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln, psi
from sklearn.datasets import make_moons

LOG_2PI = math.log(2 * math.pi)
# Nodes along an arc of the moons; its noise is 1/31 of its length.
ARC_NODES = 128
MOON_NOISE = 0.1
# By quadrature: of two moons in their own units, and of two Gaussians in units of their scales.
MOONS_ENTROPY = 1.00758
FAR_SCALES_ENTROPY = 2.64031
# By quadrature; if its modes did not overlap at all it would be 0.0004 more.
EIGHT_GAUSSIANS_ENTROPY = 0.83650
BOARD_SCALE = 1.2
TAIL_DEGREES = 3.0

Sampler = Callable[[np.random.Generator, int], np.ndarray]
RowFunction = Callable[[np.ndarray], np.ndarray]


class Modes(NamedTuple):
    """Which mode a row belongs to or lies nearest to, counted from 0, and the mass of each."""

    label: RowFunction
    shares: np.ndarray


@dataclass(frozen=True)
class Target:
    """A density: draws (n, columns), log-densities of rows and the entropy, nats, data units."""

    sample: Sampler
    log_density: RowFunction
    entropy: float
    modes: Modes | None = None


@dataclass(frozen=True)
class NormalMixture:
    """Gaussians: weights (k,), means (k, columns), covariances (k, columns, columns)."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Independent draws, (n, columns)."""
        chosen = rng.choice(len(self.weights), size=n, p=self.weights)
        noise = rng.normal(size=(n, self.means.shape[1]))
        rows = np.empty_like(noise)
        for k, factor in enumerate(np.linalg.cholesky(self.covariances)):
            own = chosen == k
            rows[own] = self.means[k] + noise[own] @ factor.T
        return rows

    def joint_log_densities(self, rows: np.ndarray) -> np.ndarray:
        """log w_k N(x; m_k, S_k), (n, k)."""
        found = []
        for weight, mean, covariance in zip(
            self.weights, self.means, self.covariances, strict=True
        ):
            factor = np.linalg.cholesky(covariance)
            standard = np.linalg.solve(factor, (rows - mean).T)
            constant = np.log(np.diag(factor)).sum() + 0.5 * len(mean) * LOG_2PI
            found.append(np.log(weight) - constant - 0.5 * (standard**2).sum(axis=0))
        return np.stack(found, axis=1)

    def log_density(self, rows: np.ndarray) -> np.ndarray:
        """Of each row, (n,)."""
        return np.logaddexp.reduce(self.joint_log_densities(rows), axis=1)

    def label(self, rows: np.ndarray) -> np.ndarray:
        """The component that each row most likely comes from, (n,)."""
        return self.joint_log_densities(rows).argmax(axis=1)

    def target(self, entropy: float) -> Target:
        """With its components as modes."""
        return Target(self.sample, self.log_density, entropy, Modes(self.label, self.weights))


def normal(covariance: np.ndarray) -> NormalMixture:
    """One Gaussian around 0."""
    return NormalMixture(np.ones(1), np.zeros((1, len(covariance))), covariance[None])


def round_modes(centers: np.ndarray, sd: float) -> NormalMixture:
    """Equal shares of round Gaussians."""
    n_modes, n_columns = centers.shape
    covariances = np.tile(sd**2 * np.eye(n_columns), (n_modes, 1, 1))
    return NormalMixture(np.full(n_modes, 1 / n_modes), centers, covariances)


def eight_gaussians() -> Target:
    """Centers on a circle of radius 1.3, standard deviation 0.13."""
    angle = np.arange(8) * np.pi / 4
    centers = 1.3 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return round_modes(centers, 0.13).target(EIGHT_GAUSSIANS_ENTROPY)


def three_gaussians() -> Target:
    """The toy of the Gaussian-Bernoulli literature: three far modes of standard deviation 1."""
    centers = np.array([[-5.0, -5.0], [5.0, -5.0], [0.0, 5.0]])
    return round_modes(centers, 1.0).target(math.log(3) + 1 + LOG_2PI)


def checkerboard() -> Target:
    """Eight filled squares of a 4 x 4 board."""
    corners = [(i, j) for i in range(-2, 2) for j in range(-2, 2) if (i + j) % 2 == 0]
    centers = np.array(corners) + 0.5
    level = 2 * math.log(BOARD_SCALE) - math.log(len(corners))

    def sample(rng: np.random.Generator, n: int) -> np.ndarray:
        first = rng.uniform(-2, 2, n)
        second = rng.uniform(0, 1, n) - 2 * rng.integers(0, 2, n) + np.floor(first) % 2
        return np.stack([first, second], axis=1) / BOARD_SCALE

    def offsets(rows: np.ndarray) -> np.ndarray:
        """How far each row lies from each center, by its larger coordinate."""
        return np.abs(rows[:, None] * BOARD_SCALE - centers).max(axis=2)

    def log_density(rows: np.ndarray) -> np.ndarray:
        return np.where(offsets(rows).min(axis=1) <= 0.5 + 1e-9, level, -np.inf)

    def label(rows: np.ndarray) -> np.ndarray:
        return offsets(rows).argmin(axis=1)

    return Target(sample, log_density, -level, Modes(label, np.full(8, 1 / 8)))


def arc_log_densities(rows: np.ndarray) -> np.ndarray:
    """Of rows under either noisy arc of the moons, (n, 2): half the mass each; by
    Gauss-Legendre.
    """
    nodes, weights = np.polynomial.legendre.leggauss(ARC_NODES)
    t = np.pi * (nodes + 1) / 2
    found = []
    for x, y in ((np.cos(t), np.sin(t)), (1 - np.cos(t), 0.5 - np.sin(t))):
        squares = (rows[:, :1] - x) ** 2 + (rows[:, 1:] - y) ** 2
        kernel = -squares / (2 * MOON_NOISE**2) - LOG_2PI - 2 * math.log(MOON_NOISE)
        # The weights add up to 2; one half is the mass of the arc.
        found.append(np.logaddexp.reduce(kernel + np.log(weights / 4), axis=1))
    return np.stack(found, axis=1)


def moons_in(center: np.ndarray, scale: np.ndarray, sample: Sampler) -> Target:
    """Two moons moved by -center and divided by `scale`; `sample` draws in these units."""

    def parts(rows: np.ndarray) -> np.ndarray:
        return arc_log_densities(rows * scale + center) + np.log(scale).sum()

    return Target(
        sample,
        lambda rows: np.logaddexp.reduce(parts(rows), axis=1),
        MOONS_ENTROPY - float(np.log(scale).sum()),
        Modes(lambda rows: parts(rows).argmax(axis=1), np.full(2, 0.5)),
    )


def two_moons() -> Target:
    """scikit-learn's moons with noise 0.1, centered and scaled."""
    center, scale = np.array([0.5, 0.25]), np.array([0.87, 0.5])

    def sample(rng: np.random.Generator, n: int) -> np.ndarray:
        rows, _ = make_moons(n, noise=MOON_NOISE, random_state=int(rng.integers(2**31)))
        return (rows - center) / scale

    return moons_in(center, scale, sample)


def ebmkit_moons() -> Target:
    """Two moons of another library: the same arcs and noise, not rescaled.

    The upper arc is (cos t, sin t), the lower (1 - cos t, 1/2 - sin t); centered at (0.5, 0.25).
    """
    center = np.array([0.5, 0.25])

    def sample(rng: np.random.Generator, n: int) -> np.ndarray:
        t = rng.uniform(0, np.pi, n)
        upper = np.arange(n) < n // 2
        x = np.where(upper, np.cos(t), 1 - np.cos(t))
        y = np.where(upper, np.sin(t), 0.5 - np.sin(t))
        return np.stack([x, y], axis=1) - center + MOON_NOISE * rng.normal(size=(n, 2))

    return moons_in(center, np.ones(2), sample)


def banana() -> Target:
    """A curved ridge: x1 is standard normal, x2 = x1²/2 + 0.3 times another."""
    straight = normal(np.diag([1.0, 0.3**2]))

    def sample(rng: np.random.Generator, n: int) -> np.ndarray:
        return bent(straight.sample(rng, n), 1)

    def bent(rows: np.ndarray, sign: int) -> np.ndarray:
        return np.stack([rows[:, 0], rows[:, 1] + sign * rows[:, 0] ** 2 / 2], axis=1)

    # A shear keeps volume.
    entropy = 1 + LOG_2PI + math.log(0.3)
    return Target(sample, lambda rows: straight.log_density(bent(rows, -1)), entropy)


def heavy_tails() -> Target:
    """Student's t with 3 degrees of freedom and correlation 0.8, in closed form."""
    shape = np.array([[1.0, 0.8], [0.8, 1.0]])
    factor, degrees = np.linalg.cholesky(shape), TAIL_DEGREES
    half = degrees / 2 + 1
    log_det = float(np.log(np.diag(factor)).sum())
    constant = float(gammaln(half) - gammaln(degrees / 2)) - math.log(degrees * math.pi) - log_det

    def sample(rng: np.random.Generator, n: int) -> np.ndarray:
        stretch = np.sqrt(degrees / rng.chisquare(degrees, size=(n, 1)))
        return stretch * (rng.normal(size=(n, 2)) @ factor.T)

    def log_density(rows: np.ndarray) -> np.ndarray:
        standard = np.linalg.solve(factor, rows.T)
        return constant - half * np.log1p((standard**2).sum(axis=0) / degrees)

    entropy = half * float(psi(half) - psi(degrees / 2)) - constant
    return Target(sample, log_density, entropy)


def far_scales() -> Target:
    """Two overlapping correlated Gaussians in columns of the scales 1e-4 and 1e5."""
    scales = np.array([1e-4, 1e5])
    means = np.array([[-1.5, 0.0], [1.0, 1.0]]) * scales
    shapes = np.array([[[1.0, 0.6], [0.6, 1.0]], [[0.5, -0.3], [-0.3, 0.4]]])
    mixture = NormalMixture(np.array([0.4, 0.6]), means, shapes * np.outer(scales, scales))
    entropy = FAR_SCALES_ENTROPY + float(np.log(scales).sum())
    return Target(mixture.sample, mixture.log_density, entropy)


def nearly_singular() -> Target:
    """A Gaussian of correlation 0.9999."""
    correlation = 0.9999
    gaussian = normal(np.array([[1.0, correlation], [correlation, 1.0]]))
    entropy = 1 + LOG_2PI + 0.5 * math.log(1 - correlation**2)
    return Target(gaussian.sample, gaussian.log_density, entropy)


PLANE: dict[str, Callable[[], Target]] = {
    "8 gaussians": eight_gaussians,
    "checkerboard": checkerboard,
    "two moons": two_moons,
    "3 gaussians": three_gaussians,
    "two moons (ebmkit)": ebmkit_moons,
    "banana": banana,
    "heavy tails": heavy_tails,
    "far scales": far_scales,
    "nearly singular": nearly_singular,
}
