"""Mixtures of factor analyzers: Gaussian mixtures for hundreds of coordinates, in closed form."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from harmonium.errors import InvalidInputError, describe
from harmonium.model.abstract_mixture import LOG_2PI, AbstractMixture, Components, Means
from harmonium.model.bases import AbstractMixtureBase
from harmonium.model.precision import full_precision
from harmonium.typing import Scalar, Visible

Factors = Float[Array, "components factors"]
Directions = Float[Array, "components visible factors"]


class FactorMixture(AbstractMixture):
    """A normalized mixture of factor analyzers over x (visible,), sum_k w_k N(x; m_k, S_k) with
    S_k = D_k (I + U_k diag(g_k) U_kᵀ) D_k (Ghahramani and Hinton 1996; probabilistic PCA of
    Tipping and Bishop 1999 where all of D_k is one number).

    `log_weights` (components,), `means` and `scales` D_k (components, visible), `directions` U_k
    (components, visible, factors) with orthonormal columns, `gains` g_k >= 0 (components, factors).
    A component takes visible · factors numbers, where those of a `Mixture` take visible². Methods
    take ONE row; use `jax.vmap` for a batch. Densities are in nats.
    """

    log_weights: Components
    means: Means
    scales: Means
    directions: Directions
    gains: Factors

    @staticmethod
    def from_loadings(
        weights: Float[np.ndarray, "components"],
        means: Float[np.ndarray, "components visible"],
        loadings: Float[np.ndarray, "components visible factors"],
        variances: Float[np.ndarray, "components visible"],
    ) -> "FactorMixture":
        """The mixture with covariances A_k A_kᵀ + diag(v_k) of loadings A_k and variances v_k.

        Raises `InvalidInputError` unless the weights are positive and add up to 1, all numbers
        are finite, the variances positive, and the factors no more than the coordinates.
        """
        parts = [np.asarray(part, np.float64) for part in (weights, means, loadings, variances)]
        weights, means, loadings, variances = parts
        n_components, n_visible = means.shape if means.ndim == 2 else (0, 0)
        shape = (n_components, n_visible)
        agree = weights.shape == shape[:1] and variances.shape == shape
        agree &= loadings.ndim == 3 and loadings.shape[:2] == shape
        if n_components == 0 or not agree or not 0 < loadings.shape[2] <= n_visible:
            raise _refused(
                "weights (k,), means (k, n), loadings (k, n, r), variances (k, n) with 0 < r <= n",
                f"shapes {[part.shape for part in parts]}",
            )
        if not all(np.isfinite(part).all() for part in parts) or not np.all(variances > 0):
            raise _refused("finite numbers and positive variances", "others")
        if not (np.all(weights > 0) and abs(weights.sum() - 1) < 1e-6):
            raise _refused("positive weights that add up to 1", f"{weights}")
        scales = np.sqrt(variances)
        directions, stretches, _ = np.linalg.svd(loadings / scales[:, :, None], full_matrices=False)
        described = (np.log(weights / weights.sum()), means, scales, directions, stretches**2)
        return FactorMixture(*(jnp.asarray(part, float) for part in described))

    def _variances(self) -> Means:
        """The variance of every coordinate in every component."""
        stretched = jnp.einsum("knr,kr->kn", jnp.square(self.directions), self.gains)
        return jnp.square(self.scales) * (1 + stretched)

    @full_precision
    def joint_log_densities(self, x: Visible) -> Components:
        """log w_k N(x; m_k, S_k) of every component, by Woodbury's identity."""
        # Squares are multiplied out: a batch then takes matrix products alone. Coordinates of about
        # unit scale lose some 0.001 nats by it in single precision.
        precisions = 1 / jnp.square(self.scales)
        pulled = precisions * self.means
        maps = self.directions / self.scales[:, :, None]
        along = jnp.einsum("knr,n->kr", maps, x) - jnp.einsum("knr,kn->kr", maps, self.means)
        squares = precisions @ jnp.square(x) - 2 * pulled @ x + jnp.sum(pulled * self.means, axis=1)
        squares -= jnp.sum(self.gains / (1 + self.gains) * jnp.square(along), axis=1)
        log_det = 2 * jnp.sum(jnp.log(self.scales), axis=1) + jnp.sum(jnp.log1p(self.gains), axis=1)
        return self.log_weights - 0.5 * (squares + log_det + self.n_visible * LOG_2PI)

    @full_precision
    def surprisals(self, x: Visible) -> Visible:
        """-log q(x_j | all other coordinates) of every coordinate, in nats.

        Of a Gaussian with precision P it is -log(P_jj / 2π)/2 + (P (x - m))_j² / (2 P_jj); the
        components are weighed by what they say of the other coordinates.
        """
        apart = (x[None, :] - self.means) / self.scales
        shares = self.gains / (1 + self.gains)
        along = shares * jnp.einsum("knr,kn->kr", self.directions, apart)
        pulled = (apart - jnp.einsum("knr,kr->kn", self.directions, along)) / self.scales
        taken = jnp.einsum("knr,kr->kn", jnp.square(self.directions), shares)
        precisions = (1 - taken) / jnp.square(self.scales)
        own = 0.5 * (jnp.log(precisions) - LOG_2PI - jnp.square(pulled) / precisions)
        joint = self.joint_log_densities(x)
        return jax.nn.logsumexp(joint[:, None] - own, axis=0) - jax.nn.logsumexp(joint)

    @full_precision
    def from_noise(self, noise: Float[Array, "_"]) -> Visible:
        """The draw made of visible + 1 standard normal numbers, of which the last picks the
        component.

        The symmetric root of I + U diag(g) Uᵀ is I + U diag(sqrt(1 + g) - 1) Uᵀ.
        """
        chosen = self._picked(noise[-1])
        directions, stretch = self.directions[chosen], jnp.sqrt(1 + self.gains[chosen]) - 1
        moved = noise[:-1] + directions @ (stretch * (noise[:-1] @ directions))
        return self.means[chosen] + self.scales[chosen] * moved

    @full_precision
    def tilted(self, tilt: Visible) -> tuple[Scalar, "FactorMixture"]:
        """log ∫ exp(tilt·x) q(x) dx, and the normalized mixture proportional to exp(tilt·x) q(x):
        component k is moved by S_k tilt and weighted by exp(tilt·m_k + tiltᵀ S_k tilt / 2).
        """
        pulled = self.scales * tilt[None, :]
        along = self.gains * jnp.einsum("knr,kn->kr", self.directions, pulled)
        moves = self.scales * (pulled + jnp.einsum("knr,kr->kn", self.directions, along))
        log_weights = self.log_weights + self.means @ tilt + 0.5 * moves @ tilt
        log_partition = jax.nn.logsumexp(log_weights)
        moved = (log_weights - log_partition, self.means + moves)
        return log_partition, FactorMixture(*moved, self.scales, self.directions, self.gains)

    def conditional(self, known: Float[np.ndarray, "visible"]) -> tuple[float, "FactorMixture"]:
        """log q(known coordinates), and the mixture of the others (NaN in `known`) in their order;
        by NumPy.

        Given its factors z a component has independent coordinates, so the known ones only say
        where z lies: N((I + BᵀB)⁻¹ Bᵀ y, (I + BᵀB)⁻¹) for the loadings B of the known coordinates
        in units of their scales, and their distances y from the means.
        """
        known = np.asarray(known, np.float64)
        is_open = np.isnan(known)
        parts = (self.log_weights, self.means, self.scales, self.directions, self.gains)
        log_weights, means, scales, directions, gains = (np.asarray(p, np.float64) for p in parts)
        loadings = directions * np.sqrt(gains)[:, None, :]
        seen, hidden = loadings[:, ~is_open], loadings[:, is_open]
        apart = (known[~is_open] - means[:, ~is_open]) / scales[:, ~is_open]
        precision = np.eye(gains.shape[1]) + np.swapaxes(seen, 1, 2) @ seen
        factor = np.linalg.inv(np.linalg.cholesky(precision))
        along = np.einsum("knr,kn->kr", seen, apart)
        root = np.einsum("kqr,kr->kq", factor, along)
        log_det = np.log(scales[:, ~is_open]).sum(axis=1)
        log_det -= np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
        squares = (apart**2).sum(axis=1) - (root**2).sum(axis=1)
        joint = log_weights - log_det - 0.5 * (squares + (~is_open).sum() * LOG_2PI)
        log_mass = float(np.logaddexp.reduce(joint))
        expected = np.einsum("kqr,kq->kr", factor, root)
        own = scales[:, is_open]
        moved = means[:, is_open] + own * np.einsum("knr,kr->kn", hidden, expected)
        narrowed = own[:, :, None] * (hidden @ np.swapaxes(factor, 1, 2))
        # No more factors than coordinates.
        narrowed = _narrowed(narrowed)
        weights = np.exp(joint - log_mass)
        weights = np.maximum(weights, 1e-300)
        return log_mass, FactorMixture.from_loadings(
            weights / weights.sum(), moved, narrowed, own**2
        )


class FactorBase(AbstractMixtureBase):
    """A normalized mixture of factor analyzers q as the base: U(x) = -log q(x)."""

    mixture: FactorMixture
    has_modes: ClassVar[bool] = True

    def __init__(self, mixture: FactorMixture):
        self.mixture = mixture


def _narrowed(loadings: np.ndarray) -> np.ndarray:
    """Loadings with the same products, of no more factors than coordinates."""
    n_visible, n_factors = loadings.shape[1:]
    if n_factors <= n_visible:
        return loadings
    left, stretches, _ = np.linalg.svd(loadings, full_matrices=False)
    return left * stretches[:, None, :]


def _refused(expected: str, got: str) -> InvalidInputError:
    return InvalidInputError(
        describe("FactorMixture.from_loadings(...)", expected=expected, got=got)
    )
