"""The command that watches a stream of rows for drift: monitor."""

from pathlib import Path
from typing import Annotated

import typer

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
from harmonium.cli.shell import command, errors, progress
from harmonium.cli.tables import reads_tables

# Commands import what they need inside their bodies: `harmonium --help` must not wait for JAX.


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
    from harmonium.cli.runs import check_parent, check_table_output

    if output is not None:
        from harmonium.report.extra import require_packages

        require_packages("harmonium monitor --output")
        check_table_output(output, overwrite=overwrite, suffixes=(".html",))
    check_parent(state)

    from dataclasses import asdict

    from harmonium.cli.drift import Begin, open_monitor, take_streams
    from harmonium.cli.progress import showing

    with showing(progress()):
        opened = open_monitor(model, state, Begin(reference, alpha, run_length, seed))
        monitoring, found = take_streams(opened, stream)
        if output is not None:
            from harmonium.report import write_drift_page

            write_drift_page(output, monitoring, found, title=model.name)
        opened.save(state, monitoring)
    if as_json:
        print_json({**asdict(found), "state": str(state)})
    else:
        print(found.describe())
        errors.print(wrapped(found.guarantee))
    raise typer.Exit(ALARM if found.alarm else 0)
