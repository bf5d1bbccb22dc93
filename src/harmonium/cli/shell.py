"""The application that commands belong to, and how it speaks of errors."""

import functools
import inspect
import io
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import typer

from harmonium.cli.layout import wrapped
from harmonium.cli.options import BROKEN_PIPE
from harmonium.console import Console
from harmonium.errors import ArtifactError, HarmoniumError, InvalidInputError, in_shell

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Densities, samples and scores from deep energy-based models with binary latent units.",
)
errors = Console(lambda: sys.stderr)
# Of processes that leave speaking to the first: what they write is dropped.
silence = Console(io.StringIO)

_shows_tracebacks = False
_is_quiet = False
_has_process = False


def show_tracebacks(asked: bool) -> None:
    """Whether `report_error` also prints where an error comes from."""
    global _shows_tracebacks
    _shows_tracebacks = asked


def be_quiet(asked: bool) -> None:
    """Whether `progress` leaves progress and advice unsaid."""
    global _is_quiet
    _is_quiet = asked


def be_alone(has_process: bool) -> None:
    """Whether the command is all that its process does, and not called within a program."""
    global _has_process
    _has_process = has_process


def is_alone() -> bool:
    """Whether the command may start other processes like its own."""
    return _has_process


def progress() -> Console:
    """Where commands show their progress and give advice: nowhere if the user wants it quiet."""
    return silence if _is_quiet else errors


def say(text: str) -> None:
    """Print a warning or an error, on a terminal broken between words."""
    errors.print(wrapped(text) if errors.is_terminal else text)


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Make a function a command; its docstring is the help, a line for every paragraph."""
    paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    app.command(help=text)(_until_unread(function))
    return function


def _until_unread(function: Callable[..., None]) -> Callable[..., None]:
    """The same, but that it ends without a word where nobody reads standard output any more."""

    @functools.wraps(function)
    def command(*arguments: Any, **options: Any) -> None:
        try:
            function(*arguments, **options)
            sys.stdout.flush()
        except BrokenPipeError:
            # What is still to be flushed goes nowhere, instead of into a complaint at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(BROKEN_PIPE) from None

    return command


def report_error(error: Exception) -> int:
    """Print an error for people and return the exit code."""
    if _shows_tracebacks:
        traceback.print_exception(error)
    if isinstance(error, HarmoniumError):
        say(f"error: {in_shell(error)}")
        return 2 if isinstance(error, InvalidInputError | ArtifactError) else 1
    text = f"error: {type(error).__name__}: {error}. Try: --debug for the details."
    say(text)
    return 1
