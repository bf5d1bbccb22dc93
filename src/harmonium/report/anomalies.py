"""The oddest rows of a table, whole, with the cells that are to blame."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from harmonium.inference import Explanation, explain
from harmonium.inference.explanation import DOUBTFUL
from harmonium.report.evidence import Evidence
from harmonium.report.images import Picture, gray_picture
from harmonium.report.view import RunView
from harmonium.report.words import cell_texts, clipped, fixed, p_value

N_ROWS = 10
N_REASONS = 3
# Of wider tables, the blamed columns and the first ones.
MOST_COLUMNS = 40


@dataclass(frozen=True)
class Reason:
    """A cell that makes its row unlikely: its column, its value, a likely one, and by how many nats
    that would raise the score; `share` is the rise in percent of the largest of all rows shown.
    """

    column: str
    value: str
    likely: str
    rise: str
    share: int


@dataclass(frozen=True)
class Cell:
    """A cell of a row: its text, what rows are sorted by, and why it is to blame, if it is."""

    text: str
    order: str
    reason: Reason | None = None


@dataclass(frozen=True)
class OddRow:
    """One row of the list; `p_value` is empty without a detector, and only rows of images have a
    picture.
    """

    number: str
    score: str
    p_value: str
    listed: bool
    reasons: list[Reason]
    cells: list[Cell]
    picture: Picture | None


@dataclass(frozen=True)
class OddRows:
    """The rows with the lowest scores, lowest first, and the columns that their cells belong to.

    `n_looked_at` rows of the table were candidates; `n_left_out` columns are not shown.
    """

    columns: list[str]
    rows: list[OddRow]
    n_looked_at: int
    n_left_out: int


def oddest_rows(view: RunView, evidence: Evidence, side: int) -> OddRows:
    """The lowest rows by the scores of the detector, or by log-densities where there is none; as
    pictures where rows are images (`side` > 0).
    """
    detection = evidence.detection
    if detection is None or view.detector is None:
        order = _lowest(evidence.log_density)
        positions, scores = evidence.index[order], evidence.log_density[order]
        p_values, listed = [""] * len(order), np.zeros(len(order), bool)
        n_looked_at = int((~np.isnan(evidence.log_density)).sum())
        blamed, reasons = _nothing(len(order)), _nothing(len(order))
    else:
        order = _lowest(detection.scores)
        positions, scores = detection.index[order], detection.scores[order]
        p_values = [p_value(float(p)) for p in detection.p_values[order]]
        listed = detection.listed[order]
        n_looked_at = detection.n_scored
        values = evidence.table[positions]
        found = explain(view.detector, values)
        blamed = [
            [int(i) for i in top if found.contributions[row, i] > DOUBTFUL and found.drops[row, i]]
            for row, top in enumerate(found.top(N_REASONS))
        ]
        reasons = _reasons(evidence, values, found, blamed)
    shown = [] if side else _shown_columns(evidence, blamed)
    why = [dict(zip(own, of, strict=True)) for own, of in zip(blamed, reasons, strict=True)]
    cells = _cells(view, evidence, positions, shown, why)
    names = [*map(clipped, view.identifiers), *(clipped(evidence.columns.names[i]) for i in shown)]
    return OddRows(
        columns=names,
        rows=[
            OddRow(
                number=str(evidence.row_numbers[position]),
                score=fixed(float(scores[row])),
                p_value=p_values[row],
                listed=bool(listed[row]),
                reasons=reasons[row],
                cells=cells[row],
                picture=_picture(evidence, position, side) if side else None,
            )
            for row, position in enumerate(positions)
        ],
        n_looked_at=n_looked_at,
        n_left_out=0 if side else len(_known(evidence)) - len(shown),
    )


def _lowest(scores: np.ndarray) -> np.ndarray:
    """Positions of the lowest scores; rows that were not scored are no candidates."""
    order = np.argsort(scores, kind="stable")
    return order[~np.isnan(scores[order])][:N_ROWS]


def _nothing(n: int) -> list[list[Any]]:
    return [[] for _ in range(n)]


def _reasons(
    evidence: Evidence, values: np.ndarray, found: Explanation, blamed: list[list[int]]
) -> list[list[Reason]]:
    fields = evidence.columns.fields
    cells, likely = cell_texts(values, fields), cell_texts(found.likely_values, fields)
    largest = max((found.drops[row, i] for row, own in enumerate(blamed) for i in own), default=0)
    return [
        [
            Reason(
                column=clipped(found.names[i]),
                value=cells[row][i],
                likely=likely[row][i],
                rise=fixed(float(found.drops[row, i])),
                share=round(100 * float(found.drops[row, i]) / max(float(largest), 1e-12)),
            )
            for i in own
        ]
        for row, own in enumerate(blamed)
    ]


def _shown_columns(evidence: Evidence, blamed: list[list[int]]) -> list[int]:
    """Columns with content, in the order of the table; of many, the blamed ones are kept."""
    known = _known(evidence)
    if len(known) <= MOST_COLUMNS:
        return known
    first = dict.fromkeys([*(i for own in blamed for i in own), *known])
    return sorted(list(first)[:MOST_COLUMNS])


def _known(evidence: Evidence) -> list[int]:
    """Columns whose cells are known: those of identifiers are not kept."""
    fields = evidence.columns.fields
    return [i for i, field in enumerate(fields) if field.kind != "identifier"]


def _cells(
    view: RunView,
    evidence: Evidence,
    positions: np.ndarray,
    shown: list[int],
    why: list[dict[int, Reason]],
) -> list[list[Cell]]:
    values, fields = evidence.table[positions], evidence.columns.fields
    texts = cell_texts(values, fields)
    rows = []
    for row, position in enumerate(positions):
        names = [clipped(str(cells[position])) for cells in view.identifiers.values()]
        of_table = [
            Cell(
                text=texts[row][i],
                order=f"{values[row, i]:.12g}" if fields[i].form != "text" else texts[row][i],
                reason=why[row].get(i),
            )
            for i in shown
        ]
        rows.append([*(Cell(name, name) for name in names), *of_table])
    return rows


def _picture(evidence: Evidence, position: int, side: int) -> Picture:
    pixels = evidence.table[position].reshape(side, side)
    limits = (float(np.nanmin(evidence.values)), float(np.nanmax(evidence.values)))
    number = evidence.row_numbers[position]
    return gray_picture(pixels, limits, f"Row {number}, drawn as a gray image", "")
