"""The command that writes what the hidden units make of rows: features."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harmonium.cli.later import Later
from harmonium.cli.options import DataArgument, JsonOption, ModelArgument, OverwriteOption
from harmonium.cli.runs import check_output
from harmonium.cli.shell import command
from harmonium.cli.tables import reads_tables

if TYPE_CHECKING:
    from harmonium.cli import mapping
else:
    mapping = Later("harmonium.cli.mapping")


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
    check_output(output, overwrite=overwrite)
    mapping.write_features(model, data, output, as_json=as_json)
