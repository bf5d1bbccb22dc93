"""A model in other coordinates, or given some of them, is a model again."""

import math
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from harmonium.errors import InvalidInputError, check_shape, describe
from harmonium.model.bases import AbstractBase, GaussianBase, MixtureBase
from harmonium.model.feature_maps import Affine, SupportsAffineForm
from harmonium.model.harmonium import Harmonium
from harmonium.model.mixture import Mixture
from harmonium.model.precision import full_precision
from harmonium.typing import Features, Scalar, Visible


class ConditionedModel(NamedTuple):
    """p(open coordinates | known ones) as a model of its own, and how it was made.

    `model` has as many visible units as before. Known coordinates play no part: they are
    independent of all else, N(0, I/2), so that every kernel, log Z and every path works as it is.
    `complete` puts the known values back. log ∫ exp(-F) over the open coordinates of the model that
    was conditioned is log Z of `model` plus `log_scale`, in nats.
    """

    model: Harmonium
    log_scale: Scalar
    known: Visible
    is_open: Bool[Array, "visible"]

    def complete(self, x: Float[Array, "*rows visible"]) -> Float[Array, "*rows visible"]:
        """Draws of `model` with the known values in place."""
        return jnp.where(self.is_open, x, self.known)


def condition(model: Harmonium, known: Float[np.ndarray, "visible"]) -> ConditionedModel:
    """The model given coordinates of x: `known` (visible,) has their values, NaN where x is open.

    For any feature map and either base (theory, section 3): f is asked with the known values in
    place, the base becomes its own conditional. Raises `InvalidInputError` if a value is infinite.
    """
    known = np.asarray(known, np.float64)
    check_shape("condition(model, known)", "known", known, (model.n_visible,))
    if np.isinf(known).any():
        raise InvalidInputError(
            describe("condition(model, known)", expected="finite values, or NaN", got="inf")
        )
    is_open = np.isnan(known)
    values = np.where(is_open, 0.0, known)
    log_mass, base = _condition_base(model.base, known)
    bias = np.asarray(model.visible_bias, np.float64)
    feature_map = _given(model.feature_map, jnp.asarray(values, float), jnp.asarray(is_open))
    conditioned = eqx.tree_at(
        lambda m: (m.base, m.feature_map, m.visible_bias),
        model,
        (base, feature_map, jnp.asarray(np.where(is_open, bias, 0.0), float)),
    )
    # The known coordinates of the conditioned model have a volume of their own, which is none here.
    log_scale = log_mass + bias @ values
    return ConditionedModel(
        conditioned, jnp.asarray(log_scale, float), jnp.asarray(values, float), jnp.asarray(is_open)
    )


def in_coordinates(
    model: Harmonium, matrix: Float[np.ndarray, "visible visible"], offset: Visible | np.ndarray
) -> tuple[float, Harmonium]:
    """The model of y, where x = `matrix` y + `offset`, and log Z of the model less its log Z, nats.

    Its base is the base of the model tilted by b, as a mixture of y; its own b is 0.
    """
    matrix, offset = np.asarray(matrix, np.float64), np.asarray(offset, np.float64)
    log_scale, mixture = model.base.tilted(model.visible_bias)
    inverse = np.linalg.inv(matrix)
    base = MixtureBase(mixture.mapped(inverse, -inverse @ offset))
    feature_map = _after(model.feature_map, jnp.asarray(matrix, float), jnp.asarray(offset, float))
    moved = eqx.tree_at(
        lambda m: (m.base, m.feature_map, m.visible_bias),
        model,
        (base, feature_map, jnp.zeros_like(model.visible_bias)),
    )
    return float(log_scale), moved


def _condition_base(base: AbstractBase, known: np.ndarray) -> tuple[float, AbstractBase]:
    """Log of ∫ exp(-U) over the open coordinates relative to that of the base returned, and it."""
    is_open = np.isnan(known)
    if isinstance(base, GaussianBase):
        # Its coordinates are independent already; the known ones integrate to π^(1/2) each.
        return -float(np.nansum(known**2)) - 0.5 * math.log(math.pi) * (~is_open).sum(), base
    log_partition, mixture = base.tilted(jnp.zeros(base.n_visible))
    log_mass, opened = mixture.conditional(known)
    return float(log_partition) + log_mass, MixtureBase(_embedded(opened, is_open))


def _embedded(opened: Mixture, is_open: Bool[np.ndarray, "visible"]) -> Mixture:
    """The mixture of open coordinates beside N(0, I/2) in the known ones."""
    n_components, n_visible = opened.n_components, len(is_open)
    means = np.zeros((n_components, n_visible))
    means[:, is_open] = opened.means
    factors = np.zeros((n_components, n_visible, n_visible))
    factors[:, np.flatnonzero(~is_open), np.flatnonzero(~is_open)] = math.sqrt(0.5)
    factors[np.ix_(np.arange(n_components), is_open, is_open)] = opened.factors
    return Mixture.from_roots(np.asarray(opened.log_weights, np.float64), means, factors)


def _given(
    feature_map: Callable[[Visible], Features], known: Visible, is_open: Bool[Array, "visible"]
) -> Callable[[Visible], Features]:
    """The features of x with the known values in place; an affine map stays one."""
    if isinstance(feature_map, SupportsAffineForm):
        matrix, offset = feature_map.affine_form()
        return Affine(jnp.where(is_open[None, :], matrix, 0.0), offset + matrix @ known)
    return _Completed(feature_map, known, is_open)


def _after(
    feature_map: Callable[[Visible], Features],
    matrix: Float[Array, "visible visible"],
    offset: Visible,
) -> Callable[[Visible], Features]:
    """The features of `matrix` y + `offset`; an affine map stays one."""
    if isinstance(feature_map, SupportsAffineForm):
        outer, shift = feature_map.affine_form()
        return Affine(outer @ matrix, outer @ offset + shift)
    return _Moved(feature_map, matrix, offset)


class _Moved(eqx.Module):
    """A feature map of other coordinates."""

    feature_map: Callable[[Visible], Features]
    matrix: Float[Array, "visible visible"]
    offset: Visible

    @full_precision
    def __call__(self, y: Visible) -> Features:
        """f of the row."""
        return self.feature_map(self.matrix @ y + self.offset)


class _Completed(eqx.Module):
    """A feature map that reads known values in place of what x has there."""

    feature_map: Callable[[Visible], Features]
    known: Visible
    is_open: Bool[Array, "visible"]

    def __call__(self, x: Visible) -> Features:
        """f of the completed row."""
        return self.feature_map(jnp.where(self.is_open, x, self.known))
