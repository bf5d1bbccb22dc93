"""Settings as TOML, which Python reads but does not write."""

import json
import re
from collections.abc import Mapping
from typing import Any

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(settings: Mapping[str, Any]) -> str:
    """A TOML document (version 1.0) that `tomllib` reads as these settings.

    Values are texts, truth values, numbers, lists and tuples of these, and mappings, which become
    tables after all else. Raises `TypeError` for any other value.
    """
    return "\n".join(_lines(settings, ())) + "\n"


def _lines(settings: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    """The lines of a table, and of the tables in it."""
    tables = {name: value for name, value in settings.items() if isinstance(value, Mapping)}
    lines = [
        f"{_key(name)} = {_value(value)}" for name, value in settings.items() if name not in tables
    ]
    for name, table in tables.items():
        inner = (*path, name)
        lines += ["", f"[{'.'.join(map(_key, inner))}]", *_lines(table, inner)]
    return lines


def _key(name: str) -> str:
    return name if BARE_KEY.fullmatch(name) else _text(name)


def _value(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return _text(value)
        case int():
            return str(int(value))
        case float():
            # Python writes floats, infinities and NaN as TOML does.
            return repr(float(value))
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
    raise TypeError(f"a {type(value).__name__} is no value of TOML: {value!r:.80}")


def _text(text: str) -> str:
    """A basic string: JSON escapes as TOML does, but for the character 127."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
