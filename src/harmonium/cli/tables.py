"""The tables that commands read: how their text is written, where a user states it."""

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harmonium.cli.later import Later
from harmonium.cli.options import default_is

if TYPE_CHECKING:
    from harmonium import data
else:
    data = Later("harmonium.data")

_PANEL = "How the text of tables is written"
_OPTIONS = {
    "sep": "What separates cells: a character, or tab.",
    "decimal": "Decimal sign: a point or a comma.",
    "encoding": "Encoding, such as utf-8, latin-1 or utf-16.",
}
_DEFAULT = default_is("found in the file")
_MISSING = (
    "A cell of CSV that stands for a missing one, such as ? or -999, as it is written there; may "
    "be repeated. Empty cells and NA are missing in any case."
)

Command = Callable[..., None]


def reads_tables(*names: str) -> Callable[[Command], Command]:
    """Adds --sep, --decimal, --encoding and --missing to a command; its parameters of these names,
    paths of tables, lists of them or None, then carry what was stated.
    """

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def wrapped(
            *,
            sep: str | None,
            decimal: str | None,
            encoding: str | None,
            missing: list[str] | None,
            **given: Any,
        ) -> None:
            dialect = data.Dialect(sep, decimal, encoding, tuple(missing or ()))
            for name in names:
                stated = given[name]
                if isinstance(stated, list):
                    given[name] = [data.TableFile.of(path, dialect) for path in stated]
                elif stated is not None:
                    given[name] = data.TableFile.of(stated, dialect)
            command(**given)

        hints = {
            name: Annotated[
                str | None,
                typer.Option(help=f"{text} {_DEFAULT}", rich_help_panel=_PANEL),
            ]
            for name, text in _OPTIONS.items()
        }
        hints["missing"] = Annotated[
            list[str] | None,
            typer.Option(metavar="CODE", help=_MISSING, rich_help_panel=_PANEL),
        ]
        more = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)
            for name, hint in hints.items()
        ]
        signature = inspect.signature(command)
        parameters = [*signature.parameters.values(), *more]
        wrapped.__dict__["__signature__"] = signature.replace(parameters=parameters)
        wrapped.__annotations__ = command.__annotations__ | hints
        return wrapped

    return decorate
