"""What the commands print."""

import csv
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from harmonium.cli.later import Later
from harmonium.cli.runs import to_json

if TYPE_CHECKING:
    from harmonium import data
else:
    data = Later("harmonium.data")


def trust_line(trusted: bool) -> str:
    """The verdict of a density in short."""
    where = "harmonium evaluate, or --json."
    if trusted:
        return f"Trusted: its log-densities may be quoted. The whole verdict: {where}"
    return f"NOT trusted: its log-densities are a ranking, not to be quoted. Why: {where}"


def draw_figures(diagnostics: Any) -> dict[str, Any]:
    """Those of the draws, under names that cannot be taken for those of the fit."""
    figures = asdict(diagnostics)
    own = {f"draws_{name}": figures.pop(name) for name in ("trusted", "verdict")}
    return figures | own


def draws_in_words(n: int, diagnostics: Any) -> str:
    """How draws came about, and whether they may be trusted."""
    if not hasattr(diagnostics, "way"):
        return (
            f"{n} draws by {diagnostics.method}, effective sample size {diagnostics.ess:.0f}. "
            f"{diagnostics.verdict}"
        )
    if diagnostics.way == "exact":
        return diagnostics.verdict
    way = "annealed from the base"
    if diagnostics.way == "importance":
        size = f"effective sample size {diagnostics.ess:.0f}"
        way = f"from {diagnostics.n_proposals} weighted draws of the base, {size}"
    if diagnostics.is_independent:
        return f"{n} draws {way}. {diagnostics.verdict}"
    return (
        f"{n} of {diagnostics.n_chains} {diagnostics.kernel} chains {way}, "
        f"{diagnostics.n_ancestors} of different starts: acceptance "
        f"{diagnostics.acceptance:.2f}. {diagnostics.verdict}"
    )


def evaluation_figures(found: Any) -> dict[str, Any]:
    """What `evaluate --json` says."""
    return {
        "rows": found.n_rows,
        "log_likelihood": found.log_likelihood,
        "low": found.low,
        "high": found.high,
        "sampling_error": found.sampling_error,
        "gaussian": found.gaussian,
        "base": found.base,
        "log_partition": asdict(found.log_partition),
        "diagnostics": None if found.diagnostics is None else asdict(found.diagnostics),
        "trusted": found.trusted,
        "verdict": found.verdict,
    }


def comparison_figures(compared: Any) -> dict[str, Any]:
    """What `evaluate --samples --json` says of draws; nothing where none were compared."""
    return {} if compared is None else {"samples": asdict(compared)}


def comparison_in_words(compared: Any) -> str:
    """The figures of draws, with those of two halves of the table beside them."""
    meanings = {
        "boosting": "boosted trees cannot tell them apart",
        "logistic": "nor can a logistic regression",
        "shape": "columns by themselves are alike",
        "trend": "pairs of columns are",
    }
    lines = [
        f"{compared.n_rows} draws beside these rows, and two halves of the rows beside each other; "
        "of draws those cells are hidden that rows like them miss:",
        f"  {'':9} draws  halves",
    ]
    for name, meaning in meanings.items():
        own, half = (getattr(part, name) for part in (compared.samples, compared.halves))
        lines.append(f"  {name:9} {own:.3f}  {half:.3f}  1 where {meaning}")
    if compared.nearer_training is not None:
        lines.append(
            f"{compared.nearer_training:.3f} of the draws are nearer to a row of --train than to "
            "any of as many of these: 0.5 where nothing is copied, 1 where every draw is a copy."
        )
    return "\n".join(lines)


def sample_fields(columns: Any) -> list[Any]:
    """Fields of fitted columns for drawn rows: columns of whole numbers are written as such."""
    whole = zip(columns.fields, columns.is_integer, strict=True)
    return [
        replace(field, form="integer", dtype="") if is_whole and field.form == "number" else field
        for field, is_whole in whole
    ]


def print_csv(values: Any, fields: list[Any]) -> None:
    """Coded rows on standard output, as they would be in a CSV file."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([field.name for field in fields])
    writer.writerows(decoded_rows(values, fields))


def decoded_rows(values: Any, fields: list[Any]) -> list[list[Any]]:
    """Coded rows as numbers, truth values, texts, dates as ISO text, and None."""
    columns = [column.to_pylist() for column in data.decode_columns(values, fields).values()]
    return [[_plain(cell) for cell in row] for row in zip(*columns, strict=True)]


def print_batches(batches: Iterable[dict[str, Any]]) -> None:
    """Batches of named columns on standard output, as one CSV table."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for number, columns in enumerate(batches):
        if number == 0:
            writer.writerow(columns)
        writer.writerows(zip(*(list(column) for column in columns.values()), strict=True))


def joined(batches: Iterable[dict[str, Any]]) -> dict[str, list[Any]]:
    """Batches of named columns as one list per column."""
    whole: dict[str, list[Any]] = {}
    for columns in batches:
        for name, column in columns.items():
            cells = column.tolist() if hasattr(column, "tolist") else list(column)
            whole.setdefault(name, []).extend(cells)
    return whole


def _plain(cell: Any) -> Any:
    """A cell that JSON knows too."""
    return cell.isoformat() if hasattr(cell, "isoformat") else cell


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on standard output."""
    print(json.dumps(to_json(value)))
