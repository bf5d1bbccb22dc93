"""The commands that ask something of a fitted run: impute, evaluate, sample."""

from pathlib import Path
from typing import Annotated

import typer

from harmonium.cli.models import load_density
from harmonium.cli.options import (
    DataArgument,
    JsonOption,
    ModelArgument,
    OverwriteOption,
    SeedOption,
)
from harmonium.cli.output import (
    decoded_rows,
    draw_figures,
    draws_in_words,
    evaluation_figures,
    print_csv,
    print_json,
    sample_fields,
    trust_line,
    write_columns_of,
)
from harmonium.cli.shell import app, errors

# Commands import what they need inside their bodies: `harmonium --help` must not wait for JAX.


@app.command()
def impute(
    model: ModelArgument,
    data: DataArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="Table to write: CSV or Parquet.")],
    draws: Annotated[
        int,
        typer.Option(help="Completed tables to draw, one below the other; 0 fills once.", min=0),
    ] = 0,
    trees: Annotated[
        int,
        typer.Option(help="Trees of every column, grown on the rows of DATA; 0 needs none.", min=0),
    ] = 40,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fill missing cells: with the conditional mean or the likeliest category, or with draws.

    Single fills are the mean of what the density and trees on the rows of DATA expect. Draws are
    those of the density, and differ as much as is not known of a cell. Columns that name rows are
    written as they are.

    Example: harmonium impute run holes.csv --draws 5 -o filled.csv
    """
    from harmonium.cli.runs import MIXED_SUFFIXES

    stored = load_density(model, output, overwrite=overwrite, suffixes=MIXED_SUFFIXES)

    from harmonium.cli.progress import showing
    from harmonium.cli.streaming import impute_batches, sampled_rows, write_batches
    from harmonium.estimators import DensityEstimator, Imputer
    from harmonium.estimators.imputer import MOST_ROWS

    imputer = Imputer(n_trees=0 if draws else trees, random_state=seed)
    with showing(errors):
        fields = stored.density.columns.fields
        rows = sampled_rows(data, fields, MOST_ROWS, seed)
        imputer.adopt(DensityEstimator().adopt(*stored), rows)
        n_rows = write_batches(output, impute_batches(imputer, data, draws))
    if as_json:
        print_json({"rows": n_rows, "draws": draws, "verdict": stored.density.verdict})
        return
    print(f"{n_rows} rows -> {output}")
    errors.print(trust_line(stored.density.trusted))


@app.command()
def evaluate(
    model: ModelArgument,
    data: DataArgument,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Table of rows to write: CSV, Parquet or NPY."),
    ] = None,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Held-out log-likelihood with its interval, chain diagnostics and a verdict.

    The rows must not be those of the fit.

    Example: harmonium evaluate run test.csv
    """
    density = load_density(model, output, overwrite=overwrite).density

    from harmonium.cli.progress import showing
    from harmonium.data import read_table
    from harmonium.inference import evaluate_density
    from harmonium.report.words import method_name

    with showing(errors) as display:
        display.begin(f"reading {data.name}")
        table = read_table(data, fields=density.columns.fields, call=str(data))
        found = evaluate_density(density, table.values, seed=seed)
    if output is not None:
        columns = [found.log_density, found.row_low, found.row_high]
        write_columns_of(output, ["log_density", "low", "high"], columns)
    if as_json:
        print_json(evaluation_figures(found))
        return
    log_partition = found.log_partition
    print(
        f"log-likelihood of {found.n_rows} rows: {found.log_likelihood:.3f} nats per row, 95 % "
        f"interval [{found.low:.3f}, {found.high:.3f}]"
    )
    simpler = {"Gaussian fit": found.gaussian}
    simpler |= {"base alone": found.base} if density.has_residual else {}
    for name, value in simpler.items():
        print(f"{name}: {value:.3f}; gain {found.log_likelihood - value:+.3f}")
    print(
        f"log Z: {log_partition.value:.3f} [{log_partition.low:.3f}, {log_partition.high:.3f}] by "
        f"{method_name(log_partition.method)}"
    )
    print(found.verdict)


@app.command()
def sample(
    model: ModelArgument,
    n: Annotated[int, typer.Option("-n", "--rows", help="Rows to draw.", min=1)] = 100,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Table to write: CSV, Parquet or NPY.")
    ] = None,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Draw rows from a fitted density.

    Numbers have the decimals of the training rows and may lie beyond their range. Columns that name
    rows are left out.

    Example: harmonium sample run -n 1000 -o new.csv
    """
    density = load_density(model, output, overwrite=overwrite).density

    from harmonium.cli.progress import showing

    with showing(errors) as display:
        display.begin("drawing rows")
        rows, diagnostics = density.sample(n, seed=seed)
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
    errors.print(draws_in_words(n, diagnostics))
