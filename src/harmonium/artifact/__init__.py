"""Fitted densities and detectors as `.safetensors` files."""

from harmonium.artifact.files import (
    StoredDensity,
    StoredDetector,
    load_artifact,
    save_density,
    save_detector,
    write_atomically,
)

__all__ = [
    "StoredDensity",
    "StoredDetector",
    "load_artifact",
    "save_density",
    "save_detector",
    "write_atomically",
]
