"""What `harmonium detect` does: with one table, or with every table of a folder."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harmonium.cli.batches import Batch, absolute, say_result, table_of, tell_failed
from harmonium.cli.detect import (
    CONFIDENCE,
    Found,
    choose_calibration,
    decide,
    explain_chosen,
    found_columns,
    measure_rows,
    naming_column,
    open_detector,
    score_rows,
    whole_batches,
)
from harmonium.cli.folders import PASSING, Outcome
from harmonium.cli.guarantees import Guarantee
from harmonium.cli.journal import Answer, digest
from harmonium.cli.layout import wrapped
from harmonium.cli.low_rows import LowRow, list_rows, lowest_rows
from harmonium.cli.options import ALARM, FAILED, find_detector
from harmonium.cli.output import joined, print_json
from harmonium.cli.places import Place
from harmonium.cli.progress import showing
from harmonium.cli.shell import errors, progress
from harmonium.cli.streaming import write_batches


@dataclass(frozen=True)
class Asked:
    """What `detect` is asked for: the rate of its flags and what they rest on, how many of the
    lowest rows are listed, how many reasons are written, and the column that names rows.
    """

    fdr: float
    guarantee: Guarantee
    training: Path | None
    calibrate: Path | None
    top: int
    n_reasons: int
    named: str | None

    def settings(self) -> dict[str, Any]:
        """What decides on the results, as plain values; tables by their digests."""
        tables = {"--training": self.training, "--calibrate": self.calibrate}
        digests = {name: None if path is None else digest(path) for name, path in tables.items()}
        own = {"--fdr": self.fdr, "--guarantee": self.guarantee.stated()}
        return {**own, "--explain": self.n_reasons, "--id": self.named, **digests}


@dataclass(frozen=True)
class Detected:
    """What was found in a table: all scores, the flags with the reasons, the lowest rows, and how
    many of the flagged rows can be normal.
    """

    scores: np.ndarray
    found: Found
    listed: list[LowRow]
    most_false: int

    @property
    def n_flagged(self) -> int:
        """How many rows are flagged."""
        return int(self.found.decision.flagged.sum())

    def figures(self) -> Answer:
        """What `--json` says of the table."""
        return {
            "rows": len(self.scores),
            "n_flagged": self.n_flagged,
            "most_false": self.most_false,
            "confidence": CONFIDENCE,
        }


class DetectTable:
    """Finds the odd rows of one table after the other. Its parts are read from files once."""

    def __init__(self, model: Path, asked: Asked):
        self._asked = asked
        self.opened = open_detector(model, asked.calibrate)
        self._calibration = choose_calibration(self.opened, asked.guarantee, asked.training)

    def __call__(self, data: Path, result: Path) -> Answer:
        """What was found in a table, all rows of which are written to `result`."""
        detected = self.find(data)
        self.write(data, detected, result)
        decision = detected.found.decision
        verdict = f"{decision.promise} {decision.concern}".strip()
        lowest = [asdict(row) for row in detected.listed]
        return {**detected.figures(), "verdict": verdict, PASSING: lowest}

    def find(self, data: Path) -> Detected:
        """Scores, flags and reasons, in a pass over the table for each."""
        asked, opened = self._asked, self.opened
        named = naming_column(opened, data, asked.named)
        scores = score_rows(opened, data)
        decision = decide(
            self._calibration, measure_rows(opened, data, self._calibration, scores), asked.fdr
        )
        found = explain_chosen(
            *(opened, data, scores, decision), top=asked.top, n_reasons=asked.n_reasons, named=named
        )
        listed = lowest_rows(opened.detector, scores, decision.p_values, asked.top, found.explained)
        return Detected(scores, found, listed, opened.most_false(scores, decision.flagged))

    def write(self, data: Path, detected: Detected, path: Path, format: str | None = None) -> None:
        """Write all rows, with what was found of them beside their own cells."""
        batches = whole_batches(self.opened, data, detected.scores, detected.found)
        write_batches(path, batches, format)

    def columns(self, detected: Detected) -> dict[str, Any]:
        """What was found of all rows, as lists by name."""
        every = range(len(detected.scores))
        return joined([found_columns(self.opened, detected.scores, detected.found, every)])


def detect_one(
    model: Path, data: Path, place: Place, asked: Asked, *, as_json: bool, hint: str
) -> int:
    """Find the odd rows of a table, and tell; how many are flagged."""
    with showing(progress()):
        work = DetectTable(model, asked)
    with table_of(data) as table:
        # Asked for a wrong column, a user sees no progress.
        naming_column(work.opened, table, asked.named)
        with showing(progress()):
            detected = work.find(table)
            if place.path is not None:
                work.write(table, detected, place.path, place.format)
            columns = work.columns(detected) if as_json and place.path is None else {}
    decision = detected.found.decision
    if as_json:
        figures = {**detected.figures(), "fdr": asked.fdr, "guarantee": asked.guarantee.stated()}
        verdict = work.opened.verdict(decision.promise, decision.concern)
        lowest = [asdict(row) for row in detected.listed]
        print_json({**figures, "verdict": verdict, PASSING: lowest, **columns})
        return detected.n_flagged
    flagged = f"{detected.n_flagged} flagged at FDR {asked.fdr:g}"
    say_result(place, f"{len(detected.scores)} rows{place.named()}; {flagged}")
    if detected.listed:
        say_result(place, list_rows(detected.listed, detected.found.named))
    if detected.most_false < detected.n_flagged:
        bound = f"At most {detected.most_false} of the {detected.n_flagged} flagged rows are normal"
        say_result(place, wrapped(f"{bound}, with {CONFIDENCE:.0%} confidence."))
    promise = decision.promise if decision.flagged.any() else ""
    errors.print(wrapped(work.opened.in_short(promise, decision.concern)))
    if place.path is None:
        progress().print(f"All rows: {hint}")
    return detected.n_flagged


def detect_many(model: Path, batch: Batch, asked: Asked, *, as_json: bool) -> tuple[int, bool]:
    """Find the odd rows of every table of a folder, and tell; how many are flagged, and whether no
    table failed.
    """
    with showing(progress()):
        work = DetectTable(model, asked)
        there = replace(
            asked, training=absolute(asked.training), calibrate=absolute(asked.calibrate)
        )
        arguments = {"model": model.resolve(), "asked": there}
        settings = {"command": "detect", "model": digest(find_detector(model)), **asked.settings()}
        outcome = batch.run(work, DetectTable, arguments, settings)
    lowest = _lowest_of_all(outcome, asked.top)
    n_flagged = outcome.total("n_flagged")
    if as_json:
        figures = {**outcome.figures(), "n_flagged": n_flagged, "fdr": asked.fdr}
        rest = {"guarantee": asked.guarantee.stated(), "verdict": work.opened.verdict("")}
        print_json({**figures, **rest, PASSING: lowest})
    else:
        flagged = f"{n_flagged} flagged at FDR {asked.fdr:g} in each"
        print(f"{outcome.in_words()}{batch.place.named()}; {flagged}")
        if lowest:
            print(list_rows([_named_by_table(row) for row in lowest], "table"))
        errors.print(wrapped(work.opened.in_short("")))
    tell_failed(outcome)
    return n_flagged, not outcome.failed


def exit_code(n_flagged: int, *, is_whole: bool, fail_on_flagged: bool) -> int:
    """That of failed work comes before that of flagged rows."""
    if not is_whole:
        return FAILED
    return ALARM if fail_on_flagged and n_flagged else 0


def _lowest_of_all(outcome: Outcome, n: int) -> list[dict[str, Any]]:
    """The lowest rows of all tables that were done now."""
    rows = [
        {"file": name, **row}
        for name, answer in outcome.done.items()
        for row in answer.get(PASSING, [])
    ]
    return sorted(rows, key=lambda row: row["score"])[:n]


def _named_by_table(row: Mapping[str, Any]) -> LowRow:
    own = LowRow(**{name: value for name, value in row.items() if name != "file"})
    return replace(own, id=row["file"] if own.id is None else f"{row['file']}: {own.id}")


def _stated(asked: Asked) -> str:
    return ":".join(filter(None, asked.guarantee))
