"""Exceptions and warnings, and the one way messages are worded: expected, got, try.

Python and the command line call some things differently (`overwrite=True`, `--overwrite`). A
`Message` says both, where it is made, so that nothing has to be rewritten where it is printed.
"""

from collections.abc import Iterable
from typing import Self

# Settings whose options have another name.
_OPTIONS = {"n_updates": "updates", "n_hidden": "hidden", "kinds": "kind", "random_state": "seed"}


class HarmoniumError(Exception):
    """Base class of every error that harmonium raises on purpose."""


class InvalidInputError(HarmoniumError, ValueError):
    """An argument, a table or a file is not what was needed; the message says what to change.

    `column` and `row` (from 1 on) say where to programs, if it is about a cell of a table.
    """

    column: str | None = None
    row: int | None = None

    def at(self, column: str, row: int | None = None) -> Self:
        """The same error, about this column, or the cell of it in this row."""
        self.column, self.row = column, row
        return self


class NoRowsError(InvalidInputError):
    """A table has a header, or types of columns, and no row."""


class NotFactorizedError(HarmoniumError, TypeError):
    """p(x|h) was asked of a model whose feature map couples the visible coordinates."""


class InfeasibleError(HarmoniumError, ValueError):
    """An exact computation was asked for that is too large to do exactly."""


class DivergedError(HarmoniumError, RuntimeError):
    """Training could not be kept stable, even after returning to the last good state."""


class ArtifactError(HarmoniumError, ValueError):
    """A model file is damaged, foreign, or from an incompatible version."""


class ExportError(HarmoniumError, ValueError):
    """A part of a model has no counterpart in the format that it should be exported to."""


class CheckpointError(HarmoniumError, OSError):
    """The state of a fit could not be written or read, or belongs to another fit."""


class LostProcessError(HarmoniumError, RuntimeError):
    """Another process of a fit on several is gone; the fit can go on from its last saved state."""


class HarmoniumWarning(UserWarning):
    """Something was repaired or dropped by a documented rule."""


class Message(str):
    """Words for who calls Python, and in `shell` for who types commands: the same unless stated.

    An f-string keeps only the words for Python; `message`, `joined`, `about` and `describe` keep
    both. Of the last two, `finding` is what was found, without where and what to do.
    """

    shell: str
    finding: str | None = None

    def __new__(cls, text: str, shell: str | None = None) -> Self:
        """Without `shell`, with that of a text that is a message already."""
        made = super().__new__(cls, text)
        made.shell = in_shell(text) if shell is None else shell
        return made


def message(template: str, *parts: object) -> Message:
    """`template.format(*parts)` in both wordings; a part may be an error or a warning."""
    return Message(template.format(*parts), template.format(*map(_in_shell, parts)))


def joined(parts: Iterable[str], separator: str = " ") -> Message:
    """`separator.join(parts)` in both wordings."""
    parts = list(parts)
    return Message(separator.join(parts), separator.join(map(in_shell, parts)))


def in_shell(said: object) -> str:
    """What the command line says of a message, or of the error or the warning that carries it."""
    return str(_in_shell(said))


def _in_shell(said: object) -> object:
    if isinstance(said, BaseException) and said.args:
        # Of errors with more arguments only their own `str` knows the words.
        said = said.args[0] if isinstance(said.args[0], Message) else said
    return said.shell if isinstance(said, Message) else said


def option(name: str) -> str:
    """A setting of a fit as it is typed at the command line."""
    return f"--{_OPTIONS.get(name, name).replace('_', '-')}"


def setting(owner: str, name: str) -> Message:
    """A setting of an estimator, or the option that sets it."""
    return Message(f"{owner}({name}=...)", option(name))


def file_call(function: str, path: object) -> Message:
    """A call that reads or writes a file, of which the command line names the file alone."""
    return Message(f"{function}({str(path)!r})", str(path))


def about(where: str, finding: str, hint: str = "") -> Message:
    """Word what was found, in a sentence, of a call or a file, and what to do."""
    made = message("{}: {} Try: {}." if hint else "{}: {}", where, finding, hint)
    made.finding = str(finding)
    return made


def describe(call: str, *, expected: str, got: str, hint: str = "") -> Message:
    """Word an error: the call as typed, what was expected, what was given, what to do."""
    return about(call, message("expected {}; got {}.", expected, got), hint)


def finding_of(said: BaseException) -> str:
    """What an error or a warning has found, wherever it was; all that it says if that is not
    known.
    """
    words = said.args[0] if said.args else None
    found = words.finding if isinstance(words, Message) else None
    return str(said) if found is None else found


def check_shape(call: str, name: str, value: object, shape: tuple[int, ...]) -> None:
    """Raise `InvalidInputError` unless `value` has exactly this shape."""
    got = getattr(value, "shape", None)
    if got != shape:
        raise InvalidInputError(
            describe(
                call,
                expected=f"{name} of shape {shape}",
                got="a value without a shape" if got is None else f"shape {got}",
                hint=_vmap_hint(call) if got and got[1:] == shape else "",
            )
        )


def _vmap_hint(call: str) -> str:
    """How to make a call over a batch: "model.score(x)" becomes "jax.vmap(model.score)(x)"."""
    function, _, arguments = call.partition("(")
    return f"jax.vmap({function})({arguments} for a batch"
