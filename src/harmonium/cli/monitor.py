"""The command that watches a stream of rows for drift: monitor."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harmonium.cli.later import Later
from harmonium.cli.layout import wrapped
from harmonium.cli.options import (
    ALARM,
    JsonOption,
    OverwriteOption,
    all_existing,
    default_is,
    existing,
)
from harmonium.cli.output import print_json
from harmonium.cli.runs import check_parent, check_table_output
from harmonium.cli.shell import command, errors, progress
from harmonium.cli.tables import reads_tables
from harmonium.report.extra import require_packages

if TYPE_CHECKING:
    from harmonium.cli import drift
    from harmonium.cli import progress as live
    from harmonium.report import drift as pages
else:
    drift = Later("harmonium.cli.drift")
    live = Later("harmonium.cli.progress")
    pages = Later("harmonium.report.drift")


@command
@reads_tables("stream", "reference")
def monitor(
    model: Annotated[
        Path,
        typer.Argument(
            help="A run folder, or the detector.safetensors inside it.", callback=existing
        ),
    ],
    stream: Annotated[
        list[Path],
        typer.Argument(
            help="Tables of further rows, in their order: CSV, Parquet, NPY or folders.",
            callback=all_existing,
        ),
    ],
    state: Annotated[
        Path,
        typer.Option(help="File with which the next call goes on; begun where there is none yet."),
    ],
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Table of normal rows that the fit has not seen, to compare the stream with; "
            f"held in memory. For the first call. {default_is('the first rows of the stream')}",
            callback=existing,
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            help="Share of streams without drift that ever raise an alarm, at most. "
            f"For the first call. {default_is(0.01)}",
        ),
    ] = None,
    run_length: Annotated[
        float | None,
        typer.Option(
            help="Raise alarms again and again instead, with at most one false one expected in "
            "so many rows. For the first call.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help=f"Seed of the places of ties. For the first call. {default_is(0)}",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Page to write: the evidence over time, and what drifts (.html)."
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Watch a stream of rows for drift: evidence, alarms with a guarantee, and which columns drift
    how.

    Every call goes on where the last one stopped, so that a nightly job passes the rows of the
    night. The state file changes only where a call succeeds. The exit code is 3 if there was an
    alarm, on every call from then on until the state file is removed; with --run-length, if there
    was one in the rows of this call.

    Example: harmonium monitor run night1.csv night2.csv --state drift.safetensors
    """
    if output is not None:
        require_packages("harmonium monitor --output")
        check_table_output(output, overwrite=overwrite, suffixes=(".html",))
    check_parent(state)

    with live.showing(progress()):
        opened = drift.open_monitor(model, state, drift.Begin(reference, alpha, run_length, seed))
        monitoring, found = drift.take_streams(opened, stream)
        if output is not None:
            pages.write_drift_page(output, monitoring, found, title=model.name)
        opened.save(state, monitoring)
    if as_json:
        print_json({**asdict(found), "state": str(state)})
    else:
        print(found.describe())
        errors.print(wrapped(found.guarantee))
    raise typer.Exit(ALARM if found.alarm else 0)
