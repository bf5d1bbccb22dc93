"""Mixtures of Gaussians in closed form: densities, draws, exponential tilts, marginals,
conditionals, surprisals.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from harmonium.compiling import as_floats
from harmonium.errors import InvalidInputError, describe
from harmonium.model.abstract_mixture import LOG_2PI, AbstractMixture, Components, Means
from harmonium.model.mixture_components import triangular_inverses
from harmonium.model.precision import full_precision
from harmonium.typing import Scalar, Visible

Factors = Float[Array, "components visible visible"]


class Mixture(AbstractMixture):
    """A normalized mixture of Gaussians over x (visible,), sum_k w_k N(x; m_k, S_k).

    `log_weights` (components,), `means` (components, visible); `factors` (components, visible,
    visible) are the lower Cholesky factors L_k of the covariances S_k = L_k L_kᵀ, and `inverses`
    the inverses of these, so that neither densities nor draws solve anything. Methods take ONE row;
    use `jax.vmap` for a batch. Densities are in nats.
    """

    log_weights: Components
    means: Means
    factors: Factors
    inverses: Factors

    @staticmethod
    def from_moments(
        weights: Float[np.ndarray, "components"],
        means: Float[np.ndarray, "components visible"],
        covariances: Float[np.ndarray, "components visible visible"],
    ) -> "Mixture":
        """The mixture with these weights, means and covariances.

        Raises `InvalidInputError` unless the weights are positive and add up to 1, the means are
        finite and the covariances are positive definite.
        """
        weights, means, covariances = (
            np.asarray(part, np.float64) for part in (weights, means, covariances)
        )
        n_components, n_visible = means.shape if means.ndim == 2 else (0, 0)
        shapes = (weights.shape, covariances.shape)
        if n_components == 0 or shapes != ((n_components,), (n_components, n_visible, n_visible)):
            shapes = (weights.shape, means.shape, covariances.shape)
            raise _refused("weights (k,), means (k, n), covariances (k, n, n)", f"shapes {shapes}")
        if not (np.all(weights > 0) and abs(weights.sum() - 1) < 1e-6):
            raise _refused("positive weights that add up to 1", f"{weights}")
        if not (np.isfinite(means).all() and np.isfinite(covariances).all()):
            raise _refused("finite means and covariances", "NaN or inf")
        try:
            factors = np.linalg.cholesky(covariances)
        except np.linalg.LinAlgError as error:
            raise _refused("positive definite covariances", "others") from error
        return _of_factors(np.log(weights / weights.sum()), means, factors)

    @staticmethod
    def from_roots(
        log_weights: Float[np.ndarray, "components"],
        means: Float[np.ndarray, "components visible"],
        roots: Float[np.ndarray, "components visible columns"],
    ) -> "Mixture":
        """The mixture with covariances R_k R_kᵀ of roots R_k of full rank, which are never squared;
        by NumPy.
        """
        return _of_factors(log_weights, means, lower_factors(roots))

    @property
    @full_precision
    def covariances(self) -> Factors:
        """S_k of every component."""
        return self.factors @ jnp.swapaxes(self.factors, 1, 2)

    def _variances(self) -> Means:
        return jnp.sum(jnp.square(self.factors), axis=2)

    @full_precision
    def joint_log_densities(self, x: Visible) -> Components:
        """log w_k N(x; m_k, S_k) of every component."""
        standard = _apart(self.inverses, self.means, x)
        log_det = jnp.sum(jnp.log(jnp.diagonal(self.inverses, axis1=1, axis2=2)), axis=1)
        constant = log_det - 0.5 * self.n_visible * LOG_2PI
        return self.log_weights + constant - 0.5 * jnp.sum(jnp.square(standard), axis=1)

    @full_precision
    def from_noise(self, noise: Float[Array, "_"]) -> Visible:
        """The draw made of visible + 1 standard normal numbers, of which the last picks the
        component.
        """
        chosen = self._picked(noise[-1])
        return self.means[chosen] + self.factors[chosen] @ noise[:-1]

    @full_precision
    def tilted(self, tilt: Visible) -> tuple[Scalar, "Mixture"]:
        """log ∫ exp(tilt·x) q(x) dx, and the normalized mixture proportional to exp(tilt·x) q(x).

        Component k is moved by S_k tilt and weighted by exp(tilt·m_k + tiltᵀ S_k tilt / 2).
        """
        pulled = jnp.einsum("kij,i->kj", self.factors, tilt)
        log_weights = self.log_weights + self.means @ tilt + 0.5 * jnp.sum(pulled**2, axis=1)
        log_partition = jax.nn.logsumexp(log_weights)
        means = self.means + jnp.einsum("kij,kj->ki", self.factors, pulled)
        return log_partition, Mixture(
            log_weights - log_partition, means, self.factors, self.inverses
        )

    def mapped(
        self,
        matrix: Float[np.ndarray, "mapped visible"],
        offset: Float[np.ndarray, "mapped"] | None = None,
    ) -> "Mixture":
        """The mixture of y = `matrix` x + `offset`, for a matrix of full row rank; by NumPy."""
        matrix = np.asarray(matrix, np.float64)
        log_weights, means, factors = self._in_double()
        means = means @ matrix.T
        means = means if offset is None else means + np.asarray(offset, np.float64)
        return Mixture.from_roots(log_weights, means, matrix @ factors)

    def marginal(self, coordinates: Sequence[int]) -> "Mixture":
        """The mixture of some coordinates, in the order given; by NumPy."""
        index = np.asarray(coordinates, np.int64)
        log_weights, means, factors = self._in_double()
        return Mixture.from_roots(log_weights, means[:, index], factors[:, index])

    def conditional(self, known: Float[np.ndarray, "visible"]) -> tuple[float, "Mixture"]:
        """log q(known coordinates), and the mixture of the others (NaN in `known`) in their order;
        by NumPy.

        Weights are posterior probabilities of the components. With the known coordinates first, the
        Cholesky factor of a covariance is [[L, 0], [G, C]]: L of what is known, C of the others
        given it, and their mean moves by G L⁻¹(known - m).
        """
        known = np.asarray(known, np.float64)
        is_open = np.isnan(known)
        n_known = int((~is_open).sum())
        order = np.argsort(is_open, kind="stable")
        log_weights, means, factors = self._in_double()
        means, factors = means[:, order], lower_factors(factors[:, order])
        inverses = np.linalg.inv(factors[:, :n_known, :n_known])
        residual = known[~is_open] - means[:, :n_known]
        standard = np.einsum("kij,kj->ki", inverses, residual)
        log_det = np.log(np.diagonal(inverses, axis1=1, axis2=2)).sum(axis=1)
        joint = log_weights + log_det - 0.5 * (standard**2).sum(axis=1) - n_known / 2 * LOG_2PI
        log_mass = float(np.logaddexp.reduce(joint))
        moved = np.einsum("kij,kj->ki", factors[:, n_known:, :n_known], standard)
        opened = means[:, n_known:] + moved
        return log_mass, _of_factors(joint - log_mass, opened, factors[:, n_known:, n_known:])

    def _in_double(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Log-weights, means and factors as NumPy arrays."""
        return tuple(  # pyright: ignore[reportReturnType]
            np.asarray(part, np.float64) for part in (self.log_weights, self.means, self.factors)
        )

    def column_surprisals(self, x: Visible) -> Visible:
        """-log q(x_j | all other coordinates) of every j, (visible,), in nats."""
        return self.surprisals(x[:, None])[1][:, 0]

    @full_precision
    def surprisals(
        self, columns: Float[Array, "visible rows"]
    ) -> tuple[Float[Array, "rows"], Float[Array, "visible rows"]]:
        """-log q(x) of rows, the columns of a matrix, and -log q(x_j | all other coordinates) of
        every j; in nats.

        Of component k with precision P, the coordinate given the others has variance 1/P_jj and
        lies (P(x - m))_j / P_jj from its mean; the components are weighted by what the other
        coordinates say of them. Rows come last: what is between the two products is then twice as
        fast as row by row, as long as a processor's cache holds it.
        """
        precisions = jnp.einsum("kli,klj->kij", self.inverses, self.inverses)
        centers = jnp.einsum("kij,kj->ki", precisions, self.means)[:, :, None]
        shape = (self.n_components, self.n_visible, columns.shape[1])
        pulled = (precisions.reshape(-1, self.n_visible) @ columns).reshape(shape) - centers
        squares = jnp.sum((columns[None] - self.means[:, :, None]) * pulled, axis=1)
        log_det = jnp.sum(jnp.log(jnp.diagonal(self.inverses, axis1=1, axis2=2)), axis=1)
        constant = self.log_weights + log_det - 0.5 * self.n_visible * LOG_2PI
        joint = constant[:, None] - 0.5 * squares
        precision = jnp.diagonal(precisions, axis1=1, axis2=2)[:, :, None]
        own = 0.5 * (jnp.log(precision) - LOG_2PI - pulled**2 / precision)
        whole = jax.nn.logsumexp(joint, axis=0)
        # Far out, what all components have in common is larger than what sets them apart by more
        # than single precision holds: it is taken off first.
        shares = joint - whole[None]
        return -whole, jax.nn.logsumexp(shares[:, None] - own, axis=0)


def _apart(matrices: Factors, means: Means, x: Visible) -> Means:
    """A_k (x - m_k) of every component k.

    By one product for all components, and under vmap for all rows: two to six times as fast as one
    per component.
    """
    centers = jnp.einsum("kij,kj->ki", matrices, means)
    return (matrices.reshape(-1, x.size) @ x).reshape(centers.shape) - centers


def lower_factors(roots: np.ndarray) -> np.ndarray:
    """Lower Cholesky factors of R Rᵀ for stacked roots R."""
    upper = np.linalg.qr(np.swapaxes(roots, 1, 2), mode="r")
    # Cholesky factors have positive diagonals.
    signs = np.where(np.diagonal(upper, axis1=1, axis2=2) < 0, -1.0, 1.0)
    return np.swapaxes(upper * signs[:, :, None], 1, 2)


def _of_factors(log_weights: np.ndarray, means: np.ndarray, factors: np.ndarray) -> Mixture:
    """The mixture with these lower Cholesky factors, which are inverted here, once and in double
    precision.
    """
    parts = (log_weights, means, factors, triangular_inverses(factors))
    return Mixture(*(as_floats(part) for part in parts))


def _refused(expected: str, got: str) -> InvalidInputError:
    return InvalidInputError(
        describe("Mixture.from_moments(weights, means, covariances)", expected=expected, got=got)
    )
