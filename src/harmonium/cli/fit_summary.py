"""What `fit` prints at its end: one compact block, and what to do next."""

import shlex
from pathlib import Path

import numpy as np

from harmonium.artifact import StoredDetector, load_artifact
from harmonium.cli.budget import clock
from harmonium.cli.layout import summary
from harmonium.cli.options import DETECTOR_FILE
from harmonium.cli.shell import progress
from harmonium.cli.work import Metrics, Run
from harmonium.inference import DensityFit, explain
from harmonium.inference.detection import N_COMPLETIONS
from harmonium.inference.verdict import with_error
from harmonium.report.chosen import base_name, stages_in_short
from harmonium.report.words import count, duration

# Rows among which the oddest is sought, at most, if they are complete: a second's work.
MOST_SCORED = 20_000


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
    """Missing cells, and the row that is the least like the others, with its reason; the report may
    have scored all rows already.
    """
    modeled = [field.kind != "identifier" for field in run.table.fields]
    missing = np.isnan(run.table.values[:, modeled])
    n = int(missing.sum())
    found = [f"{count(n) if n else 'no'} missing cell{'' if n == 1 else 's'}"]
    # Rows of a longer table have other numbers in it.
    if run.detector is not None and run.source is None:
        stored = load_artifact(run.output / DETECTOR_FILE)
        assert isinstance(stored, StoredDetector)
        number, of = (metrics.get("report") or {}).get("oddest_row"), ""
        if number is None:
            share_holed = stored.detector.missing(run.table.values).any(axis=1).mean()
            n_scored = int(MOST_SCORED / (1 + (N_COMPLETIONS - 1) * share_holed))
            number = int(np.argmin(stored.detector.scores(run.table.values[:n_scored]))) + 1
            of = f" of the first {count(n_scored)}" if n_scored < run.table.n_rows else ""
        (why,) = explain(stored.detector, run.table.values[[number - 1]]).describe(1)
        found.append(f"the oddest row{of} is row {number}: {why}")
    return "; ".join(found)


def _next(run: Run, data: Path) -> str:
    """The command that uses the run."""
    folder, table = shlex.quote(str(run.output)), shlex.quote(str(data))
    if run.detector is None:
        return f"harmonium score {folder} {table} -o scores.csv"
    return f"harmonium detect {folder} {table} --explain 3 -o detected.csv"
