"""Pairs of categories that no row has. Kind of truth: counts by hand, and shares of rows within 5
standard errors; NumPy seeds 0 and 1.
"""

import numpy as np
import pytest
from scipy.special import ndtri

from harmonium.artifact.unseen import build_unseen, describe_unseen
from harmonium.data import Columns, Field, Marginals, Table
from harmonium.inference.unseen import Unseen, coded_columns, find_unseen, keep_seen

FIELDS = tuple(Field(name, "text", "categorical", ("a", "b")) for name in "xy")


@pytest.fixture(scope="module")
def table():
    """300 rows of two columns, of which (1, 1) never occurs; and their marginals."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2, size=(400, 2)).astype(float)
    values = values[values.sum(axis=1) < 2]
    return values, Marginals.fit(Columns.fit(Table(values, ("x", "y"), FIELDS)), values)


def independent(marginals, n):
    """Draws u of columns that know nothing of each other."""
    return ndtri(np.random.default_rng(1).random((n, marginals.n_columns)))


def test_what_draws_have_too_often_is_left_to_the_rule_of_succession(table):
    values, marginals = table
    assert coded_columns(marginals.columns) == [0, 1]
    draws = independent(marginals, 4000)
    (found,) = find_unseen(marginals, values, draws)
    assert found.is_seen.sum() == 3
    rows = marginals.restore(draws)
    share = np.mean(rows.sum(axis=1) == 2)
    allowed = 1 / (len(values) + 2)
    # Of the draws that pass, the allowed share has the pair.
    passing = share * np.exp(found.log_factor)
    assert passing / (passing + 1 - share) == pytest.approx(allowed)


def test_rows_that_have_every_pair_leave_nothing_out(table):
    marginals = table[1]
    rows = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    assert find_unseen(marginals, rows, independent(marginals, 1000)) == ()


def test_a_pair_passes_by_its_share_and_the_order_stays(table):
    marginals = table[1]
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 2, size=(40_000, 2)).astype(float)
    own = [marginals.parts[j].index(np.array([1.0]))[0] for j in (0, 1)]
    is_seen = np.ones((2, 2), bool)
    is_seen[own[0], own[1]] = False
    kept = keep_seen((Unseen(0, 1, is_seen, np.log(0.1)),), marginals, rows, 20_000, rng)
    share, truth = np.mean(kept.sum(axis=1) == 2), 0.1 / 3.1
    assert abs(share - truth) < 5 * np.sqrt(truth / 20_000)
    # Where too few pass, the others fill up.
    none = keep_seen((Unseen(0, 1, is_seen, -np.inf),), marginals, np.ones((5, 2)), 3, rng)
    assert none.tolist() == [[1.0, 1.0]] * 3


def test_missing_cells_have_no_pair():
    own = Unseen(0, 1, np.zeros((2, 2), bool), 0.0)
    assert own.is_hit(np.array([-1, 0]), np.array([0, 1])).tolist() == [False, True]


def test_pairs_are_stored_and_read_again(table):
    values, marginals = table
    found = find_unseen(marginals, values, independent(marginals, 4000))
    config, arrays = describe_unseen(found)
    (again,) = build_unseen(config, {"is_seen": arrays["is_seen"].astype(float)}, marginals)
    assert again[:2] == found[0][:2] and again.log_factor == found[0].log_factor
    np.testing.assert_array_equal(again.is_seen, found[0].is_seen)
