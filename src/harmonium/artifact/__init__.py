"""Fitted densities and detectors as `.safetensors` files."""

from harmonium.artifact.container import read_kind
from harmonium.artifact.densities import StoredDensity
from harmonium.artifact.detectors import StoredDetector
from harmonium.artifact.files import load_artifact, save_artifact
from harmonium.artifact.images import StoredImages
from harmonium.artifact.monitors import fingerprint_model, load_monitoring, save_monitoring

__all__ = [
    "StoredDensity",
    "StoredDetector",
    "StoredImages",
    "fingerprint_model",
    "load_artifact",
    "load_monitoring",
    "read_kind",
    "save_artifact",
    "save_monitoring",
]
