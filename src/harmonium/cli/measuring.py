"""What `harmonium score` does: with one table, or with every table of a folder."""

from pathlib import Path
from typing import Any

import numpy as np

from harmonium.cli.batches import Batch, say_result, table_of, tell_failed
from harmonium.cli.journal import Answer, digest
from harmonium.cli.layout import summary, wrapped
from harmonium.cli.models import load_density
from harmonium.cli.options import FAILED, find_model
from harmonium.cli.output import joined, print_json, trust_line
from harmonium.cli.places import Place
from harmonium.cli.progress import showing
from harmonium.cli.shell import errors, progress
from harmonium.cli.streaming import score_batches, write_batches

# Rows of the lowest log-densities that `score` names.
N_LOWEST = 5


class ScoreTable:
    """Writes log-density and free energy of the rows of one table after the other."""

    def __init__(self, model: Path):
        self.density = load_density(model).density

    def __call__(self, data: Path, result: Path) -> Answer:
        """How many rows there were."""
        return {"rows": self.write(data, result)}

    def write(self, data: Path, path: Path, format: str | None = None) -> int:
        """The same, into a file of any format."""
        return write_batches(path, score_batches(self.density, data), format)


def score_one(model: Path, data: Path, place: Place, *, as_json: bool, hint: str) -> None:
    """Score a table, and tell."""
    work = ScoreTable(model)
    with table_of(data) as table, showing(progress()):
        if place.path is None:
            log_density = joined(score_batches(work.density, table))["log_density"]
            figures = _figures(log_density)
            note = f"log-density, nats per row\n{summary(_summary(log_density))}"
        else:
            n_rows = work.write(table, place.path, place.format)
            figures, note = {"rows": n_rows}, f"{n_rows} rows{place.named()}"
    if as_json:
        print_json({**figures, "verdict": work.density.verdict})
        return
    say_result(place, note)
    errors.print(wrapped(trust_line(work.density.trusted)))
    if place.path is None:
        progress().print(f"All rows: {hint}")


def score_many(model: Path, batch: Batch, *, as_json: bool) -> int:
    """Score every table of a folder, and tell; the exit code."""
    work = ScoreTable(model)
    settings = {"command": "score", "model": digest(find_model(model))}
    with showing(progress()):
        outcome = batch.run(work, ScoreTable, {"model": model.resolve()}, settings)
    if as_json:
        print_json({**outcome.figures(), "verdict": work.density.verdict})
    else:
        print(f"{outcome.in_words()}{batch.place.named()}")
        errors.print(wrapped(trust_line(work.density.trusted)))
    tell_failed(outcome)
    return FAILED if outcome.failed else 0


def _summary(log_density: list[float]) -> list[tuple[str, str]]:
    """What is printed of rows that go into no file: how their log-densities are spread."""
    names = ("lowest", "5 %", "median", "95 %", "highest")
    shares = np.quantile(log_density, (0.0, 0.05, 0.5, 0.95, 1.0))
    lowest = np.argsort(log_density, kind="stable")[:N_LOWEST]
    return [
        ("rows", str(len(log_density))),
        ("mean", f"{np.mean(log_density):.3f}"),
        *((name, f"{share:.3f}") for name, share in zip(names, shares, strict=True)),
        ("lowest rows", ", ".join(f"{i + 1} ({log_density[i]:.2f})" for i in lowest)),
    ]


def _figures(log_density: list[float]) -> dict[str, Any]:
    """What `--json` says of rows that go into no file."""
    mean = sum(log_density) / len(log_density)
    return {"rows": len(log_density), "mean_log_density": mean, "log_density": log_density}
