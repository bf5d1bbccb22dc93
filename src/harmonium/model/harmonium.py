"""The model: p(x, h) proportional to exp(-E(x, h)), and everything that is known of it in closed
form.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from harmonium.errors import InvalidInputError, NotFactorizedError, check_shape, describe
from harmonium.model.bases import AbstractBase, ConditionalVisible, GaussianBase
from harmonium.model.feature_maps import Identity, SupportsAffineForm
from harmonium.model.hidden_units import AbstractHiddenUnits, Bernoulli
from harmonium.model.mixture import Mixture
from harmonium.model.precision import full_precision
from harmonium.typing import Features, Hidden, RandomKey, Scalar, Visible, Weights


class Harmonium(eqx.Module):
    """A deep energy-based model with real visible units x and binary hidden units h.

        E(x, h) = U(x) + h·(W f(x)) - c·h - b·x,      p(x, h) = exp(-E(x, h)) / Z

    with weights W (hidden, features), visible bias b (visible,), hidden bias c (hidden,), any
    feature map f (Ngiam et al. 2011; Zhai et al. 2016; with f the identity, the Gaussian-Bernoulli
    RBM) and the energy U of a `base`, which is no part of what is trained: U(x) = x·x of
    `GaussianBase`, unless another is given. All methods take ONE row x of shape (visible,); use
    `jax.vmap` for a batch. Energies are in nats.

    A new model has W = 0 and b = 0: exactly its base, with a known log-partition; for any b, a
    `GaussianBase` makes it the Gaussian N(b/2, I/2). The hidden bias starts at small random values,
    because equal hidden units would stay equal for ever.
    """

    weights: Weights
    visible_bias: Visible
    hidden_bias: Hidden
    feature_map: Callable[[Visible], Features]
    hidden_units: AbstractHiddenUnits
    base: AbstractBase

    def __init__(
        self,
        n_visible: int,
        n_hidden: int,
        *,
        feature_map: Callable[[Visible], Features] | None = None,
        hidden_units: AbstractHiddenUnits | None = None,
        base: AbstractBase | None = None,
        key: RandomKey,
    ):
        if n_visible < 1 or n_hidden < 1:
            raise InvalidInputError(
                describe(
                    "Harmonium(n_visible, n_hidden)",
                    expected="at least one visible and one hidden unit",
                    got=f"n_visible={n_visible}, n_hidden={n_hidden}",
                )
            )
        self.base = GaussianBase(n_visible) if base is None else base
        if self.base.n_visible != n_visible:
            raise InvalidInputError(
                describe(
                    f"Harmonium(n_visible={n_visible}, base=...)",
                    expected="a base of as many visible units",
                    got=f"n_visible={self.base.n_visible}",
                )
            )
        self.feature_map = Identity(n_visible) if feature_map is None else feature_map
        self.hidden_units = Bernoulli() if hidden_units is None else hidden_units
        n_features = _count_features(self.feature_map, n_visible)
        self.weights = jnp.zeros((n_hidden, n_features))
        self.visible_bias = jnp.zeros(n_visible)
        self.hidden_bias = 0.1 * jax.random.normal(key, (n_hidden,))

    @property
    def n_visible(self) -> int:
        """Number of visible units n."""
        return self.visible_bias.shape[0]

    @property
    def n_hidden(self) -> int:
        """Number of hidden units k."""
        return self.hidden_bias.shape[0]

    @property
    def n_features(self) -> int:
        """Number of features m."""
        return self.weights.shape[1]

    @full_precision
    def energy(self, x: Visible, h: Hidden) -> Scalar:
        """E(x, h) in nats (theory, section 1)."""
        check_shape("model.energy(x, h)", "x", x, (self.n_visible,))
        check_shape("model.energy(x, h)", "h", h, (self.n_hidden,))
        return self.base.energy(x) - self.visible_bias @ x - h @ self.hidden_logits(x)

    @full_precision
    def hidden_logits(self, x: Visible) -> Hidden:
        """The logits c - W f(x): p(h_k|x) ∝ exp(h_k logit_k) (theory, section 2)."""
        check_shape("model.hidden_logits(x)", "x", x, (self.n_visible,))
        return self.hidden_bias - self.weights @ self.feature_map(x)

    @eqx.filter_jit
    def hidden_mean(self, x: Visible) -> Hidden:
        """E[h|x]: sigmoid of the logits for {0, 1}, tanh for {-1, +1}."""
        return self.hidden_units.mean(self.hidden_logits(x))

    @full_precision
    def free_energy(self, x: Visible) -> Scalar:
        """F(x) = -log sum_h exp(-E(x, h)) in nats, so p(x) = exp(-F(x)) / Z (theory, section 5)."""
        log_sum = jnp.sum(self.hidden_units.log_normalizer(self.hidden_logits(x)))
        return self.base.energy(x) - self.visible_bias @ x - log_sum

    @full_precision
    def score(self, x: Visible) -> Visible:
        """grad_x log p(x) = -grad F(x); needs no Z (theory, section 5)."""
        check_shape("model.score(x)", "x", x, (self.n_visible,))
        return -jax.grad(self.free_energy)(x)

    @full_precision
    def conditional_visible(self, h: Hidden) -> ConditionalVisible | Mixture:
        """p(x|h), if the feature map is affine (theory, section 3): the base tilted by b - AᵀWᵀh.

        For f(x) = A x + d and a `GaussianBase` it is N((b - AᵀWᵀh)/2, I/2), recognized by a
        `ConditionalVisible`; for a `MixtureBase` it is a `Mixture`. Both have `mean` and `variance`
        per coordinate, and `sample(key, n)`. Raises `NotFactorizedError` for other feature maps.
        """
        check_shape("model.conditional_visible(h)", "h", h, (self.n_hidden,))
        self.affine_form()  # Raises where there is none.
        # Aᵀ without A, which as a matrix would be a product too many for the identity.
        _, transposed = jax.vjp(self.feature_map, jnp.zeros_like(self.visible_bias))
        (pull,) = transposed(h @ self.weights)
        return self.base.conditional(self.visible_bias - pull)

    def affine_form(self) -> tuple[Float[Array, "features visible"], Features]:
        """The matrix A and offset d of an affine feature map; `NotFactorizedError` for any
        other.
        """
        if isinstance(self.feature_map, SupportsAffineForm):
            return self.feature_map.affine_form()
        raise NotFactorizedError(
            f"p(x|h) does not factorize for the feature map {type(self.feature_map).__name__}: "
            "exp(b·x - U(x) - h·W f(x)) couples all coordinates of x through f, so it has no mean "
            "and variance per coordinate, and no closed form. Only an affine f(x) = A x + d gives "
            "the base tilted by a linear term. Try: feature_maps.Identity or feature_maps.Affine, "
            "a method "
            "affine_form() on your own affine map, or draw x with an MCMC kernel such as MALA."
        )

    @property
    def is_affine(self) -> bool:
        """Whether the feature map is known to be affine."""
        return isinstance(self.feature_map, SupportsAffineForm)


def split_trainable(model: Harmonium) -> tuple[Harmonium, Harmonium]:
    """The model in two parts for `eqx.combine`: what is trained, and all else; None in place of
    what is in the other.

    Parameters are the floating-point arrays outside of the base. Stacked models are split alike.
    """

    def is_parameter(path: tuple[Any, ...], leaf: Any) -> bool:
        return eqx.is_inexact_array(leaf) and path[0] != jax.tree_util.GetAttrKey("base")

    return eqx.partition(model, jax.tree_util.tree_map_with_path(is_parameter, model))


def check_finite(call: str, model: Harmonium) -> None:
    """Raise `InvalidInputError` if a parameter of the model is NaN or infinite."""
    arrays = jax.tree_util.tree_leaves_with_path(eqx.filter(model, eqx.is_inexact_array))
    for path, array in arrays:
        if not np.isfinite(np.asarray(array)).all():
            raise InvalidInputError(
                describe(
                    call,
                    expected="a model with finite parameters",
                    got=f"NaN or inf in model{jax.tree_util.keystr(path)}",
                )
            )


def _count_features(feature_map: Callable[[Visible], Any], n_visible: int) -> int:
    probe = jax.ShapeDtypeStruct((n_visible,), jnp.zeros(()).dtype)
    try:
        output = eqx.filter_eval_shape(feature_map, probe)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"Harmonium(n_visible={n_visible}, feature_map=...): the feature map cannot take one "
            f"row of shape ({n_visible},): {error}"
        ) from error
    shape = getattr(output, "shape", None)
    if shape is None or len(shape) != 1:
        raise InvalidInputError(
            describe(
                "Harmonium(feature_map=...)",
                expected="a map from one row (visible,) to one vector (features,)",
                got=f"an output of shape {shape}",
            )
        )
    return shape[0]
