"""Programs of JAX as ONNX graphs: one node after the other, by a rule for every primitive.

`RULES` has a function for the name of every primitive that is known; one more primitive is one more
function. A program with another one is refused by its name.
"""

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from harmonium.errors import ExportError, InvalidInputError, Message, describe, message

OPSET, IR_VERSION = 20, 9
INPUT, OUTPUT, ROWS = "values", "scores", "rows"
HOW_TO_INSTALL = "pip install 'harmonium[export]'"
_STABLEHLO = Message('formats=["stablehlo"]', "--format stablehlo")
# Numbers that single precision holds exactly are stored so, if they are so many.
_WORTH_SHORTENING = 64

Names = tuple[str, ...]
# A `JaxprEqn`, whose declared type knows neither shapes nor types of what it takes.
Equation = Any
Rule = Callable[["Graph", Equation, Names], "str | Names"]
RULES: dict[str, Rule] = {}


def rule(*primitives: str) -> Callable[[Rule], Rule]:
    """Make a function the rule of these primitives.

    It is given the graph, the equation, and the names of its inputs, adds nodes, and returns the
    names of the outputs.
    """

    def enter(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(primitives, function))
        return function

    return enter


def require_onnx(call: str) -> Any:
    """The package that writes the format; `InvalidInputError` where it is not installed."""
    try:
        import onnx
    except ImportError as error:
        expected, got = "the package onnx", "an installation without it"
        raise InvalidInputError(
            describe(call, expected=expected, got=got, hint=HOW_TO_INSTALL)
        ) from error
    return onnx


def to_onnx(program: Callable[[Any], Any], n_columns: int) -> bytes:
    """A program of rows (rows, columns), float64, to one value per row as a file of ONNX.

    Everything is in double precision, and the number of rows is free. To be called under
    `jax.enable_x64`. Raises `ExportError` for a primitive without a rule.
    """
    onnx = require_onnx("export")
    (rows,) = jax.export.symbolic_shape(ROWS)
    traced = jax.make_jaxpr(program)(jax.ShapeDtypeStruct((rows, n_columns), np.float64))
    graph = Graph(onnx, _Shared())
    graph.shared.n_rows = graph.node(
        "Gather", graph.node("Shape", INPUT), graph.constant(np.array([0])), axis=0
    )
    (found,) = graph.inline(traced, (INPUT,))
    graph.add("Identity", (found,), (OUTPUT,))
    double = onnx.TensorProto.DOUBLE
    described = onnx.helper.make_graph(
        [*graph.shared.prelude, *graph.nodes],
        "scorer",
        [onnx.helper.make_tensor_value_info(INPUT, double, [ROWS, n_columns])],
        [onnx.helper.make_tensor_value_info(OUTPUT, double, [ROWS])],
        graph.shared.initializers,
    )
    model = onnx.helper.make_model(
        described,
        producer_name="harmonium",
        ir_version=IR_VERSION,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
    )
    return model.SerializeToString()


@dataclass
class _Shared:
    """What a graph has in common with the bodies of its loops: stored numbers, and new names."""

    initializers: list[Any] = field(default_factory=list)
    prelude: list[Any] = field(default_factory=list)
    known: dict[tuple[Any, ...], str] = field(default_factory=dict)
    numbers: Any = field(default_factory=itertools.count)
    n_rows: str = ""


class Graph:
    """An ONNX graph, or the body of a loop or a branch, that is being written."""

    def __init__(self, onnx: Any, shared: _Shared):
        self.onnx, self.shared = onnx, shared
        self.nodes: list[Any] = []

    def inner(self) -> "Graph":
        """A body inside of this graph, which sees all of its names."""
        return Graph(self.onnx, self.shared)

    def new(self) -> str:
        """A name that nothing has."""
        return f"v{next(self.shared.numbers)}"

    def add(
        self, op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> None:
        """A node with these names."""
        self.nodes.append(self.onnx.helper.make_node(op, inputs, outputs, **attributes))

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """The one output of a new node."""
        name = self.new()
        self.add(op, inputs, (name,), **attributes)
        return name

    def constant(self, value: Any) -> str:
        """The name of an array that is stored, once."""
        array = np.asarray(value)
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self.shared.known:
            self.shared.known[key] = self._store(array)
        return self.shared.known[key]

    def integers(self, *values: int) -> str:
        """A stored vector of integers."""
        return self.constant(np.array(values, np.int64))

    def dims(self, shape: Sequence[Any]) -> str:
        """A shape, some of whose entries may depend on the number of rows, as a vector."""
        if all(isinstance(size, int) for size in shape):
            return self.integers(*shape)
        parts = [self._dim(size) for size in shape]
        return self.node("Concat", *parts, axis=0)

    def of_type(self, dtype: Any) -> int:
        """The number of a type of elements."""
        return self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def cast(self, name: str, dtype: Any) -> str:
        """The same values in another type."""
        return self.node("Cast", name, to=self.of_type(dtype))

    def inline(self, program: ClosedJaxpr, inputs: Names) -> Names:
        """The outputs of a program whose equations become nodes of this graph."""
        return self.write(program.jaxpr, (*map(self.constant, program.consts), *inputs))

    def write(self, jaxpr: Jaxpr, inputs: Names) -> Names:
        """The outputs of an open program; `inputs` are those of its constants and arguments."""
        names: dict[Any, str] = dict(zip([*jaxpr.constvars, *jaxpr.invars], inputs, strict=True))

        def read(variable: Any) -> str:
            if isinstance(variable, Literal):
                return self.constant(_value_of(variable))
            return names[variable]

        for equation in jaxpr.eqns:
            found = _rule_of(equation)(self, equation, tuple(map(read, equation.invars)))
            outputs = (found,) if isinstance(found, str) else found
            names.update(zip(equation.outvars, outputs, strict=True))
        return tuple(map(read, jaxpr.outvars))

    def body(self, name: str, inputs: Sequence[tuple[str, Any]], outputs: Sequence[str]) -> Any:
        """The graph as an attribute; `inputs` are names with what JAX knows of them."""
        helper = self.onnx.helper
        return helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info(own, *self._described(aval)) for own, aval in inputs],
            [helper.make_empty_tensor_value_info(own) for own in outputs],
        )

    def _described(self, aval: Any) -> tuple[int, list[Any]]:
        """The type and shape of an array; sizes that depend on the number of rows are open."""
        sizes = [size if isinstance(size, int) else None for size in aval.shape]
        return self.of_type(aval.dtype), sizes

    def _store(self, array: np.ndarray) -> str:
        name = self.new()
        with np.errstate(over="ignore"):
            short = array.astype(np.float32) if array.dtype == np.float64 else array
        is_shorter = array.size >= _WORTH_SHORTENING and short.dtype != array.dtype
        if not is_shorter or not np.array_equal(short, array, equal_nan=True):
            self.shared.initializers.append(self.onnx.numpy_helper.from_array(array, name))
            return name
        self.shared.initializers.append(self.onnx.numpy_helper.from_array(short, f"{name}_single"))
        node = self.onnx.helper.make_node
        kind = self.of_type(np.float64)
        self.shared.prelude.append(node("Cast", (f"{name}_single",), (name,), to=kind))
        return name

    def _dim(self, size: Any) -> str:
        """One entry of a shape as a vector: a number, or some times the number of rows and more."""
        if isinstance(size, int):
            return self.integers(size)
        match = re.fullmatch(rf"(?:(\d+)\*)?{ROWS}(?: ([+-]) (\d+))?", str(size))
        if match is None:
            raise ExportError(f"export to ONNX: an array of {size} numbers along one axis.")
        times, sign, more = match.groups()
        found = self.shared.n_rows
        if times is not None:
            found = self.node("Mul", found, self.integers(int(times)))
        if sign is not None:
            found = self.node("Add", found, self.integers(int(sign + more)))
        return found


def _value_of(literal: Any) -> np.ndarray:
    return np.asarray(literal.val, literal.aval.dtype)


def _rule_of(equation: Equation) -> Rule:
    name = equation.primitive.name
    if name not in RULES:
        words = (
            "export to ONNX: there is no rule for the operation {!r} of the model. Try: {}, which "
            "takes every operation, or a feature map without it."
        )
        raise ExportError(message(words, name, _STABLEHLO))
    return RULES[name]
