"""The page of a monitor: evidence over time, and what drifts."""

from pathlib import Path

from harmonium.inference import DriftFindings, Monitoring
from harmonium.inference.drift import MOST_DESCRIBED
from harmonium.report.drift_figures import NAMES, drift_figure, evidence_figure
from harmonium.report.extra import require_packages
from harmonium.report.rendering import render, write_page
from harmonium.report.words import count, fixed


def write_drift_page(
    path: str | Path, monitoring: Monitoring, findings: DriftFindings, *, title: str = ""
) -> None:
    """Write what a monitor found as one self-contained HTML file, which asks nothing of a network.

    It appears under its name once it is complete. Raises `InvalidInputError` without the packages
    of the extra `report`, and `OSError` where its folder does not exist.
    """
    require_packages("write_drift_page")
    from markupsafe import Markup

    shown = findings.drifts[:MOST_DESCRIBED]
    text = render(
        "drift.html",
        title=title,
        found=findings,
        evidence=Markup(evidence_figure(monitoring, findings)),
        drifts=[(drift, Markup(drift_figure(monitoring, drift))) for drift in shown],
        others=findings.drifts[MOST_DESCRIBED:],
        names=NAMES,
        count=count,
        fixed=fixed,
    )
    write_page(path, text)
