"""A fitted detector as a header and arrays, and back."""

from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from harmonium.artifact.container import Arrays, Config
from harmonium.artifact.entries import entry, flag, listing, mapping, number, text, whole
from harmonium.artifact.models import build_model, describe_model
from harmonium.artifact.parts import prefixed, taken
from harmonium.data import Columns, Marginals, Whitening
from harmonium.data.state import take_arrays
from harmonium.errors import ArtifactError
from harmonium.inference import Detector, DetectorSettings
from harmonium.inference.completion import Completion

_ARRAYS = ("location", "scale", "quantiles", "calibration")
_COMPLETION_PARTS = ("completion", "completion_marginals", "completion_whitening")
# Every member takes time to build.
MAX_MEMBERS = 1000


class StoredDetector(NamedTuple):
    """A detector, its settings, the offset of its decisions, and where it comes from."""

    detector: Detector
    settings: DetectorSettings
    offset: float
    provenance: dict[str, Any]


def describe_detector(stored: StoredDetector) -> tuple[Config, Arrays]:
    """All of a detector as plain values and named arrays."""
    detector = stored.detector
    if detector.n_members > MAX_MEMBERS:
        raise ArtifactError(
            f"expected at most {MAX_MEMBERS} members to save; got {detector.n_members}. "
            "Try: fewer n_repeats."
        )
    columns, column_arrays = detector.columns.to_state()
    marginals, marginal_arrays = detector.marginals.to_state()
    completion, completion_arrays = _describe_completion(detector.completion)
    model, _ = describe_model(detector.member(0))
    arrays = {
        **prefixed("columns", column_arrays),
        **prefixed("marginals", marginal_arrays),
        **completion_arrays,
        **prefixed("detector", {name: getattr(detector, name) for name in _ARRAYS}),
    }
    whitenings = []
    for index, whitening in enumerate(detector.whitenings):
        config, whitening_arrays = whitening.to_state()
        whitenings.append(config)
        arrays |= prefixed(f"whitening{index}", whitening_arrays)
        arrays |= prefixed(f"model{index}", describe_model(detector.member(index))[1])
    header = {
        "kind": "detector",
        "columns": columns,
        "marginals": marginals,
        "completion": completion,
        "whitenings": whitenings,
        "model": model,
        "slopes": list(detector.slopes),
        "verdict": detector.verdict,
        "trusted": detector.trusted,
        "offset": stored.offset,
        "settings": asdict(stored.settings),
        "provenance": stored.provenance,
    }
    return header, arrays


def build_detector(header: Config, arrays: Arrays) -> StoredDetector:
    """A detector from what `describe_detector` made; all members have the described structure."""
    described = listing(header, "whitenings", MAX_MEMBERS)
    members = range(len(described))
    if not described:
        raise ArtifactError("whitenings: expected one for each of one or more models; got none.")
    own = [f"{part}{index}" for index in members for part in ("whitening", "model")]
    parts = taken(arrays, ["columns", "marginals", *_COMPLETION_PARTS, "detector", *own])
    model = mapping(header, "model")
    models = [build_model(model, parts[f"model{index}"], None) for index in members]
    whitenings = tuple(
        Whitening.from_state(described[index], parts[f"whitening{index}"]) for index in members
    )
    columns = Columns.from_state(entry(header, "columns"), parts["columns"])
    marginals = Marginals.from_state(entry(header, "marginals"), parts["marginals"], columns)
    completion = _build_completion(mapping(header, "completion"), parts, columns)
    widths = {columns.n_modeled, completion.whitening.n_columns, models[0].n_visible}
    widths |= {whitening.n_columns for whitening in whitenings}
    if len(widths) > 1:
        raise ArtifactError(f"columns, whitenings and models differ in width: {sorted(widths)}.")
    settings = DetectorSettings(**mapping(header, "settings"))
    slopes = tuple(
        whole({"slopes": index}, "slopes", 0, len(members) - 1)
        for index in listing(header, "slopes", len(members))
    )
    if settings.score_kind == "gradient" and not slopes:
        raise ArtifactError("slopes: expected one or more for scores by the gradient; got none.")
    detector = Detector(
        marginals=marginals,
        completion=completion,
        whitenings=whitenings,
        models=stack_members(models),
        slopes=slopes,
        score_kind=settings.score_kind,
        verdict=text(header, "verdict"),
        trusted=flag(header, "trusted"),
        **_checked_arrays(parts["detector"], len(members) + len(slopes), columns.n_modeled),
    )
    return StoredDetector(
        detector, settings, number(header, "offset"), mapping(header, "provenance")
    )


def _describe_completion(completion: Completion) -> tuple[Config, Arrays]:
    """All of a completion but its columns, as plain values and named arrays."""
    marginals, marginal_arrays = completion.marginals.to_state()
    whitening, whitening_arrays = completion.whitening.to_state()
    ends = {"lowest": completion.lowest, "highest": completion.highest}
    states = (ends, marginal_arrays, whitening_arrays)
    arrays: Arrays = {}
    for part, own in zip(_COMPLETION_PARTS, states, strict=True):
        arrays |= prefixed(part, own)
    return {"marginals": marginals, "whitening": whitening}, arrays


def _build_completion(header: Config, parts: dict[str, Arrays], columns: Columns) -> Completion:
    """A completion from what `_describe_completion` made."""
    ends, marginals, whitening = (parts[name] for name in _COMPLETION_PARTS)
    n = columns.n_modeled
    taken_ends = take_arrays(ends, {"lowest": (n,), "highest": (n,)}, "Completion")
    if not np.all(taken_ends["lowest"] <= taken_ends["highest"]):
        raise ArtifactError("completion: expected lowest at most highest.")
    return Completion(
        marginals=Marginals.from_state(entry(header, "marginals"), marginals, columns),
        whitening=Whitening.from_state(entry(header, "whitening"), whitening),
        **taken_ends,
    )


def _checked_arrays(arrays: Arrays, n_votes: int, n_modeled: int) -> Arrays:
    """The detector's own arrays, checked: shapes, positive scales, sorted calibration scores."""
    shapes = {
        "location": (n_votes,),
        "scale": (n_votes,),
        "quantiles": (len(_rows(arrays, "quantiles")), n_modeled),
        "calibration": (len(_rows(arrays, "calibration")),),
    }
    checked = take_arrays(arrays, shapes, "Detector")
    if not np.all(checked["scale"] > 0):
        raise ArtifactError("scale: expected positive numbers.")
    if not np.all(np.diff(checked["calibration"]) >= 0):
        raise ArtifactError("calibration: expected sorted scores.")
    return checked


def _rows(arrays: Arrays, name: str) -> np.ndarray:
    """The array of that name, which has to have rows."""
    array = arrays.get(name, np.zeros(0))
    if array.ndim < 1 or not len(array):
        raise ArtifactError(f"{name}: expected one or more; got none.")
    return array
