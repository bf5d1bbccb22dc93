"""Mixtures of Gaussians fitted by expectation-maximization, in float64 by NumPy.

Both steps are matrix products with the monomials of degree two of a row: log N(x; m, S) is linear in them, and so are the
second moments that a component takes from its rows (Dempster, Laird and Rubin 1977, section 4.3).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

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

    Every covariance is that of its rows and of `shrinkage` rows more that have the pooled
    covariance within components: 0 leaves full covariances alone, infinity ties them all. One wide
    component is added with the weight `wide_share`, whose covariance is `wide_spread`² times that
    of all rows: it takes what is unlike the rows seen.
    """

    n_components: int
    floor: float = 1e-3
    shrinkage: float = 0.0
    wide_share: float = 0.02
    wide_spread: float = 2.0


@dataclass(frozen=True)
class MixtureFit:
    """Weights (components,), means (components, visible), covariances (components, visible, visible) of a fit."""

    weights: Float[np.ndarray, "components"]
    means: Float[np.ndarray, "components visible"]
    covariances: Float[np.ndarray, "components visible visible"]

    def log_density(self, rows: Rows) -> Float[np.ndarray, "rows"]:
        """The log-density of every row, nats."""
        joint = [_joint(self, block, _monomials(block)) for block in _blocks(rows)]
        return np.concatenate([_normalize(part) for part in joint])

    def widened(self, share: float, spread: float) -> "MixtureFit":
        """With one more component, of the mean and `spread`² times the covariance of the whole."""
        mean = self.weights @ self.means
        apart = self.means - mean
        within = np.einsum("k,kij->ij", self.weights, self.covariances)
        total = within + np.einsum("k,ki,kj->ij", self.weights, apart, apart)
        return MixtureFit(
            np.append((1 - share) * self.weights, share),
            np.concatenate([self.means, mean[None]]),
            np.concatenate([self.covariances, spread**2 * total[None]]),
        )


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
    n_components = min(settings.n_components, len(rows))
    blocks = _blocks(rows)
    keeps = len(blocks) == 1
    kept = _monomials(blocks[0]) if keeps else None
    members = _first_responsibilities(rows, n_components, rng)
    best = -np.inf
    for _ in range(most_passes):
        sums = _Sums(n_components, rows.shape[1])
        for start, block in _numbered(blocks):
            monomials = _monomials(block) if kept is None else kept
            sums.add(members[start : start + len(block)], block, monomials)
        fit = sums.maximize(settings)
        if n_components == 1:
            break
        log_likelihood = 0.0
        for start, block in _numbered(blocks):
            joint = _joint(fit, block, _monomials(block) if kept is None else kept)
            # In place: the logarithms become responsibilities.
            log_likelihood += float(_normalize(joint).sum())
            members[start : start + len(block)] = joint
        if log_likelihood - best < tolerance * len(rows):
            break
        best = log_likelihood
    return fit.widened(settings.wide_share, settings.wide_spread)


def _blocks(rows: Rows) -> list[Rows]:
    n_rows, n_visible = rows.shape
    size = max(1, BLOCK_NUMBERS // (n_visible * (n_visible + 1) // 2))
    return [rows[start : start + size] for start in range(0, n_rows, size)]


def _numbered(blocks: list[Rows]) -> Iterator[tuple[int, Rows]]:
    """Blocks with the number of their first row."""
    start = 0
    for block in blocks:
        yield start, block
        start += len(block)


def _monomials(rows: Rows) -> Float[np.ndarray, "rows monomials"]:
    """x_i x_j of every row for i <= j."""
    first, second = np.triu_indices(rows.shape[1])
    return rows[:, first] * rows[:, second]


def _joint(fit: MixtureFit, rows: Rows, monomials: np.ndarray) -> Responsibilities:
    """log w_k N(x; m_k, S_k)."""
    inverse = np.linalg.inv(np.linalg.cholesky(fit.covariances))
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
    return monomials @ quadratic.T + rows @ linear.T + constant


def _normalize(joint: Responsibilities) -> Float[np.ndarray, "rows"]:
    """The logarithms of the sums over components; what is given becomes shares of these sums."""
    peak = joint.max(axis=1, keepdims=True)
    joint -= peak
    np.exp(joint, out=joint)
    total = joint.sum(axis=1, keepdims=True)
    joint /= total
    return (peak + np.log(total))[:, 0]


class _Sums:
    """Counts, sums and sums of squares of the rows of every component."""

    def __init__(self, n_components: int, n_visible: int):
        self.index = np.triu_indices(n_visible)
        self.counts = np.full(n_components, LEAST_ROWS)
        self.sums = np.zeros((n_components, n_visible))
        self.squares = np.zeros((n_components, len(self.index[0])))

    def add(self, members: Responsibilities, rows: Rows, monomials: np.ndarray) -> None:
        """Add rows that belong to the components in part."""
        self.counts += members.sum(axis=0)
        self.sums += members.T @ rows
        self.squares += members.T @ monomials

    def maximize(self, settings: MixtureSettings) -> MixtureFit:
        """The mixture that they make."""
        counts, n_visible = self.counts, self.sums.shape[1]
        means = self.sums / counts[:, None]
        scatter = np.zeros((len(counts), n_visible, n_visible))
        first, second = self.index
        scatter[:, first, second] = scatter[:, second, first] = self.squares
        scatter -= counts[:, None, None] * means[:, :, None] * means[:, None, :]
        pooled = scatter.sum(axis=0) / counts.sum()
        if np.isinf(settings.shrinkage):
            covariances = np.broadcast_to(pooled, scatter.shape)
        else:
            weight = counts[:, None, None] + settings.shrinkage
            covariances = (scatter + settings.shrinkage * pooled) / weight
        floor = settings.floor * np.eye(n_visible)
        return MixtureFit(counts / counts.sum(), means, covariances + floor)


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
