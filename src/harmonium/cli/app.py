"""The command line: parse, call, print, exit code (0 success, 1 failed work, 2 wrong usage)."""

import sys
import traceback
import warnings
from typing import Annotated, Any

import typer

# Commands join the application as their modules are imported.
from harmonium.cli import fitting  # noqa: F401

# isort: split
from harmonium import __version__
from harmonium.cli import asking, doctor, features, reporting  # noqa: F401
from harmonium.cli.shell import app, errors
from harmonium.cli.wording import reworded
from harmonium.errors import ArtifactError, HarmoniumError, HarmoniumWarning, InvalidInputError

# Warnings that this call has shown.
_shown: set[str] = set()


def _print_version(asked: bool) -> None:
    """Act at once: no command need follow."""
    if asked:
        print(f"harmonium {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option(help="Show the full traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Options of every command."""


def run(arguments: list[str] | None = None) -> None:
    """Run a command and exit; errors are told in a line or two, and with a traceback on --debug."""
    arguments = sys.argv[1:] if arguments is None else arguments
    _shown.clear()
    warnings.simplefilter("always", HarmoniumWarning)
    warnings.showwarning = _show_warning
    debug = "--debug" in arguments
    try:
        app(args=[word for word in arguments if word != "--debug"], prog_name="harmonium")
    except Exception as error:
        if debug:
            traceback.print_exc()
        sys.exit(_report(error))


def _report(error: Exception) -> int:
    """Print an error for people and return the exit code."""
    if isinstance(error, InvalidInputError | ArtifactError):
        errors.print(f"error: {reworded(str(error))}", markup=False)
        return 2
    if isinstance(error, HarmoniumError):
        errors.print(f"error: {reworded(str(error))}", markup=False)
        return 1
    text = f"error: {type(error).__name__}: {error}. Try: --debug for the details."
    errors.print(text, markup=False)
    return 1


def _show_warning(message: Any, *_: Any, **__: Any) -> None:
    # A fit and its detector say the same of the same table: once is enough.
    if str(message) not in _shown:
        _shown.add(str(message))
        errors.print(f"warning: {reworded(str(message))}", markup=False)
