"""The commands that score rows: score, detect."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harmonium.cli.cluster import require_ray, start_ray
from harmonium.cli.guarantees import parse_guarantee
from harmonium.cli.later import Later
from harmonium.cli.options import (
    FormatOption,
    JsonOption,
    ManyArgument,
    ModelArgument,
    OutputOption,
    OverwriteOption,
    RayOption,
    check_fdr,
    default_is,
    existing,
)
from harmonium.cli.places import Place, find_place
from harmonium.cli.shell import command
from harmonium.cli.tables import reads_tables

if TYPE_CHECKING:
    from harmonium.cli import batches, detecting, images, measuring, models
else:
    batches = Later("harmonium.cli.batches")
    detecting = Later("harmonium.cli.detecting")
    images = Later("harmonium.cli.images")
    measuring = Later("harmonium.cli.measuring")
    models = Later("harmonium.cli.models")


@command
@reads_tables("data")
def score(
    model: ModelArgument,
    data: ManyArgument,
    output: OutputOption = None,
    format: FormatOption = None,
    on_ray: RayOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Score every row of a table by its log-density, in nats and data units.

    Without -o a summary is printed. Of a folder, -o FOLDER gets a file of scores for each table.

    Example: harmonium score run table.csv -o scores.csv
    """
    if models.is_image_run(model):
        return images.score_images(model, data, images.Written(output, overwrite, as_json))
    place = _place(data, output, format, on_ray, overwrite=overwrite, as_json=as_json)
    if place.is_folder:
        batch = batches.Batch(data, place, overwrite, on_ray)
        raise typer.Exit(measuring.score_many(model, batch, as_json=as_json))
    hint = f"harmonium score {model} {data} -o FILE.csv"
    measuring.score_one(model, data, place, as_json=as_json, hint=hint)


@command
@reads_tables("data", "calibrate", "training")
def detect(
    model: ModelArgument,
    data: ManyArgument,
    output: OutputOption = None,
    format: FormatOption = None,
    fdr: Annotated[
        float, typer.Option(help="Flag rows at this false-discovery rate, in (0, 1).")
    ] = 0.05,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            help="Table of normal rows that the fit has not seen: p-values rest on these rows, "
            "which are held in memory.",
            show_default=False,
            callback=existing,
        ),
    ] = None,
    guarantee: Annotated[
        str,
        typer.Option(
            help="What p-values and flags rest on: split, the calibration rows of the fit; "
            "group:COLUMN, those with the same value; pattern, those with the same holes; "
            "imposed-pattern, all, with the holes of the row; cross or e-values, all rows of "
            "--training, by ten fits.",
        ),
    ] = "split",
    training: Annotated[
        Path | None,
        typer.Option(
            help="The table of the fit, for --guarantee cross or e-values.",
            show_default=False,
            callback=existing,
        ),
    ] = None,
    explain: Annotated[
        int,
        typer.Option(
            help="Write so many reasons for every row that is flagged or listed: its worst cells.",
            min=0,
        ),
    ] = 0,
    top: Annotated[
        int, typer.Option(help="List so many rows of the lowest scores, flagged or not.", min=0)
    ] = 10,
    named: Annotated[
        str | None,
        typer.Option(
            "--id",
            help="Column that names rows, listed beside their numbers. "
            f"{default_is('that of fit --id')}",
        ),
    ] = None,
    fail_on_flagged: Annotated[
        bool,
        typer.Option(
            "--fail-on-flagged", help="Exit with code 3 if a row is flagged, after all is written."
        ),
    ] = False,
    on_ray: RayOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find anomalous rows: score, p-value, flag and reasons of every row of a table.

    The rows of the lowest scores are listed with their reasons. With -o, all rows are written: row
    number, score, p_value, flagged, modelled_p_value, reasons, and the columns of the table, under
    the name table_NAME where a result is called NAME. Of a folder, -o FOLDER gets such a file for
    each table, whose flags and row numbers are those of the table by itself. Log-densities are
    those of harmonium score.

    Higher scores are more normal; flagged is 1 at the false-discovery rate. A reason is a column
    with its value, the likeliest value given the other cells, the range of four of five values (low
    to high), and by how many nats the likeliest one is likelier (drop). A p-value is never below
    1 / (calibration rows + 1), so that a detector of few training rows may flag nothing.
    modelled_p_value has no such limit: it follows a fitted tail, without a guarantee.

    Example: harmonium detect run new.csv --explain 3 -o out.csv
    """
    check_fdr(fdr)
    if models.is_image_run(model):
        written = images.Written(output, overwrite, as_json)
        return images.detect_images(model, data, fdr, top, written)
    stated = parse_guarantee(guarantee, training)
    place = _place(data, output, format, on_ray, overwrite=overwrite, as_json=as_json)
    asked = detecting.Asked(fdr, stated, training, calibrate, top, explain, named)
    if place.is_folder:
        batch = batches.Batch(data, place, overwrite, on_ray)
        n_flagged, is_whole = detecting.detect_many(model, batch, asked, as_json=as_json)
    else:
        hint = f"harmonium detect {model} {data} -o FILE.csv"
        n_flagged = detecting.detect_one(model, data, place, asked, as_json=as_json, hint=hint)
        is_whole = True
    code = detecting.exit_code(n_flagged, is_whole=is_whole, fail_on_flagged=fail_on_flagged)
    raise typer.Exit(code)


def _place(data: Path, output: Path | None, format: str | None, on_ray: bool, **how: bool) -> Place:
    """Where results go, checked before any work; on Ray, which then runs."""
    if on_ray:
        require_ray()
    place = find_place(data, output, format, on_ray=on_ray, **how)
    if on_ray:
        start_ray()
    return place
