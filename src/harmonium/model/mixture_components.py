"""The Gaussians of a mixture, and the moments of the rows that each of them takes."""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from jaxtyping import Float
from scipy.linalg import get_lapack_funcs

from harmonium.model.abstract_mixture import LOG_2PI

(_trtri,) = get_lapack_funcs(("trtri",))
# Columns from which on factors are inverted as what they are, triangular.
LEAST_TRIANGULAR = 8

# Sums of z zᵀ over the rows of every component, for z = (1, x).
Moments = Float[np.ndarray, "components augmented augmented"]


@dataclass(frozen=True)
class Components:
    """The Gaussians of a mixture: log w_k + log det(P_k)/2, means m_k and precisions P_k."""

    log_scales: Float[np.ndarray, "components"]
    means: Float[np.ndarray, "components visible"]
    precisions: Float[np.ndarray, "components visible visible"]

    @staticmethod
    def from_moments(
        weights: np.ndarray, means: np.ndarray, covariances: np.ndarray
    ) -> "Components":
        """The Gaussians of these covariances; `LinAlgError` if one is not positive definite."""
        inverses = triangular_inverses(np.linalg.cholesky(covariances))
        half_log_dets = np.log(np.diagonal(inverses, axis1=1, axis2=2)).sum(axis=1)
        precisions = np.swapaxes(inverses, 1, 2) @ inverses
        return Components(np.log(weights) + half_log_dets, means, precisions)

    @cached_property
    def coefficients(self) -> Float[np.ndarray, "components monomials"]:
        """What the log-densities are in terms of the monomials of (1, x)."""
        n_visible = self.means.shape[1]
        linear = np.einsum("kij,kj->ki", self.precisions, self.means)
        form = np.zeros((len(self.means), n_visible + 1, n_visible + 1))
        squares = (linear * self.means).sum(axis=1)
        form[:, 0, 0] = self.log_scales - 0.5 * squares - 0.5 * n_visible * LOG_2PI
        form[:, 0, 1:] = linear
        # The two halves of a symmetric matrix meet in one monomial.
        form[:, 1:, 1:] = -self.precisions
        form[:, range(1, n_visible + 1), range(1, n_visible + 1)] *= 0.5
        first, second = _pairs(n_visible + 1)
        return form[:, first, second]


class Sums:
    """Moments of the rows of every component, filled block by block."""

    def __init__(self, components: Components):
        n_components, n_visible = components.means.shape
        size = n_visible + 1
        self.means = components.means
        self.index = _pairs(size)
        self.monomials = np.zeros((n_components, len(self.index[0])))
        # Of (1, x - m_k) for the means that the components had.
        self.centered = np.zeros((n_components, size, size))

    def add(self, others: "Sums") -> None:
        """Add those of other blocks."""
        self.monomials += others.monomials
        self.centered += others.centered

    def moments(self) -> Moments:
        """What all blocks make together."""
        first, second = self.index
        whole = np.zeros_like(self.centered)
        whole[:, first, second] = whole[:, second, first] = self.monomials
        if not self.centered.any():
            return whole
        # Of (1, x) = (1, x - m) + (0, m): the squares first, of which the others are parts.
        whole += self.centered
        counts, means = self.centered[:, 0, :1], self.means
        crossed = means[:, :, None] * (self.centered[:, :1, 1:] + 0.5 * (counts * means)[:, None])
        whole[:, 1:, 1:] += crossed + np.swapaxes(crossed, 1, 2)
        whole[:, 0, 1:] += counts * means
        whole[:, 1:, 0] += counts * means
        return whole


def triangular_inverses(
    factors: Float[np.ndarray, "components visible visible"],
) -> Float[np.ndarray, "components visible visible"]:
    """Inverses of lower Cholesky factors: of larger ones LAPACK's take a third of NumPy's time."""
    if factors.shape[1] < LEAST_TRIANGULAR:
        return np.tril(np.linalg.inv(factors))
    # By its transpose, which is in the order of LAPACK, so that nothing is copied.
    return np.stack([_trtri(factor.T, lower=0)[0].T for factor in factors])


@cache
def _pairs(size: int) -> tuple[np.ndarray, np.ndarray]:
    """i and j of all pairs i <= j."""
    return np.triu_indices(size)
