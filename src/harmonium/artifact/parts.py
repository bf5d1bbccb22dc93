"""Arrays of the parts of an artifact, told apart by a prefix of their names."""

from collections.abc import Mapping, Sequence

import numpy as np

from harmonium.artifact.container import Arrays
from harmonium.errors import ArtifactError


def prefixed(prefix: str, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """The arrays of one part under the names that they have in the file."""
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def taken(arrays: Arrays, parts: Sequence[str]) -> dict[str, Arrays]:
    """The arrays of every part by part; no others may be there."""
    found: dict[str, Arrays] = {part: {} for part in parts}
    for name, array in arrays.items():
        part, _, own = name.partition("/")
        if part not in found:
            raise ArtifactError(
                f"the stored arrays do not match the described model: {name!r:.80}."
            )
        found[part][own] = array
    return found
