"""The state of a monitor as a file, with which it goes on where it stopped.

It holds rows of the stream, and scores, but nothing of the model that it belongs to.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from harmonium.artifact.container import Arrays, Config, digest, read_container, write_container
from harmonium.artifact.densities import StoredDensity, describe_density
from harmonium.artifact.detectors import StoredDetector, describe_detector
from harmonium.artifact.entries import entry, mapping, number, text, whole
from harmonium.artifact.parts import prefixed, taken
from harmonium.data.state import take_arrays
from harmonium.errors import ArtifactError, InvalidInputError, about, finding_of
from harmonium.inference import AbstractAlarmRule, Ever, Monitoring, Restarting, Watched
from harmonium.inference.betting import N_BETS
from harmonium.inference.evidence import LARGEST, Evidence
from harmonium.inference.monitoring import BLOCK, KEPT, RECORDS, Progress
from harmonium.inference.online_ranks import CAPACITY, OnlineRanks
from harmonium.inference.settings import MAX_SEED
from harmonium.inference.watching import KINDS

StoredModel = StoredDetector | StoredDensity

_RULES: dict[str, type[Ever] | type[Restarting]] = {"Ever": Ever, "Restarting": Restarting}
_KEPT = ("first", "latest", "records", "pending")
_PER_BET = ("capital", "runs", "begun")
_PER_CHANNEL = tuple(field.name for field in fields(Evidence)[4:])
MOST_ROWS = 10**15


def fingerprint_model(stored: StoredModel) -> str:
    """The SHA-256 digest of all that scores hang on, wherever the model comes from."""
    describe = describe_detector if isinstance(stored, StoredDetector) else describe_density
    header, arrays = describe(stored)  # pyright: ignore[reportArgumentType]
    header.pop("provenance")
    return digest(json.dumps(header, sort_keys=True), arrays)


def save_monitoring(path: str | Path, monitoring: Monitoring, fingerprint: str) -> None:
    """Write the state of a monitor of the model with this fingerprint, whole or not at all."""
    settled, rule = monitoring.settled, monitoring.rule
    ranks, evidence = settled.ranks, settled.evidence
    header: Config = {
        "kind": "monitor",
        "fingerprint": fingerprint,
        "rule": {"name": type(rule).__name__, "setting": next(iter(vars(rule).values()))},
        "seed": monitoring.seed,
        "n_reference": monitoring.n_reference,
        "n_rows": evidence.n_rows,
        "stride": settled.stride,
    }
    is_cut = _is_cut(ranks.n_seen)
    arrays: Arrays = {
        **prefixed(
            "ranks",
            {
                "cuts": np.where(is_cut, np.real(ranks.cuts), 0.0),
                "marks": np.where(is_cut, np.imag(ranks.cuts), 0.0),
                "counts": ranks.counts,
                "n_seen": ranks.n_seen.astype(np.float64),
            },
        ),
        **prefixed(
            "evidence", {name: getattr(evidence, name) for name in (*_PER_BET, *_PER_CHANNEL)}
        ),
        **prefixed(
            "kept",
            {
                "first": settled.first,
                "latest": settled.latest,
                "records": settled.records,
                "pending": monitoring.pending,
            },
        ),
    }
    write_container(path, header, arrays)


def load_monitoring(path: str | Path, watched: Watched, fingerprint: str) -> Monitoring:
    """The monitor that was saved, of the model with this fingerprint.

    Raises `ArtifactError` for a damaged, foreign or hostile file, and for one of another model.
    """
    try:
        header, arrays = read_container(path)
        if text(header, "kind") != "monitor":
            raise ArtifactError(f"expected the state of a monitor; got a {header['kind']}.")
        if text(header, "fingerprint") != fingerprint:
            raise ArtifactError("expected the state of a monitor of this model; got another's.")
        return _build(header, arrays, watched)
    # Whatever a value trips that passed the checks is the fault of the file.
    except Exception as error:
        hint = "the file that was saved with this model, or a new one"
        found = finding_of(error)[:300]
        raise ArtifactError(about(f"monitor state {str(path)!r}", found, hint)) from error


def _build(header: Config, arrays: Arrays, watched: Watched) -> Monitoring:
    parts = taken(arrays, ("ranks", "evidence", "kept"))
    n_rows = whole(header, "n_rows", 0, MOST_ROWS)
    if n_rows % BLOCK:
        raise ArtifactError(f"n_rows: expected a multiple of {BLOCK}; got {n_rows}.")
    n_channels = len(watched.channels)
    kept = _build_kept(parts["kept"], len(watched.marginals.columns.names), n_rows)
    pending = kept.pop("pending")
    progress = Progress(
        ranks=_build_ranks(parts["ranks"], n_channels),
        evidence=_build_evidence(parts["evidence"], n_channels, n_rows),
        stride=whole(header, "stride", 1, MOST_ROWS),
        **kept,
    )
    return Monitoring(
        watched=watched,
        rule=_build_rule(mapping(header, "rule", ("name", "setting"))),
        seed=whole(header, "seed", 0, MAX_SEED),
        n_reference=whole(header, "n_reference", 0, MOST_ROWS),
        settled=progress,
        pending=pending,
    )


def _build_rule(config: Config) -> AbstractAlarmRule:
    name, setting = text(config, "name"), number(config, "setting")
    if name not in _RULES:
        raise ArtifactError(f"rule: expected one of {sorted(_RULES)}; got {name!r:.80}.")
    try:
        return _RULES[name](setting)
    except InvalidInputError as error:
        raise ArtifactError(f"rule: {finding_of(error)}") from error


def _build_ranks(arrays: Arrays, n_channels: int) -> OnlineRanks:
    shapes: dict[str, tuple[int, ...]] = {
        "cuts": (n_channels, CAPACITY),
        "marks": (n_channels, CAPACITY),
        "counts": (n_channels, CAPACITY + 1),
        "n_seen": (n_channels,),
    }
    found = take_arrays(arrays, shapes, "OnlineRanks")
    n_seen = found["n_seen"]
    _check("n_seen", (n_seen >= 0) & (n_seen <= MOST_ROWS) & (n_seen % 1 == 0))
    later = np.maximum(n_seen - CAPACITY, 0)
    counts = found["counts"]
    _check("counts", (counts >= 0) & (counts % 1 == 0) & (counts.sum(axis=1) == later)[:, None])
    is_cut = _is_cut(n_seen)
    cuts = np.where(is_cut, found["cuts"] + 1j * found["marks"], np.inf)
    _check("cuts", np.sort(cuts, axis=1) == cuts)
    return OnlineRanks(cuts, counts, n_seen.astype(np.int64))


def _build_evidence(arrays: Arrays, n_channels: int, n_rows: int) -> Evidence:
    shapes: dict[str, tuple[int, ...]] = {
        **dict.fromkeys(_PER_BET, (n_channels, N_BETS)),
        **dict.fromkeys(_PER_CHANNEL, (n_channels,)),
    }
    found = {name: np.array(own) for name, own in take_arrays(arrays, shapes, "Evidence").items()}
    for name, own in found.items():
        is_row = name not in ("capital", "runs", "level", "peak")
        _check(name, (own >= 0) & (own <= (n_rows if is_row else 2 * LARGEST)))
    return Evidence(n_rows, **found)


def _build_kept(arrays: Arrays, n_columns: int, n_rows: int) -> dict[str, Any]:
    """The rows and records that are kept; NaN are missing cells."""
    longest = {"first": KEPT, "latest": KEPT, "records": RECORDS, "pending": BLOCK - 1}
    found: dict[str, Any] = {}
    for name in _KEPT:
        own = np.asarray(entry(arrays, name), np.float64)
        width = 1 + len(KINDS) if name == "records" else n_columns
        if own.ndim != 2 or own.shape[1] != width or len(own) > longest[name]:
            raise ArtifactError(
                f"{name}: expected at most {longest[name]} rows of {width}; got shape {own.shape}."
            )
        _check(name, ~np.isinf(own))
        found[name] = own
    numbers = found["records"][:, 0]
    _check("records", (numbers >= 1) & (numbers <= n_rows) & (numbers % 1 == 0))
    if len(found["latest"]) != min(n_rows, KEPT):
        raise ArtifactError(f"latest: expected {min(n_rows, KEPT)}; got {len(found['latest'])}.")
    return found


def _is_cut(n_seen: np.ndarray) -> np.ndarray:
    """Which places of cuts hold one, (channels, capacity)."""
    return np.arange(CAPACITY) < n_seen[:, None]


def _check(name: str, holds: np.ndarray) -> None:
    if not np.all(holds):
        raise ArtifactError(f"{name}: not what a monitor writes. The file is damaged.")
