"""Checks of plain settings, worded with the estimator that they belong to."""

from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

import numpy as np

from harmonium.errors import InvalidInputError, describe, setting


def plain_numbers(settings: Any) -> None:
    """Turn NumPy's scalars among the fields of frozen settings into Python's, which JSON and
    compiled code take.
    """
    for field in fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, np.generic):
            object.__setattr__(settings, field.name, value.item())


@dataclass(frozen=True)
class Checks:
    """Raises `InvalidInputError` for a setting of `owner` that is not what was needed."""

    owner: str

    def choice(self, name: str, value: object, choices: tuple[str, ...]) -> None:
        """One of the choices."""
        if value not in choices:
            raise self.error(name, value, f"one of {list(choices)}")

    def number(self, name: str, value: object, expected: str, minimum: float) -> None:
        """A real number of at least `minimum`."""
        if not isinstance(value, Real) or isinstance(value, bool) or not float(value) >= minimum:
            raise self.error(name, value, expected)

    def share(self, name: str, value: object, highest: float = 1.0) -> None:
        """A real number above 0 and below `highest`."""
        if not isinstance(value, Real) or isinstance(value, bool) or not 0 < float(value) < highest:
            raise self.error(name, value, f"a share between 0 and {highest:g}")

    def whole(self, name: str, value: object, lowest: int, highest: int) -> None:
        """A whole number in the range."""
        if (
            not isinstance(value, Integral)
            or isinstance(value, bool)
            or not lowest <= int(value) <= highest
        ):
            raise self.error(name, value, f"a whole number from {lowest} to {highest}")

    def error(self, name: str, value: object, expected: str) -> InvalidInputError:
        """The error for this setting."""
        return InvalidInputError(
            describe(setting(self.owner, name), expected=expected, got=repr(value))
        )
