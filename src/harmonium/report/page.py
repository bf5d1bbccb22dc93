"""The page: sections gathered, the template filled, the file written whole or not at all."""

import base64
import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from harmonium.errors import InvalidInputError, describe
from harmonium.files import write_atomically
from harmonium.report.anomalies import density_chart, most_anomalous, score_chart
from harmonium.report.charts import Chart, chart_json
from harmonium.report.chosen import choices
from harmonium.report.evidence import collect
from harmonium.report.extra import require_packages
from harmonium.report.headline import Facts, make_headline
from harmonium.report.images import RULE, compare_images, image_side
from harmonium.report.marginals import MOST_COLUMNS, marginals
from harmonium.report.pairs import dependence, pair_charts
from harmonium.report.partition import partition
from harmonium.report.training import training
from harmonium.report.units import hidden_units
from harmonium.report.view import RunView
from harmonium.report.words import count, named_values, percent


@dataclass(frozen=True)
class ReportSummary:
    """What a report says on its first line, for programs.

    `status` is "trusted", "ranking" or "untrusted"; `n_rows` counts the rows shown, and
    `n_anomalous` those that are listed as anomalous, None without a detector.
    """

    status: str
    answer: str
    n_rows: int
    n_anomalous: int | None


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
    write_atomically(
        path,
        lambda temporary: Path(temporary).write_text(text, encoding="utf-8", newline="\n"),
    )
    evidence, verdict = sections["evidence"], sections["verdict"]
    detection = None if evidence is None else evidence.detection
    return ReportSummary(
        status=verdict.status,
        answer=verdict.answer,
        n_rows=0 if evidence is None else evidence.n_rows,
        n_anomalous=None if detection is None else detection.n_listed,
    )


def _render(view: RunView, sections: dict[str, Any]) -> str:
    """The text of the page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    scripts = [_asset("plotly-basic.min.js"), _asset("report.js")]
    environment = Environment(
        loader=PackageLoader("harmonium.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        **sections,
        **_heatmaps(sections),
        view=view,
        settings=named_values(view.settings),
        provenance=named_values(view.provenance),
        count=count,
        percent=percent,
        chart_json=Markup(chart_json(_charts(sections))),
        style=Markup(_asset("report.css")),
        scripts=[Markup(script) for script in scripts],
        script_hashes=[_hash(script) for script in scripts],
    )


def _sections(view: RunView) -> dict[str, Any]:
    """What the template shows, by name; None or empty what cannot be shown."""
    evidence = collect(view)
    sections: dict[str, Any] = {
        "evidence": evidence,
        "rows": [],
        "scores": None,
        "densities": None,
        "side": 0,
        "image_rule": RULE,
        "images": [],
        "marginals": [],
        "marginals_left_out": 0,
        "pairs": [],
        "dependence": None,
        "units": None,
        "chosen": choices(view),
        "training": training(view),
        "partition": partition(view),
    }
    if evidence is not None:
        side = image_side(evidence.columns, evidence.values)
        found = [] if side else marginals(evidence)
        sections |= {
            "rows": most_anomalous(evidence, view.detector),
            "scores": score_chart(evidence),
            "densities": density_chart(evidence),
            "side": side,
            "images": compare_images(evidence, side) if side else [],
            "marginals": found,
            "marginals_left_out": max(0, len(found) - MOST_COLUMNS),
            "pairs": [] if side else pair_charts(evidence),
            "dependence": dependence(evidence),
            "units": hidden_units(view, evidence, side) if view.density.has_residual else None,
        }
    names = ("rows", "marginals", "dependence", "units")
    facts = Facts(view, evidence, **{name: sections[name] for name in names})
    return sections | {
        "verdict": make_headline(facts),
        "shown_marginals": sections["marginals"][:MOST_COLUMNS],
    }


def _heatmaps(sections: dict[str, Any]) -> dict[str, Any]:
    """Cells of the two heat maps: data below and samples above the diagonal, and units by
    columns.
    """
    dependence, units = sections["dependence"], sections["units"]
    heat: list[list[float]] = []
    if dependence is not None:
        cells = np.tril(dependence.data, -1) + np.triu(dependence.samples, 1)
        np.fill_diagonal(cells, np.nan)
        heat = cells.tolist()
    found = [] if units is None else units.units
    return {
        "heat": heat,
        "unit_heat": [unit.values.tolist() for unit in found],
        "unit_names": [f"unit {unit.number}" for unit in found],
    }


def _charts(sections: dict[str, Any]) -> list[Chart]:
    """All charts of the page."""
    charts = [sections["scores"], sections["densities"], *sections["pairs"]]
    charts += [marginal.chart for marginal in sections["shown_marginals"]]
    charts += [sections["dependence"] and sections["dependence"].chart]
    charts += [
        sections["training"].curve,
        *(chart for chart, _ in sections["training"].health),
        sections["partition"].chart,
    ]
    return [chart for chart in charts if chart is not None]


def _asset(name: str) -> str:
    return resources.files("harmonium.report").joinpath("assets", name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """What the page's security policy knows a script by: no other one runs."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
