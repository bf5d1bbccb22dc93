"""Random numbers of a move, drawn by one call of the generator.

Every further call, and every split of a key, is some 16 kernels more to compile on a CPU, and some
more to launch at every step.
"""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from harmonium.typing import RandomKey


def draw_noise(
    key: RandomKey, n_normal: int, n_uniform: int, dtype: DTypeLike
) -> tuple[Float[Array, "_"], Float[Array, "_"]]:
    """Standard normal numbers (n_normal,), and others (n_uniform,) uniform between 0 and 1."""
    # Open at -1, where the normal number would be infinite.
    above = jnp.nextafter(jnp.asarray(-1, dtype), jnp.asarray(0, dtype))
    uniform = jax.random.uniform(key, (n_normal + n_uniform,), dtype, above, 1.0)
    normal = jnp.sqrt(2).astype(dtype) * jax.lax.erf_inv(uniform[:n_normal])
    return normal, (uniform[n_normal:] + 1) / 2
