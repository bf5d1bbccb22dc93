"""The words of this layer's errors, in one place."""

from collections.abc import Sequence

from harmonium.errors import InvalidInputError, describe


def problem(call: str, expected: str, got: str, hint: str = "") -> InvalidInputError:
    """An `InvalidInputError` that says what was expected, what was given, and what to try."""
    return InvalidInputError(describe(call, expected=expected, got=got, hint=hint))


def quote(names: Sequence[str], most: int = 8) -> str:
    """Names in quotes, the first `most` of them, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def reason(error: OSError) -> str:
    """What the system has to say of a file, without a capital and a full stop."""
    return (error.strerror or str(error)).rstrip(".").lower()


def shorten(text: str, width: int = 40) -> str:
    """Text in quotes, cut to `width` characters."""
    return repr(str(text) if len(text) <= width else f"{text[: width - 1]}…")
