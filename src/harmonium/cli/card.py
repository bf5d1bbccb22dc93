"""The command that shows the model card of a run: card."""

from pathlib import Path
from typing import Annotated

import typer

from harmonium.cli.options import JsonOption, ModelArgument, OverwriteOption
from harmonium.cli.output import print_json
from harmonium.cli.shell import command
from harmonium.report.card_page import card_markdown

# Commands import what they need inside their bodies: `harmonium --help` must not wait for JAX.


@command
def card(
    run: ModelArgument,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File to write: .md or .json.", show_default=False),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show the model card of a run: what it is, of what data, how good, and what it is for.

    `fit` writes it into the run folder, as card.md and card.json.

    Example: harmonium card run -o card.md
    """
    from harmonium.cli.run_card import card_of_run, write_card_file

    if output is not None:
        write_card_file(run, output, overwrite=overwrite)
        print(f"model card of {run} -> {output}")
    elif as_json:
        print_json(card_of_run(run))
    else:
        print(card_markdown(card_of_run(run)), end="")
