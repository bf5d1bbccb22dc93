"""When evidence is an alarm, and how often a false one is raised at most.

Capital that is bet from row s on multiplies by the factors of all later rows. Nobody knows the row
s at which a drift begins, so that capital is put in at every row: each bet holds the sum over s of
what has become of it (Shiryaev and Roberts). How much comes in at row t is the rule of an alarm.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import numpy as np

from harmonium.inference.checks import Checks

# The later capital comes in, the less of it is left, as slowly as may be: SLOW / log(SLOW + t).
SLOW = float(np.e)


class AbstractAlarmRule(ABC):
    """How much capital comes into every bet, and what evidence is an alarm."""

    @property
    @abstractmethod
    def threshold(self) -> float:
        """Evidence, weighted by the share of its channel, that raises an alarm."""

    @property
    @abstractmethod
    def restarts(self) -> bool:
        """Whether the evidence of a channel begins anew after its alarm."""

    @abstractmethod
    def waiting(self, n_rows: np.ndarray) -> np.ndarray:
        """Capital that is not yet in the bets after so many rows; it counts as evidence."""

    @abstractmethod
    def entering(self, row: np.ndarray) -> np.ndarray:
        """Capital that comes into every bet at a row, numbered from 1."""

    @abstractmethod
    def describe(self) -> str:
        """What is guaranteed, in words."""


@final
@dataclass(frozen=True)
class Ever(AbstractAlarmRule):
    """Of exchangeable streams, however long, at most a share `alpha` ever raises an alarm.

    The capital is 1 in all, so that evidence is a nonnegative martingale of mean 1, which reaches
    1 / alpha with a probability of at most alpha (Ville 1939).
    """

    alpha: float

    def __post_init__(self):
        Checks("Monitor").share("alpha", self.alpha)

    @property
    def threshold(self) -> float:
        """1 / alpha."""
        return 1 / self.alpha

    @property
    def restarts(self) -> bool:
        """Never: what was found stays found."""
        return False

    def waiting(self, n_rows: np.ndarray) -> np.ndarray:
        """1 before the first row, and nearly nothing after very many."""
        return 1 / np.log(SLOW + n_rows)

    def entering(self, row: np.ndarray) -> np.ndarray:
        """What is no longer waiting."""
        return self.waiting(row - 1.0) - self.waiting(row)

    def describe(self) -> str:
        """What is guaranteed, in words."""
        return (
            f"Of streams without drift, at most {100 * self.alpha:g} % ever raise an alarm, "
            "however long they are (Ville's inequality)."
        )


@final
@dataclass(frozen=True)
class Restarting(AbstractAlarmRule):
    """In exchangeable rows at most one false alarm in `run_length` rows is expected.

    A capital of 1 comes in at every row, and is lost at an alarm: evidence less the number of rows
    is a martingale, of which an alarm takes its threshold (e-detectors: Shin, Ramdas, Rinaldo 2024;
    Vovk, "Retrain or not retrain", 2021).
    """

    run_length: float

    def __post_init__(self):
        Checks("Monitor").number("run_length", self.run_length, "at least 2 rows", 2)

    @property
    def threshold(self) -> float:
        """The run length."""
        return self.run_length

    @property
    def restarts(self) -> bool:
        """Always."""
        return True

    def waiting(self, n_rows: np.ndarray) -> np.ndarray:
        """None."""
        return np.zeros(np.shape(n_rows))

    def entering(self, row: np.ndarray) -> np.ndarray:
        """1 at every row."""
        return np.ones(np.shape(row))

    def describe(self) -> str:
        """What is guaranteed, in words."""
        return (
            f"In rows without drift, at most one false alarm in {self.run_length:g} rows is "
            "expected; evidence begins anew after an alarm."
        )
