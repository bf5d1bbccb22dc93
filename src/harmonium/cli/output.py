"""What the commands write and print. Imports wait until they are needed, as in `app`."""

import csv
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any


def draw_figures(diagnostics: Any) -> dict[str, Any]:
    """Those of the draws, under names that cannot be taken for those of the fit."""
    figures = asdict(diagnostics)
    own = {f"draws_{name}": figures.pop(name) for name in ("trusted", "verdict")}
    return figures | own


def evaluation_figures(found: Any) -> dict[str, Any]:
    """What `evaluate --json` says."""
    return {
        "rows": found.n_rows,
        "log_likelihood": found.log_likelihood,
        "low": found.low,
        "high": found.high,
        "sampling_error": found.sampling_error,
        "gaussian": found.gaussian,
        "log_partition": asdict(found.log_partition),
        "diagnostics": asdict(found.diagnostics),
        "trusted": found.trusted,
        "verdict": found.verdict,
    }


def write_columns_of(
    output: Path, names: list[str], values: list[Any], integer: list[bool] | None = None
) -> None:
    """Columns of numbers as a table file."""
    import numpy as np

    from harmonium.data import write_table

    write_table(output, names, np.stack(values, axis=1), integer=integer)


def print_csv(names: list[str], rows: Any, integer: list[bool]) -> None:
    """Rows on standard output, whole numbers as such."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    for row in rows.tolist():
        cells = zip(row, integer, strict=True)
        writer.writerow([int(value) if whole else value for value, whole in cells])


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on standard output."""
    from harmonium.cli.runs import to_json

    print(json.dumps(to_json(value)))


def print_fit(metrics: dict[str, Any]) -> None:
    """What a fit came to: its held-out rows, its verdict and that of the detector."""
    held_out = metrics["held_out"]
    print(
        f"log-likelihood of the {held_out['n_rows']} rows that chose the state: "
        f"{held_out['log_likelihood']:.3f} ± {1.96 * held_out['standard_error']:.3f} nats per row; "
        f"of the Gaussian start: {held_out['gaussian']:.3f}"
    )
    print(metrics["verdict"])
    if "detector" in metrics:
        print(f"Detector: {metrics['detector']}")
