"""The commands that ask something of a fitted run: impute, evaluate, sample."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harmonium.cli.later import Later
from harmonium.cli.options import (
    OUTPUT_HELP,
    DataArgument,
    FormatOption,
    JsonOption,
    ManyArgument,
    ModelArgument,
    OverwriteOption,
    SeedOption,
    existing,
)
from harmonium.cli.places import find_place
from harmonium.cli.runs import check_output
from harmonium.cli.shell import command
from harmonium.cli.tables import reads_tables
from harmonium.errors import InvalidInputError, describe

if TYPE_CHECKING:
    from harmonium.cli import batches, drawing, evaluating, images, imputing, models
else:
    batches = Later("harmonium.cli.batches")
    drawing = Later("harmonium.cli.drawing")
    evaluating = Later("harmonium.cli.evaluating")
    images = Later("harmonium.cli.images")
    imputing = Later("harmonium.cli.imputing")
    models = Later("harmonium.cli.models")


@command
@reads_tables("data")
def impute(
    model: ModelArgument,
    data: ManyArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help=OUTPUT_HELP)],
    format: FormatOption = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="Of images: NPY file (height, width), not 0 where pixels are hidden.",
            callback=existing,
        ),
    ] = None,
    draws: Annotated[
        int,
        typer.Option(
            help="Draw so many completed tables, one below the other; 0 fills once.", min=0
        ),
    ] = 0,
    trees: Annotated[
        int,
        typer.Option(
            help="Grow so many trees per column on the rows of DATA; 0 fills by the density alone.",
            min=0,
        ),
    ] = 40,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fill missing cells with the conditional mean or the likeliest category, or with draws.

    A single fill is the mean of what the density and trees on the rows of DATA expect. Draws come
    from the density, and differ by the uncertainty of each cell. Columns that name rows are written
    as they are. Of a folder, -o FOLDER gets a file for each table, filled by itself.

    Example: harmonium impute run holes.csv --draws 5 -o filled.csv
    """
    if models.is_image_run(model):
        written = images.Written(output, overwrite, as_json)
        return images.inpaint_images(model, data, mask, draws, seed, written)
    if mask is not None:
        raise InvalidInputError(describe("--mask", expected="a run of images", got=f"{model}"))
    place = find_place(data, output, format, overwrite=overwrite, as_json=as_json, on_ray=False)
    way = imputing.Filling(draws, trees, seed)
    if place.is_folder:
        batch = batches.Batch(data, place, overwrite, on_ray=False)
        raise typer.Exit(imputing.impute_many(model, batch, way, as_json=as_json))
    imputing.impute_one(model, data, place, way, as_json=as_json)


@command
@reads_tables("data", "train")
def evaluate(
    model: ModelArgument,
    data: DataArgument,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Table of rows to write: CSV, Parquet or NPY."),
    ] = None,
    samples: Annotated[
        bool, typer.Option("--samples", help="Draw as many rows as DATA has, and compare the two.")
    ] = False,
    train: Annotated[
        Path | None,
        typer.Option(
            help="The table of the fit: --samples then says whether draws copy its rows.",
            callback=existing,
        ),
    ] = None,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Judge a density by held-out rows: log-likelihood, chain diagnostics and a verdict.

    The rows must not be those of the fit. --samples also compares drawn rows with DATA, by
    classifiers, columns and pairs of columns, and two halves of DATA with each other.

    Example: harmonium evaluate run test.csv --samples --train train.csv
    """
    if train is not None and not samples:
        raise InvalidInputError(describe("--train", expected="--samples too", got="--train alone"))
    check_output(output, overwrite=overwrite)
    evaluating.evaluate(
        model, data, output, samples=samples, train=train, seed=seed, as_json=as_json
    )


@command
def sample(
    model: ModelArgument,
    n: Annotated[int, typer.Option("-n", "--rows", help="Rows to draw.", min=1)] = 100,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Table to write: CSV, Parquet or NPY; of images, PNG or NPY."
        ),
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option(
            help="Fix a column of all rows: color=red, color=red|blue, day=2024-01-05, size>0.5 or "
            "size<=2. May be repeated."
        ),
    ] = None,
    balance: Annotated[
        str | None,
        typer.Option(help="Draw each category of this column equally often."),
    ] = None,
    keep_unseen: Annotated[
        bool,
        typer.Option(
            "--keep-unseen",
            help="Keep all draws with pairs of categories that no training row has.",
        ),
    ] = False,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Draw rows from a fitted density, all of them or those of a kind.

    Numbers have the decimals of the training rows and may lie beyond their range. Columns that name
    rows are left out. What is not given is drawn given the rest.

    Example: harmonium sample run -n 1000 --given color=red -o new.csv
    """
    if models.is_image_run(model):
        if given or balance or keep_unseen:
            raise InvalidInputError("sample: --given, --balance and --keep-unseen are for tables.")
        return images.sample_images(model, n, seed, images.Written(output, overwrite, as_json))
    check_output(output, overwrite=overwrite)
    wanted = drawing.Wanted(n, given or [], balance, keep_unseen, seed)
    drawing.draw(model, wanted, output, as_json=as_json)
