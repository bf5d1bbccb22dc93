"""The path beta -> p_beta that puts an inverse temperature on W, and its exact base (theory,
section 6).
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from harmonium.model.harmonium import Harmonium
from harmonium.model.precision import full_precision
from harmonium.typing import Features, Positions, RandomKey, Scalar, Visible


class Center(NamedTuple):
    """Where a path is centered: a mean of x (visible,) and a mean of f(x) (features,)."""

    visible: Visible
    features: Features


class Path(eqx.Module):
    """From an exactly known density (beta = 0), the tilted base of a model, to the model (beta =
    1).

    Without a center, beta multiplies W and nothing else (theory, section 6). A center is for bases
    without modes, U(x) = x·x. With one, the interaction is between centered quantities, E_beta =
    x·x + beta (h·W (f(x) - phi) - (b - 2m)·x) - (c - W phi)·h - 2m·x up to a constant: the base is
    N(m, I/2), and no mode is favored on the way because it lies near N(b/2, I/2). It is the
    centering of Montavon and Mueller (2012) applied to the path: modes of equal mass keep it in the
    middle of the path too.
    """

    model: Harmonium
    center: Center | None = None

    @full_precision
    def at(self, inverse_temperature: Scalar | float) -> Harmonium:
        """The model p_beta."""
        beta = jnp.asarray(inverse_temperature, self.model.weights.dtype)
        scaled = self.model.weights * beta
        if self.center is None:
            return eqx.tree_at(lambda m: m.weights, self.model, scaled)
        visible_bias = beta * self.model.visible_bias + (1 - beta) * 2 * self.center.visible
        hidden_bias = (
            self.model.hidden_bias - (1 - beta) * self.model.weights @ self.center.features
        )
        return eqx.tree_at(
            lambda m: (m.weights, m.visible_bias, m.hidden_bias),
            self.model,
            (scaled, visible_bias, hidden_bias),
        )

    @property
    def base(self) -> Harmonium:
        """The model at beta = 0."""
        return _base(self)

    @full_precision
    def log_weight(self, x: Visible) -> Scalar:
        """log of exp(-F(x)) / exp(-F_base(x)) in nats, by which a draw x of the base is weighted
        for the model.

        U(x) drops out and is not evaluated: what is left is what the hidden units add, and what a
        center takes.
        """
        base, units = self.base, self.model.hidden_units
        added = jnp.sum(units.log_normalizer(self.model.hidden_logits(x)))
        added -= jnp.sum(units.log_normalizer(base.hidden_bias))
        return added + (self.model.visible_bias - base.visible_bias) @ x


@eqx.filter_jit
def _base(path: Path) -> Harmonium:
    return path.at(0.0)


def center_at(model: Harmonium, positions: Positions) -> Center:
    """The center of rows (rows, visible): their mean and the mean of their features."""
    features = jax.vmap(model.feature_map)(positions)
    return Center(jnp.mean(positions, axis=0), jnp.mean(features, axis=0))


def temper(model: Harmonium, inverse_temperature: Scalar | float) -> Harmonium:
    """The model p_beta with free energy U(x) - b·x - sum_k log_normalizer(c_k - beta w_k·f(x)).

    beta = 1 is the model itself, beta = 0 its tilted base, which is exactly known.
    """
    return Path(model).at(inverse_temperature)


@eqx.filter_jit
@full_precision
def base_log_partition(model: Harmonium) -> Scalar:
    """Log Z of the model at beta = 0: that of the base tilted by b, and sum_k log_normalizer(c_k),
    in nats.
    """
    log_partition, _ = model.base.tilted(model.visible_bias)
    return log_partition + jnp.sum(model.hidden_units.log_normalizer(model.hidden_bias))


@full_precision
def base_free_energy(model: Harmonium, x: Visible) -> Scalar:
    """F(x) at beta = 0, without f(x): U(x) - b·x - sum_k log_normalizer(c_k), in nats."""
    log_sum = jnp.sum(model.hidden_units.log_normalizer(model.hidden_bias))
    return model.base.energy(x) - model.visible_bias @ x - log_sum


def sample_base(key: RandomKey, model: Harmonium, n_chains: int) -> Positions:
    """Exact draws of the base tilted by b, shape (chains, visible)."""
    return model.base.conditional(model.visible_bias).sample(key, n_chains)
