"""Rows of a table with their reasons: those that are flagged or score lowest."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from harmonium.cli.layout import listed
from harmonium.cli.streaming import BATCH_ROWS, read_rows
from harmonium.data import Table, read_cells, title_of
from harmonium.inference import Detector, Reason, explain
from harmonium.inference.explanation import describe_reasons

Columns = dict[str, Any]

# Reasons of a row of the list.
N_SENTENCES = 3
HEADINGS = ("row", "p", "modelled", "score", "why")


@dataclass(frozen=True)
class ExplainedRow:
    """The reasons of a row, the worst first, and its name if the table has a column of names."""

    reasons: tuple[Reason, ...]
    name: Any = None


@dataclass(frozen=True)
class LowRow:
    """A row of a table that scores low: its number from 1 on, its name, score, p-values, and
    reasons in words.
    """

    row: int
    id: Any
    score: float
    p_value: float
    modelled_p_value: float
    reasons: list[str]

    def cells(self) -> list[str]:
        """What a list says of the row, below `HEADINGS`."""
        why = "; also ".join(self.reasons) or describe_reasons((), 0)
        numbers = f"{self.p_value:.2g}", f"{self.modelled_p_value:.1g}", f"{self.score:.2f}"
        return [str(self.row), *numbers, why]


def explain_rows(
    detector: Detector, data: Path, chosen: np.ndarray, named: str | None
) -> dict[int, ExplainedRow]:
    """The rows at these positions of a table, by position; `named` is its column of names."""
    order, start, found = np.sort(chosen), 0, {}
    fields = detector.columns.fields
    cells = read_cells(data, fields=fields, call=title_of(data), size=BATCH_ROWS)
    for table, own in zip(read_rows(data, fields, "explaining"), cells, strict=True):
        at = order[(order >= start) & (order < start + table[0].n_rows)] - start
        if len(at):
            part = Table(table[0].values[at], table[0].names, table[0].fields)
            names = own[named].take(at).to_pylist() if named in own else [None] * len(at)
            reasons = explain(detector, part.values).reasons
            for i, each, name in zip(at.tolist(), reasons, names, strict=True):
                found[start + i] = ExplainedRow(_with_labels(each, own, i), name)
        start += table[0].n_rows
    return found


def _with_labels(reasons: tuple[Reason, ...], cells: Columns, i: int) -> tuple[Reason, ...]:
    """The reasons with the labels of categories that training has not seen."""
    return tuple(
        replace(own, value=str(cells[own.column][i].as_py())) if own.is_unseen else own
        for own in reasons
    )


def lowest_rows(
    detector: Detector,
    scores: np.ndarray,
    p_values: np.ndarray,
    n: int,
    explained: Mapping[int, ExplainedRow],
) -> list[LowRow]:
    """The n rows of the lowest scores, lowest first, whether they are flagged or not."""
    order = lowest(scores, n)
    both = p_values[order], detector.modelled_p_values_of(scores[order])
    return [
        LowRow(
            *(int(i) + 1, _plain(explained[int(i)].name), float(scores[i]), float(p), float(tail)),
            [own.describe() for own in explained[int(i)].reasons[:N_SENTENCES]],
        )
        for i, p, tail in zip(order, *both, strict=True)
    ]


def lowest(scores: np.ndarray, n: int) -> np.ndarray:
    """Positions of the n lowest scores, lowest first."""
    return np.argsort(scores, kind="stable")[:n]


def list_rows(rows: list[LowRow], named: str | None) -> str:
    """The rows as a list for people."""
    if named is None:
        return listed(HEADINGS, [row.cells() for row in rows])
    cells = [[first, _printable(row.id), *rest] for row in rows for first, *rest in [row.cells()]]
    return listed((HEADINGS[0], _printable(named), *HEADINGS[1:]), cells)


def reason_columns(
    explained: Mapping[int, ExplainedRow], part: range, n: int, *, is_numeric: bool
) -> Columns:
    """Columns of the n worst reasons of the rows in `part`, empty where there are none, and all of
    them in a sentence.

    Values are numbers if the table `is_numeric`, and text otherwise.
    """
    nobody = ExplainedRow(())
    rows = [explained.get(i, nobody).reasons[:n] for i in part]
    kind = pa.float64() if is_numeric else pa.string()
    columns: Columns = {}
    for rank in range(n):
        own = [asdict(row[rank]) if rank < len(row) else {} for row in rows]
        columns[f"reason_{rank + 1}"] = pa.array([one.get("column") for one in own], pa.string())
        for name in ("value", "likely", "low", "high"):
            cells = [_as(kind, one.get(name)) for one in own]
            columns[f"reason_{rank + 1}_{name}"] = pa.array(cells, kind)
        columns[f"reason_{rank + 1}_drop"] = pa.array(
            [one.get("drop") for one in own], pa.float64()
        )
    why = [describe_reasons(row, n) if row else None for row in rows]
    return columns | {"why": pa.array(why, pa.string())}


def _as(kind: Any, cell: Any) -> Any:
    if cell is None:
        return None
    return str(cell) if kind == pa.string() else float(cell)


def _plain(cell: Any) -> Any:
    """A cell that JSON knows too."""
    return cell.isoformat() if hasattr(cell, "isoformat") else cell


def _printable(cell: Any) -> str:
    """A cell without signs that would steer a terminal."""
    text = "" if cell is None else f"{cell:.15g}" if isinstance(cell, float) else str(cell)
    return "".join(sign if sign.isprintable() else "?" for sign in text)
