"""The table as it came: every column with its kind, its holes, its values and what is odd about
it.
"""

from dataclasses import dataclass

import numpy as np

from harmonium.data import Columns
from harmonium.report.evidence import Evidence
from harmonium.report.marginals import Marginal
from harmonium.report.words import cell_texts, clipped, count, day, percent, short

MOST_COLUMNS = 40
# Parts of the table, from its first row to its last, in the map of missing cells.
N_PARTS = 80
# Shares of missing cells from which a part of the map is darker.
SHADES = (0.0, 0.1, 0.4, 0.8)
MOSTLY_MISSING = 0.5
HEAVY = 0.2
NEARLY_CONSTANT = 0.95
FEWEST_UNIQUE = 30
N_NAMED = 3


@dataclass(frozen=True)
class Picture:
    """Bars of the data and the outline of samples, as paths in a box of 1 by 1, with a sentence."""

    bars: str
    outline: str
    label: str


@dataclass(frozen=True)
class Column:
    """One column of the table. `holes` are parts of the map of missing cells, by shade; `differs`
    says that samples are spread otherwise, by `gap`, beyond chance.
    """

    name: str
    kind: str
    missing: str
    holes: list[str]
    distinct: str
    values: str
    picture: Picture | None
    gap: str
    differs: bool
    alerts: list[str]


@dataclass(frozen=True)
class Overview:
    """The columns of a table of `n_rows` rows, `n_complete` of which miss nothing; `share_missing`
    of all cells are missing, most of them in `worst`, and `together` says in words what is missing
    at once.
    """

    columns: list[Column]
    n_rows: int
    n_complete: int
    share_missing: float
    n_holed: int
    worst: tuple[str, float] | None
    together: str


def overview(evidence: Evidence, marginals: dict[int, Marginal]) -> Overview:
    """Describe all columns from all rows; the pictures are of the rows that figures show."""
    columns, table = evidence.columns, evidence.table
    has_content = np.array([field.kind != "identifier" for field in columns.fields])
    missing = np.isnan(table) & has_content
    shares = missing.mean(axis=0)
    worst = int(shares.argmax())
    return Overview(
        columns=[
            _column(i, columns, table[:, i], missing[:, i], marginals.get(i))
            for i in range(len(columns.fields))
        ],
        n_rows=len(table),
        n_complete=int((~missing.any(axis=1)).sum()),
        share_missing=float(missing[:, has_content].mean()),
        n_holed=int((shares > 0).sum()),
        worst=(clipped(columns.names[worst]), float(shares[worst])) if shares[worst] else None,
        together=_missing_together(missing, columns),
    )


def _column(
    i: int, columns: Columns, cells: np.ndarray, missing: np.ndarray, marginal: Marginal | None
) -> Column:
    field = columns.fields[i]
    is_left_out = field.kind == "identifier"
    levels, counts = np.unique(cells[~missing], return_counts=True)
    return Column(
        name=clipped(field.name),
        kind=_kind(i, columns),
        missing="" if is_left_out else percent(float(missing.mean())),
        holes=_holes(missing),
        distinct="" if is_left_out else count(len(levels)),
        values=_values(i, columns, levels, counts, marginal),
        picture=None if marginal is None else _picture(marginal),
        gap="" if marginal is None else percent(marginal.gap),
        differs=marginal is not None and marginal.beyond_chance,
        alerts=_alerts(i, columns, levels, counts, float(missing.mean())),
    )


def _kind(i: int, columns: Columns) -> str:
    field, kind = columns.fields[i], columns.kinds[i]
    if field.form == "datetime":
        return "date"
    if field.form == "boolean":
        return "yes or no"
    if field.kind == "identifier" or field.form == "text":
        return "identifier" if field.kind == "identifier" else "category"
    if kind in ("categorical", "binary"):
        return "category" if kind == "categorical" else "two values"
    return "whole number" if columns.is_integer[i] else "number"


def _values(
    i: int, columns: Columns, levels: np.ndarray, counts: np.ndarray, marginal: Marginal | None
) -> str:
    """The range of numbers and dates; the most frequent categories."""
    field = columns.fields[i]
    if not len(levels) or field.kind == "identifier":
        return ""
    if field.is_number or field.form == "datetime":
        words = day if field.form == "datetime" else short
        ends = [words(float(end)) for end in (levels[0], levels[-1])]
        return ends[0] if len(levels) == 1 else f"{ends[0]} to {ends[1]}"
    order = np.argsort(-counts, kind="stable")[:N_NAMED]
    names = [clipped(row[0], 20) for row in cell_texts(levels[order, None], (field,))]
    shares = counts[order] / counts.sum()
    known = [f"{name} {percent(own)}" for name, own in zip(names, shares, strict=True)]
    return ", ".join(known) + (", …" if len(levels) > N_NAMED else "")


def _alerts(
    i: int, columns: Columns, levels: np.ndarray, counts: np.ndarray, share_missing: float
) -> list[str]:
    field, kind, n = columns.fields[i], columns.kinds[i], int(counts.sum())
    if field.kind == "identifier":
        return ["left out of the model"]
    if not n:
        return ["empty, left out of the model"]
    found = []
    if share_missing > MOSTLY_MISSING:
        found.append("mostly missing")
    if kind == "constant":
        return [*found, "constant"]
    if kind == "duplicate":
        found.append(f"repeats {clipped(columns.names[columns.source[i]])}")
    largest = int(counts.argmax())
    share = float(counts[largest] / n)
    value = clipped(cell_texts(levels[[largest], None], (field,))[0][0], 20)
    is_whole = field.form in ("text", "integer") or bool(columns.is_integer[i])
    if len(levels) == n >= FEWEST_UNIQUE and is_whole:
        found.append("all values differ: is it an identifier?")
    elif share >= NEARLY_CONSTANT:
        found.append(f"nearly constant: {percent(share)} are {value}")
    elif share >= HEAVY and field.is_number and len(levels) > 1 / HEAVY**2:
        found.append(f"spike: {percent(share)} are {value}")
    return found


def _holes(missing: np.ndarray) -> list[str]:
    """Paths of the parts of the table with missing cells, from light to dark, in a box of N_PARTS
    by 1.
    """
    if not missing.any():
        return []
    n_parts = min(N_PARTS, len(missing))
    parts = np.array([part.mean() for part in np.array_split(missing, n_parts)])
    shades = np.searchsorted(SHADES, parts, side="left")
    width = N_PARTS / n_parts
    paths = [""] * len(SHADES)
    for place, shade in enumerate(shades):
        if shade:
            paths[shade - 1] += f"M{width * place:.4g} 0h{width:.4g}v1h-{width:.4g}z"
    return paths


def _picture(marginal: Marginal) -> Picture:
    n, top = len(marginal.bins), max(float(marginal.data.max()), float(marginal.samples.max()))
    data, samples = marginal.data / top, marginal.samples / top
    bars = "".join(
        f"M{(k + 0.06) / n:.3f} 1V{1 - share:.3f}H{(k + 0.94) / n:.3f}V1z"
        for k, share in enumerate(data)
        if share > 0
    )
    steps = "".join(f"V{1 - share:.3f}H{(k + 1) / n:.3f}" for k, share in enumerate(samples))
    mode = int(marginal.data.argmax())
    label = (
        f"Distribution of {marginal.name}: {percent(float(marginal.data[mode]))} of the rows and "
        f"{percent(float(marginal.samples[mode]))} of the samples are {marginal.bins[mode]}, the "
        "most frequent of "
        f"{n} {'values' if marginal.has_levels else 'ranges'}."
    )
    return Picture(bars, f"M0 1{steps}V1", label)


def _missing_together(missing: np.ndarray, columns: Columns) -> str:
    """The columns that most often are missing in the same rows, in words; empty where none are."""
    patterns, counts = np.unique(np.packbits(missing, axis=1), axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    for k in order:
        holed = np.flatnonzero(np.unpackbits(patterns[k], count=missing.shape[1]))
        if len(holed) > 1:
            names = [clipped(columns.names[i]) for i in holed[:N_NAMED]]
            more = f" and {len(holed) - N_NAMED} more" if len(holed) > N_NAMED else ""
            text = ", ".join(names) if more else " and ".join([", ".join(names[:-1]), names[-1]])
            return f"{count(int(counts[k]))} rows miss {text}{more} together"
    return ""
