"""Ground truth for small models: enumeration of 2^k hidden states (affine f), quadrature (n <= 2).

They are computed in float64 whatever precision the model has.
"""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from harmonium.errors import InfeasibleError
from harmonium.model.harmonium import Harmonium
from harmonium.model.precision import full_precision
from harmonium.typing import Hidden, Positions, RandomKey, Scalar, Visible

MAX_ENUMERATED_HIDDEN = 24
MAX_SAMPLED_HIDDEN = 16
MAX_QUADRATURE_VISIBLE = 2
_BLOCK_BITS = 14
_QUADRATURE_TOLERANCE = 1e-5
# In standard deviations of a component.
_SEARCHED_HALF_WIDTHS = (12.0, 48.0, 192.0)
_NEGLIGIBLE = 40.0


def exact_log_partition(model: Harmonium) -> float:
    """Log Z in nats, by enumeration (affine f, k <= 24) or by quadrature (n <= 2).

    Raises `InfeasibleError` when neither can be done.
    """
    if model.is_affine and model.n_hidden <= MAX_ENUMERATED_HIDDEN:
        return enumerated_log_partition(model)
    if model.n_visible <= MAX_QUADRATURE_VISIBLE:
        return quadrature_log_partition(model)
    raise InfeasibleError(
        f"exact_log_partition(model): an exact log Z needs an affine feature map with at most "
        f"{MAX_ENUMERATED_HIDDEN} hidden units, or at most {MAX_QUADRATURE_VISIBLE} visible units; "
        f"got {type(model.feature_map).__name__} with n_visible={model.n_visible}, "
        f"n_hidden={model.n_hidden}. Try: estimate_log_partition(model, key=key)."
    )


def hidden_states(model: Harmonium, start: int = 0, stop: int | None = None) -> np.ndarray:
    """The hidden states numbered start..stop-1 of all 2^k, shape (stop - start, hidden)."""
    stop = 2**model.n_hidden if stop is None else stop
    bits = (np.arange(start, stop)[:, None] >> np.arange(model.n_hidden)) & 1
    low, high = model.hidden_units.values
    return np.where(bits == 1, high, low)


@full_precision
def enumerated_log_weights(
    model: Harmonium, hidden: Float[Array, "states hidden"]
) -> Float[Array, "states"]:
    """Log of the integral of exp(-E(x, h)) over x, for each row h of `hidden`; affine f only.

    h·(c - W d), and the log partition of the base tilted by b - AᵀWᵀh, for f(x) = A x + d.
    """
    matrix, offset = model.affine_form()
    tilts = model.visible_bias[None, :] - hidden @ (model.weights @ matrix)
    linear = hidden @ (model.hidden_bias - model.weights @ offset)
    return linear + jax.vmap(lambda tilt: model.base.tilted(tilt)[0])(tilts)


def enumerated_log_partition(model: Harmonium) -> float:
    """Log Z by summing over all hidden states in blocks; affine f only, at most 24 hidden units."""
    if model.n_hidden > MAX_ENUMERATED_HIDDEN:
        raise InfeasibleError(
            f"enumerated_log_partition(model): expected at most {MAX_ENUMERATED_HIDDEN} hidden "
            f"units; got {model.n_hidden}. Try: estimate_log_partition(model, key=key)."
        )
    n_states = 2**model.n_hidden
    with jax.enable_x64(True):
        precise = in_double(model)
        totals = []
        for start in range(0, n_states, 2**_BLOCK_BITS):
            states = hidden_states(model, start, min(start + 2**_BLOCK_BITS, n_states))
            totals.append(
                np.logaddexp.reduce(np.asarray(log_masses_of(precise, jnp.asarray(states))))
            )
    return float(np.logaddexp.reduce(totals))


def exact_samples(key: RandomKey, model: Harmonium, n: int) -> Positions:
    """N independent draws of x from an enumerable affine model: h from p(h), then x from p(x|h).

    Raises `InfeasibleError` beyond 16 hidden units.
    """
    if model.n_hidden > MAX_SAMPLED_HIDDEN:
        raise InfeasibleError(
            f"exact_samples(key, model, n): expected at most {MAX_SAMPLED_HIDDEN} hidden units; "
            f"got {model.n_hidden}. Try: sample(model, n, key=key)."
        )
    hidden = jnp.asarray(hidden_states(model), model.weights.dtype)
    key_hidden, key_visible = jax.random.split(key)
    log_weights = enumerated_log_weights(model, hidden)
    picked = hidden[jax.random.categorical(key_hidden, log_weights, shape=(n,))]

    def draw(key: RandomKey, h: Hidden) -> Visible:
        return model.conditional_visible(h).sample(key, 1)[0]

    return jax.vmap(draw)(jax.random.split(key_visible, n), picked)


def quadrature_log_partition(model: Harmonium) -> float:
    """Log Z by the trapezoid rule, for each component of the base in its own coordinates z, x = m +
    L z.

    Z is Z_0 sum_k w_k E[g(m_k + L_k z)] for standard normal z, where the base tilted by b is Z_0
    times the mixture of the components (w, m, L Lᵀ), and g is what the hidden units add: narrow and
    far components are no harder than others. Grids are refined until two resolutions agree. Raises
    `InfeasibleError` beyond 2 visible units, and where they do not agree.
    """
    if model.n_visible > MAX_QUADRATURE_VISIBLE:
        raise InfeasibleError(
            f"quadrature_log_partition(model): quadrature is done up to {MAX_QUADRATURE_VISIBLE} "
            f"visible units; got n_visible={model.n_visible}. Try: estimate_log_partition."
        )
    with jax.enable_x64(True):
        model = in_double(model)
        log_partition, mixture = model.base.tilted(model.visible_bias)
        places = zip(mixture.means, mixture.factors, strict=True)
        boxes = [
            _Box(model, mean, factor, *_find_support(model, mean, factor))
            for mean, factor in places
        ]
        log_weights = np.asarray(mixture.log_weights) + float(log_partition)
        return _integrate(boxes, log_weights)


class _Box(NamedTuple):
    """Where the integrand of one component lies: between `low` and `high` in z."""

    model: Harmonium
    mean: Visible
    factor: Float[Array, "visible visible"]
    low: np.ndarray
    high: np.ndarray

    def log_integrals(self, n_points: int) -> tuple[float, float]:
        """On a grid of so many points per axis, and on the grid of every other point of it."""
        axes, log_density = _on_grid(*self, n_points)
        thinned = log_density[(slice(None, None, 2),) * len(axes)]
        coarse = _log_integral([axis[::2] for axis in axes], thinned)
        return _log_integral(axes, log_density), coarse


def _integrate(boxes: list[_Box], log_weights: np.ndarray) -> float:
    for n_points in (513, 1025, 2049):
        parts = np.array([box.log_integrals(n_points) for box in boxes])
        value, coarse = np.logaddexp.reduce(log_weights[:, None] + parts, axis=0)
        if abs(value - coarse) < _QUADRATURE_TOLERANCE:
            return float(value)
    if abs(value - coarse) < 10 * _QUADRATURE_TOLERANCE:
        return float(value)
    raise InfeasibleError(
        "quadrature_log_partition(model): grids of 1025 and 2049 points per axis differ by "
        f"{abs(value - coarse):.1e} nats; the density is too spiky for quadrature. "
        "Try: estimate_log_partition."
    )


def _find_support(
    model: Harmonium, mean: Visible, factor: Float[Array, "visible visible"]
) -> tuple[np.ndarray, np.ndarray]:
    """A box outside of which the integrand is below e^-40 of its maximum, found on coarse grids.

    All widths are searched, coarse ones too: what the hidden units add may lie far from the
    component.
    """
    points, levels = [], []
    for half_width in _SEARCHED_HALF_WIDTHS:
        ends = np.full((2, model.n_visible), half_width)
        axes, log_density = _on_grid(model, mean, factor, -ends[0], ends[1], 321)
        near = log_density > log_density.max() - _NEGLIGIBLE
        index = np.nonzero(near)
        spacing = 2 * half_width / 320
        coordinates = np.stack([axis[i] for axis, i in zip(axes, index, strict=True)], axis=1)
        points += [coordinates - 2 * spacing, coordinates + 2 * spacing]
        levels += [log_density[near], log_density[near]]
    found, level = np.concatenate(points), np.concatenate(levels)
    kept = found[level > level.max() - _NEGLIGIBLE]
    low, high = kept.min(axis=0), kept.max(axis=0)
    if np.any(np.maximum(high, -low) >= _SEARCHED_HALF_WIDTHS[-1]):
        raise InfeasibleError(
            "quadrature_log_partition(model): no box holds the mass of the model; its feature map "
            "may grow as fast as |x|², so that Z is not finite. Try: a feature map that grows more "
            "slowly."
        )
    return low, high


def in_double(model: Harmonium) -> Harmonium:
    """The same model with float64 parameters; only within `jax.enable_x64(True)`."""
    return jax.tree.map(
        lambda leaf: (
            jnp.asarray(np.asarray(leaf, np.float64)) if eqx.is_inexact_array(leaf) else leaf
        ),
        model,
    )


@eqx.filter_jit
def log_masses_of(
    model: Harmonium, hidden: Float[Array, "states hidden"]
) -> Float[Array, "states"]:
    """`enumerated_log_weights`, compiled."""
    return enumerated_log_weights(model, hidden)


@eqx.filter_jit
def _log_integrands(
    model: Harmonium,
    mean: Visible,
    factor: Float[Array, "visible visible"],
    z: Float[Array, "batch visible"],
) -> Float[Array, "batch"]:
    def log_integrand(z: Visible) -> Scalar:
        log_normal = -(z @ z) / 2 - model.n_visible / 2 * math.log(2 * math.pi)
        logits = model.hidden_logits(mean + factor @ z)
        return log_normal + jnp.sum(model.hidden_units.log_normalizer(logits))

    return jax.vmap(log_integrand)(z)


def _on_grid(
    model: Harmonium,
    mean: Visible,
    factor: Float[Array, "visible visible"],
    low: np.ndarray,
    high: np.ndarray,
    n_points: int,
) -> tuple[list[np.ndarray], np.ndarray]:
    """Axes of a grid in z between these ends, and the log-integrand on it."""
    axes = [np.linspace(a, b, n_points) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, model.n_visible)
    size = n_points * max(1, 131072 // n_points) if model.n_visible == 2 else n_points
    parts = [
        np.asarray(_log_integrands(model, mean, factor, jnp.asarray(grid[i : i + size])))
        for i in range(0, len(grid), size)
    ]
    return axes, np.concatenate(parts).reshape((n_points,) * model.n_visible)


def _log_integral(axes: list[np.ndarray], log_density: np.ndarray) -> float:
    log_cell = float(np.sum([np.log(axis[1] - axis[0]) for axis in axes]))
    # The integrand vanishes at the border, where trapezoid and rectangle rules coincide.
    return float(np.logaddexp.reduce(log_density.ravel())) + log_cell
