"""Kind of truth: exact. Online p-values over all orders of a few scores; ties and long streams by
statistics at 5 sigma (seed 0)."""

from fractions import Fraction
from itertools import permutations
from math import factorial

import numpy as np
import pytest

from harmonium.inference.monitoring import BLOCK, _draws
from harmonium.inference.online_ranks import OnlineRanks

N = 5


def p_values(scores, marks, places, capacity):
    """Those of one channel, (rows,)."""
    draws = np.stack([np.asarray(marks, float), np.broadcast_to(places, len(scores))])[:, :, None]
    ranks, found = OnlineRanks.empty(1, capacity), []
    for start in range(0, len(scores), BLOCK):
        part = slice(start, start + BLOCK)
        own = np.asarray(scores[part], float)[:, None]
        ranks, p = ranks.advance(own, draws[:, part])
        found.append(p[:, 0])
    return np.concatenate(found)


def intervals(scores, marks, capacity):
    """Both ends of the interval that each p-value is drawn from evenly, as fractions of whole
    numbers."""
    ends = [p_values(scores, marks, place, capacity) for place in (0.0, 1.0)]
    return [
        tuple(Fraction(round(float(end) * row), row) for end in pair)
        for row, pair in enumerate(zip(*ends, strict=True), start=1)
    ]


@pytest.mark.parametrize("capacity", [1, 2, 4, 9])
@pytest.mark.parametrize("scores", [(3, 1, 4, 9, 2), (0, 0, 1, 1, 1), (7, 7, 7, 7, 7)])
def test_over_all_orders_p_values_are_jointly_uniform(scores, capacity):
    """The mean density of the p-values of all orders is 1 everywhere in the cube, which says that
    they are uniform and independent."""
    points = np.random.default_rng(0).random((12, N))
    marked = zip(scores, np.linspace(0.1, 0.9, N), strict=True)
    orders = [intervals(*zip(*order, strict=True), capacity) for order in permutations(marked)]
    for point in points:
        total = Fraction(0)
        for order in orders:
            if all(low <= q < high for q, (low, high) in zip(point, order, strict=True)):
                density = Fraction(1)
                for low, high in order:
                    density /= high - low
                total += density
        assert total == factorial(N)


def test_ranks_of_a_kept_past_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    scores, marks, places = rng.integers(0, 9, 60).astype(float), rng.random(60), rng.random(60)
    found = p_values(scores, marks, places, 100)
    for row in range(60):
        own = (scores[row], marks[row])
        below = sum((scores[i], marks[i]) < own for i in range(row))
        assert found[row] == pytest.approx((below + places[row]) / (row + 1), abs=1e-12)


@pytest.mark.parametrize("capacity", [4, 1000])
def test_a_long_stream_of_ties_has_uniform_and_independent_p_values(capacity):
    rng = np.random.default_rng(0)
    n = 20_000
    found = p_values((rng.random(n) < 0.03).astype(float), rng.random(n), rng.random(n), capacity)
    cells = np.floor(10 * found).astype(int)
    pairs = 10 * cells[1:] + cells[:-1]
    for counts in (np.bincount(cells, minlength=10), np.bincount(pairs, minlength=100)):
        expected = counts.sum() / len(counts)
        excess = ((counts - expected) ** 2 / expected).sum() - (len(counts) - 1)
        assert abs(excess) < 5 * np.sqrt(2 * len(counts))


def test_batches_and_holes_change_nothing():
    rng = np.random.default_rng(0)
    scores, draws = rng.normal(size=(300, 3)), rng.random((2, 300, 3))
    scores[rng.random((300, 3)) < 0.3] = np.nan
    scores[5, 0], scores[250, 1] = np.inf, -np.inf
    whole, expected = OnlineRanks.empty(3, 50).advance(scores, draws)
    assert np.array_equal(np.isnan(expected), np.isnan(scores))
    ranks, found = OnlineRanks.empty(3, 50), []
    for start, end in ((0, 1), (1, 40), (40, 41), (41, 300)):
        ranks, own = ranks.advance(scores[start:end], draws[:, start:end])
        found.append(own)
    np.testing.assert_array_equal(np.concatenate(found), expected)
    for name in ("cuts", "counts", "n_seen"):
        np.testing.assert_array_equal(getattr(ranks, name), getattr(whole, name))
    # A channel sees the observed cells alone.
    rows = ~np.isnan(scores[:, 2])
    _, alone = OnlineRanks.empty(1, 50).advance(scores[rows][:, 2:], draws[:, rows][:, :, 2:])
    np.testing.assert_array_equal(alone[:, 0], expected[rows, 2])


def test_random_numbers_of_a_block_are_those_after_the_blocks_before():
    whole = _draws(3, 0, 0, (20, 4))
    parts = [_draws(3, 0, 0, (12, 4)), _draws(3, 0, 12, (8, 4))]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    assert len(np.unique(whole)) == whole.size
    assert not np.isin(_draws(3, 1, 0, (20, 4)), whole).any()
    assert not np.isin(_draws(4, 0, 0, (20, 4)), whole).any()
