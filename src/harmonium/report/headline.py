"""The head of the page: can it be trusted, and what did it find?"""

import math
from dataclasses import dataclass

from harmonium.likelihood.result import NORMAL_95
from harmonium.report.anomalies import OddRows
from harmonium.report.evidence import FDR
from harmonium.report.findings import findings
from harmonium.report.overview import Overview
from harmonium.report.verdicts import Seen, State, Verdict, verdicts, worst
from harmonium.report.view import RunView
from harmonium.report.words import count, fixed, listed, number, percent


@dataclass(frozen=True)
class Tile:
    """One key number: what it is, its value, and a note."""

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class Headline:
    """The head of the page. `state` is the worst of its verdicts; `status` is "trusted", "caution",
    "ranking" or "untrusted".
    """

    state: State
    status: str
    label: str
    answer: str
    verdicts: list[Verdict]
    found: list[str]
    tiles: list[Tile]
    words: list[tuple[str, str]]


def make_headline(seen: Seen, odd: OddRows | None, table: Overview | None) -> Headline:
    """The answers, with their grounds and the key numbers."""
    found = verdicts(seen)
    status, label, answer = _answer(seen.view, found)
    return Headline(
        state=worst(found),
        status=status,
        label=label,
        answer=answer,
        verdicts=found,
        found=findings(seen.view, seen.evidence, odd, table, seen.dependence),
        tiles=[*_size_tiles(seen), *_score_tiles(seen.view)],
        words=_word_for_word(seen),
    )


def _answer(view: RunView, found: list[Verdict]) -> tuple[str, str, str]:
    of_density = found[0]
    doubts = [own.clause for own in found if own.state == "caution"]
    faults = [own.clause for own in found if own.state == "bad"]
    if faults:
        return "untrusted", "Not to be trusted", " ".join(faults)
    if of_density.state == "caution":
        others = [own.clause for own in found[1:] if own.state == "caution"]
        more = f" Also, {listed(others)}." if others else ""
        return (
            "ranking",
            "Ranking only",
            "Its log-densities share an unknown offset: compare rows with each other, but do not "
            f"quote the values.{more}",
        )
    if doubts:
        return (
            "caution",
            "With caution",
            f"{of_density.clause[0].upper()}{of_density.clause[1:]}, but {listed(doubts)}.",
        )
    clauses = listed(own.clause for own in found)
    return "trusted", "Trusted", f"{clauses[0].upper()}{clauses[1:]}."


def _word_for_word(seen: Seen) -> list[tuple[str, str]]:
    words = [("Density", seen.view.density.verdict)]
    if seen.view.detector is not None:
        words.append(("Detector", seen.view.detector.verdict))
    if seen.evidence is not None:
        words.append(("Samples shown here", seen.evidence.sampling.verdict))
        detection = seen.evidence.detection
        if detection is not None and detection.concern:
            words.append(("List of odd rows", detection.concern))
    return words


def _size_tiles(seen: Seen) -> list[Tile]:
    view = seen.view
    columns = view.density.columns
    rows = number(view.metrics, "rows")
    rows = float(view.n_table_rows or columns.n_rows) if math.isnan(rows) else rows
    n_columns = len(columns.fields)
    modeled = "" if columns.n_modeled == n_columns else f"; {count(columns.n_modeled)} are modeled"
    size = f"{count(rows)} × {count(n_columns)}"
    tiles = [Tile("rows × columns", size, f"in the table{modeled}")]
    if seen.evidence is not None and (detection := seen.evidence.detection) is not None:
        note = f"of {count(detection.n_scored)}, at a false-discovery rate of {percent(FDR)}"
        tiles.append(Tile("odd rows", count(detection.n_listed), note))
    return tiles


def _score_tiles(view: RunView) -> list[Tile]:
    held_out = view.metrics.get("held_out") or {}
    if not held_out:
        return []
    value = number(held_out, "log_likelihood")
    if not view.density.trusted:
        note = f"not to be quoted; the estimate is {fixed(value)} nats per row"
        return [Tile("held-out log-density", "–", note)]
    half = NORMAL_95 * number(held_out, "standard_error")
    gain = value - number(held_out, "independent")
    n_rows = count(number(held_out, "n_rows"))
    interval = f"{fixed(value - half)} to {fixed(value + half)} (95 %), {n_rows} rows"
    of_gaussian = number(held_out, "gaussian") - number(held_out, "independent")
    start = f"the Gaussian fit has {fixed(of_gaussian, signed=True)}"
    return [
        Tile("held-out log-density, nats", fixed(value), interval),
        Tile("gain over independent columns", fixed(gain, signed=True), start),
    ]
