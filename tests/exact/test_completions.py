"""What summarizes draws of missing cells. Kind of truth: closed forms.

Seed: NumPy 3.
"""

from types import SimpleNamespace

import numpy as np

from harmonium.data import Columns, Transform, as_table
from harmonium.inference import summarize


def test_numbers_are_averaged_tails_get_the_median_and_categories_vote():
    rng = np.random.default_rng(3)
    parts = [rng.normal(size=400), np.sinh(6 * rng.normal(size=400)), rng.random(400) < 0.4]
    table = as_table(np.stack(parts, axis=1), call="test")
    columns = Columns.fit(table)
    transform = Transform.fit(columns.modeled(table.values))
    assert transform.is_asinh.tolist()[:2] == [False, True]
    draws = np.array([[[1.0, 0.1, 1.0]], [[3.0, 1e4, 0.0]], [[6.0, 2.0, 1.0]]])
    filled = summarize(SimpleNamespace(columns=columns, transform=transform), draws)
    np.testing.assert_allclose(filled, [[10 / 3, 2.0, 1.0]])


def test_means_have_two_decimals_more_than_the_cells():
    rng = np.random.default_rng(3)
    cells = [np.round(rng.normal(size=400), decimals) for decimals in (1, 3)]
    table = as_table(np.stack(cells, axis=1), call="test")
    columns = Columns.fit(table)
    transform = Transform.fit(columns.modeled(table.values))
    draws = np.array([[[0.1, 0.001]], [[0.2, 0.001]], [[0.2, 0.002]]])
    filled = summarize(SimpleNamespace(columns=columns, transform=transform), draws)
    assert filled.tolist() == [[0.167, 0.00133]]
