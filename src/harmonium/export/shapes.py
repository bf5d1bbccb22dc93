"""Rules for primitives that move numbers about."""

from typing import Any

import numpy as np
from jax.lax import GatherScatterMode

from harmonium.errors import ExportError
from harmonium.export.graphs import Equation, Graph, Names, rule


@rule("broadcast_in_dim")
def _broadcast(graph: Graph, equation: Equation, names: Names) -> str:
    kept, shape = equation.params["broadcast_dimensions"], equation.params["shape"]
    added = [axis for axis in range(len(shape)) if axis not in kept]
    name = graph.node("Unsqueeze", names[0], graph.integers(*added)) if added else names[0]
    sizes = [*equation.invars[0].aval.shape]
    before = [1 if axis in added else sizes.pop(0) for axis in range(len(shape))]
    same = all(str(old) == str(new) for old, new in zip(before, shape, strict=True))
    return name if same else graph.node("Expand", name, graph.dims(shape))


@rule("reshape")
def _reshape(graph: Graph, equation: Equation, names: Names) -> str:
    return graph.node("Reshape", names[0], graph.dims(equation.outvars[0].aval.shape))


@rule("squeeze")
def _squeeze(graph: Graph, equation: Equation, names: Names) -> str:
    return graph.node("Squeeze", names[0], graph.integers(*equation.params["dimensions"]))


@rule("transpose")
def _transpose(graph: Graph, equation: Equation, names: Names) -> str:
    return graph.node("Transpose", names[0], perm=list(equation.params["permutation"]))


@rule("concatenate")
def _concatenate(graph: Graph, equation: Equation, names: Names) -> str:
    return graph.node("Concat", *names, axis=equation.params["dimension"])


@rule("stack")
def _stack(graph: Graph, equation: Equation, names: Names) -> str:
    axis = equation.params["axis"]
    layers = [graph.node("Unsqueeze", name, graph.integers(axis)) for name in names]
    return graph.node("Concat", *layers, axis=axis)


@rule("split")
def _split(graph: Graph, equation: Equation, names: Names) -> Names:
    outputs = tuple(graph.new() for _ in equation.outvars)
    sizes = graph.integers(*equation.params["sizes"])
    graph.add("Split", (names[0], sizes), outputs, axis=equation.params["axis"])
    return outputs


@rule("slice")
def _slice(graph: Graph, equation: Equation, names: Names) -> str:
    params, shape = equation.params, equation.invars[0].aval.shape
    strides = params["strides"] or [1] * len(shape)
    ends = zip(params["start_indices"], params["limit_indices"], strides, shape, strict=True)
    cut = [
        (axis, start, end, stride)
        for axis, (start, end, stride, size) in enumerate(ends)
        if str(end) != str(size) or start != 0 or stride != 1
    ]
    if not cut:
        return names[0]
    axes, starts, limits, steps = zip(*cut, strict=True)
    return graph.node(
        "Slice",
        names[0],
        graph.dims(starts),
        graph.dims(limits),
        graph.integers(*axes),
        graph.integers(*steps),
    )


@rule("tile")
def _tile(graph: Graph, equation: Equation, names: Names) -> str:
    return graph.node("Tile", names[0], graph.dims(equation.params["reps"]))


@rule("rev")
def _reverse(graph: Graph, equation: Equation, names: Names) -> str:
    axes = equation.params["dimensions"]
    every = [graph.integers(*[number] * len(axes)) for number in (-1, np.iinfo(np.int64).min, -1)]
    return graph.node("Slice", names[0], every[0], every[1], graph.integers(*axes), every[2])


@rule("pad")
def _pad(graph: Graph, equation: Equation, names: Names) -> str:
    low, high, inner = zip(*equation.params["padding_config"], strict=True)
    if any(inner) or min(*low, *high) < 0:
        raise ExportError("export to ONNX: padding between the numbers of an array.")
    return graph.node("Pad", names[0], graph.integers(*low, *high), names[1])


@rule("iota")
def _count(graph: Graph, equation: Equation, names: Names) -> str:
    params = equation.params
    shape, axis = params["shape"], params["dimension"]
    end = graph.node("Squeeze", graph.dims([shape[axis]]))
    zero, one = (graph.constant(np.asarray(number, np.int64)) for number in (0, 1))
    counted = graph.cast(graph.node("Range", zero, end, one), params["dtype"])
    others = [own for own in range(len(shape)) if own != axis]
    if not others:
        return counted
    counted = graph.node("Unsqueeze", counted, graph.integers(*others))
    return graph.node("Expand", counted, graph.dims(shape))


@rule("dim_as_value")
def _size(graph: Graph, equation: Equation, names: Names) -> str:
    size = graph.node("Squeeze", graph.dims([equation.params["dim"]]))
    return graph.cast(size, equation.outvars[0].aval.dtype)


@rule("dynamic_slice")
def _slice_at(graph: Graph, equation: Equation, names: Names) -> str:
    """Slices along the axes that are cut; starts are kept inside, as JAX keeps them."""
    value, *starts = names
    name, shape, sizes = value, equation.invars[0].aval.shape, equation.params["slice_sizes"]
    for axis, (size, length) in enumerate(zip(sizes, shape, strict=True)):
        if str(size) != str(length):
            start = _start(graph, starts[axis], length - size)
            end = graph.node("Add", start, graph.integers(size))
            name = graph.node("Slice", name, start, end, graph.integers(axis))
    return name


@rule("dynamic_update_slice")
def _update_at(graph: Graph, equation: Equation, names: Names) -> str:
    """What lies before, the update, and what lies behind, side by side."""
    value, update, *starts = names
    shape, sizes = (variable.aval.shape for variable in equation.invars[:2])
    cut = [
        axis
        for axis, (size, length) in enumerate(zip(sizes, shape, strict=True))
        if str(size) != str(length)
    ]
    if not cut:
        return update
    if len(cut) > 1:
        raise ExportError("export to ONNX: an update of a block that is cut along two axes.")
    axis = cut[0]
    start = _start(graph, starts[axis], shape[axis] - sizes[axis])
    end, on = graph.node("Add", start, graph.integers(sizes[axis])), graph.integers(axis)
    before = graph.node("Slice", value, graph.integers(0), start, on)
    behind = graph.node("Slice", value, end, graph.integers(np.iinfo(np.int64).max), on)
    return graph.node("Concat", before, update, behind, axis=axis)


def _start(graph: Graph, name: str, last: Any) -> str:
    """A start between 0 and `last`, as a vector."""
    start = graph.node("Reshape", graph.cast(name, np.int64), graph.integers(1))
    start = graph.node("Max", start, graph.integers(0))
    return graph.node("Min", start, graph.dims([last]))


@rule("gather")
def _gather(graph: Graph, equation: Equation, names: Names) -> str:
    """Whole slices at given places, by GatherND."""
    params, shape = equation.params, equation.invars[0].aval.shape
    numbers = params["dimension_numbers"]
    batching, placed = [*numbers.operand_batching_dims], [*numbers.start_index_map]
    whole = [axis for axis in range(len(shape)) if axis not in (*batching, *placed)]
    _check_gather(params, shape, whole)
    value = graph.node("Transpose", names[0], perm=[*batching, *placed, *whole])
    # Batch axes of the indices come first, in the order of those of the operand.
    n_batch = len(equation.invars[1].aval.shape) - 1
    first = [*numbers.start_indices_batching_dims]
    rest = [axis for axis in range(n_batch) if axis not in first]
    places = graph.node("Transpose", graph.cast(names[1], np.int64), perm=[*first, *rest, n_batch])
    last = graph.node("Sub", graph.dims([shape[axis] for axis in placed]), graph.integers(1))
    kept = graph.node("Min", graph.node("Max", places, graph.integers(0)), last)
    found = graph.node("GatherND", value, kept, batch_dims=len(batching))
    if params["mode"] == GatherScatterMode.FILL_OR_DROP:
        found = _filled(graph, equation, found, places, kept, len(whole))
    # Axes of length 1 that the result keeps stand among those of whole slices.
    kept_axes = sorted(
        [*whole, *(own for own in placed if own not in numbers.collapsed_slice_dims)]
    )
    single = [n_batch + place for place, own in enumerate(kept_axes) if own not in whole]
    if single:
        found = graph.node("Unsqueeze", found, graph.integers(*single))
    # Axes of the result: those of the indices, then those of slices, each to its place.
    offsets = [*numbers.offset_dims]
    others = [axis for axis in range(n_batch + len(kept_axes)) if axis not in offsets]
    order = [*(others[axis] for axis in (*first, *rest)), *offsets]
    return graph.node("Transpose", found, perm=[int(axis) for axis in np.argsort(order)])


def _check_gather(params: dict[str, Any], shape: tuple[Any, ...], whole: list[int]) -> None:
    numbers, sizes = params["dimension_numbers"], params["slice_sizes"]
    single = [*numbers.operand_batching_dims, *numbers.start_index_map]
    if (
        any(sizes[axis] != 1 for axis in single)
        or any(str(sizes[axis]) != str(shape[axis]) for axis in whole)
        or not set(numbers.collapsed_slice_dims) <= set(numbers.start_index_map)
    ):
        raise ExportError("export to ONNX: slices of an array at places that are computed.")


def _filled(
    graph: Graph, equation: Equation, found: str, places: str, kept: str, n_whole: int
) -> str:
    """NaN, or the lowest number of the type, where a place lies outside of the array."""
    kind = equation.outvars[0].aval.dtype
    fill = equation.params["fill_value"]
    if fill is None:
        fill = np.nan if np.issubdtype(kind, np.inexact) else np.iinfo(kind).min
    same = graph.cast(graph.node("Equal", places, kept), np.int32)
    inside = graph.node("ReduceMin", same, graph.integers(-1), keepdims=0)
    inside = graph.cast(inside, bool)
    if n_whole:
        inside = graph.node("Unsqueeze", inside, graph.integers(*range(-n_whole, 0)))
    return graph.node("Where", inside, found, graph.constant(np.asarray(fill, kind)))
