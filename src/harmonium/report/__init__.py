"""Layer 6: results as pictures and pages."""

from harmonium.report.figures import draw_image_grids, draw_training_curve
from harmonium.report.page import ReportSummary, write_report
from harmonium.report.view import RunView

__all__ = ["ReportSummary", "RunView", "draw_image_grids", "draw_training_curve", "write_report"]
