"""The command that makes the explorer of a run."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harmonium.cli.later import Later
from harmonium.cli.options import (
    JsonOption,
    ModelArgument,
    OverwriteOption,
    SeedOption,
    default_is,
    existing,
)
from harmonium.cli.output import print_json
from harmonium.cli.runs import check_table_output
from harmonium.cli.shell import command, progress
from harmonium.cli.tables import reads_tables
from harmonium.report.extra import require_packages

if TYPE_CHECKING:
    from harmonium.cli import report as reports
else:
    reports = Later("harmonium.cli.report")


@command
@reads_tables("data")
def explore(
    run: ModelArgument,
    data: Annotated[
        Path | None,
        typer.Argument(
            help="A table of rows to show, as for fit; without it, the page shows draws.",
            callback=existing,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help=f"File to write. {default_is('RUN/explorer.html')}"),
    ] = None,
    rows: Annotated[int, typer.Option(help="Rows to show at most, drawn at random.", min=2)] = 500,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a page to move in a fitted model: its energy surface, chains on it, hidden units.

    One HTML file computes the model by itself: no server, no network.

    Example: harmonium explore run table.csv
    """
    require_packages("harmonium explore")
    if output is None:
        output = (run if run.is_dir() else run.parent) / "explorer.html"
    check_table_output(output, overwrite=overwrite, suffixes=(".html",))
    found = reports.make_explorer(run, data, output, n_rows=rows, seed=seed, console=progress())
    if as_json:
        print_json({"explorer": str(output), **asdict(found)})
        return
    shown = f"{found.n_rows} {'draws of the model' if found.are_draws else 'rows'}"
    print(f"explorer of {shown}, {found.n_bytes / 1e6:.2f} MB -> {output}")
