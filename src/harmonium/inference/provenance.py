"""Where a fitted density or detector comes from: what its file tells of the fit, beside what scoring needs."""

import math
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from harmonium.data import Table

PACKAGES = ("harmonium", "jax", "equinox", "optax", "numpy")

Provenance = dict[str, Any]


def describe_origin(
    table: Table, seed: int, metrics: Mapping[str, float], verdict: str
) -> Provenance:
    """Time, versions, seed, fingerprint of the training table, figures of the fit, and verdict, as plain values."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
        "seed": seed,
        "data": {
            "sha256": table.fingerprint(),
            "n_rows": table.n_rows,
            "n_columns": table.n_columns,
        },
        "metrics": {name: _plain(value) for name, value in metrics.items()},
        "verdict": verdict,
    }


def _plain(value: float) -> float | None:
    """JSON knows no NaN."""
    return value if math.isfinite(value) else None
