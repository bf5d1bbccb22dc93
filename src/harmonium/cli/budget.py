"""The time budget of a command: it holds from the call to the last file."""

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harmonium.inference import DensitySettings

# Share of a budget that the fit of the density keeps, whatever else there is to do.
LEAST_SHARE = 0.3


class _Clock:
    """Seconds since the command was called."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def restart(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began


clock = _Clock()


def seconds_left(budget: float | None) -> float:
    """What the command has left of a budget: nothing when it is spent, infinity without one."""
    return math.inf if budget is None else max(budget - clock.seconds, 0.0)


def shortened(settings: "DensitySettings", afterwards: float) -> "DensitySettings":
    """Settings that leave the fit of the density what the command has spent so far, and what is to
    come after the fit (seconds), do not take; nothing changes without a budget.
    """
    budget = settings.time_budget
    if budget is None:
        return settings
    left = max(budget - clock.seconds - afterwards, LEAST_SHARE * budget)
    return replace(settings, time_budget=left)
