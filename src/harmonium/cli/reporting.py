"""The command that makes the report of a run again."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harmonium.cli.later import Later
from harmonium.cli.layout import wrapped
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
    from harmonium.cli import progress as live
    from harmonium.cli import report as reports
else:
    live = Later("harmonium.cli.progress")
    reports = Later("harmonium.cli.report")


@command
@reads_tables("data")
def report(
    run: ModelArgument,
    data: Annotated[
        Path | None,
        typer.Argument(
            help="A table of rows to show, as for fit; without it, the page has no rows.",
            callback=existing,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help=f"File to write. {default_is('RUN/report.html')}"),
    ] = None,
    rows: Annotated[
        int,
        typer.Option(
            help="Rows in figures at most, drawn at random; odd rows are looked for among all.",
            min=8,
        ),
    ] = 2000,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write the report of a run: one HTML file that opens without a network.

    Example: harmonium report run table.csv --overwrite
    """
    require_packages("harmonium report")
    if output is None:
        output = (run if run.is_dir() else run.parent) / "report.html"
    check_table_output(output, overwrite=overwrite, suffixes=(".html",))

    with live.showing(progress()):
        found = reports.remake_report(run, data, output, n_rows=rows, seed=seed)
    if as_json:
        print_json({"report": str(output), **asdict(found)})
        return
    listed = "" if found.n_anomalous is None else f", {found.n_anomalous} odd rows"
    print(f"report of {found.n_rows} rows{listed} -> {output}")
    print(wrapped(found.answer))
