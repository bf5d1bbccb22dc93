"""Rules that rows break: counts by hand, and the share of new rows that break one."""

import math
import warnings

import numpy as np

from harmonium.data import Columns, Table
from harmonium.data.fields import Field
from harmonium.inference.rules import Rules

N = 20


def columns_of(values, kinds):
    fields = tuple(Field(f"x{i}", kind=kind) for i, kind in enumerate(kinds))
    names = tuple(field.name for field in fields)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Columns.fit(Table(values, names, fields))


def test_rules_that_all_rows_but_one_keep_are_counted():
    values = np.random.default_rng(0).standard_normal((N, 6))
    # Constant but in row 3; constant but in rows 3 and 4; a category that row 5 alone has, and one
    # that row 3 alone has; no two cells alike; constant.
    values[:, 1] = np.where(np.arange(N) == 3, 2.0, 1.0)
    values[:, 2] = np.where(np.arange(N) >= 2, 0.5, 0.25)
    values[:, 3] = np.arange(N) % 2
    values[5, 3], values[3, 3] = 2.0, 3.0
    values[:, 5] = 7.0
    columns = columns_of(values, ["auto", "auto", "auto", "categorical", "auto", "auto"])
    rules = Rules.fit(columns, values)
    # Row 3 breaks two, row 5 one.
    assert math.isclose(rules.first, math.log((N + 2) / 3))
    assert math.isclose(rules.further, math.log(5 / 2))
    new = np.array(values[:4])
    new[0, 5] = 8.0
    new[1, 5], new[1, 3] = 8.0, 9.0
    new[2, 5] = np.nan
    expected = [rules.first, rules.first + rules.further, 0.0, 0.0]
    np.testing.assert_allclose(rules.surprises(columns, new), expected)


def test_without_a_rule_that_one_row_breaks_a_broken_one_is_as_rare_as_one_row_more():
    values = np.column_stack([np.random.default_rng(1).standard_normal(N), np.ones(N)])
    columns = columns_of(values, ["auto", "auto"])
    broken = np.array([[0.0, 2.0]])
    np.testing.assert_allclose(Rules.fit(columns, values).surprises(columns, broken), np.log(N + 2))


def test_the_share_of_new_rows_that_break_a_rule_is_estimated():
    rng = np.random.default_rng(2)
    shares, expected = [], []
    rates = rng.uniform(0.0, 0.02, 60)
    for _ in range(60):
        values = (rng.uniform(size=(150 + 1000, 60)) < rates).astype(float)
        values[:, 0] = rng.standard_normal(len(values))
        columns = columns_of(values[:150], ["auto"] * 60)
        rules = Rules.fit(columns, values[:150])
        expected.append(math.exp(-rules.first))
        shares.append(np.mean(rules.surprises(columns, values[150:]) > 0))
    gaps = np.array(expected) - np.array(shares)
    assert np.mean(shares) > 0.05
    # The prior adds half a row, at most.
    assert abs(gaps.mean()) < 1 / 150 + 5 * gaps.std() / len(gaps) ** 0.5
