"""A fitted detector as a header and arrays, and back."""

from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from harmonium.artifact.container import Arrays, Config
from harmonium.artifact.entries import entry, flag, listing, mapping, number, text, whole
from harmonium.artifact.mixtures import MAX_FACTORS, build_mixture, describe_mixture
from harmonium.artifact.parts import prefixed, taken
from harmonium.data import Columns, Marginals, Table, Whitening
from harmonium.data.state import take_arrays
from harmonium.errors import ArtifactError
from harmonium.inference import Detector, DetectorSettings, fit_detector
from harmonium.inference.completion import Completion
from harmonium.inference.provenance import describe_origin
from harmonium.inference.rules import Rules
from harmonium.inference.tails import Tail
from harmonium.inference.views import N_QUANTILES, Scale, Space, Surprise

_COMPLETION_PARTS = ("completion", "completion_marginals", "completion_whitening")
MAX_SPACES, MAX_MIXTURES = 8, 64


class StoredDetector(NamedTuple):
    """A detector, its settings, the offset of its decisions, and where it comes from."""

    detector: Detector
    settings: DetectorSettings
    offset: float
    provenance: dict[str, Any]

    @staticmethod
    def fit(table: Table, settings: DetectorSettings) -> "StoredDetector":
        """Fit a detector to a table of mostly normal rows (`fit_detector`)."""
        detector = fit_detector(table, settings)
        offset = detector.offset(settings, table.values)
        metrics = {"n_calibration": len(detector.calibration), "offset": offset}
        origin = describe_origin(table, settings.seed, metrics, detector.verdict)
        return StoredDetector(detector, settings, offset, origin)


def describe_detector(stored: StoredDetector) -> tuple[Config, Arrays]:
    """All of a detector as plain values and named arrays."""
    detector = stored.detector
    columns, column_arrays = detector.columns.to_state()
    completion, completion_arrays = _describe_completion(detector.completion)
    arrays = {
        **prefixed("columns", column_arrays),
        **completion_arrays,
        **prefixed(
            "detector",
            {
                "quantiles": detector.surprise.quantiles,
                "scale": detector.surprise.scale,
                "candidates": detector.candidates,
                "calibration": detector.calibration,
                # Files hold finite numbers alone.
                "calibration_rows": np.nan_to_num(detector.calibration_rows),
                "calibration_missing": np.isnan(detector.calibration_rows).astype(np.float32),
                "normal_scores": detector.tail.scores,
            },
        ),
    }
    spaces = []
    for index, space in enumerate(detector.spaces):
        config, own = _describe_space(space, f"space{index}")
        spaces.append(config)
        arrays |= own
    header = {
        "kind": "detector",
        "columns": columns,
        "completion": completion,
        "spaces": spaces,
        "rules": asdict(detector.rules),
        "verdict": detector.verdict,
        "trusted": detector.trusted,
        "offset": stored.offset,
        "settings": asdict(stored.settings),
        "provenance": stored.provenance,
    }
    return header, arrays


def build_detector(header: Config, arrays: Arrays) -> StoredDetector:
    """A detector from what `describe_detector` made."""
    described = listing(header, "spaces", MAX_SPACES)
    if not described:
        raise ArtifactError("spaces: expected one or more; got none.")
    counts = [whole(config, "n_mixtures", 1, MAX_MIXTURES) for config in described]
    own = [
        part for index, n in enumerate(counts) for part in _space_parts(f"space{index}", n).values()
    ]
    names = [name for part in own for name in part]
    parts = taken(arrays, ["columns", *_COMPLETION_PARTS, "detector", *names])
    columns = Columns.from_state(entry(header, "columns"), parts["columns"])
    completion = _build_completion(mapping(header, "completion"), parts, columns)
    spaces = tuple(
        _build_space(config, f"space{index}", parts, columns)
        for index, config in enumerate(described)
    )
    n_votes = sum(sum(space.groups) for space in spaces)
    found = parts["detector"]
    n_calibration = _n_rows(found, "calibration")
    shapes = {
        "quantiles": (N_QUANTILES, n_votes),
        "scale": (n_votes,),
        "candidates": (_n_rows(found, "candidates"), columns.n_modeled),
        "calibration": (n_calibration,),
        "calibration_rows": (n_calibration, len(columns.names)),
        "calibration_missing": (n_calibration, len(columns.names)),
        "normal_scores": (_n_rows(found, "normal_scores"),),
    }
    checked = take_arrays(found, shapes, "Detector")
    if not np.all(checked["scale"] > 0):
        raise ArtifactError("scale: expected positive numbers.")
    for name in ("calibration", "quantiles"):
        if not np.all(np.diff(checked[name], axis=0) >= 0):
            raise ArtifactError(f"{name}: expected sorted numbers.")
    detector = Detector(
        completion=completion,
        spaces=spaces,
        surprise=Surprise(checked["quantiles"], checked["scale"]),
        rules=_build_rules(mapping(header, "rules")),
        candidates=checked["candidates"],
        calibration=checked["calibration"],
        calibration_rows=np.where(
            checked["calibration_missing"] > 0, np.nan, checked["calibration_rows"]
        ),
        tail=Tail.fit(checked["normal_scores"]),
        verdict=text(header, "verdict"),
        trusted=flag(header, "trusted"),
    )
    settings = DetectorSettings(**mapping(header, "settings"))
    return StoredDetector(
        detector, settings, number(header, "offset"), mapping(header, "provenance")
    )


def _build_rules(header: Config) -> Rules:
    rules = Rules(number(header, "first"), number(header, "further"))
    if not (rules.first > 0 and rules.further > 0):
        raise ArtifactError(f"rules: expected surprises above 0; got {rules}.")
    return rules


def _space_parts(name: str, n_mixtures: int) -> dict[str, list[str]]:
    """The names of the parts of a space: of its scale and kernels, and of its mixtures."""
    return {
        "own": [f"{name}_marginals", f"{name}_whitening", f"{name}_kernels"],
        "mixtures": [f"{name}_mixture{number}" for number in range(n_mixtures)],
    }


def _describe_space(space: Space, name: str) -> tuple[Config, Arrays]:
    marginals, marginal_arrays = space.scale.marginals.to_state()
    whitening, whitening_arrays = space.scale.whitening.to_state()
    n_numbers = sum(mixture.factors.size for mixture in space.mixtures)
    if n_numbers > MAX_FACTORS:
        raise ArtifactError(
            f"save: the mixtures have {n_numbers} numbers in their factors, and a file may hold "
            f"{MAX_FACTORS}. Try: fewer columns."
        )
    parts = _space_parts(name, len(space.mixtures))
    states = (marginal_arrays, whitening_arrays, {"rows": space.kernels})
    arrays: Arrays = {}
    for part, own in zip(parts["own"], states, strict=True):
        arrays |= prefixed(part, own)
    for part, mixture in zip(parts["mixtures"], space.mixtures, strict=True):
        arrays |= prefixed(part, describe_mixture(mixture))
    config = {"marginals": marginals, "whitening": whitening, "n_mixtures": len(space.mixtures)}
    return config, arrays


def _build_space(config: Config, name: str, parts: dict[str, Arrays], columns: Columns) -> Space:
    """A space from what `_describe_space` made."""
    names = _space_parts(name, whole(config, "n_mixtures", 1, MAX_MIXTURES))
    marginals, whitening, kernels = (parts[part] for part in names["own"])
    n = columns.n_modeled
    scale = Scale(
        Marginals.from_state(entry(config, "marginals"), marginals, columns),
        Whitening.from_state(entry(config, "whitening"), whitening),
    )
    if scale.whitening.n_columns != n:
        raise ArtifactError(f"a whitening of {scale.whitening.n_columns} columns; expected {n}.")
    rows = take_arrays(kernels, {"rows": (_n_rows(kernels, "rows"), n)}, "Space")["rows"]
    mixtures = tuple(build_mixture(parts[part], n) for part in names["mixtures"])
    return Space(scale, mixtures, rows)


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


def _n_rows(arrays: Arrays, name: str) -> int:
    """The length of the array of that name, which has to have rows."""
    array = arrays.get(name, np.zeros(0))
    if array.ndim < 1 or not len(array):
        raise ArtifactError(f"{name}: expected one or more; got none.")
    return len(array)
