"""Checks of stored column rules: whatever a file says, `Columns` made from it are consistent."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harmonium.data.fields import fields_from_config
from harmonium.data.grids import MOST_DECIMALS
from harmonium.data.levels import CODED, Levels
from harmonium.data.state import check_keys, state_error, take_arrays

KINDS = ("continuous", "grid", "binary", "categorical", "constant", "duplicate", "ignored")
# Whole numbers up to here are exact as floating-point ones.
MOST_ROWS = 2**53
_PER_COLUMN = ("constant", "source", "offset", "step", "decimals", "n_levels")


def build_state(
    config: Mapping[str, Any], arrays: Mapping[str, np.ndarray], call: str
) -> dict[str, Any]:
    """The fields of `Columns`, of the right types and shapes; `InvalidInputError` on anything
    else.
    """
    check_keys(config, ("fields", "kinds", "n_rows"), "config", call)
    fields = fields_from_config(config["fields"], call=call)
    kinds, n_rows = config["kinds"], config["n_rows"]
    if not isinstance(kinds, list | tuple) or len(kinds) != len(fields):
        raise state_error(call, "one kind per column", f"{kinds}")
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise state_error(call, f"kinds among {KINDS}", f"{unknown}")
    if type(n_rows) is not int or not 1 <= n_rows <= MOST_ROWS:
        raise state_error(call, f"n_rows from 1 to {MOST_ROWS}", f"{n_rows!r:.40}")
    total = int(np.asarray(arrays.get("codes", ())).size)
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(_PER_COLUMN, (len(fields),))
    taken = take_arrays(arrays, {**shapes, "codes": (total,), "counts": (total,)}, call)
    return {
        "fields": fields,
        "kinds": tuple(kinds),
        "source": taken["source"].astype(np.int64),
        "decimals": _check_decimals(taken["decimals"], call),
        **{name: taken[name] for name in ("constant", "offset", "step")},
        "levels": _build_levels(kinds, taken, n_rows, call),
        "n_rows": n_rows,
    }


def check_state(columns: Any, call: str) -> None:
    """Raise unless every grid has a step, every duplicate an earlier, modeled source, every
    category a code.
    """
    for i, kind in enumerate(columns.kinds):
        step, source = columns.step[i], columns.source[i]
        if (step > 0) != (kind == "grid") or step < 0:
            got = f"{step} in column {i + 1}"
            raise state_error(call, "a positive step in grid columns only", got)
        known = kind != "duplicate" or (
            0 <= source < i and columns.kinds[source] not in ("constant", "duplicate", "ignored")
        )
        if not known:
            got = f"column {i + 1} of {source + 1}"
            raise state_error(call, "duplicates of earlier columns", got)
        field = columns.fields[i]
        modeled = kind in ("continuous", "grid", "binary", "categorical")
        coded = field.kind == "categorical"
        if modeled and (field.kind == "identifier" or coded != (kind == "categorical")):
            got = f"column {i + 1}, {field.kind!r} outside and {kind!r} inside"
            raise state_error(call, "categorical columns of categorical fields", got)
        n_categories = len(field.categories)
        codes = columns.levels[i].codes if columns.levels[i] else np.zeros(0)
        if kind == "categorical" and not np.isin(codes, np.arange(n_categories)).all():
            raise state_error(call, f"codes below {n_categories}", f"others in column {i + 1}")
        if kind == "binary" and len(codes) != 2:
            raise state_error(call, "two codes", f"{len(codes)} in column {i + 1}")
        if kind == "binary" and field.form == "boolean" and not np.isin(codes, (0, 1)).all():
            raise state_error(call, "the codes 0 and 1", f"others in column {i + 1}")


def _check_decimals(decimals: np.ndarray, call: str) -> np.ndarray:
    """Decimals of each column as integers; rounding to others would change cells."""
    if not np.isin(decimals, np.arange(-1, MOST_DECIMALS + 1)).all():
        raise state_error(call, f"decimals from -1 to {MOST_DECIMALS}", "others")
    return decimals.astype(np.int64)


def _build_levels(
    kinds: Sequence[str], taken: Mapping[str, np.ndarray], n_rows: int, call: str
) -> tuple[Levels | None, ...]:
    lengths, codes, counts = taken["n_levels"], taken["codes"], taken["counts"]
    coded = np.array([kind in CODED for kind in kinds])
    whole = np.all(lengths % 1 == 0) and np.all(np.where(coded, lengths >= 2, lengths == 0))
    if not whole or lengths.sum() != len(codes) or not np.all(counts > 0):
        raise state_error(call, "two or more counted levels per column of categories", "others")
    ends = np.cumsum(lengths.astype(np.int64))
    if not np.all(counts % 1 == 0):
        raise state_error(call, "counts that are whole numbers", "fractions")
    levels: list[Levels | None] = []
    for start, end, own in zip(np.append(0, ends[:-1]), ends, coded, strict=True):
        part = codes[start:end]
        if len(np.unique(part)) < len(part):
            raise state_error(call, "different codes", "repeated ones")
        if counts[start:end].sum() > n_rows:
            raise state_error(call, f"at most {n_rows} counted cells per column", "more")
        levels.append(Levels(part, counts[start:end]) if own else None)
    return tuple(levels)
