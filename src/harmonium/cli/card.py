"""The command that shows the model card of a run: card."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harmonium.cli.later import Later
from harmonium.cli.options import JsonOption, ModelArgument, OverwriteOption
from harmonium.cli.output import print_json
from harmonium.cli.shell import command

if TYPE_CHECKING:
    from harmonium.cli import run_card
    from harmonium.report import card_page
else:
    card_page = Later("harmonium.report.card_page")
    run_card = Later("harmonium.cli.run_card")


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
    if output is not None:
        run_card.write_card_file(run, output, overwrite=overwrite)
        print(f"model card of {run} -> {output}")
    elif as_json:
        print_json(run_card.card_of_run(run))
    else:
        print(card_page.card_markdown(run_card.card_of_run(run)), end="")
