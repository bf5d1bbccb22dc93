"""Entries of a header, each of the type that it has to be: a header is what somebody wrote."""

import math
from collections.abc import Mapping
from typing import Any

from harmonium.errors import ArtifactError

Config = dict[str, Any]


def mapping(config: Any, name: str, keys: tuple[str, ...] | None = None) -> Config:
    """The object of that name, with exactly these keys if any are given."""
    value = entry(config, name)
    if not isinstance(value, dict):
        raise _error(name, "an object", value)
    if keys is not None and set(value) != set(keys):
        raise _error(name, f"the keys {sorted(keys)}", sorted(value))
    return value


def listing(config: Any, name: str, most: int) -> list[Any]:
    """The list of that name, of at most so many items."""
    value = entry(config, name)
    if not isinstance(value, list) or len(value) > most:
        raise _error(name, f"a list of at most {most}", value)
    return value


def text(config: Any, name: str) -> str:
    """The text of that name, without signs that would steer a terminal."""
    value = entry(config, name)
    if not isinstance(value, str) or not value.isprintable():
        raise _error(name, "printable text", value)
    return value


def flag(config: Any, name: str) -> bool:
    """The truth value of that name."""
    value = entry(config, name)
    if not isinstance(value, bool):
        raise _error(name, "true or false", value)
    return value


def number(config: Any, name: str) -> float:
    """The finite number of that name."""
    value = entry(config, name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _error(name, "a finite number", value)
    return float(value)


def whole(config: Any, name: str, lowest: int, highest: int) -> int:
    """The whole number of that name, in the range."""
    value = entry(config, name)
    if type(value) is not int or not lowest <= value <= highest:
        raise _error(name, f"a whole number from {lowest} to {highest}", value)
    return value


def entry(config: Any, name: str) -> Any:
    """The value of that name."""
    if not isinstance(config, Mapping) or name not in config:
        raise ArtifactError(f"the file is damaged: it has no {name}.")
    return config[name]


def _error(name: str, expected: str, value: object) -> ArtifactError:
    return ArtifactError(f"{name}: expected {expected}; got {value!r:.80}. The file is damaged.")
