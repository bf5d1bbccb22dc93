"""Bases of a user's own class: what a file holds beside their arrays, and how they come back."""

import dataclasses
from typing import Any

import jax.numpy as jnp

from harmonium.artifact.container import Arrays, Config
from harmonium.artifact.entries import mapping
from harmonium.errors import ArtifactError
from harmonium.model import AbstractBase

# Where the arrays of a base stand among those of its model.
_PREFIX = ".base."


def plain_fields(base: AbstractBase) -> Config:
    """Its static fields that are plain values, by name."""
    parts = [part for part in dataclasses.fields(base) if part.metadata.get("static")]
    values = {part.name: getattr(base, part.name) for part in parts}
    plain = (bool, int, float, str, type(None))
    return {"fields": {name: own for name, own in values.items() if isinstance(own, plain)}}


def rebuilt(own: type, config: Config, arrays: Arrays) -> AbstractBase:
    """An instance of a class with stored fields: plain values, and arrays of the stored shapes.

    Its fields are arrays and plain static values; for others an instance has to be given. Raises
    `ArtifactError` where the file does not have all of them.
    """
    values: dict[str, Any] = dict(mapping(config, "fields"))
    for name, array in arrays.items():
        if name.startswith(_PREFIX):
            values[name.removeprefix(_PREFIX)] = jnp.zeros(array.shape)
    wanted = {part.name for part in dataclasses.fields(own)}
    if set(values) != wanted:
        raise ArtifactError(
            f"{own.__name__} has the fields {sorted(wanted)!r:.200}, and the file "
            f"{sorted(values)!r:.200}. Try: load(path, base=...) with an instance of the same "
            "structure."
        )
    made = object.__new__(own)
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made
