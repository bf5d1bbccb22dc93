"""The words of this layer's errors, in one place."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from harmonium.errors import InvalidInputError, Message, describe


def problem(call: str, expected: str, got: str, hint: str = "") -> InvalidInputError:
    """An `InvalidInputError` that says what was expected, what was given, and what to try."""
    return InvalidInputError(describe(call, expected=expected, got=got, hint=hint))


def state_kind(name: str, kind: str) -> Message:
    """How the kind of a column is stated."""
    return Message(f"kinds={{{name!r}: {kind!r}}}", f"--kind {shlex.quote(f'{name}={kind}')}")


def samples(n_rows: int) -> Message:
    """A number of rows: scikit-learn's checks look for its own word."""
    return Message(f"{n_rows} sample(s)", f"{n_rows} row{'' if n_rows == 1 else 's'}")


def quote(names: Sequence[str], most: int = 8) -> str:
    """Names in quotes, the first `most` of them, and how many more there are."""
    shown = ", ".join(shorten(name, 80) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


@contextmanager
def read_errors(call: str) -> Iterator[None]:
    """What the system refuses to read, in our words."""
    try:
        yield
    except OSError as error:
        raise problem(call, "a readable file", reason(error)) from error


def reason(error: OSError) -> str:
    """What the system has to say of a file, without a capital and a full stop."""
    return (error.strerror or str(error)).rstrip(".").lower()


def shorten(text: str, width: int = 40) -> str:
    """Text in quotes, cut to `width` characters."""
    return repr(str(text) if len(text) <= width else f"{text[: width - 1]}…")
