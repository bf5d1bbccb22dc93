"""A fitted density as a header and arrays, and back."""

import math
from dataclasses import asdict, fields
from typing import Any, NamedTuple

import numpy as np

from harmonium.artifact.container import Arrays, Config
from harmonium.artifact.entries import entry, flag, listing, mapping, number, text, whole
from harmonium.artifact.judgments import build_judgment, describe_judgment, number_or_nan, or_null
from harmonium.artifact.models import build_model, describe_model
from harmonium.artifact.parts import prefixed, taken
from harmonium.artifact.unseen import build_unseen, describe_unseen
from harmonium.data import Columns, Marginals, Whitening
from harmonium.data.frames import CONTAINERS
from harmonium.data.marginals_state import is_own_kind
from harmonium.data.state import take_arrays
from harmonium.errors import ArtifactError
from harmonium.inference import Chosen, Density, DensitySettings, OwnParts
from harmonium.inference.coordinates import Coordinates
from harmonium.inference.own_parts import NAMED
from harmonium.learning.base_choice import Candidate
from harmonium.likelihood import LogPartition

_PARTS = ("columns", "marginals", "whitening", "coordinates", "model", "unseen")
_CANDIDATE = ("name", "score", "standard_error")
MOST_CANDIDATES = 1000
_CHOSEN = ("base", "n_components", "marginals", "residual", "candidates", "stages")
_ENDS = ("lowest", "highest")
_LOG_PARTITION = tuple(field.name for field in fields(LogPartition))


class StoredDensity(NamedTuple):
    """A density, the settings it was made by, the kind of table it returns, and where it comes
    from.
    """

    density: Density
    settings: DensitySettings
    container: str
    provenance: dict[str, Any]


def describe_density(stored: StoredDensity) -> tuple[Config, Arrays]:
    """All of a density as plain values and named arrays."""
    density = stored.density
    columns, column_arrays = density.columns.to_state()
    coordinates = density.coordinates
    marginals, marginal_arrays = coordinates.marginals.to_state()
    whitening, whitening_arrays = coordinates.whitening.to_state()
    ends = {name: getattr(coordinates, name) for name in _ENDS}
    model, model_arrays = describe_model(density.model)
    unseen, unseen_arrays = describe_unseen(density.unseen)
    header = {
        "kind": "density",
        "container": stored.container,
        "columns": columns,
        "marginals": marginals,
        "whitening": whitening,
        "chosen": _describe_chosen(density.chosen),
        "model": model,
        "log_partition": describe_log_partition(density.log_partition),
        "training": density.training,
        "judgment": describe_judgment(density.judgment),
        "unseen": unseen,
        "settings": asdict(stored.settings),
        "provenance": stored.provenance,
    }
    arrays = {
        **prefixed("columns", column_arrays),
        **prefixed("marginals", marginal_arrays),
        **prefixed("whitening", whitening_arrays),
        **prefixed("coordinates", ends | {"fine": coordinates.fine.astype(np.float64)}),
        **prefixed("model", model_arrays),
        **prefixed("unseen", unseen_arrays),
    }
    return header, arrays


def build_density(header: Config, arrays: Arrays, own: OwnParts = NAMED) -> StoredDensity:
    """A density from what `describe_density` made, with the parts of the user's own that it has."""
    parts = taken(arrays, _PARTS)
    coordinates = _build_coordinates(header, parts, own.marginals)
    density = Density(
        coordinates=coordinates,
        model=build_model(mapping(header, "model"), parts["model"], own),
        log_partition=build_log_partition(header),
        training=text(header, "training"),
        chosen=_build_chosen(mapping(header, "chosen", _CHOSEN)),
        judgment=build_judgment(entry(header, "judgment")),
        unseen=build_unseen(entry(header, "unseen"), parts["unseen"], coordinates.marginals),
    )
    widths = {coordinates.columns.n_modeled, coordinates.whitening.n_columns}
    widths.add(density.model.n_visible)
    if len(widths) > 1:
        raise ArtifactError(f"columns, whitening and model differ in width: {sorted(widths)}.")
    container = text(header, "container")
    if container not in ("array", *CONTAINERS):
        raise ArtifactError(f"unknown container {container!r:.80}.")
    settings = DensitySettings(**mapping(header, "settings"))
    return StoredDensity(density, settings, container, mapping(header, "provenance"))


def _build_coordinates(header: Config, parts: dict[str, Arrays], own: type | None) -> Coordinates:
    columns = Columns.from_state(entry(header, "columns"), parts["columns"])
    arrays = parts["coordinates"]
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys((*_ENDS, "fine"), (columns.n_modeled,))
    ends = take_arrays(arrays, shapes, "Coordinates")
    if not np.isin(ends["fine"], (0, 1)).all() or not np.all(ends["lowest"] <= ends["highest"]):
        raise ArtifactError("coordinates: expected truth values in fine, and lowest <= highest.")
    marginals = entry(header, "marginals")
    if own is None:
        _ask_for_own(mapping(header, "marginals").get("kinds"))
    return Coordinates(
        marginals=Marginals.from_state(marginals, parts["marginals"], columns, own),
        whitening=Whitening.from_state(entry(header, "whitening"), parts["whitening"]),
        fine=ends["fine"] == 1,
        lowest=ends["lowest"],
        highest=ends["highest"],
    )


def _ask_for_own(kinds: Any) -> None:
    """An error if some of the kinds of the columns are of a class that was not given."""
    names = [kind["own"] for kind in kinds if is_own_kind(kind)] if isinstance(kinds, list) else []
    if names:
        raise ArtifactError(
            f"columns have marginals of your own class, {names[0]!r:.80}. "
            "Try: load(path, marginals=...) with the class."
        )


def _describe_chosen(chosen: Chosen) -> Config:
    return asdict(chosen) | {
        "candidates": describe_candidates(chosen.candidates),
        "stages": describe_candidates(chosen.stages),
    }


def describe_candidates(candidates: tuple[Candidate, ...]) -> list[Config]:
    """Plain values; a standard error of one row is NaN, which JSON cannot say: null."""
    return [asdict(own) | {"standard_error": or_null(own.standard_error)} for own in candidates]


def _build_chosen(config: Config) -> Chosen:
    marginals = mapping(config, "marginals")
    return Chosen(
        base=text(config, "base"),
        n_components=whole(config, "n_components", 1, 2**31),
        marginals={name: text(marginals, name) for name in marginals},
        residual=flag(config, "residual"),
        candidates=build_candidates(config, "candidates"),
        stages=build_candidates(config, "stages"),
    )


def build_candidates(config: Config, name: str = "candidates") -> tuple[Candidate, ...]:
    """The candidates of that name."""
    found = []
    for own in listing(config, name, MOST_CANDIDATES):
        own = mapping({name: own}, name, _CANDIDATE)
        error = number_or_nan(own, "standard_error")
        found.append(Candidate(text(own, "name"), number(own, "score"), error))
    return tuple(found)


def describe_log_partition(log_partition: LogPartition) -> Config:
    """An exact value has an infinite effective sample size, which JSON cannot say: null."""
    described = asdict(log_partition)
    return described | {"ess": described["ess"] if math.isfinite(log_partition.ess) else None}


def build_log_partition(header: Config) -> LogPartition:
    """What a header says of log Z."""
    config = mapping(header, "log_partition", _LOG_PARTITION)
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
