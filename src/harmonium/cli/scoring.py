"""The commands that score rows: score, detect."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from harmonium.cli.cluster import start_ray
from harmonium.cli.models import load_density
from harmonium.cli.options import (
    DataArgument,
    JsonOption,
    ModelArgument,
    OverwriteOption,
    RayOption,
    check_fdr,
    existing,
)
from harmonium.cli.output import joined, print_batches, print_json, trust_line
from harmonium.cli.shell import app, errors
from harmonium.cli.tables import reads_tables

# Commands import what they need inside their bodies: `harmonium --help` must not wait for JAX.

OutputOption = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="Table to write: CSV or Parquet; with --ray, a folder."),
]


@app.command()
@reads_tables("data")
def score(
    model: ModelArgument,
    data: DataArgument,
    output: OutputOption = None,
    on_ray: RayOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Log-density of every row of a table, in nats and data units.

    Example: harmonium score run table.csv -o scores.csv
    """
    from harmonium.cli.runs import MIXED_SUFFIXES, check_folder_output

    if on_ray:
        output = check_folder_output(data, output, overwrite=overwrite)
        start_ray()
        density = load_density(model, None, overwrite=overwrite).density
    else:
        density = load_density(model, output, overwrite=overwrite, suffixes=MIXED_SUFFIXES).density

    from harmonium.cli.progress import showing
    from harmonium.cli.streaming import score_batches, write_batches

    with showing(errors):
        if output is None:
            log_density = joined(score_batches(density, data))["log_density"]
            figures = _figures(log_density)
            note = "log_density\n" + "\n".join(f"{value:.6g}" for value in log_density)
        else:
            if on_ray:
                from harmonium.cli.folders import score_folder

                n_rows = score_folder(model, data, output)
            else:
                n_rows = write_batches(output, score_batches(density, data))
            figures, note = {"rows": n_rows}, f"{n_rows} rows -> {output}"
    if as_json:
        print_json({**figures, "verdict": density.verdict})
        return
    print(note)
    errors.print(trust_line(density.trusted))


@app.command()
@reads_tables("data", "calibrate")
def detect(
    model: ModelArgument,
    data: DataArgument,
    output: OutputOption = None,
    fdr: Annotated[
        float, typer.Option(help="False-discovery rate of the flagged rows, in (0, 1).")
    ] = 0.05,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            help="Table of normal rows that the fit has not seen, for the p-values in place of its own; held in memory.",
            show_default=False,
            callback=existing,
        ),
    ] = None,
    explain: Annotated[int, typer.Option(help="Reasons per row: its worst cells.", min=0)] = 0,
    top: Annotated[
        int, typer.Option(help="Rows of the lowest scores to tell of, flagged or not.", min=0)
    ] = 10,
    on_ray: RayOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Anomaly score, log-density, p-value, flag and reasons of every row of a table.

    Higher scores are more normal; flagged is 1 at the false-discovery rate. A reason is a column
    with its value, a likely value, and by how many nats that is likelier given the other cells
    (drop). A p-value is never below 1 / (calibration rows + 1), so that a detector of few training
    rows may flag nothing: the rows of the lowest scores are told in any case, with reasons.
    modelled_p_value goes on below that, by a fitted tail, without a guarantee.

    Example: harmonium detect run new.csv --explain 3 -o out.csv
    """
    from harmonium.cli.runs import MIXED_SUFFIXES, check_folder_output, check_table_output

    check_fdr(fdr)
    if on_ray:
        output = check_folder_output(data, output, overwrite=overwrite)
        start_ray()
    elif output is not None:
        check_table_output(output, overwrite=overwrite, suffixes=MIXED_SUFFIXES)

    from harmonium.cli.detect import LowRow, lowest_rows, open_detector, score_rows
    from harmonium.cli.progress import showing

    with showing(errors):
        opened = open_detector(model, calibrate)
    columns: dict[str, Any] = {}
    lowest: list[LowRow] = []
    if on_ray and output is not None:
        from harmonium.cli.folders import detect_folder

        with showing(errors):
            flags = detect_folder(
                opened, model, data, output, fdr=fdr, n_reasons=explain, calibration=calibrate
            )
    else:
        with showing(errors):
            scores = score_rows(opened, data)
            lowest = lowest_rows(opened, data, scores, top)
        flags, columns = _detect(opened, data, scores, output, fdr, explain, as_json=as_json)
    n_rows, n_flagged = len(flags.flagged), int(flags.flagged.sum())
    if as_json:
        figures = {"rows": n_rows, "n_flagged": n_flagged, "fdr": fdr}
        told = [asdict(row) for row in lowest]
        print_json({**figures, "verdict": opened.verdict(flags), "lowest": told, **columns})
        return
    if output is not None:
        print(f"{n_rows} rows -> {output}; {n_flagged} flagged at FDR {fdr:g}")
    # Rows on standard output are for programs.
    tell = errors.print if output is None else print
    for row in lowest:
        tell(row.describe())
    errors.print(opened.in_short(flags))


def _detect(
    opened: Any,
    data: Path,
    scores: Any,
    output: Path | None,
    fdr: float,
    n_reasons: int,
    *,
    as_json: bool,
) -> tuple[Any, dict[str, Any]]:
    """The flags of a table; its columns are written, printed, or returned for JSON."""
    from harmonium.cli.detect import detect_batches
    from harmonium.cli.progress import showing
    from harmonium.cli.streaming import write_batches

    flags = opened.flags(opened.detector.p_values_of(scores), fdr)
    batches = detect_batches(opened, data, scores, flags, n_reasons)
    if output is None and not as_json:
        print_batches(batches)
        return flags, {}
    with showing(errors):
        if output is None:
            return flags, joined(batches)
        write_batches(output, batches)
    return flags, {}


def _figures(log_density: list[float]) -> dict[str, Any]:
    """What `score --json` says of rows that go into no file."""
    mean = sum(log_density) / len(log_density)
    return {"rows": len(log_density), "mean_log_density": mean, "log_density": log_density}
