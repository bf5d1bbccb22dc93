"""Bases of the model: what p(x) is where W = 0, in closed form also when tilted by exp(tilt·x)."""

import math
from abc import abstractmethod
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from harmonium.compiling import compiled_briefly
from harmonium.errors import InvalidInputError, check_shape, describe
from harmonium.model.abstract_mixture import AbstractMixture
from harmonium.model.mixture import Mixture
from harmonium.model.precision import full_precision
from harmonium.typing import Positions, RandomKey, Scalar, Visible


class ConditionalVisible(NamedTuple):
    """Independent Gaussians with this mean and variance per coordinate."""

    mean: Visible
    variance: Visible

    def sample(self, key: RandomKey, n: int) -> Positions:
        """Exact independent draws, (n, visible)."""
        noise = jax.random.normal(key, (n, self.mean.shape[0]), self.mean.dtype)
        return self.mean[None, :] + jnp.sqrt(self.variance)[None, :] * noise

    def from_noise(self, noise: Float[Array, "_"]) -> Visible:
        """The draw made of visible + 1 independent standard normal numbers; the last one is left
        over.
        """
        return self.mean + jnp.sqrt(self.variance) * noise[:-1]


class AbstractBase(eqx.Module):
    """A density proportional to exp(-U(x)) over x (visible,), known in closed form whatever it is
    tilted by.

    A base is no part of what is trained. `has_modes` says whether it may have modes of its own: a
    path from such a base to a model needs no center, since a tilt would favor some of them.
    """

    n_visible: eqx.AbstractVar[int]
    has_modes: eqx.AbstractClassVar[bool]

    @abstractmethod
    def energy(self, x: Visible) -> Scalar:
        """U(x), in nats."""

    @abstractmethod
    def tilted(self, tilt: Visible) -> tuple[Scalar, Mixture]:
        """log ∫ exp(tilt·x - U(x)) dx in nats, and the normalized mixture proportional to the
        integrand.
        """

    @abstractmethod
    def conditional(self, tilt: Visible) -> ConditionalVisible | Mixture:
        """The same density in the form that costs least: both have `mean`, `variance`, `sample(key,
        n)` and `from_noise(noise)`.
        """


class GaussianBase(AbstractBase):
    """The base N(0, I/2): U(x) = x·x, and log partition (n/2) log π + |tilt|²/4."""

    n_visible: int = eqx.field(static=True)
    has_modes: ClassVar[bool] = False

    @full_precision
    def energy(self, x: Visible) -> Scalar:
        """x·x, in nats."""
        return x @ x

    @full_precision
    def tilted(self, tilt: Visible) -> tuple[Scalar, Mixture]:
        """(n/2) log π + |tilt|²/4, and N(tilt/2, I/2) as a mixture of one component."""
        check_shape("base.tilted(tilt)", "tilt", tilt, (self.n_visible,))
        log_partition = 0.5 * self.n_visible * math.log(math.pi) + tilt @ tilt / 4
        unit = jnp.eye(self.n_visible, dtype=tilt.dtype)[None]
        root = math.sqrt(0.5)
        log_weights = jnp.zeros(1, tilt.dtype)
        return log_partition, Mixture(log_weights, tilt[None, :] / 2, root * unit, unit / root)

    def conditional(self, tilt: Visible) -> ConditionalVisible:
        """N(tilt/2, I/2)."""
        return ConditionalVisible(tilt / 2, jnp.full_like(tilt, 0.5))


class AbstractMixtureBase(AbstractBase):
    """A normalized mixture q as the base: U(x) = -log q(x)."""

    mixture: eqx.AbstractVar[AbstractMixture]

    @property
    def n_visible(self) -> int:
        """Number of visible units."""
        return self.mixture.n_visible

    def energy(self, x: Visible) -> Scalar:
        """-log q(x), in nats."""
        return -self.mixture.log_density(x)

    # The mixture of images is another than that of tables: only what both have is asked of it.
    def tilted(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, tilt: Visible
    ) -> tuple[Scalar, AbstractMixture]:
        """log ∫ exp(tilt·x) q(x) dx, and the tilted mixture."""
        check_shape("base.tilted(tilt)", "tilt", tilt, (self.n_visible,))
        return self.mixture.tilted(tilt)

    def conditional(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, tilt: Visible
    ) -> AbstractMixture:
        """The tilted mixture."""
        return self.tilted(tilt)[1]


class MixtureBase(AbstractMixtureBase):
    """A normalized mixture of Gaussians q as the base: U(x) = -log q(x).

    Where the mixture has narrow components only, p/q may be unbounded: see `with_wide_component`.
    """

    mixture: Mixture
    has_modes: ClassVar[bool] = True

    def __init__(self, mixture: Mixture):
        self.mixture = mixture


@compiled_briefly
def tilted(base: AbstractBase, tilt: Visible) -> tuple[Scalar, Mixture]:
    """`base.tilted(tilt)` as one program, for calls outside of compiled code."""
    return base.tilted(tilt)


def with_wide_component(mixture: Mixture, share: float = 0.05, spread: float = 1.3) -> Mixture:
    """The mixture with one more component: its own mean, and `spread`² times its total covariance,
    with weight `share`.

    It bounds p/q where a model p falls off no more slowly than it, so that weights p/q have a
    finite variance (the defensive mixture of Hesterberg 1995). Raises `InvalidInputError` for a
    share outside (0, 1) or a spread that is not positive.
    """
    if not (0 < share < 1 and 0 < spread < math.inf):
        raise InvalidInputError(
            describe(
                "with_wide_component(mixture, share, spread)",
                expected="a share between 0 and 1, and a positive spread",
                got=f"share={share}, spread={spread}",
            )
        )
    means = np.asarray(mixture.means, np.float64)
    weights = np.exp(np.asarray(mixture.log_weights, np.float64))
    weights /= weights.sum()
    center = weights @ means
    apart = np.sqrt(weights)[:, None] * (means - center)
    roots = np.sqrt(weights)[:, None, None] * np.asarray(mixture.factors, np.float64)
    # The total covariance is R Rᵀ for R with the roots of all parts side by side.
    total = np.concatenate([apart.T, *roots], axis=1)
    wide = Mixture.from_roots(np.zeros(1), center[None, :], spread * total[None])
    log_shares = jnp.log(jnp.asarray([1 - share, share], mixture.means.dtype))
    both = jax.tree.map(lambda *parts: jnp.concatenate(parts), mixture, wide)
    log_weights = jnp.concatenate(
        [mixture.log_weights + log_shares[0], wide.log_weights + log_shares[1]]
    )
    return eqx.tree_at(lambda q: q.log_weights, both, log_weights)
