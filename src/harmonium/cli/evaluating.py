"""What `harmonium evaluate` does."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harmonium.cli.later import Later
from harmonium.cli.layout import wrapped
from harmonium.cli.models import load_density
from harmonium.cli.output import (
    comparison_figures,
    comparison_in_words,
    evaluation_figures,
    print_json,
)
from harmonium.cli.progress import showing
from harmonium.cli.shell import progress
from harmonium.data import number_fields, read_table, write_table
from harmonium.inference import evaluate_density
from harmonium.report.words import method_name

# scikit-learn takes a second to import, for what is rarely asked for.
if TYPE_CHECKING:
    from harmonium.estimators import comparison
else:
    comparison = Later("harmonium.estimators.comparison")


def evaluate(
    model: Path,
    data: Path,
    output: Path | None,
    *,
    samples: bool,
    train: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Judge a density by the rows of a table, and its draws too if `samples`, and tell."""
    density = load_density(model).density
    with showing(progress()) as display:
        display.begin(f"reading {data.name}")
        table = read_table(data, fields=density.columns.fields, call=str(data))
        found = evaluate_density(density, table.values, seed=seed)
        compared = None
        if samples:
            display.begin("comparing draws with these rows")
            known = None
            if train is not None:
                known = read_table(train, fields=density.columns.fields, call=str(train)).values
            compared = comparison.judge_samples(density, table.values, known, seed=seed)
    if output is not None:
        columns = [found.log_density, found.row_low, found.row_high]
        fields = number_fields(["log_density", "low", "high"])
        write_table(output, np.stack(columns, axis=1), fields)
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
    print(wrapped(found.verdict))
    if compared is not None:
        print(comparison_in_words(compared))
