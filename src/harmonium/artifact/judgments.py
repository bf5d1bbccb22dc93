"""What was judged of a density as plain values, and back."""

import math
from dataclasses import asdict
from typing import Any

from harmonium.artifact.container import Config
from harmonium.artifact.entries import entry, flag, listing, mapping, number, text, whole
from harmonium.errors import ArtifactError
from harmonium.inference import Comparison, Difference, DrawComparison, Verdict

_VERDICT = ("log_partition", "n_rows", "n_held_out", "comparisons", "draw_comparison")
_DRAWS = ("n_draws", "ess", "marginals", "correlations", "combinations")
_COMPARISON = ("against", "gain", "standard_error")
_DIFFERENCE = ("value", "allowed", "columns")
MOST = 2**53


def describe_judgment(judgment: Verdict) -> Config:
    """Plain values; a standard error of one row is NaN, which JSON cannot say: null."""
    comparisons = [
        asdict(own) | {"standard_error": or_null(own.standard_error)}
        for own in judgment.comparisons
    ]
    return asdict(judgment) | {"comparisons": comparisons}


def build_judgment(config: Config) -> Verdict:
    """A judgment from what `describe_judgment` made."""
    config = mapping({"judgment": config}, "judgment", _VERDICT)
    described = [
        mapping({"comparison": own}, "comparison", _COMPARISON)
        for own in listing(config, "comparisons", 8)
    ]
    comparisons = tuple(
        Comparison(text(own, "against"), number(own, "gain"), number_or_nan(own, "standard_error"))
        for own in described
    )
    return Verdict(
        log_partition=flag(config, "log_partition"),
        n_rows=whole(config, "n_rows", 0, MOST),
        n_held_out=whole(config, "n_held_out", 0, MOST),
        comparisons=comparisons,
        draw_comparison=_build_draws(config),
    )


def or_null(value: float) -> float | None:
    """A number, or None for what JSON cannot say."""
    return value if math.isfinite(value) else None


def number_or_nan(config: Any, name: str) -> float:
    """The number of that name; NaN where it is null."""
    return math.nan if entry(config, name) is None else number(config, name)


def _build_draws(config: Config) -> DrawComparison | None:
    if entry(config, "draw_comparison") is None:
        return None
    config = mapping(config, "draw_comparison", _DRAWS)
    return DrawComparison(
        n_draws=whole(config, "n_draws", 1, MOST),
        ess=number(config, "ess"),
        marginals=_build_difference(config, "marginals"),
        correlations=_build_difference_or_none(config, "correlations"),
        combinations=_build_difference_or_none(config, "combinations"),
    )


def _build_difference_or_none(config: Config, name: str) -> Difference | None:
    return None if entry(config, name) is None else _build_difference(config, name)


def _build_difference(config: Config, name: str) -> Difference:
    config = mapping(config, name, _DIFFERENCE)
    columns = listing(config, "columns", 2)
    if not all(isinstance(own, str) for own in columns):
        raise ArtifactError("columns: expected names. The file is damaged.")
    return Difference(number(config, "value"), number(config, "allowed"), tuple(columns))
