"""Rules for elementwise primitives, reductions and matrix products."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from harmonium.errors import ExportError
from harmonium.export import special
from harmonium.export.graphs import Equation, Graph, Names, Rule, rule

# Primitives that are one operation each.
_SAME = {
    "abs": "Abs",
    "add": "Add",
    "and": "And",
    "ceil": "Ceil",
    "copy": "Identity",
    "copy_p": "Identity",
    "cos": "Cos",
    "eq": "Equal",
    "exp": "Exp",
    "floor": "Floor",
    "ge": "GreaterOrEqual",
    "gt": "Greater",
    "le": "LessOrEqual",
    "log": "Log",
    "logistic": "Sigmoid",
    "lt": "Less",
    "max": "Max",
    "min": "Min",
    "mul": "Mul",
    "neg": "Neg",
    "not": "Not",
    "or": "Or",
    "pow": "Pow",
    "sign": "Sign",
    "sin": "Sin",
    "sqrt": "Sqrt",
    "stop_gradient": "Identity",
    "sub": "Sub",
    "tanh": "Tanh",
    "xor": "Xor",
}
# Primitives that runtimes lack in double precision, by others.
_EXPANDED: dict[str, Callable[..., Any]] = {
    "asinh": special.asinh,
    "cbrt": lambda x: jnp.sign(x) * jnp.abs(x) ** (1 / 3),
    "cosh": lambda x: 0.5 * (jnp.exp(x) + jnp.exp(-x)),
    "erf": special.erf,
    "erfc": special.erfc,
    "exp2": lambda x: jnp.exp(x * _LOG_2),
    "expm1": special.expm1,
    "log1p": special.log1p,
    "rsqrt": lambda x: 1 / jnp.sqrt(x),
    "sinh": lambda x: 0.5 * (special.expm1(x) - special.expm1(-x)),
    "square": lambda x: x * x,
    "tan": lambda x: jnp.sin(x) / jnp.cos(x),
}
_LOG_2 = float(np.log(2))
_LOGICAL = ("And", "Or", "Not", "Xor")


def _same(op: str) -> Rule:
    def apply(graph: Graph, equation: Equation, names: Names) -> str:
        if op in _LOGICAL and equation.invars[0].aval.dtype != bool:
            raise ExportError(f"export to ONNX: the operation {op!r} on the bits of integers.")
        return graph.node(op, *names)

    return apply


def _expanded(function: Callable[..., Any]) -> Rule:
    def apply(graph: Graph, equation: Equation, names: Names) -> Names:
        inputs = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in equation.invars]
        return graph.inline(jax.make_jaxpr(function)(*inputs), names)

    return apply


for _name, _op in _SAME.items():
    rule(_name)(_same(_op))
for _name, _function in _EXPANDED.items():
    rule(_name)(_expanded(_function))


@rule("ne")
def _not_equal(graph: Graph, equation: Equation, names: Names) -> str:
    return graph.node("Not", graph.node("Equal", *names))


@rule("div")
def _divide(graph: Graph, equation: Equation, names: Names) -> str:
    # Both round quotients of integers towards zero.
    return graph.node("Div", *names)


@rule("rem")
def _remainder(graph: Graph, equation: Equation, names: Names) -> str:
    # fmod has the sign of the dividend, as JAX has it.
    return graph.node("Mod", *names, fmod=1)


@rule("integer_pow")
def _integer_power(graph: Graph, equation: Equation, names: Names) -> str:
    power = equation.params["y"]
    if power == 2:
        return graph.node("Mul", *names, *names)
    exponent = np.asarray(power, equation.invars[0].aval.dtype)
    return graph.node("Pow", *names, graph.constant(exponent))


@rule("is_finite")
def _is_finite(graph: Graph, equation: Equation, names: Names) -> str:
    odd = graph.node("Or", graph.node("IsNaN", *names), graph.node("IsInf", *names))
    return graph.node("Not", odd)


@rule("round")
def _round(graph: Graph, equation: Equation, names: Names) -> str:
    if int(equation.params["rounding_method"]) == 1:
        return graph.node("Round", *names)  # halves to even
    half = graph.constant(np.asarray(0.5, equation.invars[0].aval.dtype))
    size = graph.node("Floor", graph.node("Add", graph.node("Abs", *names), half))
    return graph.node("Mul", graph.node("Sign", *names), size)


@rule("clamp")
def _clamp(graph: Graph, equation: Equation, names: Names) -> str:
    low, value, high = names
    return graph.node("Min", graph.node("Max", value, low), high)


@rule("select_n")
def _select(graph: Graph, equation: Equation, names: Names) -> str:
    which, *cases = names
    if equation.invars[0].aval.dtype != bool or len(cases) != 2:
        raise ExportError("export to ONNX: a choice among more than two cases.")
    no, yes = cases
    if equation.outvars[0].aval.dtype != bool:
        return graph.node("Where", which, yes, no)
    return graph.node(
        "Or",
        graph.node("And", which, yes),
        graph.node("And", graph.node("Not", which), no),
    )


@rule("convert_element_type")
def _convert(graph: Graph, equation: Equation, names: Names) -> str:
    if equation.params["new_dtype"] == equation.invars[0].aval.dtype:
        return names[0]
    return graph.cast(names[0], equation.params["new_dtype"])


def _reduced(op: str) -> Rule:
    def apply(graph: Graph, equation: Equation, names: Names) -> str:
        axes = graph.integers(*equation.params["axes"])
        return graph.node(op, names[0], axes, keepdims=0)

    return apply


for _name, _op in {"sum": "Sum", "max": "Max", "min": "Min", "prod": "Prod"}.items():
    rule(f"reduce_{_name}")(_reduced(f"Reduce{_op}"))


def _reduced_truth(op: str) -> Rule:
    def apply(graph: Graph, equation: Equation, names: Names) -> str:
        axes = graph.integers(*equation.params["axes"])
        found = graph.node(op, graph.cast(names[0], np.int32), axes, keepdims=0)
        return graph.cast(found, bool)

    return apply


for _name, _op in {"or": "ReduceMax", "and": "ReduceMin"}.items():
    rule(f"reduce_{_name}")(_reduced_truth(_op))


def _place_of(op: str) -> Rule:
    def apply(graph: Graph, equation: Equation, names: Names) -> str:
        (axis,), value = equation.params["axes"], names[0]
        if equation.invars[0].aval.dtype == bool:
            value = graph.cast(value, np.int32)
        found = graph.node(op, value, axis=axis, keepdims=0)
        return graph.cast(found, equation.params["index_dtype"])

    return apply


for _name, _op in {"argmax": "ArgMax", "argmin": "ArgMin"}.items():
    rule(_name)(_place_of(_op))


@rule("top_k")
def _largest(graph: Graph, equation: Equation, names: Names) -> Names:
    found, places = graph.new(), graph.new()
    size = graph.integers(equation.params["k"])
    graph.add("TopK", (names[0], size), (found, places), axis=equation.params.get("axis", -1))
    return found, graph.cast(places, np.int32)


@rule("cumsum")
def _running_sum(graph: Graph, equation: Equation, names: Names) -> str:
    axis = graph.constant(np.asarray(equation.params["axis"], np.int64))
    return graph.node("CumSum", names[0], axis, reverse=int(equation.params["reverse"]))


@rule("dot_general")
def _product(graph: Graph, equation: Equation, names: Names) -> str:
    """Both sides as stacks of matrices, batch axes first, and their product in its shape."""
    (left_sum, right_sum), (left_batch, right_batch) = equation.params["dimension_numbers"]
    shapes = [variable.aval.shape for variable in equation.invars]
    free = [
        [axis for axis in range(len(shape)) if axis not in (*summed, *batch)]
        for shape, summed, batch in zip(
            shapes, (left_sum, right_sum), (left_batch, right_batch), strict=True
        )
    ]
    left = graph.node("Transpose", names[0], perm=[*left_batch, *free[0], *left_sum])
    right = graph.node("Transpose", names[1], perm=[*right_batch, *right_sum, *free[1]])
    batch = [shapes[0][axis] for axis in left_batch]
    sizes = [_size([shapes[side][axis] for axis in free[side]]) for side in (0, 1)]
    n_summed = _size([shapes[0][axis] for axis in left_sum])
    left = graph.node("Reshape", left, graph.dims([*batch, sizes[0], n_summed]))
    right = graph.node("Reshape", right, graph.dims([*batch, n_summed, sizes[1]]))
    found = graph.node("MatMul", left, right)
    return graph.node("Reshape", found, graph.dims(equation.outvars[0].aval.shape))


def _size(shape: list[Any]) -> Any:
    total: Any = 1
    for size in shape:
        total = total * size
    return total
