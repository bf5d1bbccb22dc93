"""The application that commands belong to, and where it speaks of errors."""

import typer
from rich.console import Console

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Densities, samples and scores from deep energy-based models with binary latent units.",
)
errors = Console(stderr=True, soft_wrap=True, highlight=False)
