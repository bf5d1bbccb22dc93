"""Column rules: which kind is found, what the rules add to a density, and the way back."""

import json
import re
import warnings

import numpy as np
import pytest

from harmonium.data import Columns, Field, Table
from harmonium.data.grids import find_grid
from harmonium.errors import HarmoniumWarning, InvalidInputError


def table(*columns):
    values = np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])
    return Table(values, tuple("abcdefgh"[: values.shape[1]]))


def integers(high, n=500, low=0):
    return np.random.default_rng(0).integers(low, high, n).astype(float)


def normal(n=500):
    return np.random.default_rng(1).normal(size=n)


GRIDS = {
    "integers": (integers(10), 1),
    "negative integers": (integers(5, low=-5), 1),
    "integers without repeats": (np.random.default_rng(2).permutation(500) * 3.0, 1),
    "time stamps": (1.7e9 + integers(100), 1),
    "0/1": (integers(2), 1),
    "-1/0/1": (integers(2, low=-1), 1),
    "0/255": (integers(2) * 255, 255),
    "tens": (integers(9) * 10, 10),
    "standardized integers": ((integers(16) - 7.431) / 4.733, 1 / 4.733),
    "standardized, smallest gap missing": (
        (np.array([0, 2, 5])[integers(3).astype(int)] - 1.7) / 3.3,
        1 / 3.3,
    ),
    "standardized large integers": ((integers(200, n=5000) - 1e4) / 57.7, 1 / 57.7),
    "scaled to [0, 1]": (integers(101) / 100, 0.01),
    "in single precision": (((integers(16) - 7.4) / 4.7).astype(np.float32), 1 / 4.7),
    "rounded standardized": (np.round((integers(16) - 7.4) / 4.7, 5), 1 / 4.7),
    "two decimals": (np.round(normal(2000), 2), 0.01),
    "one decimal, far out": (1e6 + np.round(normal(), 1), 0.1),
    "wide steps of 0.05": (integers(7) * 0.05 + 0.02, 0.05),
    "one value computed in two ways": (
        np.append(integers(16) * (0.37 / 3), integers(16) * 0.37 / 3),
        0.37 / 3,
    ),
    "two values": (np.where(integers(2), np.pi, np.e), np.pi - np.e),
}


@pytest.mark.parametrize(("column", "step"), GRIDS.values(), ids=GRIDS.keys())
def test_grids_are_found(column, step):
    column = np.asarray(column, dtype=np.float64)
    grid = find_grid(column)
    assert grid is not None
    assert grid[1] == pytest.approx(step, rel=1e-5)
    position = (column - grid[0]) / grid[1]
    np.testing.assert_allclose(position, np.round(position), atol=2e-3)


CONTINUOUS = {
    "normal": normal(),
    "few rows": normal(5),
    "uniform": np.random.default_rng(3).uniform(size=500),
    "beyond all digits": normal() * 1e50,
    "tiny": normal() * 1e-12,
    "shifted": 1e6 + normal(),
    "single precision": normal().astype(np.float32),
    "repeated rows": np.repeat(normal(100), 5),
    "three values repeated": np.repeat([0.0, 1.0, np.pi], 50),
    "four values repeated": np.repeat(normal(4), 50),
    "half zeros": np.where(integers(2), 0.0, normal()),
    "zeros mostly": np.where(integers(10), 0.0, normal()),
    "rounded, without repeats": np.round(normal(50), 8),
    "exponential": np.exp(normal()),
    "heavy tails": np.random.default_rng(4).standard_cauchy(500),
    "integers but one": np.append(integers(10), 3.25159),
}


@pytest.mark.parametrize("column", CONTINUOUS.values(), ids=CONTINUOUS.keys())
def test_continuous_columns_are_no_grid(column):
    assert find_grid(np.asarray(column, dtype=np.float64)) is None


def test_chance_makes_no_grid():
    """Bootstrapped continuous columns: few distinct values, many repeats, thousands of tries."""
    rng = np.random.default_rng(5)
    for n_distinct in (3, 4, 8, 20):
        for _ in range(300):
            for draw in (rng.normal, rng.standard_cauchy, rng.standard_exponential):
                assert find_grid(np.repeat(draw(size=n_distinct), 3)) is None


def fitted():
    rows = 200
    numbers, grid = normal(rows), integers(10, n=rows)
    with pytest.warns(HarmoniumWarning, match="not modeled") as caught:
        columns = Columns.fit(
            table(np.full(rows, 3.5), numbers, grid, numbers, grid, np.zeros(rows))
        )
    return columns, str(caught[0].message), len(caught)


def test_kinds_and_the_one_warning():
    columns, message, n_warnings = fitted()
    assert columns.kinds == ("constant", "continuous", "grid", "duplicate", "duplicate", "constant")
    assert n_warnings == 1
    assert "(constant: 'a', 'f'; duplicate: 'd', 'e')" in message
    assert columns.modeled_names == ("b", "c")
    assert columns.n_modeled == 2
    np.testing.assert_array_equal(columns.source[[3, 4]], [1, 2])


def test_no_warning_when_all_columns_are_modeled():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Columns.fit(table(normal(), integers(3)))


def test_noise_of_rounding_is_constant_but_close_time_stamps_are_not():
    rows = np.arange(10)
    noisy = np.where(rows % 2, 0.1 + 0.2, 0.3)
    with pytest.warns(HarmoniumWarning, match="constant: 'a'"):
        columns = Columns.fit(table(noisy, 1.7e9 + rows % 2))
    assert columns.kinds == ("constant", "binary")


def test_only_constant_columns():
    words = r"only constant, empty or identifier columns in 1 sample\(s\)"
    with pytest.raises(InvalidInputError, match=words):
        Columns.fit(table([1.0], [2.0]))
    with pytest.raises(InvalidInputError, match=words):
        Columns.fit(table([np.nan], [2.0]))


def test_rules_of_succession():
    columns, _, _ = fitted()
    kept, broken = np.log(201 / 202), np.log(1 / 202)
    rows = np.array(
        [
            [3.5, 0.1, 4, 0.1, 4, 0],
            [3.5 * (1 + 1e-11), 0.1, 4, 0.1 + 1e-12, 4, 0],
            [3.6, 0.1, 4, 0.1, 4, 0],
            [3.5, 0.1, 4, 0.2, 4, 1e-3],
            [0, 0.1, 4, 0.2, 5, 1],
        ]
    )
    expected = [4 * kept, 4 * kept, 3 * kept + broken, 2 * kept + 2 * broken, 4 * broken]
    np.testing.assert_allclose(columns.log_rule(rows), expected, rtol=1e-12)


def test_cells_that_break_a_rule_are_named_before_rounding():
    columns, _, _ = fitted()
    # The third column is a grid and the fifth repeats it: equal values off the grid still agree.
    rows = np.array([[3.5, 0.1, 2.5, 0.1, 2.5, 0.0], [3.6, 0.1, 4.0, 0.2, 5.0, 1.0]])
    expected = [[False] * 6, [True, False, False, True, True, True]]
    np.testing.assert_array_equal(columns.breaks_rule(rows), expected)


def test_rules_are_a_probability():
    columns, _, _ = fitted()
    keep, break_ = np.array([[3.5, 1, 2, 1, 2, 0]]), np.array([[3.0, 1, 2, 1, 2, 0]])
    others = 3 * np.log(201 / 202)
    both = np.exp(columns.log_rule(np.vstack([keep, break_])) - others)
    assert both.sum() == pytest.approx(1.0)


def test_without_rules_nothing_is_added():
    columns = Columns.fit(table(normal(), integers(3)))
    np.testing.assert_array_equal(columns.log_rule(np.ones((4, 2))), np.zeros(4))


def test_complete_fills_in_what_rules_say():
    columns, _, _ = fitted()
    cells = np.column_stack([normal(200), integers(10, n=200)])
    expected = np.column_stack([np.full(200, 3.5), cells, cells, np.zeros(200)])
    np.testing.assert_array_equal(columns.complete(cells), expected)
    np.testing.assert_allclose(columns.log_rule(columns.complete(cells)), 4 * np.log(201 / 202))


def test_state_survives_json():
    columns, _, _ = fitted()
    config, arrays = columns.to_state()
    again = Columns.from_state(json.loads(json.dumps(config)), arrays)
    assert (again.fields, again.kinds, again.n_rows) == (
        columns.fields,
        columns.kinds,
        columns.n_rows,
    )
    for name in ("constant", "source", "offset", "step", "decimals"):
        np.testing.assert_array_equal(getattr(again, name), arrays[name])
        assert getattr(again, name).dtype == arrays[name].dtype
    assert again.levels == (None,) * 6


@pytest.mark.parametrize(
    ("config", "arrays", "words"),
    [
        ({"kinds": None}, {}, "one kind per column"),
        ({"fields": [Field("a").to_config()]}, {}, "one kind per column"),
        ({"fields": [Field("a").to_config()] * 3}, {}, "a different name for every field"),
        ({"fields": "abc"}, {}, "a list of fields; got str"),
        ({"kinds": ["continuous", "odd", "duplicate"]}, {}, "got ['odd']"),
        ({"n_rows": 0}, {}, "n_rows from 1 to 9007199254740992; got 0"),
        ({"n_rows": "many"}, {}, "n_rows from 1 to 9007199254740992; got 'many'"),
        ({"extra": 1}, {}, "config with the keys"),
        ({}, {"step": np.ones(2)}, "step of shape (3,); got shape (2,)"),
        ({}, {"step": np.zeros(3)}, "a positive step in grid columns only"),
        ({}, {"decimals": np.array([-1, 400, 0])}, "decimals from -1 to 9"),
        ({}, {"decimals": np.array([-1, 0.5, 0])}, "decimals from -1 to 9"),
        ({}, {"source": np.array([0, 0, 2])}, "duplicates of earlier columns"),
        ({}, {"constant": np.array([np.nan, 0, 0])}, "finite constant"),
        ({}, {"constant": np.array(["x", "y", "z"])}, "numbers in constant"),
        ({}, {"extra": np.ones(3)}, "arrays with the keys"),
        ({"kinds": ["constant"] * 3}, {"step": np.zeros(3)}, "at least one column"),
    ],
)
def test_nonsense_is_no_state(config, arrays, words):
    with pytest.warns(HarmoniumWarning):
        good_config, good_arrays = Columns.fit(table(normal(), integers(3), normal())).to_state()
    with pytest.raises(InvalidInputError, match=re.escape(words)):
        Columns.from_state({**good_config, **config}, {**good_arrays, **arrays})


@pytest.mark.parametrize("method", ["complete", "log_rule", "breaks_rule"])
def test_wrong_widths(method):
    columns, _, _ = fitted()
    with pytest.raises(
        InvalidInputError, match=r"values of shape \(rows, \d\); got shape \(2, 9\)"
    ):
        getattr(columns, method)(np.ones((2, 9)))


@pytest.mark.parametrize("pair", [(0.0, 1.0), (1.0, 2.0), (-1.0, 1.0), (0.5, 7.25)])
def test_two_numbers_are_two_categories(pair):
    values = np.where(integers(2), pair[1], pair[0])
    columns = Columns.fit(table(values))
    assert columns.kinds == ("binary",) and columns.is_integer[0] == (pair[0] % 1 == 0)
    columns = Columns.from_state(*columns.to_state())
    assert columns.breaks_rule(np.array([[pair[0]], [3.0]])).tolist() == [[False], [True]]


def test_decimals_are_those_of_the_training_cells():
    exact, single = normal(), normal().astype(np.float32)
    values = table(exact, np.round(exact, 5), np.round(exact, 2), 0.1 * integers(9), single)
    columns = Columns.fit(values)
    assert columns.kinds == ("continuous", "continuous", "continuous", "grid", "continuous")
    assert columns.decimals.tolist() == [-1, 5, 2, 1, -1]


def test_two_numbers_that_hardly_repeat_may_be_of_many():
    few = np.full(500, np.nan)
    few[:3] = 2.0, 5.0, 2.0
    assert Columns.fit(table(few, normal())).kinds == ("grid", "continuous")


def test_two_numbers_of_a_column_stated_to_be_integer_are_a_grid():
    found = Columns.fit(Table(integers(2)[:, None] + 1, ("a",), (Field("a", kind="integer"),)))
    assert found.kinds == ("grid",)


def holes(column, every=7):
    """The column without every so many of its cells."""
    return np.where(np.arange(len(column)) % every == 0, np.nan, column)


@pytest.mark.parametrize(
    ("column", "kind"), [(normal(), "continuous"), (integers(9), "grid"), (integers(2), "binary")]
)
def test_missing_cells_do_not_change_the_kind(column, kind):
    other = np.random.default_rng(10).normal(size=500)
    whole, with_holes = (Columns.fit(table(c, other)) for c in (column, holes(column)))
    assert whole.kinds == with_holes.kinds == (kind, "continuous")
    assert whole.step[0] == with_holes.step[0]


def with_holes():
    """Fitted columns: continuous, grid, binary, constant, duplicate of the first, empty; and their
    table."""
    numbers = holes(normal())
    values = table(
        numbers,
        holes(integers(9), 5),
        holes(integers(2), 3),
        holes(np.full(500, 2.0)),
        numbers,
        np.full(500, np.nan),
    )
    with pytest.warns(HarmoniumWarning, match="left out, being empty.*'f'"):
        return Columns.fit(values), values.values


def test_missing_cells_stay_missing():
    columns, values = with_holes()
    assert columns.kinds == ("continuous", "grid", "binary", "constant", "duplicate", "ignored")
    completed = columns.complete(values[:, :3])
    np.testing.assert_array_equal(completed[:, :3], values[:, :3])
    np.testing.assert_array_equal(completed[:, 3], 2.0)
    np.testing.assert_array_equal(completed[:, 4], values[:, 4])
    assert np.isnan(completed[:, 5]).all()


def test_a_twin_has_the_same_holes():
    numbers = normal()
    assert Columns.fit(table(numbers, holes(numbers))).kinds == ("continuous",) * 2


def test_missing_cells_break_no_rule_and_add_nothing():
    columns, _ = with_holes()
    kept, broken = np.log(501 / 502), -np.log(502)
    nan = np.nan
    rows = np.array(
        [
            [0.1, 1, 1, 2, 0.1, nan],
            [nan, nan, nan, nan, nan, nan],
            [nan, 1, nan, 3, 0.5, 7],
            [0.5, 1, 2, nan, nan, nan],
        ]
    )
    # Binary, constant, duplicate; a twin is checked where both cells are there, and kept where one
    # is missing.
    expected = [3 * kept, 0.0, broken + kept, broken]
    np.testing.assert_allclose(columns.log_rule(rows), expected, rtol=1e-12)
    np.testing.assert_array_equal(columns.breaks_rule(rows).sum(axis=1), [0, 0, 1, 1])
