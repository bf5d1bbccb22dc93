"""columns.json: how rows of a table become the numbers that an exported scorer takes."""

from typing import Any

import numpy as np
from pyarrow import csv

from harmonium.data import Columns, Field
from harmonium.data.fields import stated_codes
from harmonium.data.marginals import Marginals

# How tables of text spell a missing cell, which becomes NaN.
MISSING = tuple(sorted(csv.ConvertOptions().null_values))
_UNSEEN_CATEGORY = "becomes -1"
_UNSEEN_LEVEL = "is taken as it is"


def missing_texts(columns: Columns) -> list[str]:
    """How a missing cell of a table of these columns is spelled."""
    return [*MISSING, *stated_codes(columns.fields)]


def column_rules(
    marginals: Marginals, unseen: str, lowest: np.ndarray, highest: np.ndarray
) -> list[dict[str, Any]]:
    """The rules of all columns of a table, in its order; plain values.

    `unseen` says what a scorer makes of a category that training has not seen; `lowest` and
    `highest` (modeled,) are the ends of the training cells.
    """
    columns = marginals.columns
    place = {int(i): j for j, i in enumerate(columns.modeled_index)}
    return [
        _rule(columns, i, field, unseen)
        | _range(columns, place.get(i), lowest, highest)
        | _levels(columns, i, field)
        for i, field in enumerate(columns.fields)
    ]


def _rule(columns: Columns, i: int, field: Field, unseen: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": field.name,
        "form": field.form,
        "kind": columns.kinds[i],
        "spelling": field.spelling,
        "is_coded": field.kind == "categorical",
        "is_ignored": columns.kinds[i] == "ignored",
    }
    if field.form == "datetime":
        found["unit"] = "seconds since 1970-01-01 UTC"
    if columns.kinds[i] == "constant":
        found["constant"] = float(columns.constant[i])
    if columns.kinds[i] == "duplicate":
        found["same_as"] = columns.names[int(columns.source[i])]
    if columns.kinds[i] == "grid":
        found["step"], found["offset"] = float(columns.step[i]), float(columns.offset[i])
    if field.kind == "categorical":
        found["categories"] = list(field.categories)
        found["unseen"] = f"{_UNSEEN_CATEGORY}; {unseen}"
    elif columns.levels[i] is not None:
        found["unseen"] = f"{_UNSEEN_LEVEL}; {unseen}"
    return found


def _range(
    columns: Columns, j: int | None, lowest: np.ndarray, highest: np.ndarray
) -> dict[str, Any]:
    """The ends of the training cells, of columns of numbers."""
    if j is None or columns.kinds[int(columns.modeled_index[j])] == "categorical":
        return {}
    return {"lowest": float(lowest[j]), "highest": float(highest[j])}


def _levels(columns: Columns, i: int, field: Field) -> dict[str, Any]:
    levels = columns.levels[i]
    if levels is None or field.kind == "categorical":
        return {}
    return {"values": sorted(float(code) for code in levels.codes)}
