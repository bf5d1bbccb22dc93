"""Exceptions and warnings, and the one way messages are worded: expected, got, try."""

from typing import Self


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


def describe(call: str, *, expected: str, got: str, hint: str = "") -> str:
    """Word an error: the call as typed, what was expected, what was given, what to do."""
    text = f"{call}: expected {expected}; got {got}."
    return f"{text} Try: {hint}." if hint else text


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
