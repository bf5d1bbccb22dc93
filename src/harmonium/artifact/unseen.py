"""Pairs of categories that no training row has, as plain values and arrays, and back."""

from typing import Any

import numpy as np

from harmonium.artifact.container import Arrays
from harmonium.artifact.entries import listing, mapping, number, whole
from harmonium.data import Marginals
from harmonium.data.state import take_arrays
from harmonium.inference.unseen import Unseen

_MOST_PAIRS = 1_000_000
_PAIR = ("first", "second", "log_factor")


def describe_unseen(unseen: tuple[Unseen, ...]) -> tuple[list[dict[str, Any]], Arrays]:
    """Plain values of every two columns, and an array."""
    pairs = [{name: getattr(own, name) for name in _PAIR} for own in unseen]
    seen = [own.is_seen.ravel() for own in unseen]
    return pairs, {"is_seen": np.concatenate([np.zeros(0), *seen])}


def build_unseen(config: Any, arrays: Arrays, marginals: Marginals) -> tuple[Unseen, ...]:
    """What `describe_unseen` made; `ArtifactError` or `InvalidInputError` on anything else."""
    listed = listing({"unseen": config}, "unseen", _MOST_PAIRS)
    pairs = [mapping({"pair": pair}, "pair", _PAIR) for pair in listed]
    places = [
        [whole(pair, name, 0, marginals.n_columns - 1) for name in _PAIR[:2]] for pair in pairs
    ]
    shapes = [tuple(len(marginals.parts[j].atoms) for j in place) for place in places]
    sizes = [int(np.prod(shape)) for shape in shapes]
    taken = take_arrays(arrays, {"is_seen": (sum(sizes),)}, "Unseen")
    seen = np.split(taken["is_seen"] == 1, np.cumsum(sizes)[:-1]) if sizes else []
    return tuple(
        Unseen(place[0], place[1], part.reshape(shape), number(pair, "log_factor"))
        for place, part, shape, pair in zip(places, seen, shapes, pairs, strict=True)
    )
