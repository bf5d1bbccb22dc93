"""Functions of the mathematics as programs, with products of full single precision."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import equinox as eqx
import jax

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def full_precision(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """`function` under `eqx.filter_jit`, traced so that accelerators do not shorten the factors of
    its products, nor of its derivatives.

    GPUs round them to 10 bits and TPUs to 7 by default, an error of F larger than the
    standard error of log Z (docs/decisions.md). The precision of the caller's own products is left
    alone. As one program a call by hand costs one compilation, not one per operation; inside of
    another program it is a part of that one.
    """
    program = eqx.filter_jit(function)

    @wraps(function)
    def wrapped(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with jax.default_matmul_precision("float32"):
            return program(*args, **kwargs)

    return wrapped
