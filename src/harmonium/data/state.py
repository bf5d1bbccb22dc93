"""Checks of what `from_state` is given: a damaged file must end in words, not in an IndexError."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harmonium.data.problems import problem
from harmonium.errors import InvalidInputError


def state_error(call: str, expected: str, got: str) -> InvalidInputError:
    """The error for a state that was not written by `to_state`."""
    return problem(call, expected, got, "a state written by to_state()")


def take_arrays(
    arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], call: str
) -> dict[str, np.ndarray]:
    """Exactly the named arrays, as float64, each finite and of its shape."""
    check_keys(arrays, tuple(shapes), "arrays", call)
    taken = {}
    for name, shape in shapes.items():
        try:
            value = np.asarray(arrays[name], dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise state_error(call, f"numbers in {name}", str(error)) from error
        if value.shape != shape:
            raise state_error(call, f"{name} of shape {shape}", f"shape {value.shape}")
        if not np.all(np.isfinite(value)):
            raise state_error(call, f"finite {name}", "NaN or infinite entries")
        taken[name] = value
    return taken


def check_keys(given: Any, wanted: Sequence[str], what: str, call: str) -> None:
    """Raise unless `given` is a mapping with exactly the wanted keys."""
    got = sorted(given) if isinstance(given, Mapping) else type(given).__name__
    if got != sorted(wanted):
        raise state_error(call, f"{what} with the keys {sorted(wanted)}", f"{got}")
