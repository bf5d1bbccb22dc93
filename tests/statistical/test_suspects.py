"""Kind of truth: statistical. Rows left out where abnormal ones are among the training rows. Seeds:
NumPy 0."""

import numpy as np
import pytest

from harmonium.inference.contamination import with_least_spread, without_suspects

RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=(450, 4))
# All alike: a density of the rows has a mode here.
GROUP = RNG.normal(size=(50, 4)) * 0.2 + np.array([5.0, -5.0, 5.0, 5.0])
MIXED = np.concatenate([NORMAL, GROUP])[RNG.permutation(500)]


def test_a_group_of_like_rows_is_left_out():
    is_kept = without_suspects(MIXED, 0.1, seed=0)
    assert is_kept.shape == (500,) and is_kept.sum() == 400
    assert np.all(np.abs(MIXED[is_kept]) < 4.5)


@pytest.mark.parametrize(("share", "n_kept"), [(0.01, 490), (0.2, 300), (0.5, 250)])
def test_twice_the_share_is_left_out_and_half_of_the_rows_at_most(share, n_kept):
    assert without_suspects(MIXED, share, seed=0).sum() == n_kept


def test_the_same_seed_leaves_the_same_rows_out():
    once, again = (without_suspects(NORMAL, 0.1, seed=3) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, without_suspects(NORMAL, 0.1, seed=4))


def test_a_column_that_varies_only_in_rows_left_out_has_a_unit():
    rare = np.where(np.arange(500) < 25, 1.0, 0.0)
    rows = np.column_stack([RNG.normal(size=500), rare])
    units = with_least_spread(rows, np.arange(500) >= 25, np.random.default_rng(1))
    # Five standard errors of a standard deviation of 475 rows.
    assert units.std(axis=0)[1] == pytest.approx(0.1 * rare.std(), rel=5 / np.sqrt(2 * 475))
    assert units.std(axis=0)[0] == pytest.approx(1, rel=5 / np.sqrt(2 * 475))


def test_rows_that_are_all_kept_stay_as_they_are():
    found = with_least_spread(NORMAL, np.ones(450, dtype=bool), np.random.default_rng(1))
    np.testing.assert_array_equal(found, NORMAL)
