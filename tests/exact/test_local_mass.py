"""The mass near the lowest places never exceeds Z, and is found where a mode stands alone."""

import numpy as np
import pytest

from harmonium.likelihood.local_mass import local_bound

MEANS = {1: [[0.0], [40.0]], 2: [[0.0, 0.0], [30.0, -20.0]], 20: [[0.0] * 20, [10.0] * 20]}
SHARES = np.log([1e-5, 1.0])


def two_modes(n_visible):
    """Minus log of two unit Gaussians with masses 1e-5 and 1, and draws of either."""
    means = np.asarray(MEANS[n_visible])

    def free_energies(rows):
        squares = ((rows[:, None] - means) ** 2).sum(axis=2)
        joint = SHARES - 0.5 * squares - 0.5 * n_visible * np.log(2 * np.pi)
        return -np.logaddexp.reduce(joint, axis=1)

    rng = np.random.default_rng(n_visible)
    return free_energies, [mean + rng.normal(size=(1000, n_visible)) for mean in means]


@pytest.mark.parametrize("n_visible", MEANS)
def test_a_mode_that_few_rows_have_met_is_integrated(n_visible):
    free_energies, (light, heavy) = two_modes(n_visible)
    rows = np.concatenate([light, heavy[:60]])
    exact = np.logaddexp.reduce(SHARES)
    found = local_bound(free_energies, rows, np.random.default_rng(0))
    # A few columns are integrated well by Gaussians at 32 neighbors, many less so.
    assert exact - (0.5 if n_visible < 3 else 6.0) < found < exact + 0.02
    # Without rows there, the mode stays unknown.
    alone = local_bound(free_energies, light, np.random.default_rng(0))
    assert alone < SHARES[0] + 0.02


@pytest.mark.parametrize("n_visible", MEANS)
def test_the_bound_holds_for_many_seeds(n_visible):
    free_energies, rows = two_modes(n_visible)
    exact = np.logaddexp.reduce(SHARES)
    values = [
        local_bound(free_energies, np.concatenate(rows), np.random.default_rng(seed))
        for seed in range(40)
    ]
    assert max(values) < exact + 0.02


def test_copies_and_infinite_energies_leave_no_bound_that_is_not_a_number():
    rows = np.zeros((200, 3))
    rows[100:] = np.random.default_rng(0).normal(size=(100, 3))
    found = local_bound(lambda x: (x**2).sum(axis=1), rows, np.random.default_rng(0))
    assert -np.inf < found < 1.5 * np.log(np.pi) + 0.02
    nowhere = local_bound(lambda x: np.full(len(x), np.inf), rows, np.random.default_rng(0))
    assert nowhere == -np.inf
