"""The command line: parse, call, print, exit code (0 success, 1 failed work, 2 wrong usage)."""

import atexit
import gc
import os
import sys
import warnings
from typing import Annotated, Any

import typer

# Commands join the application as their modules are imported.
from harmonium.cli import fitting  # noqa: F401

# isort: split
from harmonium import __version__
from harmonium.cache import keep_compiled_code
from harmonium.cli import (  # noqa: F401
    asking,
    card,
    doctor,
    exploring,
    export,
    features,
    monitor,
    reporting,
    scoring,
    serve,
)
from harmonium.cli.budget import clock
from harmonium.cli.shell import app, be_alone, be_quiet, report_error, say, show_tracebacks
from harmonium.cli.threads import keep_products_alone, limit_threads
from harmonium.errors import HarmoniumWarning, in_shell

# Objects made before those of no use are sought: tracing makes millions, nearly all of use.
COLLECT_AFTER = 200_000
# Options of every command, which may stand before or behind its name.
ANYWHERE = ("--debug", "--quiet")
# Warnings that this call has shown.
_shown: set[str] = set()


def _print_version(asked: bool) -> None:
    """Act at once: no command need follow."""
    if asked:
        print(f"harmonium {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the full traceback of an error.")
    ] = False,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Compute with so many threads of the CPU instead of one per core, so that cores "
            "are left to other work.",
            show_default=False,
        ),
    ] = None,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", help="Print results, warnings and errors alone: no progress, no advice."
        ),
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Options of every command."""
    if threads is not None:
        limit_threads(threads, os.environ)


def run(arguments: list[str] | None = None) -> None:
    """Run a command and exit; an error takes a line or two, and has a traceback with --debug."""
    be_alone(arguments is None)
    arguments = sys.argv[1:] if arguments is None else arguments
    clock.restart()
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])
    # The process ends: what it holds need not be sought through once more.
    atexit.register(gc.freeze)
    _shown.clear()
    warnings.simplefilter("always", HarmoniumWarning)
    warnings.showwarning = _show_warning
    show_tracebacks("--debug" in arguments)
    be_quiet("--quiet" in arguments)
    keep_products_alone(os.environ)
    # Whoever only asks for help finds nothing new on disk.
    if arguments and not {"--help", "--version"} & set(arguments):
        keep_compiled_code()
    try:
        app(args=[word for word in arguments if word not in ANYWHERE], prog_name="harmonium")
    except Exception as error:
        sys.exit(report_error(error))


def _show_warning(message: Any, *_: Any, **__: Any) -> None:
    # A fit and its detector say the same of the same table: once is enough.
    text = in_shell(message)
    if text not in _shown:
        _shown.add(text)
        say(f"warning: {text}")
