"""What `fit` prints at its end: one compact block, and what to do next."""

import shlex
from pathlib import Path

import numpy as np

from harmonium.cli.budget import clock
from harmonium.cli.layout import summary
from harmonium.cli.shell import progress
from harmonium.cli.work import Metrics, Run
from harmonium.inference import DensityFit
from harmonium.inference.verdict import with_error
from harmonium.report.chosen import base_name, stages_in_short
from harmonium.report.words import count, duration


def print_fit(run: Run, data: Path, metrics: Metrics, fitted: DensityFit) -> None:
    """What was chosen, how well it does, what was found, where the report is, and what is next.

    The time is that of the whole command.
    """
    facts = [
        ("chosen", _chosen(fitted)),
        ("score", _score(fitted)),
        ("verdict", _verdict(fitted)),
        ("found", _found(run, metrics)),
    ]
    if metrics.get("report"):
        facts.append(("report", str(run.output / "report.html")))
    size = f"{count(metrics['rows'])} rows x {run.table.n_columns} columns"
    print(f"{size} -> {run.output} ({duration(clock.seconds)})")
    print(summary(facts))
    # Not wrapped, so that it can be copied.
    progress().print(f"Next: {_next(run, data)}")


def _chosen(fitted: DensityFit) -> str:
    """The parts of the density."""
    chosen = fitted.density.chosen
    return f"{base_name(chosen)}, {'with' if chosen.residual else 'without'} a residual energy"


def _score(fitted: DensityFit) -> str:
    """The held-out rows under the density and under simpler ones."""
    held_out = fitted.held_out
    score = with_error(held_out.log_likelihood, 1.96 * held_out.standard_error, ".3f")
    rows = "row" if held_out.n_rows == 1 else "rows"
    return (
        f"{score} nats per row on {held_out.n_rows} held-out {rows}; "
        f"{stages_in_short(fitted.density.chosen)}"
    )


def _verdict(fitted: DensityFit) -> str:
    """Whether to trust the density: a line if all is well, and otherwise all that was found."""
    density = fitted.density
    judgment = density.judgment
    if density.trusted and judgment.draws is not False and not judgment.has_few_rows:
        draws = "; draws look like training rows" if judgment.draws else ""
        return f"log-densities may be quoted{draws}"
    return density.verdict


def _found(run: Run, metrics: Metrics) -> str:
    """Missing cells, and the row that is the least like the others, with its reason."""
    modeled = [field.kind != "identifier" for field in run.table.fields]
    missing = np.isnan(run.table.values[:, modeled])
    n = int(missing.sum())
    found = [f"{count(n) if n else 'no'} missing cell{'' if n == 1 else 's'}"]
    if oddest := metrics["oddest"]:
        n_scored = oddest["n_rows"]
        of = f" of the first {count(n_scored)}" if n_scored < run.table.n_rows else ""
        found.append(f"the oddest row{of} is row {oddest['row']}: {oddest['reason']}")
    return "; ".join(found)


def _next(run: Run, data: Path) -> str:
    """The command that uses the run."""
    folder, table = shlex.quote(str(run.output)), shlex.quote(str(data))
    if run.detector is None:
        return f"harmonium score {folder} {table} -o scores.csv"
    return f"harmonium detect {folder} {table} --explain 3 -o detected.csv"
