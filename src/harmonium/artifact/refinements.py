"""Which draws a density keeps, as plain values and arrays, and back."""

from typing import Any

import numpy as np

from harmonium.artifact.container import Arrays
from harmonium.artifact.entries import listing, mapping, number, whole
from harmonium.data import Marginals
from harmonium.data.state import take_arrays
from harmonium.errors import ArtifactError
from harmonium.inference.refinement import Refinement, Unseen
from harmonium.learning.boosting import DEPTH, Trees

_MOST_TREES, _MOST_PAIRS = 100_000, 1_000_000
_PAIR = ("first", "second", "log_factor")


def describe_refinement(refinement: Refinement | None) -> tuple[Any, Arrays]:
    """Plain values, null where there is none, and arrays."""
    if refinement is None:
        return None, {}
    trees, unseen = refinement.trees, refinement.unseen
    pairs = [{name: getattr(own, name) for name in _PAIR} for own in unseen]
    seen = [own.is_seen.ravel() for own in unseen]
    arrays = {
        "columns": trees.columns.astype(np.float64),
        "cuts": trees.cuts,
        "values": trees.values,
        "is_seen": np.concatenate([np.zeros(0), *seen]),
    }
    return {"n_trees": len(trees.values), "unseen": pairs}, arrays


def build_refinement(config: Any, arrays: Arrays, marginals: Marginals) -> Refinement | None:
    """What `describe_refinement` made; `ArtifactError` or `InvalidInputError` on anything else."""
    if config is None:
        take_arrays(arrays, {}, "Refinement")
        return None
    own = mapping({"refinement": config}, "refinement", ("n_trees", "unseen"))
    n_trees = whole(own, "n_trees", 0, _MOST_TREES)
    pairs = [mapping({"pair": pair}, "pair", _PAIR) for pair in listing(own, "unseen", _MOST_PAIRS)]
    places = [
        [whole(pair, name, 0, marginals.n_columns - 1) for name in _PAIR[:2]] for pair in pairs
    ]
    shapes = [tuple(len(marginals.parts[j].atoms) for j in place) for place in places]
    sizes = [int(np.prod(shape)) for shape in shapes]
    nodes, leaves = (n_trees, 2**DEPTH - 1), (n_trees, 2**DEPTH)
    taken = take_arrays(
        arrays,
        {"columns": nodes, "cuts": nodes, "values": leaves, "is_seen": (sum(sizes),)},
        "Refinement",
    )
    columns = taken["columns"]
    if not np.isin(columns, np.arange(marginals.n_columns)).all():
        raise ArtifactError("refinement: expected columns of the table in its trees.")
    trees = Trees(columns.astype(np.int64), taken["cuts"], taken["values"])
    seen = np.split(taken["is_seen"] == 1, np.cumsum(sizes)[:-1]) if sizes else []
    unseen = [
        Unseen(place[0], place[1], part.reshape(shape), number(pair, "log_factor"))
        for place, part, shape, pair in zip(places, seen, shapes, pairs, strict=True)
    ]
    return Refinement(trees, tuple(unseen))
