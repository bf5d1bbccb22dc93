"""When scores beat others. Kind of truth: differences whose means are known."""

from types import SimpleNamespace

import equinox as eqx
import numpy as np
import pytest

from harmonium.learning.selection import beats, mean_of_copies, shrunken

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


def test_copies_of_a_row_count_once():
    rows = gains(0.05)
    copies = np.concatenate([rows + 0.1, rows - 0.1, rows, rows[:100]])
    found = mean_of_copies(copies, N)
    np.testing.assert_allclose(found, rows, atol=1e-12)
    simpler = np.zeros(N)
    # Taken for rows of their own, they would be beyond chance.
    assert beats(copies, np.zeros(len(copies))) and not beats(found, simpler)


class Averaged(eqx.Module):
    """What of a model is multiplied."""

    weights: float = 1.0
    visible_bias: float = 2.0


class Stage(eqx.Module):
    """A state of training."""

    averaged: Averaged = Averaged()


def trainer_of(values, ess):
    """A trainer whose evaluation depends on the share of the energy alone."""

    def evaluate(state):
        share = state.averaged.weights
        assert state.averaged.visible_bias == pytest.approx(2 * share)
        return {"validation_log_likelihood": values(share), "running_ess": ess(share)}

    return SimpleNamespace(evaluate=evaluate)


@pytest.mark.parametrize(
    ("values", "ess", "expected"),
    [
        (lambda share: -((share - 0.72) ** 2), lambda share: 1e4, 0.7),
        (lambda share: share, lambda share: 1e4, 1.0),
        (lambda share: -share, lambda share: 1e4, 0.05),
        # A value that rests on few draws is none, however high.
        (lambda share: share, lambda share: 150 / share, 0.7),
        (lambda share: -share, lambda share: 1.0, 1.0),
        (lambda share: np.nan, lambda share: 1e4, 1.0),
    ],
)
@pytest.mark.usefixtures("unannotated")
def test_held_out_rows_choose_the_share_of_an_energy(values, ess, expected):
    share, state = shrunken(trainer_of(values, ess), Stage())
    assert share == expected
    assert state.averaged.weights == pytest.approx(expected)


@pytest.mark.usefixtures("unannotated")
def test_a_small_share_of_the_last_state_may_be_worth_the_most():
    def evaluate(state):
        energy = state.averaged.weights
        return {"validation_log_likelihood": energy, "running_ess": 1000 / energy}

    early, last = (Stage(Averaged(size, 2 * size)) for size in (1.0, 30.0))
    share, state = shrunken(SimpleNamespace(evaluate=evaluate), early, last)
    # Whole, the early state has the value 1; of the last, 0.12 is the first share that counts.
    assert share == 0.12
    assert state.averaged.weights == pytest.approx(3.6)
