"""What `--given` says: values, sets and intervals of columns, as `sample(given=...)` takes them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from harmonium.errors import InvalidInputError, describe
from harmonium.inference.conditions import Span

_FORM = (
    "COLUMN=VALUE, COLUMN=VALUE|VALUE, or <, <=, > or >= with an end, such as size>0.5; "
    "one for each end of an interval"
)
_OPERATOR = "<=|>=|==|<|>|="
_TRUTH = {"true": True, "false": False}


def parse_given(texts: Sequence[str], fields: Iterable[Any]) -> dict[str, Any]:
    """Values, sets and spans by column name, of texts such as "color=red|blue" and "size>0.5".

    `fields` are those of the table. Ends of one column make one interval. Raises
    `InvalidInputError` for what cannot be read, and for a column that is given twice.
    """
    known = {field.name: field for field in fields}
    given: dict[str, Any] = {}
    for text in texts:
        name, operator, right = _split(text, known)
        if operator == "=":
            if name in given:
                raise _problem(f"{name!r} once, a set as {name}=VALUE|VALUE", repr(text))
            given[name] = _values(right, known.get(name))
        else:
            span = given.setdefault(name, Span())
            side = "low" if operator[0] == ">" else "high"
            if not isinstance(span, Span) or getattr(span, side) is not None:
                raise _problem(f"values or one interval for {name!r}", f"also {text!r}")
            excluded = {f"excludes_{side}": operator in "<>"}
            given[name] = replace(span, **{side: right}, **excluded)
    return given


def _split(text: str, names: Iterable[str]) -> tuple[str, str, str]:
    """Column, operator and what stands behind it; names of columns may hold operators."""
    owners = sorted((name for name in names if text.startswith(name)), key=len, reverse=True)
    for name in owners:
        if match := re.fullmatch(rf"\s*({_OPERATOR})\s*(.+)", text[len(name) :], re.DOTALL):
            return name, match[1].replace("==", "="), match[2].strip()
    match = re.fullmatch(rf"(.+?)\s*({_OPERATOR})\s*([^<>=].*)", text, re.DOTALL)
    if match is None or re.search("[<>]", match[3]):
        raise _problem(_FORM, repr(text))
    return match[1].strip(), match[2].replace("==", "="), match[3].strip()


def _values(text: str, field: Any) -> Any:
    """One value, or the set of those between bars, unless a category holds the bar itself."""
    if "|" not in text or (field is not None and text in field.categories):
        return _value(text, field)
    return frozenset(_value(part.strip(), field) for part in text.split("|"))


def _value(text: str, field: Any) -> Any:
    if field is not None and field.form == "boolean":
        return _TRUTH.get(text.lower(), text)
    return text


def _problem(expected: str, got: str) -> InvalidInputError:
    return InvalidInputError(describe("--given", expected=expected, got=got))
