"""Marginals as plain settings and arrays, and back: what is built from a file is consistent."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harmonium.data.bodies import Body
from harmonium.data.cell_shapes import CellShape
from harmonium.data.columns import Columns
from harmonium.data.marginal import Marginal
from harmonium.data.own_bodies import OwnBody, build_own
from harmonium.data.state import check_keys, state_error, take_arrays

KINDS = ("levels", "affine", "asinh", "mixture")
_PER_COLUMN = ("location", "scale", "tail", "sign", "nearest", "n_components", "n_atoms")
_PER_COMPONENT = ("weights", "means", "sds")
_PER_ATOM = ("atoms", "masses")
_SUM_TOLERANCE = 1e-9

Scores = dict[str, float]


def describe_marginals(
    columns: Columns, parts: Sequence[Marginal], scores: Sequence[Scores]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Settings and arrays of marginals, less what their `columns` say."""
    own = [_without_codes(columns, j, part) for j, part in enumerate(parts)]
    bodies = [part.body if isinstance(part.body, Body) else None for part in own]
    numbers = {
        "location": [0.0 if body is None else body.location for body in bodies],
        "scale": [0.0 if body is None else body.scale for body in bodies],
        "tail": [0.0 if body is None else body.tail for body in bodies],
        "sign": [part.shape.sign for part in own],
        "nearest": [part.shape.nearest for part in own],
        "n_components": [0 if body is None else body.n_components for body in bodies],
        "n_atoms": [len(part.atoms) for part in own],
    }
    arrays = {name: np.array(values, dtype=np.float64) for name, values in numbers.items()}
    for name in _PER_COMPONENT:
        arrays[name] = _joined([getattr(body, name) for body in bodies if body is not None])
    for name in _PER_ATOM:
        arrays[name] = _joined([getattr(part, name) for part in own])
    kinds = [_describe_kind(part) for part in parts]
    config = {"kinds": kinds, "scores": [dict(own) for own in scores]}
    return config, arrays


def build_marginals(
    config: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    columns: Columns,
    call: str,
    own: type | None = None,
) -> tuple[tuple[Marginal, ...], tuple[Scores, ...]]:
    """Marginals and the scores of their candidates, with the class of own bodies if there are any;
    `InvalidInputError` on anything else.
    """
    check_keys(config, ("kinds", "scores"), "config", call)
    n = columns.n_modeled
    kinds, scores = config["kinds"], config["scores"]
    if not isinstance(kinds, list | tuple) or len(kinds) != n:
        raise state_error(call, f"one kind for each of {n} modeled columns", f"{kinds!r:.80}")
    if unknown := [kind for kind in kinds if not (kind in KINDS or is_own_kind(kind))]:
        raise state_error(call, f"kinds among {KINDS}", f"{unknown!r:.80}")
    sizes = {name: int(np.asarray(arrays.get(name, ())).size) for name in ("weights", "atoms")}
    shapes: dict[str, tuple[int, ...]] = {
        **dict.fromkeys(_PER_COLUMN, (n,)),
        **dict.fromkeys(_PER_COMPONENT, (sizes["weights"],)),
        **dict.fromkeys(_PER_ATOM, (sizes["atoms"],)),
    }
    taken = take_arrays(arrays, shapes, call)
    components = _slices(taken["n_components"], sizes["weights"], "components", call)
    atoms = _slices(taken["n_atoms"], sizes["atoms"], "atoms", call)
    parts = []
    for j, kind in enumerate(kinds):
        if is_own_kind(kind):
            body = _build_own(kind, own, call)
        else:
            body = _build_body(kind, taken, j, components[j], call)
        parts.append(_build_part(columns, body, taken, j, atoms[j], call))
    return tuple(parts), _check_scores(scores, n, call)


def is_own_kind(kind: Any) -> bool:
    """Whether a stored kind describes a body of a user's own class."""
    return isinstance(kind, Mapping) and set(kind) == {"own", "fields"}


def _describe_kind(part: Marginal) -> str | dict[str, Any]:
    """The kind of a column, with the fields of a body that is no `Body`."""
    if not isinstance(part.body, OwnBody):
        return part.kind
    return {"own": type(part.body.map).__name__, "fields": part.body.describe()}


def _build_own(kind: Mapping[str, Any], own: type | None, call: str) -> OwnBody:
    if own is None or own.__name__ != kind["own"] or not isinstance(kind["fields"], Mapping):
        got = "nothing" if own is None else own.__name__
        raise state_error(call, f"the class {kind['own']!r:.80} of its bodies", got)
    return build_own(own, kind["fields"])


def _without_codes(columns: Columns, position: int, part: Marginal) -> Marginal:
    """The marginal without the categories that its column holds already."""
    if columns.levels[columns.modeled_index[position]] is None:
        return part
    return Marginal(None, np.zeros(0), np.zeros(0), part.shape)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0), *parts])


def _slices(lengths: np.ndarray, total: int, what: str, call: str) -> list[slice]:
    """Where the components or atoms of each column stand."""
    if not np.all((lengths >= 0) & (lengths % 1 == 0)) or lengths.sum() != total:
        raise state_error(call, f"numbers of {what} that add up to {total}", "others")
    ends = np.cumsum(lengths).astype(np.int64)
    return [slice(int(end - own), int(end)) for end, own in zip(ends, lengths, strict=True)]


def _build_body(
    kind: str, taken: Mapping[str, np.ndarray], j: int, own: slice, call: str
) -> Body | None:
    weights, means, sds = (taken[name][own] for name in _PER_COMPONENT)
    location, scale, tail = (float(taken[name][j]) for name in ("location", "scale", "tail"))
    if kind == "levels":
        if len(weights):
            raise state_error(call, "levels without a body", f"one in column {j + 1}")
        return None
    if not scale > 0 or tail < 0 or not np.all(sds > 0) or not np.all(weights > 0):
        got = f"others in column {j + 1}"
        raise state_error(call, "positive scales, widths and weights, tails of at least 0", got)
    if not len(weights) or abs(weights.sum() - 1) > _SUM_TOLERANCE:
        raise state_error(call, "weights that add up to 1", f"others in column {j + 1}")
    body = Body(location, scale, tail, weights, means, sds)
    if body.kind != kind:
        raise state_error(call, f"a body of kind {kind!r}", f"{body.kind!r} in column {j + 1}")
    return body


def _build_part(
    columns: Columns,
    body: Body | OwnBody | None,
    taken: Mapping[str, np.ndarray],
    j: int,
    own: slice,
    call: str,
) -> Marginal:
    i = columns.modeled_index[j]
    atoms, masses = (taken[name][own] for name in _PER_ATOM)
    levels = columns.levels[i]
    if levels is not None:
        if body is not None or len(atoms):
            got = f"a body or atoms in column {j + 1}"
            raise state_error(call, "nothing but levels in columns of categories", got)
        return Marginal(None, levels.codes, levels.shares, CellShape())
    if not np.all(masses > 0) or not np.all(np.diff(atoms) > 0):
        got = f"others in column {j + 1}"
        raise state_error(call, "increasing atoms of positive masses", got)
    total = masses.sum()
    if body is None and (len(atoms) < 2 or abs(total - 1) > _SUM_TOLERANCE):
        raise state_error(call, "masses of levels that add up to 1", f"{total} in column {j + 1}")
    if body is not None and not total < 1:
        raise state_error(call, "atoms that leave a mass to the body", f"none in column {j + 1}")
    sign = taken["sign"][j]
    if sign not in (-1, 0, 1):
        raise state_error(call, "signs among -1, 0 and 1", f"{sign} in column {j + 1}")
    shape = CellShape(
        step=float(columns.step[i]),
        offset=float(columns.offset[i]),
        decimals=int(columns.decimals[i]),
        sign=int(sign),
        nearest=float(taken["nearest"][j]),
    )
    return Marginal(body, atoms, masses, shape)


def _check_scores(scores: Any, n: int, call: str) -> tuple[Scores, ...]:
    """The scores of the candidates, one dictionary of finite numbers per column."""
    if not isinstance(scores, list | tuple) or len(scores) != n:
        raise state_error(call, f"scores of {n} columns", f"{scores!r:.80}")
    for own in scores:
        numbers = isinstance(own, Mapping) and all(
            isinstance(name, str) and isinstance(value, float | int) and np.isfinite(value)
            for name, value in own.items()
        )
        if not numbers:
            raise state_error(call, "scores that are finite numbers by name", f"{own!r:.80}")
    return tuple({name: float(value) for name, value in own.items()} for own in scores)
