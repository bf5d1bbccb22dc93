"""Fitted models as files that need no harmonium: ONNX, StableHLO, and the rules of the columns.

`export_fitted` writes a folder. Mathematics is written for JAX once more
here, all of it in double precision and without SciPy, so that one program serves both formats.
"""

from harmonium.export.folder import FORMATS, Exported, check_export, export_fitted

__all__ = ["FORMATS", "Exported", "check_export", "export_fitted"]
