"""Kind of truth: exact (closed forms, an independent root finder) and statistical at 5 sigma.

Gaussian works obey Crooks' relation. Let w = F_upper - F_lower and r = log Z_upper - log Z_lower.
The upper density is the lower one times exp(-w - r), so the law of w above is that below times
exp(-w - r). If w ~ N(mu, s²) below, normalization gives -r = mu - s²/2, that is mu = d + s²/2 with
d = -r, and completing the square makes w ~ N(mu - s², s²) = N(d - s²/2, s²) above. The bridge must
find r = -d.

Seeds: works 0 to 199, other works 1000 to 1009.
"""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit

from harmonium.likelihood.bridge import bridge


def gaussian_works(rng, shape, differences, spreads):
    """Works (ladders, swaps, pairs) that obey Crooks' relation, one d and one s per pair."""
    d, s = np.asarray(differences), np.asarray(spreads)
    up = d + s**2 / 2 + s * rng.normal(size=shape)
    down = d - s**2 / 2 + s * rng.normal(size=shape)
    return up, down


def bennett(up, down):
    """The root of Bennett's equation of one pair, by another solver and with equal numbers of
    draws."""

    def excess(ratio):
        return np.sum(expit(-(up + ratio))) - np.sum(expit(down + ratio))

    ends = -np.concatenate([up.ravel(), down.ravel()])
    return brentq(excess, ends.min() - 5, ends.max() + 5, xtol=1e-12, rtol=1e-14)


@pytest.mark.parametrize(
    ("differences", "spreads"),
    [([0.0], [1.0]), ([3.0], [1.5]), ([-40.0], [2.5]), ([1.0, -2.0, 0.5], [0.5, 1.0, 2.0])],
)
def test_gaussian_works_give_the_known_ratio(differences, spreads):
    rng = np.random.default_rng(1000)
    shape = (32, 400, len(differences))
    found = bridge(*gaussian_works(rng, shape, differences, spreads))
    expected = -np.sum(differences)
    assert 0 < found.standard_error < 0.1
    assert abs(found.value - expected) < 5 * found.standard_error
    # Upside down, works are exchanged and change their sign, and the ratio changes its own.
    up, down = gaussian_works(np.random.default_rng(1000), shape, differences, spreads)
    back = bridge(-down, -up)
    assert back.value == pytest.approx(-found.value, abs=1e-9)
    assert back.standard_error == pytest.approx(found.standard_error, rel=1e-6)


@pytest.mark.parametrize(("n_up", "n_down"), [(400, 20), (20, 400)])
def test_numbers_of_draws_may_differ(n_up, n_down):
    # Bennett's general equation: sum_up s(-(w + r + M)) = sum_down s(w + r + M) with M = log(n_up /
    # n_down).
    rng = np.random.default_rng(1008)
    up, _ = gaussian_works(rng, (32, n_up, 2), [1.0, -2.0], [1.0, 1.5])
    _, down = gaussian_works(rng, (32, n_down, 2), [1.0, -2.0], [1.0, 1.5])
    found = bridge(up, down)
    ratio = np.log(n_up / n_down)
    expected = sum(bennett(up[..., pair], down[..., pair]) - ratio for pair in range(2))
    assert found.value == pytest.approx(expected, abs=1e-8)
    assert 0 < found.standard_error < 0.1
    assert abs(found.value - 1.0) < 5 * found.standard_error
    # More draws on one side are worth something.
    few = bridge(up[:, :20], down[:, :20])
    assert found.standard_error < few.standard_error
    constant = bridge(np.full((8, n_up, 1), 0.7), np.full((8, n_down, 1), 0.7))
    assert constant.value == pytest.approx(-0.7, abs=1e-8)


def test_ladders_of_one_origin_count_once():
    up, down = gaussian_works(np.random.default_rng(1009), (24, 5, 2), [1.0, 0.0], [1.0, 1.5])
    once = bridge(up, down)
    origins = np.repeat(np.arange(24) * 3, 10)
    often = bridge(np.repeat(up, 10, axis=0), np.repeat(down, 10, axis=0), origins)
    assert often.value == pytest.approx(once.value, abs=1e-8)
    assert often.standard_error == pytest.approx(once.standard_error, rel=1e-6)
    fooled = bridge(np.repeat(up, 10, axis=0), np.repeat(down, 10, axis=0))
    assert fooled.standard_error < 0.5 * once.standard_error
    assert bridge(up, down, np.zeros(24, int)).standard_error > 1e5


def test_the_wrong_sign_of_crooks_would_show():
    # Works exchanged: no choice of r explains them, and the bridge is far from -d and from d.
    up, down = gaussian_works(np.random.default_rng(1001), (32, 400, 1), [1.0], [1.5])
    found = bridge(down, -up)
    assert abs(found.value + 1.0) > 20 * found.standard_error


@pytest.mark.parametrize("n_draws", [(4, 5), (32, 100), (1, 50)])
def test_bennetts_equation_is_solved_as_by_brentq(n_draws):
    rng = np.random.default_rng(1002)
    up, down = gaussian_works(rng, (*n_draws, 3), [2.0, -7.0, 0.3], [0.4, 1.2, 3.0])
    expected = sum(bennett(up[..., pair], down[..., pair]) for pair in range(3))
    assert bridge(up, down).value == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("constant", [-30.0, 0.0, 0.7, 1e4])
def test_works_without_spread_are_the_answer(constant):
    works = np.full((8, 20, 2), constant)
    found = bridge(works, works)
    assert found.value == pytest.approx(-2 * constant, abs=1e-8)
    assert found.standard_error == pytest.approx(0.0, abs=1e-8)


def test_a_constant_added_to_all_works_is_taken_off_the_ratio():
    up, down = gaussian_works(np.random.default_rng(1003), (16, 50, 2), [1.0, -1.0], [1.0, 2.0])
    plain = bridge(up, down)
    shift = np.array([3.0, -8.5])
    shifted = bridge(up + shift, down + shift)
    assert shifted.value == pytest.approx(plain.value - shift.sum(), abs=1e-8)
    assert shifted.standard_error == pytest.approx(plain.standard_error, rel=1e-6)


def test_the_order_of_draws_within_a_ladder_does_not_matter_and_neither_does_that_of_ladders():
    rng = np.random.default_rng(1004)
    up, down = gaussian_works(rng, (12, 30, 2), [1.0, -1.0], [1.0, 2.0])
    plain = bridge(up, down)
    for order in ((rng.permutation(12), slice(None)), (slice(None), rng.permutation(30))):
        again = bridge(up[order], down[order])
        assert again.value == pytest.approx(plain.value, abs=1e-9)
        assert again.standard_error == pytest.approx(plain.standard_error, rel=1e-9)


def independent(rng):
    """All draws independent of each other."""
    return gaussian_works(rng, (24, 60, 3), [1.0, -1.0, 0.0], [0.7, 1.3, 1.0])


def alike_within_a_ladder(rng):
    """Every swap of a ladder meets the same works: 24 draws and not 24 · 60."""
    up, down = gaussian_works(rng, (24, 1, 3), [1.0, -1.0, 0.0], [0.7, 1.3, 1.0])
    return np.repeat(up, 60, axis=1), np.repeat(down, 60, axis=1)


def alike_between_pairs(rng):
    """All pairs of a ladder meet the same noise: errors add up, and not their squares."""
    up, down = gaussian_works(rng, (24, 60, 1), [0.5], [1.0])
    return np.repeat(up, 3, axis=2), np.repeat(down, 3, axis=2)


def both_sides_alike(rng):
    """The noise of both sides of a pair is common: their errors add up too."""
    noise = rng.normal(size=(24, 60, 1))
    return 1.5 + noise, 0.5 + noise


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (independent, 0.0),
        (alike_within_a_ladder, 0.0),
        (alike_between_pairs, -1.5),
        (both_sides_alike, -1.0),
    ],
)
@pytest.mark.slow
def test_standard_errors_are_the_spread_over_repetitions(draw, expected):
    found = [bridge(*draw(np.random.default_rng(seed))) for seed in range(200)]
    values = np.array([f.value for f in found])
    errors = np.array([f.standard_error for f in found])
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(ddof=1), rel=0.25)
    brute_error = values.std(ddof=1) / np.sqrt(len(values))
    # Bennett's ratio is consistent: its bias is of the order of its variance.
    assert abs(values.mean() - expected) < 5 * brute_error + values.var()
    covered = np.mean(np.abs(values - expected) < 1.96 * errors)
    assert 0.86 < covered <= 1.0


def test_repeated_swaps_do_not_shrink_the_standard_error():
    up, down = gaussian_works(np.random.default_rng(1005), (24, 1, 2), [1.0, 0.0], [1.0, 1.5])
    once = bridge(up, down)
    often = bridge(np.repeat(up, 100, axis=1), np.repeat(down, 100, axis=1))
    assert often.value == pytest.approx(once.value, abs=1e-8)
    assert often.standard_error == pytest.approx(once.standard_error, rel=1e-8)
    # Fresh draws do: an error that never shrinks would pass the lines above.
    fresh = bridge(
        *gaussian_works(np.random.default_rng(1006), (24, 100, 2), [1.0, 0.0], [1.0, 1.5])
    )
    assert fresh.standard_error < 0.2 * once.standard_error


def test_huge_works_stay_finite():
    # What `ladders` puts in place of works that are not finite.
    up, down = gaussian_works(np.random.default_rng(1007), (8, 20, 1), [1.0], [1.0])
    up[0, 0, 0], down[1, 1, 0] = 1e6, -1e6
    found = bridge(up, down)
    assert np.isfinite(found.value) and np.isfinite(found.standard_error)
    assert abs(found.value + 1.0) < 1.0
