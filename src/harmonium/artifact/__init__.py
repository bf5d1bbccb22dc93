"""Fitted densities and detectors as `.safetensors` files."""

from harmonium.artifact.densities import StoredDensity
from harmonium.artifact.detectors import StoredDetector
from harmonium.artifact.files import load_artifact, save_artifact

__all__ = ["StoredDensity", "StoredDetector", "load_artifact", "save_artifact"]
