"""Monitoring a stream of rows: what has come in so far, and what it says of a drift."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float

from harmonium.inference.alarms import AbstractAlarmRule
from harmonium.inference.evidence import Evidence
from harmonium.inference.online_ranks import OnlineRanks
from harmonium.inference.watching import KINDS, Watched
from harmonium.typing import Values

# Rows that are taken up at once. Rows beyond the last whole block are kept, and taken up again with
# the next ones, so that every row is computed in the same company however a stream is split.
BLOCK = 256
# Rows that are kept for comparison: the first ones, and the latest.
KEPT = 1000
# Records of the evidence over time, at most.
RECORDS = 512
# Streams of random numbers: of the stream itself, and of the rows that it is compared with.
STREAM, REFERENCE = 0, 1

Records = Float[np.ndarray, "records figures"]


@dataclass(frozen=True, eq=False)
class Progress:
    """All that is kept of the rows so far.

    `first` and `latest` (rows, columns) are rows as they came, `first` of the reference where there
    is one. `records` (records, 1 + kinds) are numbers of rows, every `stride`, with the log of the
    evidence of every kind after them, weighted by shares; NaN for a kind that is not watched.
    """

    ranks: OnlineRanks
    evidence: Evidence
    first: Values
    latest: Values
    records: Records
    stride: int


@dataclass(frozen=True, eq=False)
class Monitoring:
    """A stream of rows that is watched for drift.

    `settled` is the progress after whole blocks of rows, and `pending` (rows, columns) those after
    the last one. `n_reference` counts the rows that the stream is compared with from its first row
    on.
    """

    watched: Watched
    rule: AbstractAlarmRule
    seed: int
    n_reference: int
    settled: Progress
    pending: Values

    @staticmethod
    def begin(
        watched: Watched, rule: AbstractAlarmRule, *, reference: Values | None = None, seed: int = 0
    ) -> "Monitoring":
        """Before the first row; `reference` (rows, columns) are rows without drift that shaped
        nothing.

        Without a reference, scores of whole rows are compared with those of the calibration rows,
        if there are any, and those of cells with the first rows of the stream.
        """
        n_channels = len(watched.channels)
        nothing = np.zeros((0, len(watched.marginals.columns.names)))
        ranks = OnlineRanks.empty(n_channels)
        if reference is None:
            scores = np.full((len(watched.calibration), n_channels), np.nan)
            scores[:, 0] = watched.calibration
        else:
            blocks = [reference[i : i + BLOCK] for i in range(0, len(reference), BLOCK)]
            scores = np.concatenate([watched.scores(block) for block in blocks])
        for start in range(0, len(scores), BLOCK):
            block = scores[start : start + BLOCK]
            ranks, _ = ranks.advance(block, _draws(seed, REFERENCE, start, block.shape))
        progress = Progress(
            ranks=ranks,
            evidence=Evidence.none(n_channels),
            first=nothing if reference is None else reference[:KEPT],
            latest=nothing,
            records=np.zeros((0, 1 + len(KINDS))),
            stride=1,
        )
        n_reference = 0 if reference is None else len(reference)
        return Monitoring(watched, rule, seed, n_reference, progress, nothing)

    @property
    def n_rows(self) -> int:
        """How many rows of the stream came in."""
        return self.settled.evidence.n_rows + len(self.pending)

    def updated(self, values: Values) -> "Monitoring":
        """With further rows of the stream (rows, columns)."""
        waiting = np.concatenate([self.pending, values])
        settled, n_whole = self.settled, len(waiting) - len(waiting) % BLOCK
        for start in range(0, n_whole, BLOCK):
            settled = self._advanced(settled, waiting[start : start + BLOCK])
        return replace(self, settled=settled, pending=waiting[n_whole:])

    @cached_property
    def progress(self) -> Progress:
        """That after all rows."""
        return self._advanced(self.settled, self.pending) if len(self.pending) else self.settled

    @property
    def evidence(self) -> Evidence:
        """That after all rows."""
        return self.progress.evidence

    @property
    def log_level(self) -> float:
        """The log of the largest evidence of a channel, weighted by shares."""
        with np.errstate(divide="ignore"):
            return float(np.log(self.evidence.level * self.watched.shares).max())

    @property
    def alarm_row(self) -> int | None:
        """The row of the first alarm, from 1."""
        rows = self.evidence.first_alarm
        return int(rows[rows > 0].min()) if (rows > 0).any() else None

    def _advanced(self, progress: Progress, block: Values) -> Progress:
        """Progress after a block of rows."""
        watched, n_before = self.watched, progress.evidence.n_rows
        scores = watched.scores(block)
        draws = _draws(self.seed, STREAM, n_before, scores.shape)
        ranks, p_values = progress.ranks.advance(scores, draws)
        evidence, levels = progress.evidence.advance(p_values, self.rule, watched.shares)
        n_lacking = 0 if self.n_reference else KEPT - len(progress.first)
        records, stride = self._recorded(progress, levels)
        return Progress(
            ranks=ranks,
            evidence=evidence,
            first=np.concatenate([progress.first, block[:n_lacking]]),
            latest=np.concatenate([progress.latest, block])[-KEPT:],
            records=records,
            stride=stride,
        )

    def _recorded(self, progress: Progress, levels: np.ndarray) -> tuple[Records, int]:
        """The records with those of further rows, and their distance: twice as far apart once there
        are too many.
        """
        numbers = progress.evidence.n_rows + 1 + np.arange(len(levels))
        kinds = np.array([channel.kind for channel in self.watched.channels])
        new = np.full((len(levels), 1 + len(KINDS)), np.nan)
        new[:, 0] = numbers
        with np.errstate(divide="ignore"):
            logs = np.maximum(np.log(levels * self.watched.shares), np.log(np.finfo(float).tiny))
        for place, kind in enumerate(KINDS, start=1):
            if (kinds == kind).any():
                new[:, place] = logs[:, kinds == kind].max(axis=1)
        stride = progress.stride
        records = np.concatenate([progress.records, new[numbers % stride == 0]])
        while len(records) > RECORDS:
            stride *= 2
            records = records[records[:, 0] % stride == 0]
        return records, stride


def _draws(seed: int, stream: int, n_before: int, shape: tuple[int, ...]) -> np.ndarray:
    """Two uniform numbers for every score of a block, (2, rows, channels), after those of so many
    rows.
    """
    bits = np.random.PCG64([seed, stream])
    # Every number takes one step of the generator.
    bits.advance(2 * n_before * shape[1])
    return np.random.Generator(bits).random((shape[0], 2, shape[1])).swapaxes(0, 1)
