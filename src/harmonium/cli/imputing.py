"""What `harmonium impute` does: with one table, or with every table of a folder."""

from dataclasses import asdict, dataclass
from pathlib import Path

from harmonium.cli.batches import Batch, say_result, table_of, tell_failed
from harmonium.cli.journal import Answer, digest
from harmonium.cli.layout import wrapped
from harmonium.cli.models import load_density
from harmonium.cli.options import FAILED, find_model
from harmonium.cli.output import print_json, trust_line
from harmonium.cli.places import Place
from harmonium.cli.progress import showing
from harmonium.cli.shell import errors, progress
from harmonium.cli.streaming import Fills, sampled_rows, write_batches
from harmonium.estimators import DensityEstimator, Imputer
from harmonium.estimators.imputer import MOST_ROWS


@dataclass(frozen=True)
class Filling:
    """How holes are filled: once, with so many trees per column, or by so many draws."""

    draws: int
    trees: int
    seed: int


class ImputeTable:
    """Fills the holes of one table after the other; trees are grown on the rows of each."""

    def __init__(self, model: Path, way: Filling):
        self.stored = load_density(model)
        self._way = way

    def __call__(self, data: Path, result: Path) -> Answer:
        """How many rows there were, and how many cells were filled."""
        return self.write(data, result)

    def write(self, data: Path, path: Path, format: str | None = None) -> Answer:
        """The same, into a file of any format."""
        way = self._way
        imputer = Imputer(n_trees=0 if way.draws else way.trees, random_state=way.seed)
        fields = self.stored.density.columns.fields
        rows = sampled_rows(data, fields, MOST_ROWS, way.seed)
        imputer.adopt(DensityEstimator().adopt(*self.stored), rows)
        fills = Fills(imputer, data, way.draws)
        n_rows = write_batches(path, fills, format)
        return {"rows": n_rows, "filled_cells": fills.n_cells}


def impute_one(model: Path, data: Path, place: Place, way: Filling, *, as_json: bool) -> None:
    """Fill the holes of a table, and tell."""
    assert place.path is not None
    work = ImputeTable(model, way)
    with table_of(data) as table, showing(progress()):
        answer = work.write(table, place.path, place.format)
    density = work.stored.density
    if as_json:
        print_json({**answer, "draws": way.draws, "verdict": density.verdict})
        return
    n_draws = f", {way.draws} draws of each" if way.draws else ""
    told = f"{answer['rows']} rows, {answer['filled_cells']} cells filled{n_draws}"
    say_result(place, told + place.named())
    errors.print(wrapped(trust_line(density.trusted)))


def impute_many(model: Path, batch: Batch, way: Filling, *, as_json: bool) -> int:
    """Fill the holes of every table of a folder, and tell; the exit code."""
    work = ImputeTable(model, way)
    settings = {"command": "impute", "model": digest(find_model(model))}
    settings |= {f"--{name}": value for name, value in asdict(way).items()}
    with showing(progress()):
        outcome = batch.run(work, ImputeTable, {"model": model, "way": way}, settings)
    density = work.stored.density
    if as_json:
        print_json({**outcome.figures(), "draws": way.draws, "verdict": density.verdict})
    else:
        n_cells = outcome.total("filled_cells")
        print(f"{outcome.in_words()}, {n_cells} cells filled{batch.place.named()}")
        errors.print(wrapped(trust_line(density.trusted)))
    tell_failed(outcome)
    return FAILED if outcome.failed else 0
