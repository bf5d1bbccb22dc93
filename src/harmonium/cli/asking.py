"""The commands that ask something of a fitted run: impute, evaluate, sample."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harmonium.cli.later import Later
from harmonium.cli.layout import wrapped
from harmonium.cli.models import load_density
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
from harmonium.cli.output import (
    comparison_figures,
    comparison_in_words,
    decoded_rows,
    draw_figures,
    draws_in_words,
    evaluation_figures,
    print_csv,
    print_json,
    sample_fields,
    write_columns_of,
)
from harmonium.cli.places import find_place
from harmonium.cli.shell import command, errors, progress
from harmonium.cli.tables import reads_tables
from harmonium.cli.wording import reworded
from harmonium.errors import InvalidInputError, describe

if TYPE_CHECKING:
    from harmonium.cli import batches, imputing
else:
    batches = Later("harmonium.cli.batches")
    imputing = Later("harmonium.cli.imputing")

# Commands import what they need inside their bodies: `harmonium --help` must not wait for JAX.


@command
@reads_tables("data")
def impute(
    model: ModelArgument,
    data: ManyArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help=OUTPUT_HELP)],
    format: FormatOption = None,
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
    density = load_density(model, output, overwrite=overwrite).density

    from harmonium.cli.progress import showing
    from harmonium.data import read_table
    from harmonium.inference import evaluate_density
    from harmonium.report.words import method_name

    with showing(progress()) as display:
        display.begin(f"reading {data.name}")
        table = read_table(data, fields=density.columns.fields, call=str(data))
        found = evaluate_density(density, table.values, seed=seed)
        compared = None
        if samples:
            from harmonium.estimators.comparison import judge_samples

            display.begin("comparing draws with these rows")
            known = None
            if train is not None:
                known = read_table(train, fields=density.columns.fields, call=str(train)).values
            compared = judge_samples(density, table.values, known, seed=seed)
    if output is not None:
        columns = [found.log_density, found.row_low, found.row_high]
        write_columns_of(output, ["log_density", "low", "high"], columns)
    if as_json:
        print_json(evaluation_figures(found) | comparison_figures(compared))
        return
    log_partition = found.log_partition
    interval = f"95 % interval [{found.low:.3f}, {found.high:.3f}]"
    score = f"{found.log_likelihood:.3f} nats per row, {interval}"
    print(wrapped(f"log-likelihood of {found.n_rows} rows: {score}"))
    simpler = {"Gaussian fit": found.gaussian}
    simpler |= {"base alone": found.base} if density.has_residual else {}
    for name, value in simpler.items():
        print(f"{name}: {value:.3f}; gain {found.log_likelihood - value:+.3f}")
    print(
        f"log Z: {log_partition.value:.3f} [{log_partition.low:.3f}, {log_partition.high:.3f}], "
        f"method: {method_name(log_partition.method)}"
    )
    print(wrapped(reworded(found.verdict)))
    if compared is not None:
        print(comparison_in_words(compared))


@command
def sample(
    model: ModelArgument,
    n: Annotated[int, typer.Option("-n", "--rows", help="Rows to draw.", min=1)] = 100,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Table to write: CSV, Parquet or NPY.")
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
    density = load_density(model, output, overwrite=overwrite).density

    from harmonium.cli.given import parse_given
    from harmonium.cli.progress import showing
    from harmonium.inference import sample_given

    wanted = parse_given(given or [], density.columns.fields)
    with showing(progress()):
        if wanted or balance is not None:
            rows, diagnostics = sample_given(
                density, n, wanted, balance=balance, keep_unseen=keep_unseen, seed=seed
            )
        else:
            rows, diagnostics = density.sample(n, seed=seed, keep_unseen=keep_unseen)
    columns = density.columns
    kept = [i for i, field in enumerate(columns.fields) if field.kind != "identifier"]
    rows, fields = rows[:, kept], [sample_fields(columns)[i] for i in kept]
    if output is not None:
        from harmonium.data import write_table

        write_table(output, rows, fields)
    if as_json:
        names = [field.name for field in fields]
        drawn = {} if output is not None else {"columns": names, "rows": decoded_rows(rows, fields)}
        print_json({"n": n, **draw_figures(diagnostics), "verdict": density.verdict, **drawn})
        return
    if output is None:
        print_csv(rows, fields)
    else:
        print(f"{n} rows -> {output}")
    errors.print(wrapped(draws_in_words(n, diagnostics)))
