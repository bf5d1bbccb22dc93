"""What a column is whose values differ, by its field and its cells."""

import numpy as np

from harmonium.data.fields import Field
from harmonium.data.grids import find_decimals, find_grid


def classify(field: Field, seen: np.ndarray) -> tuple[str, float, float]:
    """Kind, offset and step of a column, of its observed cells."""
    if field.kind == "categorical":
        return "categorical", 0.0, 0.0
    if field.kind == "continuous":
        return "continuous", 0.0, 0.0
    if field.kind == "auto" and field.form != "datetime" and _has_two_values(seen):
        return "binary", 0.0, 0.0
    # Whole days are whole days, however few of them repeat.
    grid = find_grid(seen, sparse=field.form == "datetime")
    return ("continuous", 0.0, 0.0) if grid is None else ("grid", *grid)


def decimals_of(kind: str, seen: np.ndarray) -> int:
    """Decimals of the observed cells of a column that holds numbers; -1 for other kinds, and where
    there are many.
    """
    found = find_decimals(seen) if kind in ("continuous", "grid") else None
    return -1 if found is None else found


def _has_two_values(seen: np.ndarray) -> bool:
    """Whether cells are truth values, however spelled: 0 and 1, or any two numbers that repeat."""
    distinct = np.unique(seen)
    return bool(np.isin(distinct, (0.0, 1.0)).all() or 2 == len(distinct) < len(seen) / 2)
