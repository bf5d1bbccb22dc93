"""A fitted density as a header and arrays, and back."""

import math
from dataclasses import asdict, fields
from typing import Any, NamedTuple

from harmonium.artifact.container import Arrays, Config
from harmonium.artifact.entries import entry, flag, mapping, number, text
from harmonium.artifact.models import build_model, describe_model
from harmonium.artifact.parts import prefixed, taken
from harmonium.data import Columns, Transform
from harmonium.data.frames import CONTAINERS
from harmonium.errors import ArtifactError
from harmonium.inference import Density, DensitySettings
from harmonium.likelihood import LogPartition

_PARTS = ("columns", "transform", "model")
_LOG_PARTITION = tuple(field.name for field in fields(LogPartition))


class StoredDensity(NamedTuple):
    """A density, the settings it was made by, the kind of table it returns, and where it comes from."""

    density: Density
    settings: DensitySettings
    container: str
    provenance: dict[str, Any]


def describe_density(stored: StoredDensity) -> tuple[Config, Arrays]:
    """All of a density as plain values and named arrays."""
    density = stored.density
    columns, column_arrays = density.columns.to_state()
    transform, transform_arrays = density.transform.to_state()
    model, model_arrays = describe_model(density.model)
    header = {
        "kind": "density",
        "container": stored.container,
        "columns": columns,
        "transform": transform,
        "model": model,
        "log_partition": _describe_log_partition(density.log_partition),
        "verdict": density.verdict,
        "trusted": density.trusted,
        "settings": asdict(stored.settings),
        "provenance": stored.provenance,
    }
    arrays = {
        **prefixed("columns", column_arrays),
        **prefixed("transform", transform_arrays),
        **prefixed("model", model_arrays),
    }
    return header, arrays


def build_density(header: Config, arrays: Arrays, feature_map: Any) -> StoredDensity:
    """A density from what `describe_density` made, with a feature map of the user's own if one is given."""
    parts = taken(arrays, _PARTS)
    density = Density(
        columns=Columns.from_state(entry(header, "columns"), parts["columns"]),
        transform=Transform.from_state(entry(header, "transform"), parts["transform"]),
        model=build_model(mapping(header, "model"), parts["model"], feature_map),
        log_partition=_build_log_partition(mapping(header, "log_partition", _LOG_PARTITION)),
        verdict=text(header, "verdict"),
        trusted=flag(header, "trusted"),
    )
    widths = {density.columns.n_modeled, density.transform.n_columns, density.model.n_visible}
    if len(widths) > 1:
        raise ArtifactError(f"columns, transform and model differ in width: {sorted(widths)}.")
    container = text(header, "container")
    if container not in ("array", *CONTAINERS):
        raise ArtifactError(f"unknown container {container!r:.80}.")
    settings = DensitySettings(**mapping(header, "settings"))
    return StoredDensity(density, settings, container, mapping(header, "provenance"))


def _describe_log_partition(log_partition: LogPartition) -> Config:
    """An exact value has an infinite effective sample size, which JSON cannot say: null."""
    described = asdict(log_partition)
    return described | {"ess": described["ess"] if math.isfinite(log_partition.ess) else None}


def _build_log_partition(config: Config) -> LogPartition:
    value, low, high = (number(config, name) for name in ("value", "low", "high"))
    standard_error = number(config, "standard_error")
    ess = math.inf if config["ess"] is None else number(config, "ess")
    if not low <= value <= high or standard_error < 0 or ess < 0:
        raise ArtifactError(
            f"log_partition: expected a value in its interval; got {value} in [{low}, {high}]."
        )
    return LogPartition(
        value=value,
        low=low,
        high=high,
        standard_error=standard_error,
        ess=ess,
        method=text(config, "method"),
        verdict=text(config, "verdict"),
        trusted=flag(config, "trusted"),
        pareto_k=None if config["pareto_k"] is None else number(config, "pareto_k"),
    )
