"""What `harmonium sample` does."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harmonium.cli.given import parse_given
from harmonium.cli.layout import wrapped
from harmonium.cli.models import load_density
from harmonium.cli.output import (
    decoded_rows,
    draw_figures,
    draws_in_words,
    print_csv,
    print_json,
    sample_fields,
)
from harmonium.cli.progress import showing
from harmonium.cli.shell import errors, progress
from harmonium.data import write_table
from harmonium.inference import sample_given


@dataclass(frozen=True)
class Wanted:
    """Which rows are drawn: how many, what is given of them, the column whose categories are drawn
    equally often, and whether pairs of categories may be new.
    """

    n: int
    given: list[str]
    balance: str | None
    keep_unseen: bool
    seed: int


def draw(model: Path, wanted: Wanted, output: Path | None, *, as_json: bool) -> None:
    """Draw rows from a density, and write or print them."""
    density = load_density(model).density
    given = parse_given(wanted.given, density.columns.fields)
    how: dict[str, Any] = {"keep_unseen": wanted.keep_unseen, "seed": wanted.seed}
    n = wanted.n
    with showing(progress()):
        if given or wanted.balance is not None:
            rows, diagnostics = sample_given(density, n, given, balance=wanted.balance, **how)
        else:
            rows, diagnostics = density.sample(n, **how)
    columns = density.columns
    kept = [i for i, field in enumerate(columns.fields) if field.kind != "identifier"]
    rows, fields = rows[:, kept], [sample_fields(columns)[i] for i in kept]
    if output is not None:
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
    errors.print(wrapped(draws_in_words(n, diagnostics)))
