"""What is asked of a run, answered by the functions behind the estimators.

Rows that are scored together with those of other requests get the same scores as alone; everything
else is computed request by request.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from harmonium.data import Table, decode_columns
from harmonium.inference import Reason as FoundReason
from harmonium.inference import (
    SplitCalibration,
    draw_completions,
    expect_cells,
    explain,
    sample_given,
    settle,
)
from harmonium.inference.conditions import Span
from harmonium.service.cells import filled_rows, plain_rows
from harmonium.service.lanes import Lane
from harmonium.service.limits import Limits
from harmonium.service.messages import (
    Cell,
    DetectAnswer,
    DetectOptions,
    ImputeAnswer,
    ImputeOptions,
    Interval,
    Note,
    Reason,
    Row,
    SampleAnswer,
    SampleRequest,
    ScoreAnswer,
)
from harmonium.service.problems import ProblemError
from harmonium.service.run import ServedRun

# Draws are those of the next of these numbers of rows, cut to what was asked for: programs are
# compiled for these alone.
DRAWN = (64, 512, 4096)
# The same for completed tables.
COMPLETED = (8, 64)
# Rows that get reasons where nothing is said.
EXPLAINED = 16


class Asked(NamedTuple):
    """The rows of a request: as a table, as they came, and what is to be noted of them.

    `rows` are None where they came as Arrow; `cell(row, column)` is one of them in any case.
    """

    table: Table
    rows: list[Row] | None
    notes: list[Note]
    cell: Callable[[int, str], Cell]


class Answer(NamedTuple):
    """The body of an answer, and its entries per row as columns for Arrow."""

    body: Any
    columns: dict[str, Any]


class Questions:
    """The questions that a run is asked.

    What takes milliseconds and what takes longer run in lanes of their own.
    """

    def __init__(self, run: ServedRun, limits: Limits):
        self._run, self._limits = run, limits
        self.quick = Lane("quick", limits.waiting)
        self.slow = Lane("slow", limits.waiting)

    def close(self) -> None:
        """Answer what waits, and take nothing more."""
        self.quick.close()
        self.slow.close()

    async def score(self, asked: Asked) -> Answer:
        """The log-densities of rows, as `DensityEstimator.score_samples` has them."""
        density = self._run.density
        found = await self.quick.answer(density.log_density, asked.table.values, joint=True)
        body = ScoreAnswer(found.tolist(), density.trusted, density.verdict, asked.notes)
        return Answer(body, {"log_density": found})

    async def detect(self, asked: Asked, options: DetectOptions) -> Answer:
        """Scores, p-values, flags and reasons, as those of `AnomalyDetector`; the rows of the
        lowest scores are explained, together.
        """
        detector, values = self._run.detector, asked.table.values
        n_explained = self._n_explained(options, len(values))
        is_whole = not detector.missing(values).any()
        lane = self.quick if is_whole else self.slow
        scores = await lane.answer(detector.scores, values, joint=is_whole)
        decision = SplitCalibration(detector).select(scores[:, None], options.fdr)
        p_values = detector.p_values_of(scores)
        modelled = detector.modelled_p_values_of(scores)
        reasons: list[list[Reason] | None] = [None] * len(values)
        if n_explained:
            lowest = np.sort(np.argsort(scores, kind="stable")[:n_explained])
            found = await self.slow.answer(lambda rows: explain(detector, rows), values[lowest])
            for at, own in zip(lowest.tolist(), found.reasons, strict=True):
                reasons[at] = _reasons(own[: options.reasons], partial(asked.cell, at))
        body = DetectAnswer(
            *(scores.tolist(), p_values.tolist(), modelled.tolist(), decision.listed.tolist()),
            reasons=reasons,
            promise=decision.promise,
            concern=decision.concern,
            trusted=detector.trusted,
            verdict=detector.verdict,
            notes=asked.notes,
        )
        columns = {"score": scores, "p_value": p_values, "modelled_p_value": modelled}
        in_words = [own and [reason.text for reason in own] for own in reasons]
        columns |= {
            "flagged": decision.listed,
            "reasons": pa.array(in_words, pa.list_(pa.string())),
        }
        return Answer(body, columns)

    async def impute(self, asked: Asked, options: ImputeOptions) -> Answer:
        """Rows with missing cells filled, as `Imputer(n_trees=0)` fills them; with `draws` the
        first of the tables that it draws for the next of `COMPLETED`.
        """
        density, values, fields = self._run.density, asked.table.values, asked.table.fields
        n_tables, seed = max(options.draws, 1), options.random_state
        if n_tables * len(values) > self._limits.rows:
            most, got = self._limits.rows, n_tables * len(values)
            raise ProblemError(413, f"draws: expected at most {most} rows in all; got {got}.")

        # As if no cell of the training rows had been missing: they are not here to tell.
        observed = np.ones(density.columns.n_modeled)

        def fill(rows: np.ndarray) -> np.ndarray:
            if options.draws:
                n_drawn = next(n for n in COMPLETED if n >= n_tables)
                completed = np.tile(rows, (n_tables, 1, 1))
                drawn = draw_completions(density, rows, n_drawn, seed=seed, shares=observed)
                for batch in drawn:
                    completed[:, batch.rows] = batch.draws[:n_tables]
                return completed
            expected = expect_cells(density, rows, "squared", seed=seed)
            return settle(density, rows, expected.cells, as_cells=True)[None]

        tables = await self.slow.answer(fill, values)
        own = plain_rows(values, fields) if asked.rows is None else asked.rows
        rows = [row for table in tables for row in filled_rows(own, table, fields)]
        columns = decode_columns(tables.reshape(-1, values.shape[1]), fields)
        if options.draws:
            columns = {"draw": np.repeat(np.arange(n_tables) + 1, len(values)), **columns}
        return Answer(ImputeAnswer(rows, density.trusted, density.verdict, asked.notes), columns)

    async def sample(self, request: SampleRequest) -> Answer:
        """Drawn rows: the first of those that `DensityEstimator.sample` draws for the next of
        `DRAWN`.
        """
        density = self._run.density
        most = min(self._limits.rows, DRAWN[-1])
        if request.n > most:
            raise ProblemError(413, f"n: expected at most {most} rows; got {request.n}.")
        n_drawn = next(n for n in DRAWN if n >= request.n)
        given = {name: _wanted(own) for name, own in request.given.items()}
        seed, keep_unseen = request.random_state, request.keep_unseen

        def draw(_: np.ndarray) -> Any:
            if given:
                return sample_given(density, n_drawn, given, keep_unseen=keep_unseen, seed=seed)
            return density.sample(n_drawn, seed=seed, keep_unseen=keep_unseen)

        drawn, found = await self.slow.answer(draw, np.empty((0, 0)))
        kept = [i for i, field in enumerate(density.columns.fields) if field.kind != "identifier"]
        fields = [density.columns.fields[i] for i in kept]
        values = drawn[: request.n, kept]
        body = SampleAnswer(
            rows=plain_rows(values, fields),
            method=getattr(found, "way", "") or found.method,
            ess=found.ess,
            draws_trusted=found.trusted,
            draws_verdict=found.verdict,
            trusted=density.trusted,
            verdict=density.verdict,
        )
        return Answer(body, decode_columns(values, fields))

    def _n_explained(self, options: DetectOptions, n_rows: int) -> int:
        most = self._limits.explained_rows
        if options.reasons == 0:
            return 0
        if options.explain is msgspec.UNSET:
            return min(EXPLAINED, most, n_rows)
        if options.explain > most:
            raise ProblemError(
                413, f"explain: expected at most {most} rows with reasons; got {options.explain}."
            )
        return min(int(options.explain), n_rows)


def _reasons(found: Sequence[FoundReason], cell: Callable[[str], Cell]) -> list[Reason]:
    """Reasons of a row; the label of a category that training has not seen is in the row alone."""
    named = [replace(own, value=str(cell(own.column))) if own.is_unseen else own for own in found]
    return [msgspec.convert(asdict(own) | {"text": own.describe()}, Reason) for own in named]


def _wanted(own: Any) -> Any:
    """What `sample_given` is given for a column."""
    if isinstance(own, Interval):
        return Span(own.low, own.high, own.excludes_low, own.excludes_high)
    return frozenset(own) if isinstance(own, list) else own
