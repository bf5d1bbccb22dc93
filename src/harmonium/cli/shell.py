"""The application that commands belong to, and how it speaks of errors."""

import io
import sys
import traceback

import typer

from harmonium.cli.console import Console
from harmonium.cli.wording import reworded
from harmonium.errors import ArtifactError, HarmoniumError, InvalidInputError

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


def show_tracebacks(asked: bool) -> None:
    """Whether `report_error` also prints where an error comes from."""
    global _shows_tracebacks
    _shows_tracebacks = asked


def report_error(error: Exception) -> int:
    """Print an error for people and return the exit code."""
    if _shows_tracebacks:
        traceback.print_exception(error)
    if isinstance(error, HarmoniumError):
        errors.print(f"error: {reworded(str(error))}")
        return 2 if isinstance(error, InvalidInputError | ArtifactError) else 1
    text = f"error: {type(error).__name__}: {error}. Try: --debug for the details."
    errors.print(text)
    return 1
