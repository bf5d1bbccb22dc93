"""Whether a base falls short of held-out rows. Kind of truth: divergences in closed form."""

import jax
import numpy as np
import pytest

from harmonium import DensityEstimator, Harmonium
from harmonium.inference.shortfall import MOST_ROWS, N_JUDGED_BY, falls_short, gain_of_trees
from harmonium.inference.stages import NOTHING_TO_GAIN
from harmonium.learning.rows import CompleteRows

N_HELD_OUT = 4000


def gain(draw_row, n_held_out=N_HELD_OUT, n_copies=1):
    """Of rows drawn by `draw_row(rng, n)` beside standard normal draws in two columns."""
    rng = np.random.default_rng(0)
    rows, held_out = draw_row(rng, MOST_ROWS), draw_row(rng, n_held_out)
    draws = rng.normal(size=(MOST_ROWS + N_JUDGED_BY, 2))
    return gain_of_trees(rows, np.tile(held_out, (n_copies, 1)), draws, n_held_out, 0)


def test_nothing_is_gained_where_rows_are_such_draws():
    found = gain(lambda rng, n: rng.normal(size=(n, 2)))
    assert not found.is_seen and found.mean < 5 * found.standard_error


@pytest.mark.parametrize("shift", [0.5, 1.0])
def test_the_gain_is_a_lower_bound_of_the_divergence(shift):
    found = gain(lambda rng, n: rng.normal(size=(n, 2)) + np.array([shift, 0.0]))
    divergence = shift**2 / 2
    assert found.is_seen and found.mean < divergence + 5 * found.standard_error
    assert found.mean > 0.6 * divergence


def test_copies_of_rows_make_no_gain_certain():
    def shifted(rng, n):
        return rng.normal(size=(n, 2)) + np.array([0.3, 0.0])

    once, often = gain(shifted, 60), gain(shifted, 60, n_copies=16)
    assert often == pytest.approx(once)


def bent(rng, n):
    """Rows beside those of N(0, I/2): the second column follows the square of the first."""
    first = rng.normal(size=n)
    return np.stack([first, first**2 - 1 + 0.3 * rng.normal(size=n)], axis=1) / 2


@pytest.mark.parametrize("is_bent", [False, True])
def test_a_gaussian_falls_short_of_bent_rows_alone(is_bent):
    rng, key = np.random.default_rng(0), jax.random.key(0)
    draw = bent if is_bent else lambda rng, n: rng.normal(size=(n, 2)) / 2**0.5
    rows, unseen = (CompleteRows(jax.numpy.asarray(draw(rng, n))) for n in (500, 100))
    assert falls_short(key, Harmonium(2, 4, key=key), rows, unseen, 0) == is_bent


def test_a_single_row_tells_nothing():
    rows, key = CompleteRows(jax.numpy.zeros((4, 2))), jax.random.key(0)
    unseen = CompleteRows(jax.numpy.zeros((4, 2)), n_copies=4)
    assert falls_short(key, Harmonium(2, 4, key=key), rows, unseen, 0)


@pytest.mark.parametrize("effort", ["normal", "quick"])
def test_a_base_that_leaves_nothing_gets_no_energy(effort):
    rows = np.random.default_rng(0).normal(size=(400, 2))
    fitted = DensityEstimator(effort=effort).fit(rows)
    assert not fitted.chosen_.residual
    assert (NOTHING_TO_GAIN in fitted.density_.training) == (effort == "normal")
