"""Rules for programs inside of programs: calls, branches and loops."""

import numpy as np
from jax.extend.core import ClosedJaxpr

from harmonium.errors import ExportError
from harmonium.export.graphs import Equation, Graph, Names, rule

# What a loop tells its body: the number of the turn, and whether it goes on.
_TURN, _TRUTH = np.zeros((), np.int64), np.zeros((), bool)


@rule("pjit", "jit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat")
@rule("checkpoint", "remat2", "custom_jvp_call_jaxpr", "custom_vjp_call_jaxpr")
def _call(graph: Graph, equation: Equation, names: Names) -> Names:
    params = equation.params
    program = next(params[name] for name in ("jaxpr", "call_jaxpr", "fun_jaxpr") if name in params)
    if isinstance(program, ClosedJaxpr):
        return graph.inline(program, names)
    return graph.write(program, names)


@rule("cond")
def _branch(graph: Graph, equation: Equation, names: Names) -> Names:
    which, *inputs = names
    branches = equation.params["branches"]
    if len(branches) != 2:
        raise ExportError("export to ONNX: a choice among more than two branches.")
    bodies = {}
    for side, program in zip(("else_branch", "then_branch"), branches, strict=True):
        inner = graph.inner()
        found = inner.inline(program, tuple(inputs))
        # A branch has to name what it returns, even where it only passes it on.
        ends = [inner.node("Identity", name) for name in found]
        bodies[side] = inner.body(side, (), ends)
    outputs = tuple(graph.new() for _ in equation.outvars)
    graph.add("If", (graph.cast(which, bool),), outputs, **bodies)
    return outputs


@rule("while")
def _while(graph: Graph, equation: Equation, names: Names) -> Names:
    params = equation.params
    n_test, n_step = params["cond_nconsts"], params["body_nconsts"]
    of_test, of_step = names[:n_test], names[n_test : n_test + n_step]
    state = names[n_test + n_step :]
    avals = [v.aval for v in equation.invars[n_test + n_step :]]
    (goes_on,) = graph.inline(params["cond_jaxpr"], (*of_test, *state))
    inner = graph.inner()
    turn, before = inner.new(), inner.new()
    carried = tuple(inner.new() for _ in state)
    moved = inner.inline(params["body_jaxpr"], (*of_step, *carried))
    (again,) = inner.inline(params["cond_jaxpr"], (*of_test, *moved))
    ends = [inner.node("Identity", name) for name in (again, *moved)]
    inputs = [(turn, _TURN), (before, _TRUTH), *zip(carried, avals, strict=True)]
    outputs = tuple(graph.new() for _ in equation.outvars)
    graph.add("Loop", ("", goes_on, *state), outputs, body=inner.body("turn", inputs, ends))
    return outputs


@rule("scan")
def _scan(graph: Graph, equation: Equation, names: Names) -> Names:
    params = equation.params
    n_constants, n_carried = params["num_consts"], params["num_carry"]
    constants, state = names[:n_constants], names[n_constants : n_constants + n_carried]
    slices = names[n_constants + n_carried :]
    avals = [v.aval for v in equation.invars[n_constants : n_constants + n_carried]]
    inner = graph.inner()
    turn, before = inner.new(), inner.new()
    carried = tuple(inner.new() for _ in state)
    place = turn
    if params["reverse"]:
        place = inner.node("Sub", inner.constant(np.asarray(params["length"] - 1)), turn)
    own = tuple(inner.node("Gather", name, place, axis=0) for name in slices)
    found = inner.inline(params["jaxpr"], (*constants, *carried, *own))
    ends = [inner.node("Identity", name) for name in (before, *found)]
    inputs = [(turn, _TURN), (before, _TRUTH), *zip(carried, avals, strict=True)]
    outputs = tuple(graph.new() for _ in equation.outvars)
    n_turns, goes_on = graph.integers(params["length"]), graph.constant(np.asarray(True))
    graph.add("Loop", (n_turns, goes_on, *state), outputs, body=inner.body("turn", inputs, ends))
    stacked = outputs[n_carried:]
    if params["reverse"] and stacked:
        raise ExportError("export to ONNX: a loop that goes backwards and keeps what it finds.")
    return outputs
