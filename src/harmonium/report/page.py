"""The page: sections gathered, the template filled, the file written whole or not at all."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harmonium.errors import InvalidInputError, describe
from harmonium.report.anomalies import oddest_rows
from harmonium.report.chosen import choices
from harmonium.report.evidence import Evidence, collect
from harmonium.report.extra import require_packages
from harmonium.report.headline import make_headline
from harmonium.report.images import RULE, compare_images, image_side
from harmonium.report.likeness import likeness_chart
from harmonium.report.marginals import marginals
from harmonium.report.overview import MOST_COLUMNS, N_PARTS, overview
from harmonium.report.pair_charts import pair_charts
from harmonium.report.pairs import Dependence, dependence
from harmonium.report.partition import partition
from harmonium.report.rendering import asset, render, script_hash, write_page
from harmonium.report.scores import score_charts
from harmonium.report.training import training
from harmonium.report.units import Units, hidden_units
from harmonium.report.verdicts import Seen
from harmonium.report.view import RunView
from harmonium.report.words import count, fixed, named_values, percent, ways


@dataclass(frozen=True)
class ReportSummary:
    """What a report says on its first line, `answer`, and in figures, for programs.

    `status` is the worst of its verdicts: "trusted", "caution", "ranking" (log-densities are not to
    be quoted) or "untrusted"; `n_rows` counts the rows that figures show, and `n_anomalous` the
    rows that are listed as odd, of all that were scored, None without a detector. `oddest_row` is
    the number of the row of the lowest score, from 1; None where not all were scored.
    """

    status: str
    answer: str
    n_rows: int
    n_anomalous: int | None
    oddest_row: int | None


def write_report(path: str | Path, view: RunView) -> ReportSummary:
    """Write a run as one self-contained HTML file, which asks nothing of any network.

    It appears under its name once it is complete. Raises `InvalidInputError` where its folder does
    not exist, and without the packages of the extra `report`.
    """
    require_packages("write_report")
    folder = Path(path).parent
    if not folder.is_dir():
        raise InvalidInputError(
            describe(
                f"write_report({str(path)!r}, view)",
                expected="a folder that exists",
                got=str(folder),
                hint="create it first",
            )
        )
    sections = _sections(view)
    text = _render(view, sections)
    write_page(path, text)
    evidence, verdict = sections["evidence"], sections["verdict"]
    detection = None if evidence is None else evidence.detection
    return ReportSummary(
        status=verdict.status,
        answer=f"{verdict.label}. {verdict.answer}",
        n_rows=0 if evidence is None else evidence.n_rows,
        n_anomalous=None if detection is None else detection.n_listed,
        oddest_row=None if evidence is None else evidence.oddest_row,
    )


def _render(view: RunView, sections: dict[str, Any]) -> str:
    """The text of the page."""
    script = asset("report.js")
    return render(
        "report.html",
        **sections,
        view=view,
        settings=named_values(view.settings),
        provenance=named_values(view.provenance),
        count=count,
        percent=percent,
        fixed=fixed,
        ways=ways,
        style=asset("report.css"),
        script=script,
        script_hash=script_hash(script),
    )


def _sections(view: RunView) -> dict[str, Any]:
    """What the template shows, by name; None or empty what cannot be shown."""
    evidence = collect(view)
    sections: dict[str, Any] = {
        "evidence": evidence,
        "odd": None,
        "table": None,
        "dependence": None,
        "units": None,
        "chosen": choices(view),
        "training": training(view),
        "partition": partition(view),
    }
    found = {}
    if evidence is not None:
        side = image_side(evidence.columns, evidence.table)
        found = {} if side else marginals(evidence)
        related = dependence(evidence)
        sections |= {
            "odd": oddest_rows(view, evidence, side),
            "table": None if side else overview(evidence, found),
            "n_parts": N_PARTS,
            "n_shown": MOST_COLUMNS,
            "dependence": related,
            "heat": [] if related is None else _heat(related),
            "side": side,
            "image_rule": RULE,
            "images": compare_images(evidence, side) if side else [],
            "pairs": [] if side or related is None else pair_charts(evidence, related),
            "likeness": likeness_chart(evidence, view.classifiers, view.seed),
            "scores": score_charts(evidence),
            "units": _units(view, evidence, side),
        }
    seen = Seen(view, evidence, found, sections["dependence"])
    return sections | {"verdict": make_headline(seen, sections["odd"], sections["table"])}


def _units(view: RunView, evidence: Evidence, side: int) -> Units | None:
    return hidden_units(view, evidence, side) if view.density.has_residual else None


def _heat(found: Dependence) -> list[list[float]]:
    """The associations of the data below the diagonal, those of samples above it."""
    cells = np.tril(found.data, -1) + np.triu(found.samples, 1)
    np.fill_diagonal(cells, np.nan)
    return cells.tolist()
