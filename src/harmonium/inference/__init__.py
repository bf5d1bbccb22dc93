"""Layer 5: what people ask of a fitted model."""

from harmonium.inference.alarms import AbstractAlarmRule, Ever, Restarting
from harmonium.inference.calibrations import (
    AbstractCalibration,
    GroupCalibration,
    ImposedCalibration,
    Selection,
    SplitCalibration,
)
from harmonium.inference.certificates import ListCertificate, ThresholdCertificate
from harmonium.inference.chosen import Chosen
from harmonium.inference.conditional_sampling import ConditionalDiagnostics, sample_given
from harmonium.inference.density import Density
from harmonium.inference.detection import Detector
from harmonium.inference.detection_settings import DetectorSettings
from harmonium.inference.drift import ColumnSummary, Drift, DriftFindings, find_drift
from harmonium.inference.evaluation import Evaluation, evaluate_density
from harmonium.inference.expectation import expect_cells
from harmonium.inference.explanation import Explanation, explain
from harmonium.inference.fit_density import DensityFit, fit_density
from harmonium.inference.fit_detector import fit_detector
from harmonium.inference.imputation import Completed, draw_completions, settle
from harmonium.inference.judging import HeldOut
from harmonium.inference.monitoring import Monitoring
from harmonium.inference.own_parts import OwnParts, split_parts
from harmonium.inference.reasons import Reason
from harmonium.inference.resplits import CrossCalibration, ResplitCalibration
from harmonium.inference.settings import DensitySettings
from harmonium.inference.shift import DensityRatio, ShiftCalibration
from harmonium.inference.verdict import Comparison, Difference, DrawComparison, Verdict
from harmonium.inference.watching import Watched

__all__ = [
    "AbstractAlarmRule",
    "AbstractCalibration",
    "Chosen",
    "ColumnSummary",
    "Comparison",
    "Completed",
    "ConditionalDiagnostics",
    "CrossCalibration",
    "Density",
    "DensityFit",
    "DensityRatio",
    "DensitySettings",
    "Detector",
    "DetectorSettings",
    "Difference",
    "DrawComparison",
    "Drift",
    "DriftFindings",
    "Evaluation",
    "Ever",
    "Explanation",
    "GroupCalibration",
    "HeldOut",
    "ImposedCalibration",
    "ListCertificate",
    "Monitoring",
    "OwnParts",
    "Reason",
    "ResplitCalibration",
    "Restarting",
    "Selection",
    "ShiftCalibration",
    "SplitCalibration",
    "ThresholdCertificate",
    "Verdict",
    "Watched",
    "draw_completions",
    "evaluate_density",
    "expect_cells",
    "explain",
    "find_drift",
    "fit_density",
    "fit_detector",
    "sample_given",
    "settle",
    "split_parts",
]
