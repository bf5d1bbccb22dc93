"""Tails of the normal distribution from sums, products, logarithms and exponentials alone.

Runtimes lack them in double precision. Everything rests on erfcx(x) = exp(x²) erfc(x), which is
smooth and of one sign: (1 + 2x) erfcx(x) is a short Chebyshev series in (x - k)/(x + k) for all
x ≥ 0 (Shepherd and Laframboise, "Chebyshev approximation of (1 + 2x) exp(x²) erfc x in 0 ≤ x < ∞",
Mathematics of Computation 36, 1981).
"""

import math
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.polynomial import chebyshev
from scipy.special import erfcx as reference

_CENTER, _DEGREE = 3.75, 24
# Beyond it squares overflow; nothing that is computed here changes any more.
_FARTHEST = 1e150
# Steps of Halley's method from the first guess, each of which triples the digits.
_STEPS = 4
_TRUNCATED = 0.5

Values = Float[Array, "*shape"]


@cache
def _coefficients() -> tuple[float, ...]:
    """Of the powers of (x - k)/(x + k), the highest first; precise to 5e-15."""

    def scaled(place: np.ndarray) -> np.ndarray:
        x = _CENTER * (1 + place) / (1 - np.minimum(place, 1 - 1e-14))
        return (1 + 2 * x) * reference(x)

    places = chebyshev.chebpts1(_DEGREE + 1)
    series = chebyshev.chebfit(places, scaled(places), _DEGREE)
    return tuple(chebyshev.cheb2poly(series)[::-1].tolist())


def erfcx(x: Values) -> Values:
    """exp(x²) erfc(x) for x ≥ 0."""
    place = (x - _CENTER) / (x + _CENTER)
    first, *others = _coefficients()
    total = jnp.full_like(x, first)
    for coefficient in others:
        total = total * place + coefficient
    return total / (1 + 2 * x)


def erfc(x: Values) -> Values:
    """1 - erf(x)."""
    size = jnp.minimum(jnp.abs(x), _FARTHEST)
    beyond = jnp.exp(-size * size) * erfcx(size)
    return jnp.where(x < 0, 2 - beyond, beyond)


def erf(x: Values) -> Values:
    """The error function; near 0 by its power series, where 1 - erfc(x) would lose digits."""
    square = jnp.minimum(x * x, _TRUNCATED**2)
    total = jnp.full_like(x, 1.0)
    for n in range(14, 0, -1):
        total = 1 + total * square * 2 / (2 * n + 1)
    series = 2 / math.sqrt(math.pi) * x * jnp.exp(-square) * total
    return jnp.where(jnp.abs(x) < _TRUNCATED, series, 1 - erfc(x))


def log1p(x: Values) -> Values:
    """log(1 + x), by a logarithm whose argument is rounded: Kahan's quotient takes it back."""
    one = 1 + x
    # Where 1 + x is infinite or zero there is nothing to be taken back.
    usual = (one > 0) & (one < jnp.inf) & (one != 1)
    safe = jnp.where(usual, one, 2.0)
    found = jnp.log(safe) * x / (safe - 1)
    return jnp.where(usual, found, jnp.where(one == 1, x, jnp.log(one)))


def expm1(x: Values) -> Values:
    """exp(x) - 1, by Kahan's quotient too."""
    power = jnp.exp(x)
    usual = (power > 0.1) & (power < 10) & (power != 1)
    safe = jnp.where(usual, power, 2.0)
    found = (safe - 1) * x / jnp.log(safe)
    return jnp.where(usual, found, jnp.where(power == 1, x, power - 1))


def asinh(x: Values) -> Values:
    """log(x + sqrt(x² + 1)), odd and with all digits near 0."""
    size = jnp.abs(x)
    square = jnp.square(jnp.minimum(size, 1e10))
    near = log1p(size + square / (1 + jnp.sqrt(square + 1)))
    far = jnp.log(jnp.maximum(size, 1.0)) + math.log(2)
    return jnp.sign(x) * jnp.where(size > 1e9, far, near)


def log_ndtr(u: Values) -> Values:
    """log Φ(u), from -inf to 0."""
    size = jnp.minimum(jnp.abs(u), _FARTHEST)
    mills = 0.5 * erfcx(size * math.sqrt(0.5))
    log_beyond = jnp.log(mills) - 0.5 * size * size
    inside = log1p(-mills * jnp.exp(-0.5 * size * size))
    return jnp.where(u < 0, jnp.where(jnp.isinf(u), -jnp.inf, log_beyond), inside)


def ndtri_exp(y: Values) -> Values:
    """The u ≤ 0 with log Φ(u) = y, for y ≤ log(1/2) up to rounding: Halley's method for -u."""
    known = y > -jnp.inf
    target = jnp.where(known, y, -1.0)
    excess = jnp.maximum(-target - math.log(2), 0.0)
    # Φ(-w) is nearly exp(-0.717 w - 0.416 w²)/2.
    start = (jnp.sqrt(0.717**2 + 4 * 0.416 * excess) - 0.717) / (2 * 0.416)

    def improve(_: int, w: Values) -> Values:
        mills = 0.5 * erfcx(jnp.abs(w) * math.sqrt(0.5))
        miss = jnp.log(mills) - 0.5 * w * w - target
        hazard = 1 / (math.sqrt(2 * math.pi) * mills)
        step = -miss / hazard
        return jnp.maximum(w - step / (1 - 0.5 * step * (hazard - w)), 0.0)

    found = jax.lax.fori_loop(0, _STEPS, improve, start)
    return jnp.where(known, -found, -jnp.inf)


def from_log_tails(log_lower: Values, log_upper: Values) -> Values:
    """The u with log Φ(u) = log_lower and log Φ(-u) = log_upper, from the smaller of the two."""
    side = jnp.where(log_lower <= log_upper, 1.0, -1.0)
    return side * ndtri_exp(jnp.minimum(log_lower, log_upper))
