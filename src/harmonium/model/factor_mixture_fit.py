"""Mixtures of factor analyzers, fitted by expectation-maximization; everything is by NumPy."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import solve
from scipy.special import logsumexp

from harmonium.errors import InvalidInputError, describe
from harmonium.model.abstract_mixture import LOG_2PI
from harmonium.model.factor_mixture import FactorMixture
from harmonium.model.mixture_starts import deal_rows
from harmonium.typing import Rows

# Leading directions in which the first groups are found.
START_DIRECTIONS = 30
# Rows that a pass takes at once, and the responsibility that counts.
BLOCK, LEAST_SHARE = 2048, 1e-4
# Loadings of a component are drawn to 0 as by so many rows.
LOADING_ROWS = 1.0


@dataclass(frozen=True)
class FactorSettings:
    """What mixture to fit: so many components with so many factors each.

    The own variances of a component are those of its rows and of `shrinkage` rows more that have
    the pooled own variances, and no less than `floor`. Raises `InvalidInputError`.
    """

    n_components: int
    n_factors: int
    shrinkage: float = 50.0
    floor: float = 1e-2

    def __post_init__(self):
        whole = min(self.n_components, self.n_factors) >= 1
        if not (whole and 0 <= self.shrinkage < math.inf and 0 < self.floor < math.inf):
            raise InvalidInputError(
                describe(
                    "FactorSettings(n_components, n_factors, shrinkage, floor)",
                    expected="a component, a factor, a shrinkage >= 0 and a floor > 0 at least",
                    got=f"{self}",
                )
            )


@dataclass(frozen=True)
class Analyzers:
    """Weights (components,), means and own variances (components, visible), loadings (components,
    visible, factors).
    """

    weights: Float[np.ndarray, "components"]
    means: Float[np.ndarray, "components visible"]
    loadings: Float[np.ndarray, "components visible factors"]
    variances: Float[np.ndarray, "components visible"]

    def build(self) -> FactorMixture:
        """The mixture."""
        return FactorMixture.from_loadings(self.weights, self.means, self.loadings, self.variances)

    def posterior_covariances(self) -> Float[np.ndarray, "components factors factors"]:
        """(I + AᵀD⁻¹A)⁻¹, of the factors given a row."""
        scaled = self.loadings / self.variances[:, :, None]
        products = np.swapaxes(self.loadings, 1, 2) @ scaled
        return np.linalg.inv(np.eye(self.loadings.shape[2]) + products)

    def joint_log_densities(self, rows: Rows) -> Float[np.ndarray, "rows components"]:
        """log w_k N(x; m_k, S_k), by matrix products over all components, in the precision of the
        rows: that of half the time loses some 0.001 nats.
        """
        n_components, n_visible, n_factors = self.loadings.shape
        precisions = 1 / self.variances
        roots = np.linalg.cholesky(self.posterior_covariances())
        maps = (self.loadings * precisions[:, :, None]) @ roots
        flat = np.swapaxes(maps, 0, 1).reshape(n_visible, -1).astype(rows.dtype)
        offsets = np.einsum("kn,knr->kr", self.means, maps)
        along = (rows @ flat).reshape(len(rows), n_components, n_factors) - offsets
        pulled = precisions * self.means
        squares = rows**2 @ precisions.T.astype(rows.dtype)
        squares -= 2 * rows @ pulled.T.astype(rows.dtype)
        squares = squares + (pulled * self.means).sum(axis=1)
        squares -= (along**2).sum(axis=2)
        log_det = np.log(self.variances).sum(axis=1)
        log_det -= 2 * np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(axis=1)
        return np.log(self.weights) - 0.5 * (squares + log_det + n_visible * LOG_2PI)

    def log_density(self, rows: Rows) -> Float[np.ndarray, "rows"]:
        """The log-density of every row, nats."""
        parts = np.array_split(rows, -(-len(rows) // BLOCK))
        return np.concatenate([logsumexp(self.joint_log_densities(p), axis=1) for p in parts])

    def widened(self, rows: Rows, share: float, spread: float) -> "Analyzers":
        """With one more component, of the mean and nearly `spread`² times the covariance of rows.

        It bounds p/q where a model p falls off no more slowly (Hesterberg 1995).
        """
        n_factors = self.loadings.shape[2]
        mean, directions, stretches = _principal(rows, n_factors)
        loadings = spread * directions * stretches
        variances = np.maximum(spread**2 * rows.var(axis=0) - (loadings**2).sum(axis=1), 1e-2)
        return Analyzers(
            np.append((1 - share) * self.weights, share),
            np.concatenate([self.means, mean[None]]),
            np.concatenate([self.loadings, loadings[None]]),
            np.concatenate([self.variances, variances[None]]),
        )


def pooled(fits: list[Analyzers]) -> Analyzers:
    """The mean of the densities of fits with equal numbers of factors."""
    return Analyzers(
        np.concatenate([fit.weights for fit in fits]) / len(fits),
        np.concatenate([fit.means for fit in fits]),
        np.concatenate([fit.loadings for fit in fits]),
        np.concatenate([fit.variances for fit in fits]),
    )


def fit_analyzers(
    rows: Rows,
    settings: FactorSettings,
    rng: np.random.Generator,
    *,
    most_passes: int = 40,
    tolerance: float = 1e-2,
) -> Analyzers:
    """Fit to rows (rows, visible) by expectation-maximization (Ghahramani and Hinton 1996, "The EM
    algorithm for mixtures of factor analyzers"), from groups found by k-means.

    Ends where a pass gains less than `tolerance` nats per row. Raises `InvalidInputError` for fewer
    rows than components, and for more factors than columns.
    """
    if len(rows) < 2 * settings.n_components or settings.n_factors > rows.shape[1]:
        raise InvalidInputError(
            describe(
                f"fit_analyzers(rows, {settings})",
                expected="two rows per component, and as many columns as factors",
                got=f"shape {rows.shape}",
            )
        )
    fit, before = _start(rows, settings, rng), -math.inf
    for _ in range(most_passes):
        joint = np.concatenate(
            [fit.joint_log_densities(part) for part in np.array_split(rows, -(-len(rows) // BLOCK))]
        )
        found = logsumexp(joint, axis=1)
        if found.mean() < before + tolerance:
            break
        before = found.mean()
        fit = _maximize(rows, np.exp(joint - found[:, None]), fit, settings)
    return fit


def _maximize(
    rows: Rows,
    shares: Float[np.ndarray, "rows components"],
    fit: Analyzers,
    settings: FactorSettings,
) -> Analyzers:
    """The moments that rows make of the components they belong to."""
    n_rows, n_components = shares.shape
    covariances = fit.posterior_covariances()
    means, loadings = fit.means.copy(), fit.loadings.copy()
    left, counts = np.zeros_like(fit.variances), shares.sum(axis=0)
    for k, covariance in enumerate(covariances):
        index = np.flatnonzero(shares[:, k] > LEAST_SHARE)
        if not len(index):
            continue
        own, count = shares[index, k].astype(rows.dtype), shares[index, k].sum()
        means[k] = own @ rows[index] / count
        apart = rows[index] - means[k].astype(rows.dtype)
        maps = (fit.loadings[k] / fit.variances[k][:, None]) @ covariance
        expected = apart @ maps.astype(rows.dtype)
        weighted = expected * own[:, None]
        squares = count * covariance + weighted.T @ expected
        crossed = apart.T @ weighted
        ridge = squares + LOADING_ROWS * np.eye(len(squares))
        loadings[k] = solve(ridge, crossed.T, assume_a="pos").T
        explained = 2 * (loadings[k] * crossed).sum(axis=1)
        explained -= ((loadings[k] @ squares) * loadings[k]).sum(axis=1)
        left[k] = np.maximum(own @ apart**2 - explained, 0)
    pooled_variances = np.maximum(left.sum(axis=0) / n_rows, settings.floor)
    shrunk = left + settings.shrinkage * pooled_variances
    variances = np.maximum(shrunk / (counts[:, None] + settings.shrinkage), settings.floor)
    weights = (counts + 1) / (n_rows + n_components)
    return Analyzers(weights, means, loadings, variances)


def _start(rows: Rows, settings: FactorSettings, rng: np.random.Generator) -> Analyzers:
    """Groups of rows in their leading directions, and the directions of each."""
    mean, directions, _ = _principal(rows, min(START_DIRECTIONS, rows.shape[1]))
    labels = _grouped((rows - mean) @ directions, settings.n_components, rng)
    counts = np.bincount(labels, minlength=settings.n_components)
    means, loadings, variances = [], [], []
    for k in range(settings.n_components):
        own = rows[labels == k] if counts[k] > 1 else rows
        center, axes, stretches = _principal(own, settings.n_factors)
        noise = max(own.var(axis=0).mean() / 4, settings.floor)
        means.append(center)
        loadings.append(axes * np.sqrt(np.maximum(stretches**2 - noise, 0.01 * noise)))
        variances.append(np.maximum(own.var(axis=0) - (loadings[k] ** 2).sum(axis=1), 0.3 * noise))
    weights = (counts + 1) / (len(rows) + settings.n_components)
    return Analyzers(weights, np.array(means), np.array(loadings), np.array(variances))


def _grouped(rows: Rows, n_groups: int, rng: np.random.Generator) -> Int[np.ndarray, "rows"]:
    """The number of the group of every row, by k-means."""
    if n_groups == 1:
        return np.zeros(len(rows), np.int64)
    return deal_rows(rows, n_groups, rng)


def _principal(
    rows: Rows, n_directions: int
) -> tuple[
    Float[np.ndarray, "visible"],
    Float[np.ndarray, "visible directions"],
    Float[np.ndarray, "directions"],
]:
    """The mean, the leading directions and the standard deviations along them."""
    mean = rows.mean(axis=0)
    apart = rows - mean
    if len(rows) < rows.shape[1]:
        values, vectors = np.linalg.eigh(apart @ apart.T)
        order = np.argsort(values)[::-1][:n_directions]
        lengths = np.sqrt(np.maximum(values[order], 1e-12))
        directions = apart.T @ vectors[:, order] / lengths
        short = n_directions - len(order)
        directions = np.pad(directions, ((0, 0), (0, short)))
        return mean, directions, np.pad(lengths, (0, short)) / math.sqrt(len(rows))
    values, vectors = np.linalg.eigh(apart.T @ apart / len(rows))
    order = np.argsort(values)[::-1][:n_directions]
    return mean, vectors[:, order], np.sqrt(np.maximum(values[order], 0))
