"""Kind of truth: exact. Categories: their shares, their order, their state."""

import json
import re

import numpy as np
import pytest

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


@each
def test_shares_are_those_of_the_counts(counts):
    levels = levels_of(counts)
    np.testing.assert_allclose(levels.shares, np.array(counts) / sum(counts))
    assert levels.shares.sum() == pytest.approx(1.0)


def test_missing_and_unseen_cells_have_no_place():
    levels = Levels(np.array([4.0, 1.0, 7.0]), np.array([2.0, 3.0, 5.0]))
    cells = np.array([np.nan, -1.0, 2.0, 9.0, 4.0, 7.0])
    np.testing.assert_array_equal(levels.index(cells), [-1, -1, -1, -1, 0, 2])


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
    """Fitted columns of one number, one of three categories, and one of 0 and 1; with their
    values."""
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
    columns, _ = mixed()
    assert columns.kinds == ("continuous", "categorical", "binary")
    seen, missing, unseen = np.array([[0.0, 1, 1], [0.0, np.nan, 1], [0.0, -1, 1]])
    kept, broken = np.log(301 / 302), np.log(1 / 302)
    found = columns.log_rule(np.stack([seen, missing, unseen]))
    np.testing.assert_allclose(found, [2 * kept, kept, broken + kept])
    broken = columns.breaks_rule(np.stack([seen, missing, unseen]))
    np.testing.assert_array_equal(np.argwhere(broken), [[2, 1]])


def test_the_state_of_categories_survives_json():
    columns, _ = mixed()
    config, arrays = columns.to_state()
    again = Columns.from_state(json.loads(json.dumps(config)), arrays)
    for own, other in zip(columns.levels[1:], again.levels[1:], strict=True):
        np.testing.assert_array_equal(own.codes, other.codes)
        np.testing.assert_array_equal(own.counts, other.counts)
    assert again.levels[0] is None


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
