"""The standard normal between two bounds: its mass and its quantiles, also far out in the tails.

Intervals are first reflected to the right side, where both tail probabilities are small numbers
that keep their digits. Three regimes follow: near the center, tail probabilities and their inverse;
far out, the Mills ratio R(a) = Q(a) / φ(a), from which the factor exp(-a²/2) is split off;
narrow intervals, for which differences of tail probabilities lose digits, the density times the
width and the first terms of a series.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Values = Float[Array, "*shape"]

# From here on the Mills ratio is used. There, so many levels of its continued fraction give 15
# digits, and the 8 of single precision.
_TAIL = 8.0
_LEVELS, _SINGLE_LEVELS = 12, 5
# Bounds beyond this many standard deviations count as this far, so that squares stay finite.
_FARTHEST = 1e9
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def truncated_normal(
    low: Values, high: Values, width: Values, share: Values
) -> tuple[Values, Values]:
    """log(Φ(high) - Φ(low)), and the quantile of N(0, 1) restricted to [low, high] at `share`.

    `width` is high - low, given apart because a caller may know it to more digits; `low` < `high`
    may be infinite; `share` lies in (0, 1). All results are finite: bounds beyond 1e9 standard
    deviations count as if they lay there. Relative errors of the mass are about 50 times the
    machine epsilon, or 1e-4 where the interval is 1e-5 of a standard deviation wide.
    """
    is_left = low + high < 0
    near = jnp.minimum(jnp.where(is_left, -high, low), _FARTHEST)
    far = jnp.where(is_left, -low, high)
    # The share of the interval's mass that lies beyond the quantile, on the right side.
    beyond = jnp.where(is_left, share, 1 - share)
    center_mass, center = _in_center(near, far, beyond)
    tail_mass, tail = _in_tail(near, far, width, beyond)
    is_tail = near > _TAIL
    log_mass = jnp.where(is_tail, tail_mass, center_mass)
    middle = jnp.where(jnp.isfinite(width), near + 0.5 * width, 0.0)
    is_narrow = width * (1 + middle) < jnp.finfo(width.dtype).eps ** 0.2
    log_mass = jnp.where(is_narrow, _narrow_log_mass(middle, width), log_mass)
    quantile = jnp.clip(jnp.where(is_tail, tail, center), near, far)
    return log_mass, jnp.where(is_left, -quantile, quantile)


def _upper(x: Values) -> Values:
    """Q(x) = 1 - Φ(x)."""
    return 0.5 * jax.lax.erfc(x * math.sqrt(0.5))


def _in_center(near: Values, far: Values, beyond: Values) -> tuple[Values, Values]:
    """By tail probabilities and their inverse."""
    near_tail, far_tail = _upper(near), _upper(far)
    mass = near_tail - far_tail
    tiny = jnp.finfo(mass.dtype).tiny
    tail = jnp.clip(far_tail + beyond * mass, tiny, 1 - jnp.finfo(mass.dtype).epsneg)
    return jnp.log(jnp.maximum(mass, tiny)), -jax.scipy.special.ndtri(tail)


def _in_tail(near: Values, far: Values, width: Values, beyond: Values) -> tuple[Values, Values]:
    """By Mills ratios: Q(near + t) = φ(near) exp(-t (near + t/2)) R(near + t)."""
    near = jnp.maximum(near, _TAIL)
    near_ratio, far_ratio = _mills_ratio(near), _mills_ratio(jnp.maximum(far, _TAIL))
    far_ratio = jnp.exp(-width * (near + 0.5 * width)) * far_ratio
    tiny = jnp.finfo(near.dtype).tiny
    difference = jnp.maximum(near_ratio - far_ratio, tiny)
    log_mass = jnp.log(difference) - 0.5 * near * near - _HALF_LOG_2PI
    wanted = jnp.log(jnp.maximum(far_ratio + beyond * difference, tiny))
    # Newton's method on log Q(near + t), whose slope is -1/R; started where R is held constant.
    drop = 2 * jnp.maximum(jnp.log(near_ratio) - wanted, 0.0)
    t = drop / (near + jnp.sqrt(near * near + drop))
    for _ in range(2):
        ratio = _mills_ratio(near + t)
        t = t + ratio * (jnp.log(ratio) - t * (near + 0.5 * t) - wanted)
    return log_mass, near + t


def _mills_ratio(x: Values) -> Values:
    """Q(x) / φ(x) for x >= `_TAIL`, by Laplace's continued fraction 1 / (x + 1 / (x + 2 / ...))."""
    fraction = x
    levels = _SINGLE_LEVELS if jnp.finfo(x.dtype).bits == 32 else _LEVELS
    for level in range(levels, 0, -1):
        fraction = x + level / fraction
    return 1 / fraction


def _narrow_log_mass(middle: Values, width: Values) -> Values:
    """log of the mass of a narrow interval: cumulants of x² / 2 under the uniform distribution."""
    tilt = jnp.square(middle * width)
    series = (tilt - jnp.square(width)) / 24 - jnp.square(tilt) / 2880
    return jnp.log(width) + series - 0.5 * jnp.square(middle) - _HALF_LOG_2PI
