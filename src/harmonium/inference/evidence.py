"""Evidence against exchangeability, channel by channel, from p-values of successive rows."""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float

from harmonium.inference.alarms import AbstractAlarmRule
from harmonium.inference.betting import N_BETS, bet_factors

# Where evidence stops growing, which keeps it a number: stopping early gains nothing by chance.
LARGEST = 1e100
# Rows whose factors are computed at once.
FEW_ROWS = 16

PerBet = Float[np.ndarray, "channels bets"]
PerChannel = Float[np.ndarray, "channels"]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the bets of every channel hold after `n_rows` rows.

    `capital` (channels, bets) has all that came in, times the factors of the rows since then;
    `runs` what a capital of 1 has become that begins anew whenever it is below 1 (CUSUM), and
    `begun` the number of rows before that beginning. `level` (channels,) is the evidence now, in
    capital; `peak` the largest so far, or that at the latest alarm, and `since` the number of rows
    before the drift that it speaks of. `n_alarms` counts alarms, `first_alarm` and `latest_alarm`
    are their rows, from 1, 0 where there is none.
    """

    n_rows: int
    capital: PerBet
    runs: PerBet
    begun: PerBet
    level: PerChannel
    peak: PerChannel
    since: PerChannel
    n_alarms: PerChannel
    first_alarm: PerChannel
    latest_alarm: PerChannel

    @staticmethod
    def none(n_channels: int) -> "Evidence":
        """Before the first row."""
        zeros = np.zeros(n_channels)
        bets = np.zeros((n_channels, N_BETS))
        none = dict.fromkeys((field.name for field in fields(Evidence)[4:]), zeros)
        return Evidence(0, bets, bets, bets, **none)

    def advance(
        self, p_values: np.ndarray, rule: AbstractAlarmRule, shares: PerChannel
    ) -> tuple["Evidence", np.ndarray]:
        """The evidence after further rows with these p-values (rows, channels), NaN where there is
        none, and that after every one of them, (rows, channels).

        `shares` (channels,) add up to 1. An alarm of a channel is evidence of the threshold over
        its share: only by itself is a channel a martingale, since those of several rest on rows in
        common. The sum over channels bounds the probability, or the number, of false alarms.
        """
        copies = {field.name: getattr(self, field.name).copy() for field in fields(Evidence)[1:]}
        after = Evidence(self.n_rows + len(p_values), **copies)
        thresholds = rule.threshold / shares
        numbers = self.n_rows + 1.0 + np.arange(len(p_values))
        entering, waiting = rule.entering(numbers), rule.waiting(numbers)
        levels = np.empty(p_values.shape)
        for start in range(0, len(p_values), FEW_ROWS):
            for row, factors in enumerate(bet_factors(p_values[start : start + FEW_ROWS]), start):
                after._bet(factors, entering[row], waiting[row], numbers[row])
                after._judge(thresholds, numbers[row], restarts=rule.restarts)
                levels[row] = after.level
        return after, levels

    def _bet(self, factors: PerBet, entering: float, waiting: float, row: float) -> None:
        """Take a row, in place."""
        capital, runs = self.capital, self.runs
        capital += entering
        capital *= factors
        np.minimum(capital, LARGEST, out=capital)
        self.begun[runs <= 1] = row - 1
        np.maximum(runs, 1.0, out=runs)
        np.multiply(runs, factors, out=runs)
        np.minimum(runs, LARGEST, out=runs)
        self.level[:] = capital.mean(axis=1) + waiting

    def _judge(self, thresholds: PerChannel, row: float, *, restarts: bool) -> None:
        """See whether the evidence after a row is an alarm, or larger than before, in place."""
        is_alarm = self.level >= thresholds
        if not restarts:
            is_alarm &= self.n_alarms == 0
        alarmed = np.flatnonzero(is_alarm)
        higher = np.flatnonzero((self.level > self.peak) | is_alarm)
        if not len(higher):
            return
        self.peak[higher] = self.level[higher]
        self.since[higher] = self.begun[higher, self.capital[higher].argmax(axis=1)]
        self.first_alarm[alarmed] = np.where(
            self.n_alarms[alarmed] == 0, row, self.first_alarm[alarmed]
        )
        self.latest_alarm[alarmed] = row
        self.n_alarms[alarmed] += 1
        if restarts:
            self.capital[alarmed] = 0.0
