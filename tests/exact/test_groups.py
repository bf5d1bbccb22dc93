"""Groups of cells that are wrong together. Kind of truth: densities of SciPy, joint less marginal;
enumeration of pairs; a grid.

To 1e-8 in float64. Seeds: mixtures 0 to 2, rows 5, tables 0 and 7.
"""

from itertools import combinations

import numpy as np
import pytest
from exact import brute
from scipy.special import logsumexp
from scipy.stats import cauchy, multivariate_normal

from harmonium.data import Columns, Marginals, Table
from harmonium.inference import DetectorSettings, explain, fit_detector, groups
from harmonium.inference.groups import Groups, Moments, likeliest_groups
from harmonium.inference.views import ANYWHERE, Scale, Space

MIXTURES = (brute.random_mixture(4, 3, seed=0), brute.random_mixture(4, 2, seed=1))
ROWS = 1.5 * np.random.default_rng(5).normal(size=(7, 4))
PAIRS = tuple(combinations(range(4), 2))


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-8, atol=1e-8)


def log_marginal(mixture, row, cells):
    """log q of some coordinates of a row, by SciPy."""
    cells = list(cells)
    return logsumexp(
        [
            np.log(weight)
            + multivariate_normal.logpdf(row[cells], mean[cells], covariance[np.ix_(cells, cells)])
            for weight, mean, covariance in zip(*brute.mixture_parts(mixture), strict=True)
        ]
    )


def log_right(mixture, row, cells):
    """log q(cells given the others)."""
    others = [j for j in range(len(row)) if j not in cells]
    return log_marginal(mixture, row, range(len(row))) - log_marginal(mixture, row, others)


def log_wrong(mixture, row, cells):
    """Half of another row, half anywhere."""
    anywhere = cauchy.logpdf(row[list(cells)], scale=ANYWHERE).sum()
    return np.logaddexp(log_marginal(mixture, row, cells), anywhere) - np.log(2)


def groups_of(mixture, rows=ROWS):
    return Groups.of(Moments.of(mixture), rows)


def every(*cells):
    """The same group in every row."""
    return np.tile(np.array(cells, dtype=int), (len(ROWS), 1))


@pytest.mark.parametrize("mixture", MIXTURES)
@pytest.mark.parametrize("cells", [(), (2,), (3, 0)])
def test_densities_of_groups_are_joint_less_marginal(mixture, cells):
    found = groups_of(mixture)
    right, wrong = found.right(every(*cells)), found.wrong(every(*cells))
    assert right.shape == wrong.shape == ROWS.shape
    for i, row in enumerate(ROWS):
        for j in set(range(4)) - set(cells):
            close(right[i, j], log_right(mixture, row, (*cells, j)))
            close(wrong[i, j], log_wrong(mixture, row, (*cells, j)))


def test_every_row_may_have_a_group_of_its_own():
    found = groups_of(MIXTURES[0])
    own = np.arange(len(ROWS))[:, None] % 4
    doubts = found.doubts(own)
    for i, j in enumerate(own[:, 0]):
        close(doubts[i], found.doubts(every(j))[i])


def test_pairs_are_symmetric_and_no_cell_is_in_a_group_twice():
    found = groups_of(MIXTURES[0])
    doubts = np.stack([found.doubts(every(j)) for j in range(4)], axis=1)
    assert np.all(np.diagonal(doubts, axis1=1, axis2=2) == -np.inf)
    close(doubts, np.swapaxes(doubts, 1, 2))


def test_densities_of_pairs_given_the_others_integrate_to_one():
    line = np.linspace(-12, 12, 241)
    row = np.tile(ROWS[0], (len(line) ** 2, 1))
    row[:, [1, 3]] = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    found = groups_of(MIXTURES[0], row).right(np.full((len(row), 1), 1))
    assert np.exp(found[:, 3]).sum() * (line[1] - line[0]) ** 2 == pytest.approx(1, abs=1e-6)


# Spaces


def spaces_of(values):
    """Two spaces of different mixtures, in the same coordinates."""
    columns = Columns.fit(Table(values, tuple("abcd")))
    marginals = Marginals.fit(columns, values, "affine", atoms=False)
    scale = Scale.of_points(marginals, values)
    return tuple(Space(scale, pair, values[:9]) for pair in (MIXTURES, MIXTURES[:1]))


VALUES = np.random.default_rng(0).normal(size=(60, 4))
SPACES = spaces_of(VALUES)
ALL_THERE = np.zeros(VALUES.shape, dtype=bool)


def single_doubts(values):
    given = [space.conditionals(values, space.places(values[:1]))[:, :, -1] for space in SPACES]
    wrong = [space.wrong(values) for space in SPACES]
    return np.mean(wrong, axis=0) - np.mean(given, axis=0)


def doubt_of(row, cells):
    """The mean over the spaces of what the mean density of their mixtures says."""
    found = []
    for space in SPACES:
        own, n = space.mixtures, np.log(len(space.mixtures))
        others = [j for j in range(4) if j not in cells]
        whole, rest, group = (
            logsumexp([log_marginal(mixture, row, part) for mixture in own]) - n
            for part in (range(4), others, cells)
        )
        anywhere = cauchy.logpdf(row[list(cells)], scale=ANYWHERE).sum()
        found.append(np.logaddexp(group, anywhere) - np.log(2) - whole + rest)
    return np.mean(found)


def test_doubts_of_empty_groups_are_those_of_cells():
    single = single_doubts(VALUES)
    rows = SPACES[0].scale.forward(VALUES)
    nobody = np.zeros((len(rows), 0), dtype=int)
    found = [Groups.of(Moments.of(space.pooled), rows).doubts(nobody) for space in SPACES]
    close(np.mean(found, axis=0), single)


def test_pairs_are_the_likeliest_of_all_and_larger_groups_grow_from_them():
    # More rows than are explained at once.
    single = single_doubts(VALUES)
    rows = SPACES[0].scale.forward(VALUES)
    pairs, doubts = likeliest_groups(SPACES, VALUES, single, ALL_THERE, 2)
    triples, more = likeliest_groups(SPACES, VALUES, single, ALL_THERE, 3)
    for i, row in enumerate(rows[:20]):
        by_pair = {pair: doubt_of(row, pair) for pair in PAIRS}
        best = max(by_pair, key=lambda pair: by_pair[pair])
        assert set(pairs[i]) == set(best) and single[i, pairs[i, 0]] >= single[i, pairs[i, 1]]
        close(doubts[i], by_pair[best])
        np.testing.assert_array_equal(triples[i, :2], pairs[i])
        by_third = {j: doubt_of(row, (*best, j)) for j in set(range(4)) - set(best)}
        assert triples[i, 2] == max(by_third, key=lambda j: by_third[j])
        close(more[i], max(by_third.values()))


def test_groups_of_one_are_the_most_doubtful_cells():
    single = single_doubts(VALUES)
    cells, doubts = likeliest_groups(SPACES, VALUES, single, ALL_THERE, 1)
    np.testing.assert_array_equal(cells[:, 0], single.argmax(axis=1))
    np.testing.assert_array_equal(doubts, single.max(axis=1))


def test_in_wide_tables_pairs_begin_with_the_most_doubtful_cells(monkeypatch):
    monkeypatch.setattr(groups, "MOST_STARTS", 1)
    single = single_doubts(VALUES)
    pairs, _ = likeliest_groups(SPACES, VALUES, single, ALL_THERE, 2)
    np.testing.assert_array_equal(pairs[:, 0], single.argmax(axis=1))
    rows = SPACES[0].scale.forward(VALUES)
    for row, (start, found) in zip(rows[:10], pairs, strict=False):
        others = [j for j in range(4) if j != start]
        assert found == max(others, key=lambda j: doubt_of(row, (start, j)))


def test_missing_cells_are_taken_last():
    missing = np.random.default_rng(7).random(VALUES.shape) < 0.5
    single = single_doubts(VALUES)
    for size in (1, 2, 3, 4):
        cells, doubts = likeliest_groups(SPACES, VALUES, single, missing, size)
        taken = np.take_along_axis(missing, cells, axis=1).sum(axis=1)
        np.testing.assert_array_equal(taken, np.maximum(size - (~missing).sum(axis=1), 0))
        np.testing.assert_array_equal(doubts < -1e200, taken > 0)
        assert all(len(set(own)) == size for own in cells.tolist())


# Detectors


def tied_table(n, seed):
    """Two columns that are tied tightly, and three that are each tied to them loosely."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 1))
    return common + rng.normal(size=(n, 5)) * [0.05, 0.05, 0.3, 0.3, 0.3]


def test_a_pair_from_another_row_is_found_where_its_cells_vouch_for_each_other():
    """Given its partner, each of the two looks right: one after the other they are not found."""
    detector = fit_detector(Table(tied_table(800, 0), tuple("abcde"), ()), DetectorSettings())
    rows, other = tied_table(200, 1), tied_table(200, 2)
    rows[:, :2] = np.where(np.abs(other - rows)[:, :1] > 1.5, other, rows)[:, :2]
    swapped = rows[np.all(rows[:, :2] == other[:, :2], axis=1)]
    assert len(swapped) > 40
    found = explain(detector, swapped, group_size=2)
    assert np.mean(np.isin(found.top(1), [0, 1])) < 0.2
    assert np.mean(np.all(np.sort(found.group, axis=1) == [0, 1], axis=1)) > 0.9
    # The pair is blamed more than any one cell.
    assert np.median(found.group_contributions - found.contributions.max(axis=1)) > 0


def test_two_columns_have_one_pair():
    table = tied_table(200, 0)[:, [0, 2]]
    detector = fit_detector(Table(table, ("a", "b")), DetectorSettings())
    found = explain(detector, table[:9], group_size=2)
    np.testing.assert_array_equal(np.sort(found.group, axis=1), np.tile([0, 1], (9, 1)))
    assert np.all(np.isfinite(found.group_contributions))
