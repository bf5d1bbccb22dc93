"""Layer 6: results as pictures and pages.

Members are imported on their first use: words of results are needed where nothing is drawn, and
what draws takes a second to import.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harmonium.report.drift import write_drift_page
    from harmonium.report.explorer import ExplorerSummary, write_explorer
    from harmonium.report.figures import draw_image_grids, draw_training_curve
    from harmonium.report.page import ReportSummary, write_report
    from harmonium.report.view import RunView

_HOME_OF = {
    "ExplorerSummary": "harmonium.report.explorer",
    "ReportSummary": "harmonium.report.page",
    "RunView": "harmonium.report.view",
    "draw_image_grids": "harmonium.report.figures",
    "draw_training_curve": "harmonium.report.figures",
    "write_drift_page": "harmonium.report.drift",
    "write_explorer": "harmonium.report.explorer",
    "write_report": "harmonium.report.page",
}

__all__ = [
    "ExplorerSummary",
    "ReportSummary",
    "RunView",
    "draw_image_grids",
    "draw_training_curve",
    "write_drift_page",
    "write_explorer",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'harmonium.report' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
