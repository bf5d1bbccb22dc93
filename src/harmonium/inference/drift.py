"""Which columns drift and how: rows before and rows now, side by side."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from harmonium.data import Field, decode_columns
from harmonium.inference.monitoring import Monitoring
from harmonium.inference.watching import Channel

# How a column by itself differs comes first: what it does to others follows from it.
ORDER = {"values": 0, "holes": 0, "dependence": 1, "rows": 2}
# Coordinates beyond count as these in correlations, so that no single cell makes one.
FARTHEST = 3.0
# Standard errors by which a correlation has to differ.
LEAST_CHANGE = 3.0
# Pairs of observed cells that a correlation needs.
FEWEST_PAIRS = 10
QUARTILES = (0.25, 0.5, 0.75)
# Drifts that are described, of all that are found.
MOST_DESCRIBED = 8


@dataclass(frozen=True)
class ColumnSummary:
    """The cells of a column in `n_rows` rows.

    `missing` is the share of missing cells, those of unseen categories included; `quartiles` are
    values of the column, None for categories and where all cells are missing; `shares` are those of
    the categories among the observed cells.
    """

    n_rows: int
    missing: float
    quartiles: tuple[Any, ...] | None
    shares: dict[str, float]

    def describe(self) -> str:
        """In words."""
        if self.quartiles is None:
            return "no cells"
        low, median, high = (f"{q:.4g}" if isinstance(q, float) else str(q) for q in self.quartiles)
        return f"median {median} (quartiles {low} and {high})"


@dataclass(frozen=True)
class Drift:
    """A column that drifts, or all of a row: what is watched that speaks of it, and how.

    `kind` is "values" (the column by itself), "dependence" (the column given the others), "holes"
    or "rows" (whole rows; no `column`). `log_evidence` is the largest so far, weighted by the share
    of the channel, in nats; `alarmed` says whether this is an alarm, or was added to one because
    the evidence would be one if nothing else were watched. The drift began about `since`, a row of
    the stream, from 1. `partner` is the column whose correlation with this one changed most, from
    `correlations[0]` to `correlations[1]`; None where none changed by more than chance explains.
    """

    kind: str
    column: str | None
    log_evidence: float
    alarmed: bool
    since: int
    before: ColumnSummary | None
    now: ColumnSummary | None
    partner: str | None
    correlations: tuple[float, float] | None

    def describe(self) -> str:
        """In a line."""
        return f"{self.column or 'rows'}: {self._what()}, since about row {self.since}"

    def _what(self) -> str:
        if self.before is None or self.now is None:
            return "whole rows are scored otherwise than before"
        if self.kind == "holes":
            return f"missing cells, {self.before.missing:.1%} before, {self.now.missing:.1%} now"
        if self.kind == "dependence":
            return f"cells are unusual given the other columns, {self._dependence()}"
        if self.before.shares:
            name = max(self.before.shares, key=self._moved)
            before, now = (own.shares.get(name, 0.0) for own in (self.before, self.now))
            return f"{name!r} is {before:.1%} of the cells before, {now:.1%} now"
        return f"{self.before.describe()} before, {self.now.describe()} now"

    def _dependence(self) -> str:
        if self.partner is None or self.correlations is None:
            return "though its correlations are as before"
        before, now = self.correlations
        return f"correlation with {self.partner} {before:.2f} before, {now:.2f} now"

    def _moved(self, name: str) -> float:
        assert self.before is not None and self.now is not None
        return abs(self.before.shares[name] - self.now.shares.get(name, 0.0))


def drifts_of(monitoring: Monitoring) -> tuple[Drift, ...]:
    """What drifts, once there is an alarm: alarms of their own first, of these columns by
    themselves, and of these the most evident.

    Where evidence begins anew after alarms, of alarms in the latest rows that are kept.
    """
    evidence, watched = monitoring.evidence, monitoring.watched
    alarmed = evidence.n_alarms > 0
    if monitoring.rule.restarts:
        alarmed &= evidence.latest_alarm > evidence.n_rows - len(monitoring.progress.latest)
    if not alarmed.any():
        return ()
    named = alarmed | (evidence.peak >= monitoring.rule.threshold)
    found = np.flatnonzero(named)
    weighted = np.log(evidence.peak[found] * watched.shares[found])
    drifts = [
        _drift(
            monitoring, watched.channels[i], float(own), bool(alarmed[i]), int(evidence.since[i])
        )
        for i, own in zip(found, weighted, strict=True)
    ]
    return tuple(sorted(drifts, key=_rank))


def _rank(drift: Drift) -> tuple[bool, int, float]:
    return not drift.alarmed, ORDER[drift.kind], -drift.log_evidence


def _drift(
    monitoring: Monitoring, channel: Channel, log_evidence: float, alarmed: bool, since: int
) -> Drift:
    if channel.column is None:
        return Drift(channel.kind, None, log_evidence, alarmed, since + 1, None, None, None, None)
    marginals = monitoring.watched.marginals
    before, now = rows_beside(monitoring, since)
    index = int(marginals.columns.modeled_index[channel.column])
    field = marginals.columns.fields[index]
    old, new = marginals.centers(before), marginals.centers(now)
    partner, correlations = None, None
    if channel.kind == "dependence":
        place, correlations = _changed_pair(old, new, channel.column)
        partner = None if place is None else marginals.columns.modeled_names[place]
    return Drift(
        kind=channel.kind,
        column=field.name,
        log_evidence=log_evidence,
        alarmed=alarmed,
        since=since + 1,
        before=summarize(before[:, index], np.isnan(old[:, channel.column]), field),
        now=summarize(now[:, index], np.isnan(new[:, channel.column]), field),
        partner=partner,
        correlations=correlations,
    )


def rows_beside(monitoring: Monitoring, since: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows that are kept from before a drift that began after `since` rows, and from then on.

    Without a reference, the first rows of the stream are those before.
    """
    progress = monitoring.progress
    before = progress.first if monitoring.n_reference else progress.first[:since]
    n_now = min(monitoring.n_rows - since, len(progress.latest))
    return (before if len(before) else progress.first), progress.latest[-n_now:]


def summarize(cells: np.ndarray, missing: np.ndarray, field: Field) -> ColumnSummary:
    """A column (rows,) in short; `missing` (rows,) says which cells are, unseen ones included."""
    seen = cells[~missing]
    share = float(missing.mean())
    if not len(seen):
        return ColumnSummary(len(cells), share, None, {})
    if field.kind == "categorical":
        codes, counts = np.unique(seen, return_counts=True)
        names = [str(cell) for cell in _decoded(codes, field)]
        shares = (counts / len(seen)).tolist()
        return ColumnSummary(len(cells), share, None, dict(zip(names, shares, strict=True)))
    # A value of the column: between two dates or truth values there may be none.
    found = np.quantile(seen, QUARTILES, method="nearest")
    return ColumnSummary(len(cells), share, tuple(_decoded(found, field)), {})


def _decoded(cells: np.ndarray, field: Field) -> list[Any]:
    """Cells as a reader of the table knows them, and JSON does too."""
    found = decode_columns(cells[:, None], [field])[field.name].to_pylist()
    return [
        cell.isoformat().removesuffix("T00:00:00") if hasattr(cell, "isoformat") else cell
        for cell in found
    ]


def _changed_pair(
    before: np.ndarray, now: np.ndarray, column: int
) -> tuple[int | None, tuple[float, float] | None]:
    """The column whose correlation with this one differs most between coordinates before and now
    (rows, modeled), in standard errors of Fisher's z, and both correlations.
    """
    best, found = LEAST_CHANGE, (None, None)
    for other in range(before.shape[1]):
        if other == column:
            continue
        pairs = [_correlation(points[:, [column, other]]) for points in (before, now)]
        if min(n for _, n in pairs) < FEWEST_PAIRS:
            continue
        (old, n_old), (new, n_new) = pairs
        error = np.sqrt(1 / (n_old - 3) + 1 / (n_new - 3))
        change = abs(np.arctanh(old) - np.arctanh(new)) / error
        if change > best:
            best, found = change, (other, (old, new))
    return found


def _correlation(points: np.ndarray) -> tuple[float, int]:
    """The correlation of two coordinates (rows, 2) where both are observed, short of 1, and how
    many rows it rests on.
    """
    points = np.clip(points[~np.isnan(points).any(axis=1)], -FARTHEST, FARTHEST)
    centered = points - points.mean(axis=0) if len(points) else points
    scale = np.sqrt(np.prod(np.sum(centered**2, axis=0)))
    found = float(np.prod(centered, axis=1).sum() / scale) if scale > 0 else 0.0
    return float(np.clip(found, -0.9999, 0.9999)), len(points)


@dataclass(frozen=True)
class DriftFindings:
    """What a monitor says of a stream.

    `log_evidence` is the largest of a channel after the last row, weighted by shares, in nats; an
    alarm is raised at `log_threshold`. `alarm` says whether there was one, and `first_alarm` at
    which row, from 1; where evidence begins anew after alarms, these are about the rows of the
    latest update. `drifts` are what drifts then, the most telling first; `guarantee` says how often
    false alarms are raised.
    """

    n_rows: int
    log_evidence: float
    log_threshold: float
    alarm: bool
    first_alarm: int | None
    drifts: tuple[Drift, ...]
    guarantee: str

    def describe(self) -> str:
        """In a line for the evidence, one for each of the strongest drifts, and the number of
        others.
        """
        alarm = f"ALARM at row {self.first_alarm}" if self.alarm else "no alarm"
        evidence = (
            f"{alarm}; {self.n_rows} rows so far, evidence of {max(self.log_evidence, 0.0):.1f} "
            f"nats, {self.log_threshold:.1f} raise an alarm"
        )
        lines = [evidence, *(drift.describe() for drift in self.drifts[:MOST_DESCRIBED])]
        more = len(self.drifts) - MOST_DESCRIBED
        return "\n".join([*lines, f"and {more} more"] if more > 0 else lines)


def find_drift(monitoring: Monitoring, *, after: int = 0) -> DriftFindings:
    """What is to be said of the rows so far; `after` counts the rows before the latest update."""
    evidence, rule = monitoring.evidence, monitoring.rule
    alarms = evidence.latest_alarm if rule.restarts else evidence.first_alarm
    alarms = alarms[alarms > (after if rule.restarts else 0)]
    return DriftFindings(
        n_rows=monitoring.n_rows,
        log_evidence=monitoring.log_level,
        log_threshold=float(np.log(rule.threshold)),
        alarm=len(alarms) > 0,
        first_alarm=int(alarms.min()) if len(alarms) else None,
        drifts=drifts_of(monitoring),
        guarantee=f"{rule.describe()} {_price(monitoring)}",
    )


def _price(monitoring: Monitoring) -> str:
    """What looking at many things costs, in words."""
    shares = monitoring.watched.shares
    row, column = -np.log(shares[0]), -np.log(shares[-1])
    return (
        f"{len(shares)} scores of every row are watched: an alarm takes {row:.1f} nats more of "
        f"whole rows, and {column:.1f} more of a column, than if it were watched alone."
    )
