"""The command that writes what the hidden units make of rows: features."""

from pathlib import Path
from typing import Annotated

import typer

from harmonium.cli.models import load_density
from harmonium.cli.options import DataArgument, JsonOption, ModelArgument, OverwriteOption
from harmonium.cli.output import joined, print_batches, print_json
from harmonium.cli.shell import command, progress
from harmonium.cli.tables import reads_tables

# Commands import what they need inside their bodies: `harmonium --help` must not wait for JAX.


@command
@reads_tables("data")
def features(
    model: ModelArgument,
    data: DataArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Table to write: CSV, Parquet or NPY.")
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write the binary features of every row of a table: P(h = 1|x) of each hidden unit.

    Rows with missing cells get the features given their observed cells.

    Example: harmonium features run table.csv -o features.parquet
    """
    density = load_density(model, output, overwrite=overwrite).density

    from harmonium.cli.progress import showing
    from harmonium.cli.streaming import feature_batches, write_batches

    batches = feature_batches(density, data)
    n_units = density.model.n_hidden
    if output is None:
        if as_json:
            with showing(progress()):
                columns = joined(batches)
            print_json({"rows": len(columns["unit_0"]), "units": n_units, "features": columns})
        else:
            print_batches(batches)
        return
    with showing(progress()):
        n_rows = write_batches(output, batches)
    if as_json:
        print_json({"rows": n_rows, "units": n_units})
    else:
        print(f"{n_rows} rows x {n_units} units -> {output}")
