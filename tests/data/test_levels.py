"""Kind of truth: exact, where not said otherwise. Categories as intervals of a standard normal.

Integrals by the rectangle rule in the normal's own probability; 5 sigma with NumPy seeds as written.
"""

import itertools
import json
import re

import numpy as np
import pytest
from scipy.special import ndtr, ndtri
from scipy.stats import kstest, norm

from harmonium.data import Columns, Field, Table
from harmonium.data.levels import Levels, fit_levels
from harmonium.errors import InvalidInputError

COUNTS = {
    "two": [30.0, 70.0],
    "even": [25.0, 25.0, 25.0, 25.0],
    "uneven": [1.0, 500.0, 20.0, 7.0, 300.0],
    "one in a million": [1e6, 1.0, 10.0],
}
each = pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS.keys())


def levels_of(counts, seed=0):
    """Levels with codes in an order that is not sorted."""
    codes = np.random.default_rng(seed).permutation(len(counts)).astype(float)
    return Levels(codes, np.array(counts))


def places(n=20_000):
    """Fractions in the middle of equal shares of an interval."""
    return (np.arange(n) + 0.5) / n


@each
def test_shares_are_those_of_the_counts(counts):
    levels = levels_of(counts)
    np.testing.assert_allclose(levels.shares, np.array(counts) / sum(counts))
    np.testing.assert_allclose(np.diff(levels.edges), levels.shares, atol=1e-15)
    assert (levels.edges[0], levels.edges[-1]) == (0.0, pytest.approx(1.0))


def test_the_coded_column_is_standard_normal():
    """Statistical, seed 1: cells with the shares of the levels, each at a random place of its interval."""
    rng, levels = np.random.default_rng(1), levels_of([3.0, 50.0, 20.0, 7.0])
    cells = rng.choice(levels.codes, size=20_000, p=levels.shares)
    points = levels.spread(cells, rng.uniform(size=len(cells)))
    # The p-value of five standard deviations.
    assert kstest(points, "norm").pvalue > 2 * ndtr(-5.0)


@each
def test_decoding_inverts_spreading(counts):
    levels = levels_of(counts)
    for code, share in zip(levels.codes, levels.shares, strict=True):
        if share < 1e-10:
            continue
        points = levels.spread(np.full(1000, code), places(1000))
        np.testing.assert_array_equal(levels.decode(points), code)
        np.testing.assert_array_equal(np.sort(points), points)


@each
def test_points_lie_within_the_bounds_and_bounds_meet(counts):
    levels = levels_of(counts)
    low, high = levels.bounds(levels.codes)
    assert (low[0], high[-1]) == (-np.inf, np.inf)
    np.testing.assert_array_equal(low[1:], high[:-1])
    np.testing.assert_allclose(ndtr(high) - ndtr(low), levels.shares, rtol=1e-6)
    for place in (1e-6, 0.5, 1 - 1e-6):
        points = levels.spread(levels.codes, np.full(len(counts), place))
        assert np.all((low < points) & (points < high))
    # Just inside each end lies the category itself, just outside its neighbor.
    cuts = high[:-1]
    np.testing.assert_array_equal(levels.decode(cuts - 1e-6), levels.codes[:-1])
    np.testing.assert_array_equal(levels.decode(cuts + 1e-6), levels.codes[1:])


DENSITIES = {
    "the normal itself": norm.logpdf,
    "narrow": lambda y: norm.logpdf(y, 0.7, 0.3),
    "two modes": lambda y: (
        np.logaddexp(norm.logpdf(y, -1, 0.4), norm.logpdf(y, 1.5, 0.2)) - np.log(2)
    ),
}


@pytest.mark.parametrize("log_density", DENSITIES.values(), ids=DENSITIES.keys())
@pytest.mark.parametrize("counts", [COUNTS["two"], COUNTS["even"], COUNTS["uneven"]])
def test_the_masses_of_any_density_add_up_to_one(counts, log_density):
    """Averages of density times exp(log_weight) over places are the integrals over the intervals."""
    levels = levels_of(counts)
    masses = []
    for code in levels.codes:
        cells = np.full(200_000, code)
        points = levels.spread(cells, places(200_000))
        masses.append(np.mean(np.exp(log_density(points) + levels.log_weight(cells, points))))
    low, high = levels.bounds(levels.codes)
    integrals = []
    for start, end in zip(low, high, strict=True):
        # A finer rule in the value itself.
        y = np.linspace(max(start, -9), min(end, 9), 200_001)
        integrals.append(np.trapezoid(np.exp(log_density(y)), y))
    np.testing.assert_allclose(masses, integrals, atol=2e-5)
    assert sum(masses) == pytest.approx(1.0, abs=2e-5)


def test_under_the_normal_the_mass_is_the_share_at_every_place():
    levels = levels_of(COUNTS["uneven"])
    for place in (0.01, 0.5, 0.9):
        points = levels.spread(levels.codes, np.full(5, place))
        mass = norm.logpdf(points) + levels.log_weight(levels.codes, points)
        np.testing.assert_allclose(np.exp(mass), levels.shares, rtol=1e-12)


def test_the_order_does_not_matter_to_the_shares():
    for order in itertools.permutations(range(3)):
        levels = Levels(
            np.array([0.0, 1.0, 2.0])[list(order)], np.array([5.0, 2.0, 13.0])[list(order)]
        )
        points = levels.spread(np.array([0.0, 1.0, 2.0]), np.full(3, 0.3))
        mass = norm.logpdf(points) + levels.log_weight(np.array([0.0, 1.0, 2.0]), points)
        np.testing.assert_allclose(np.exp(mass), [0.25, 0.1, 0.65], rtol=1e-12)


def test_missing_and_unseen_cells_have_no_interval():
    levels = Levels(np.array([4.0, 1.0, 7.0]), np.array([2.0, 3.0, 5.0]))
    cells = np.array([np.nan, -1.0, 2.0, 9.0, 4.0])
    np.testing.assert_array_equal(levels.index(cells), [-1, -1, -1, -1, 0])
    spread, (low, high) = levels.spread(cells, 0.5), levels.bounds(cells)
    for found in (spread, low, high):
        np.testing.assert_array_equal(np.isnan(found), [True] * 4 + [False])
    np.testing.assert_array_equal(levels.log_weight(cells, np.ones(5))[:4], 0.0)
    np.testing.assert_array_equal(levels.decode(np.array([np.nan])), [np.nan])


def test_far_points_are_the_outer_categories():
    levels = levels_of(COUNTS["even"])
    far = np.array([-1e300, -40.0, 40.0, 1e300])
    np.testing.assert_array_equal(levels.decode(far), levels.codes[[0, 0, -1, -1]])
    assert np.all(np.isfinite(levels.spread(levels.codes, np.array([0.0, 0.0, 1.0, 1.0]))))


def test_the_order_follows_another_column():
    """Means of the other column by code: 0 -> 3, 1 -> -2, 2 -> 0, 3 -> 5."""
    rng = np.random.default_rng(2)
    cells = rng.integers(0, 4, 400).astype(float)
    other = np.array([3.0, -2.0, 0.0, 5.0])[cells.astype(int)] + 0.1 * rng.normal(size=400)
    other = (other - other.mean()) / other.std()
    codes = fit_levels(cells, other[:, None]).codes.tolist()
    assert codes == [1, 2, 0, 3]
    # The direction is that of rising codes.
    assert fit_levels(cells, -other[:, None]).codes.tolist() in (codes, codes[::-1])
    assert fit_levels(cells, np.zeros((400, 0))).codes.tolist() == [0, 1, 2, 3]


def test_counts_follow_their_codes():
    cells = np.array([2.0, 0.0, 2.0, np.nan, 5.0, 2.0, 0.0])
    other = np.array([1.0, -1.0, 1.0, 0.0, -3.0, 1.0, -1.0])
    levels = fit_levels(cells, other[:, None])
    counts = dict(zip(levels.codes.tolist(), levels.counts.tolist(), strict=True))
    assert counts == {0.0: 2.0, 2.0: 3.0, 5.0: 1.0}
    assert levels.codes.tolist() in ([5.0, 0.0, 2.0], [2.0, 0.0, 5.0])


def mixed():
    """Fitted columns of one number, one of three categories, and one of 0 and 1; with their values."""
    rng = np.random.default_rng(3)
    color = rng.integers(0, 3, 300).astype(float)
    values = np.column_stack([rng.normal(size=300) + color, color, rng.integers(0, 2, 300)])
    values[::9, 1] = np.nan
    fields = (
        Field("x"),
        Field("color", "text", "categorical", ("blue", "green", "red")),
        Field("flag", "boolean"),
    )
    return Columns.fit(Table(values, ("x", "color", "flag"), fields)), values


def test_the_kinds_and_rules_of_categories():
    columns, values = mixed()
    assert columns.kinds == ("continuous", "categorical", "binary")
    np.testing.assert_array_equal(columns.is_coded, [False, True, True])
    seen, missing, unseen = np.array([[0.0, 1, 1], [0.0, np.nan, 1], [0.0, -1, 1]])
    kept, broken = np.log(301 / 302), np.log(1 / 302)
    found = columns.log_rule(np.stack([seen, missing, unseen]))
    np.testing.assert_allclose(found, [2 * kept, kept, broken + kept])
    assert np.isnan(columns.modeled(unseen[None])[0, 1])
    np.testing.assert_array_equal(
        columns.restore(columns.dequantize(values, np.random.default_rng(4))), values
    )


def test_the_weights_of_a_row_add_up_over_its_categories():
    columns, values = mixed()
    points = columns.modeled(values[:5])
    parts = [
        levels.log_weight(values[:5, j], points[:, j])
        for j, levels in ((1, columns.levels[1]), (2, columns.levels[2]))
    ]
    np.testing.assert_allclose(
        columns.log_weight(values[:5], np.nan_to_num(points)),
        sum(
            np.where(np.isnan(values[:5, j]), 0.0, part)
            for j, part in zip((1, 2), parts, strict=True)
        ),
    )


def test_the_state_of_categories_survives_json():
    columns, values = mixed()
    config, arrays = columns.to_state()
    again = Columns.from_state(json.loads(json.dumps(config)), arrays)
    for own, other in zip(columns.levels[1:], again.levels[1:], strict=True):
        np.testing.assert_array_equal(own.codes, other.codes)
        np.testing.assert_array_equal(own.counts, other.counts)
    assert again.levels[0] is None
    place = np.array([0.0, 0.2, -0.3])
    np.testing.assert_array_equal(again.spread(values, place), columns.spread(values, place))


def changed(name, position, value):
    """A change of one number of an array of the state."""

    def change(arrays):
        array = np.array(arrays[name], np.float64)
        array[position] = value
        return {name: array}

    return change


HOSTILE = {
    "a code beyond the categories": (changed("codes", 0, 3.0), "codes below 3"),
    "a code between": (changed("codes", 0, 0.5), "codes below 3"),
    "a truth value of 2": (changed("codes", -1, 2.0), "the codes 0 and 1"),
    "a code twice": (lambda a: {"codes": a["codes"][[0, 0, 2, 3, 4]]}, "different codes"),
    "no counts": (changed("counts", 1, 0.0), "two or more counted levels"),
    "negative counts": (changed("counts", 1, -3.0), "two or more counted levels"),
    "infinite counts": (changed("counts", 1, np.inf), "finite counts"),
    "codes of nothing": (changed("codes", 1, np.nan), "finite codes"),
    "levels of a number": (
        lambda a: {"n_levels": np.array([3, 0, 2])},
        "two or more counted levels",
    ),
    "one level": (lambda a: {"n_levels": np.array([0, 1, 4])}, "two or more counted levels"),
    "half a level": (lambda a: {"n_levels": np.array([0, 2.5, 2.5])}, "two or more counted levels"),
    "negative levels": (lambda a: {"n_levels": np.array([0, -3, 8])}, "two or more counted levels"),
    "too many levels": (lambda a: {"n_levels": np.array([0, 3, 4])}, "two or more counted levels"),
    "huge levels": (lambda a: {"n_levels": np.array([0, 3, 1e18])}, "two or more counted levels"),
    "fewer counts than codes": (lambda a: {"counts": a["counts"][:-1]}, "counts of shape (5,)"),
    "texts for codes": (lambda a: {"codes": np.array(list("abcde"))}, "numbers in codes"),
}


@pytest.mark.parametrize(("change", "words"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_states_are_refused(change, words):
    config, arrays = mixed()[0].to_state()
    with pytest.raises(InvalidInputError, match=re.escape(words)):
        Columns.from_state(config, arrays | change(arrays))


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        (["continuous", "continuous", "binary"], "categorical columns of categorical fields"),
        (["continuous", "binary", "binary"], "categorical columns of categorical fields"),
        (["grid", "categorical", "binary"], "a positive step in grid columns only"),
        (["categorical", "categorical", "binary"], "categorical columns of categorical fields"),
    ],
)
def test_the_kind_of_a_column_has_to_fit_its_field(kinds, words):
    config, arrays = mixed()[0].to_state()
    lengths = {"continuous": 0, "grid": 0, "categorical": 3, "binary": 2}
    n_levels = np.array([lengths[kind] for kind in kinds])
    codes = np.concatenate([np.arange(float(n)) for n in n_levels])
    changed = {"n_levels": n_levels, "codes": codes, "counts": codes + 1}
    with pytest.raises(InvalidInputError, match=re.escape(words)):
        Columns.from_state(config | {"kinds": kinds}, arrays | changed)


def test_the_middle_of_an_interval_is_its_median():
    levels = Levels(np.array([0.0, 1.0]), np.array([1.0, 3.0]))
    np.testing.assert_allclose(levels.spread(np.array([0.0, 1.0]), 0.5), ndtri([0.125, 0.625]))
