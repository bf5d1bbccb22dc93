"""What `harmonium features` does."""

from pathlib import Path

from harmonium.cli.models import load_density
from harmonium.cli.output import joined, print_batches, print_json
from harmonium.cli.progress import showing
from harmonium.cli.shell import progress
from harmonium.cli.streaming import feature_batches, write_batches


def write_features(model: Path, data: Path, output: Path | None, *, as_json: bool) -> None:
    """Write the features of all rows of a table, or print them."""
    density = load_density(model).density
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
