"""Where a fitted density or detector comes from: what its file tells of the fit, beside what
scoring needs.
"""

import math
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from harmonium.data import Table, fingerprint

PACKAGES = ("harmonium", "jax", "equinox", "optax", "numpy")

Provenance = dict[str, Any]


def describe_origin(
    table: Table, seed: int, metrics: Mapping[str, float], verdict: str
) -> Provenance:
    """Versions, seed, fingerprint of the training table, figures of the fit, and verdict, as plain
    values.

    No time: the same fit gives the same file.
    """
    return {
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
        "seed": seed,
        "data": {
            "sha256": fingerprint(table),
            "n_rows": table.n_rows,
            "n_columns": table.n_columns,
        },
        "metrics": {name: _plain(value) for name, value in metrics.items()},
        "verdict": verdict,
    }


def _plain(value: float) -> float | None:
    """JSON knows no NaN."""
    return value if math.isfinite(value) else None
