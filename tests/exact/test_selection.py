"""When scores beat others. Kind of truth: differences whose means are known."""

import numpy as np
import pytest

from harmonium.learning.selection import beats

N = 1000


def gains(mean, odd=()):
    """Gains of so many rows around a mean, and those of odd ones."""
    usual = np.random.default_rng(0).normal(size=N)
    found = mean + (usual - usual.mean()) / usual.std()
    found[: len(odd)] = odd
    return found


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (gains(0.1), True),
        (gains(0.03), False),
        (gains(-0.1), False),
        # Two odd rows hide by their spread what all others gain, and change nothing of it.
        (gains(0.5, [3000.0, 8000.0]), True),
        # They are no gain of the others.
        (gains(0.0, [3000.0, 8000.0]), False),
        (gains(-0.2, [3000.0, 8000.0]), False),
        # What odd rows lose counts in full.
        (gains(0.5, [-3000.0]), False),
        # Odd rows that are many are no chance.
        (gains(0.0, np.full(50, 100.0)), True),
    ],
)
def test_gains_beyond_chance(found, expected):
    simpler = np.random.default_rng(1).normal(size=N)
    assert beats(simpler + found, simpler) is expected


def test_a_single_row_tells_nothing():
    assert not beats(np.array([9.0]), np.array([0.0]))
