"""What a reader wants to know first: can it be trusted, and what did it find?"""

import math
from dataclasses import dataclass

import numpy as np

from harmonium.likelihood.result import NORMAL_95
from harmonium.report.anomalies import AnomalousRow
from harmonium.report.chosen import base_name
from harmonium.report.evidence import FDR, Evidence
from harmonium.report.findings import findings, reasons
from harmonium.report.marginals import Marginal
from harmonium.report.pairs import Dependence
from harmonium.report.units import Units
from harmonium.report.view import RunView
from harmonium.report.words import count, fixed, method_name, number, percent, ways

MIN_DISTINCT = 0.5


@dataclass(frozen=True)
class Facts:
    """What the sections of the page found, for the headline to draw on; None where a section is
    left out.
    """

    view: RunView
    evidence: Evidence | None
    rows: list[AnomalousRow]
    marginals: list[Marginal]
    dependence: Dependence | None
    units: Units | None


@dataclass(frozen=True)
class Tile:
    """One key number: what it is, its value, and a note."""

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class Headline:
    """The head of the page. `status` is "trusted", "ranking" or "untrusted"."""

    status: str
    label: str
    answer: str
    reasons: list
    found: list[str]
    tiles: list[Tile]
    words: list[tuple[str, str]]


def make_headline(facts: Facts) -> Headline:
    """The answers, with their reasons and the key numbers."""
    status, label, answer = _status(facts)
    words = [("Density", facts.view.density.verdict)]
    if facts.view.detector is not None:
        words.append(("Detector", facts.view.detector.verdict))
    if facts.evidence is not None:
        words.append(("Samples shown here", facts.evidence.sampling.verdict))
        detection = facts.evidence.detection
        if detection is not None and detection.concern:
            words.append(("List of anomalous rows", detection.concern))
    quotable = status == "trusted"
    return Headline(
        status=status,
        label=label,
        answer=answer,
        reasons=reasons(facts.view, facts.evidence, facts.marginals, facts.dependence),
        found=findings(facts.view, facts.evidence, facts.rows, facts.dependence, facts.units),
        tiles=[*_score_tiles(facts.view, quotable), *_size_tiles(facts)],
        words=words,
    )


def _status(facts: Facts) -> tuple[str, str, str]:
    fault = _fault(facts)
    if fault:
        return "untrusted", "Not to be trusted", f"No. {fault}"
    density = facts.view.density
    if not density.judgment.baselines:
        return (
            "untrusted",
            "Not to be trusted",
            "No. A simpler density does better on the held-out rows, beyond chance.",
        )
    if not density.trusted:
        return (
            "ranking",
            "Ranking only",
            "Only as a ranking. Its log-densities share an unknown offset: compare rows with each other, but do not "
            "quote the values.",
        )
    if not density.has_residual:
        return (
            "trusted",
            "Trusted",
            f"Yes. It is its base alone, a {base_name(density.chosen)}, so its log-densities are exact and may be quoted.",
        )
    return "trusted", "Trusted", "Yes. Its log-densities may be quoted, with their interval."


def _fault(facts: Facts) -> str:
    """What forbids any use of the model, in a sentence; empty if nothing does."""
    if not math.isfinite(facts.view.density.log_partition.value):
        return "Its log Z is not finite, so something went wrong in training."
    held_out = facts.view.metrics.get("held_out") or {}
    if held_out and not math.isfinite(number(held_out, "log_likelihood")):
        return "The log-densities of the held-out rows are not finite."
    if facts.evidence is None:
        return ""
    scored = ~np.isnan(facts.evidence.log_density)
    values = facts.evidence.log_density[scored]
    if not np.isfinite(values).all():
        return "Some of its log-densities are not finite."
    n_rows = len(np.unique(facts.evidence.values[scored], axis=0))
    n_values = len(np.unique(values))
    if n_values < MIN_DISTINCT * n_rows:
        return f"Its scores have collapsed: {count(n_values)} distinct values for {count(n_rows)} distinct rows."
    return ""


def _score_tiles(view: RunView, quotable: bool) -> list[Tile]:
    tiles = []
    held_out = view.metrics.get("held_out") or {}
    if held_out:
        value = number(held_out, "log_likelihood")
        half = NORMAL_95 * number(held_out, "standard_error")
        rows = f"{count(number(held_out, 'n_rows'))} rows, which chose the state that was kept"
        interval = f"95 % interval {fixed(value - half)} to {fixed(value + half)}; {rows}"
        gain = value - number(held_out, "independent")
        start = f"these have {fixed(number(held_out, 'independent'))}, the Gaussian fit {fixed(number(held_out, 'gaussian'))}"
        if quotable:
            tiles.append(Tile("held-out log-density, nats per row", fixed(value), interval))
            tiles.append(
                Tile("gain over independent columns, nats per row", fixed(gain, signed=True), start)
            )
        else:
            no = f"not to be quoted; the estimate is {fixed(value)} nats per row, of {rows}"
            tiles.append(Tile("held-out log-density", "–", no))
    found = view.density.log_partition
    exact = found.standard_error == 0 and found.low == found.high
    bracket = (
        "exact"
        if exact
        else f"95 % interval {fixed(found.low)} to {fixed(found.high)}, by {method_name(found.method)}"
    )
    tiles.append(Tile("log Z, nats", fixed(found.value), bracket))
    return tiles


def _size_tiles(facts: Facts) -> list[Tile]:
    view, evidence = facts.view, facts.evidence
    columns = view.density.columns
    tiles = []
    if evidence is not None and evidence.detection is not None:
        shown = f"of {count(evidence.n_rows)} rows, at a false-discovery rate of {percent(FDR)}"
        tiles.append(Tile("anomalous rows", count(evidence.detection.n_listed), shown))
    rows = number(view.metrics, "rows")
    rows = float(view.n_table_rows or columns.n_rows) if math.isnan(rows) else rows
    n_columns = len(columns.fields)
    modeled = "" if columns.n_modeled == n_columns else f"; {count(columns.n_modeled)} are modeled"
    tiles.append(Tile("rows × columns", f"{count(rows)} × {count(n_columns)}", f"in the table{modeled}"))  # fmt: skip
    return [*tiles, _model_tile(facts)]


def _model_tile(facts: Facts) -> Tile:
    density = facts.view.density
    if not density.has_residual:
        return Tile("hidden units", "–", f"none: the base alone, {base_name(density.chosen)}")
    alive = (
        ""
        if facts.units is None
        else f"{facts.units.n_alive} respond to the rows shown, in {ways(facts.units.n_kinds)}"
    )
    return Tile("hidden units", count(density.model.n_hidden), alive)
