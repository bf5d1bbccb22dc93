"""Compiling little: programs that run a few times are compiled fast rather than well."""

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

# They halve the time of the compiler on CPUs; programs take up to a third longer.
BRIEF = {"xla_backend_optimization_level": 1, "xla_cpu_use_fusion_emitters": False}


def compiled_briefly(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """`function` under `eqx.filter_jit`, compiled in half the time on CPUs.

    For what runs a few times, like the search for modes; not for updates, nor for rows in bulk.
    Inside of another compiled function it is a part of that one if its arguments are.
    """

    @cache
    def program() -> Callable[Arguments, Result]:
        # Not before the first call: asking for the options starts JAX.
        # Its declared type knows none of the options of `jax.jit`, which it passes on.
        jit: Any = eqx.filter_jit
        return jit(function, compiler_options=_brief_options())

    @wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((args, kwargs))):
            return function(*args, **kwargs)
        return program()(*args, **kwargs)

    return call


def as_floats(values: np.ndarray) -> Array:
    """Values as JAX's floating-point numbers; rounded by NumPy, so that nothing is compiled."""
    with np.errstate(over="ignore"):
        return jnp.array(np.asarray(values, jax.dtypes.canonicalize_dtype(float)))


@cache
def _brief_options() -> dict[str, Any]:
    """The options, or none where this version of the compiler does not know them."""
    if jax.default_backend() != "cpu":
        return {}
    try:
        jax.jit(lambda x: x, compiler_options=BRIEF).lower(0.0).compile()
    except jax.errors.JaxRuntimeError:
        return {}
    return dict(BRIEF)
