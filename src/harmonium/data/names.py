"""Names of columns: those of a table without any, and whether they are those of training."""

import warnings
from collections.abc import Sequence

from harmonium.data.fields import Field
from harmonium.data.problems import problem, quote, shorten
from harmonium.errors import HarmoniumWarning, InvalidInputError, Message, about, message

MOST_LETTERS = 1000
_BY_POSITION = Message(
    "pass an array to go by position", "write an NPY file, which goes by position"
)


def default_names(n_columns: int) -> tuple[str, ...]:
    """Names of columns that came without: x1, x2, …"""
    return tuple(f"x{i}" for i in range(1, n_columns + 1))


def select_columns(names: Sequence[str], fields: tuple[Field, ...], call: str) -> list[int | None]:
    """Positions of the columns of training among `names`; None for an identifier not there.

    Warns (`HarmoniumWarning`) of columns that training did not have. Raises `InvalidInputError` for
    repeated names, and where other columns of training lack.
    """
    check_names(names, call)
    position = {name: i for i, name in enumerate(names)}
    missing = [
        field.name for field in fields if field.name not in position and field.kind != "identifier"
    ]
    if missing:
        raise problem(
            call,
            f"the {len(fields)} columns seen in training",
            f"a table without {quote(missing)} (it has {quote(names)})",
            message("rename or add these columns, or {}", _BY_POSITION),
        )
    known = {field.name for field in fields}
    if extra := [name for name in names if name not in known]:
        text = f"columns that training did not have are ignored: {quote(extra)}."
        warnings.warn(about(call, text), HarmoniumWarning, stacklevel=3)
    return [position.get(field.name) for field in fields]


def check_names(names: Sequence[str], call: str) -> None:
    """Raise if a name occurs more than once, or is as long as a cell that lost its closing
    quote.
    """
    if len(set(names)) < len(names):
        raise repeated_names(names, call)
    longest = max(names, key=len, default="")
    if len(longest) > MOST_LETTERS:
        got = f"{shorten(longest)}, of {len(longest)}"
        raise problem(call, f"names of columns of at most {MOST_LETTERS} letters", got)


def check_count(n_columns: int, expected: int, call: str) -> None:
    """Raise unless a table without names has as many columns as were seen in training."""
    if n_columns != expected:
        # The sentence in brackets is scikit-learn's, whose checks look for it word by word.
        owner = call.partition("(")[0].partition(".")[0]
        got = Message(
            f"{n_columns} (X has {n_columns} features, but {owner} is expecting "
            f"{expected} features as input)",
            f"{n_columns}",
        )
        raise problem(call, f"{expected} columns, as in training", got)


def repeated_names(names: Sequence[str], call: str) -> InvalidInputError:
    """The error for names that occur more than once."""
    repeated = [name for name in dict.fromkeys(names) if list(names).count(name) > 1]
    return problem(
        call, "a different name for every column", f"{quote(repeated)} repeated", "rename them"
    )
