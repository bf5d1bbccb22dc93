"""Where a fitted density or detector comes from: what its file tells of the fit, beside what scoring needs."""

import hashlib
import json
import math
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np

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
            "sha256": fingerprint(table),
            "n_rows": table.n_rows,
            "n_columns": table.n_columns,
        },
        "metrics": {name: _plain(value) for name, value in metrics.items()},
        "verdict": verdict,
    }


def fingerprint(table: Table) -> str:
    """The SHA-256 digest, in hexadecimal, of names, categories and values of a table: the same on every machine."""
    names = [[field.name, list(field.categories)] for field in table.fields]
    found = hashlib.sha256(json.dumps([table.values.shape, names]).encode())
    # One NaN for all missing cells, and one zero; little-endian, by rows.
    values = np.where(np.isnan(table.values), np.nan, table.values + 0.0)
    found.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
    return found.hexdigest()


def _plain(value: float) -> float | None:
    """JSON knows no NaN."""
    return value if math.isfinite(value) else None
