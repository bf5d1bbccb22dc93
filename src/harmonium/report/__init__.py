"""Layer 6: results as pictures and pages."""

from harmonium.report.figures import draw_image_grids, draw_training_curve

__all__ = ["draw_image_grids", "draw_training_curve"]
