"""What this machine can do at best: the rate of float32 matrix products, and the products that an
update needs.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Shape = tuple[int, int, int]

LARGE_SQUARE: Shape = (2048, 2048, 2048)
N_PRODUCTS = 5


def best_of(call: Callable[[], Any], repetitions: int) -> float:
    """Seconds of the fastest of some calls, after one that is not counted."""
    jax.block_until_ready(call())
    seconds = []
    for _ in range(repetitions):
        started = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def product_rate(shape: Shape) -> float:
    """FLOP/s of JAX's product of float32 matrices (m, k) @ (k, n): the fastest of some."""
    m, k, n = shape
    keys = jax.random.split(jax.random.key(0))
    left, right = jax.random.normal(keys[0], (m, k)), jax.random.normal(keys[1], (k, n))
    product = jax.jit(jnp.matmul)
    return 2.0 * m * k * n / best_of(lambda: product(left, right), N_PRODUCTS)


def forward_flops(n_visible: int, width: int, n_hidden: int) -> float:
    """Of the products behind F of one row: two layers of f, then W. Elementwise work is not
    counted.
    """
    return 2.0 * (n_visible * width + width * width + width * n_hidden)


def input_gradient_flops(n_visible: int, width: int, n_hidden: int) -> float:
    """Of F and its gradient by x, for one row: every product once forward and once backward."""
    return 2 * forward_flops(n_visible, width, n_hidden)


def parameter_gradient_flops(n_visible: int, width: int, n_hidden: int) -> float:
    """Of F and its gradient by the parameters, for one row: forward, backward but into x, outer
    products.
    """
    return 3 * forward_flops(n_visible, width, n_hidden) - 2.0 * n_visible * width
