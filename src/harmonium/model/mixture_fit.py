"""Mixtures of Gaussians fitted by expectation-maximization, in float64 by NumPy.

Both steps are matrix products with the monomials of degree two of a row: log N(x; m, S) is linear in them, and so are the
second moments that a component takes from its rows (Dempster, Laird and Rubin 1977, section 4.3).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

LOG_2PI = float(np.log(2 * np.pi))
# Numbers of one block of monomials; a larger table goes through the steps block by block.
BLOCK_NUMBERS = 8_000_000
LLOYD_PASSES = 5
# Rows of prior weight that keep a component from dying.
LEAST_ROWS = 1e-3

Rows = Float[np.ndarray, "rows visible"]
Responsibilities = Float[np.ndarray, "rows components"]


@dataclass(frozen=True)
class MixtureSettings:
    """What mixture to fit: `n_components`; `floor`, added to the variances; `shrinkage`, in rows.

    Every covariance is that of its rows and of `shrinkage` rows more that have the pooled covariance within components: 0
    leaves full covariances alone, infinity ties them all.
    """

    n_components: int
    floor: float = 1e-3
    shrinkage: float = 0.0


@dataclass(frozen=True)
class MixtureFit:
    """Weights (components,), means (components, visible), covariances (components, visible, visible) of a fit."""

    weights: Float[np.ndarray, "components"]
    means: Float[np.ndarray, "components visible"]
    covariances: Float[np.ndarray, "components visible visible"]

    def log_density(self, rows: Rows) -> Float[np.ndarray, "rows"]:
        """The log-density of every row, nats."""
        return np.concatenate([logsumexp(part, axis=1) for part in _joint(self, rows)])


def fit_mixture(
    rows: Rows,
    settings: MixtureSettings,
    rng: np.random.Generator,
    *,
    most_passes: int = 100,
    tolerance: float = 1e-3,
) -> MixtureFit:
    """Fit to rows without missing cells, until a pass gains less than `tolerance` nats per row.

    Starts from k-means++ seeds (Arthur and Vassilvitskii 2007) and a few passes of Lloyd's algorithm.
    """
    settings = MixtureSettings(
        min(settings.n_components, len(rows)), settings.floor, settings.shrinkage
    )
    fit = _maximize([_first_responsibilities(rows, settings.n_components, rng)], rows, settings)
    if settings.n_components == 1:
        return fit
    best = -np.inf
    for _ in range(most_passes):
        responsibilities, log_likelihood = [], 0.0
        for joint in _joint(fit, rows):
            total = logsumexp(joint, axis=1, keepdims=True)
            responsibilities.append(np.exp(joint - total))
            log_likelihood += float(total.sum())
        if log_likelihood - best < tolerance * len(rows):
            return fit
        best = log_likelihood
        fit = _maximize(responsibilities, rows, settings)
    return fit


def _blocks(rows: Rows) -> list[Rows]:
    n_rows, n_visible = rows.shape
    size = max(1, BLOCK_NUMBERS // (n_visible * (n_visible + 1) // 2))
    return [rows[start : start + size] for start in range(0, n_rows, size)]


def _monomials(rows: Rows) -> Float[np.ndarray, "rows monomials"]:
    """x_i x_j of every row for i <= j."""
    first, second = np.triu_indices(rows.shape[1])
    return rows[:, first] * rows[:, second]


def _joint(fit: MixtureFit, rows: Rows) -> list[Responsibilities]:
    """log w_k N(x; m_k, S_k), block by block."""
    lower = np.linalg.cholesky(fit.covariances)
    inverse = np.linalg.inv(lower)
    precisions = np.swapaxes(inverse, 1, 2) @ inverse
    linear = np.einsum("kij,kj->ki", precisions, fit.means)
    log_det = np.log(np.diagonal(inverse, axis1=1, axis2=2)).sum(axis=1)
    constant = (
        np.log(fit.weights)
        + log_det
        - 0.5 * (fit.means * linear).sum(axis=1)
        - 0.5 * rows.shape[1] * LOG_2PI
    )
    first, second = np.triu_indices(rows.shape[1])
    # The two halves of a symmetric matrix meet in one monomial.
    quadratic = np.where(first == second, -0.5, -1.0) * precisions[:, first, second]
    return [
        _monomials(block) @ quadratic.T + block @ linear.T + constant for block in _blocks(rows)
    ]


def _maximize(
    responsibilities: list[Responsibilities], rows: Rows, settings: MixtureSettings
) -> MixtureFit:
    n_visible = rows.shape[1]
    first, second = np.triu_indices(n_visible)
    counts = sum(part.sum(axis=0) for part in responsibilities) + LEAST_ROWS
    sums = np.zeros((len(counts), n_visible))
    squares = np.zeros((len(counts), len(first)))
    start = 0
    for part in responsibilities:
        for block in _blocks(rows[start : start + len(part)]):
            own = part[: len(block)] if len(block) < len(part) else part
            sums += own.T @ block
            squares += own.T @ _monomials(block)
            part = part[len(block) :]
            start += len(block)
    means = sums / counts[:, None]
    scatter = np.zeros((len(counts), n_visible, n_visible))
    scatter[:, first, second] = scatter[:, second, first] = squares
    scatter -= counts[:, None, None] * means[:, :, None] * means[:, None, :]
    pooled = scatter.sum(axis=0) / counts.sum()
    if np.isinf(settings.shrinkage):
        covariances = np.broadcast_to(pooled, scatter.shape).copy()
    else:
        weight = counts[:, None, None] + settings.shrinkage
        covariances = (scatter + settings.shrinkage * pooled) / weight
    covariances = covariances + settings.floor * np.eye(n_visible)
    return MixtureFit(counts / counts.sum(), means, covariances)


def _first_responsibilities(
    rows: Rows, n_components: int, rng: np.random.Generator
) -> Responsibilities:
    """Rows dealt to their nearest center, hard."""
    centers = rows[[int(rng.integers(len(rows)))]]
    nearest = _squared_distances(rows, centers)[:, 0]
    while len(centers) < n_components:
        total = nearest.sum()
        shares = nearest / total if total > 0 else np.full(len(rows), 1 / len(rows))
        added = rows[[int(rng.choice(len(rows), p=shares))]]
        centers = np.concatenate([centers, added])
        nearest = np.minimum(nearest, _squared_distances(rows, added)[:, 0])
    labels = np.zeros(len(rows), np.int64)
    for _ in range(LLOYD_PASSES):
        labels = np.argmin(_squared_distances(rows, centers), axis=1)
        members = np.eye(n_components)[labels]
        counts = members.sum(axis=0)[:, None]
        centers = np.where(counts > 0, members.T @ rows / np.maximum(counts, 1), centers)
    return np.eye(n_components)[labels]


def _squared_distances(
    rows: Rows, centers: Float[np.ndarray, "components visible"]
) -> Responsibilities:
    cross = rows @ centers.T
    return np.maximum(
        (rows**2).sum(axis=1)[:, None] - 2 * cross + (centers**2).sum(axis=1)[None, :], 0.0
    )
