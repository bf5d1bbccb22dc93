"""What summarizes draws of missing cells, and what fills them for a detector. Kind of truth: closed
forms.

Seeds: NumPy 3 and 4.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from harmonium.data import Columns, Marginals, as_table
from harmonium.inference import summarize
from harmonium.inference.completion import Completion


def fitted(cells, **options):
    """A density as far as it is needed here: columns and marginals."""
    table = as_table(cells, call="test")
    columns = Columns.fit(table)
    marginals = Marginals.fit(columns, table.values, **options)
    coordinates = SimpleNamespace(marginals=marginals)
    return SimpleNamespace(columns=columns, coordinates=coordinates)


def test_numbers_are_averaged_tails_get_the_median_and_categories_vote():
    rng = np.random.default_rng(3)
    parts = [rng.random(400), np.sinh(6 * rng.normal(size=400)), rng.random(400) < 0.4]
    density = fitted(np.stack(parts, axis=1))
    long_tails = [part.has_long_tails for part in density.coordinates.marginals.parts]
    assert long_tails == [False, True, False]
    draws = np.array([[[1.0, 0.1, 1.0]], [[3.0, 1e4, 0.0]], [[6.0, 2.0, 1.0]]])
    np.testing.assert_allclose(summarize(density, draws), [[10 / 3, 2.0, 1.0]])


def test_columns_of_few_numbers_vote_too():
    rng = np.random.default_rng(3)
    density = fitted(np.stack([rng.normal(size=400), rng.choice([1.0, 2, 5], 400)], axis=1))
    assert density.coordinates.marginals.kinds[1] == "levels"
    draws = np.array([[[0.0, 1.0]], [[0.0, 5.0]], [[0.0, 5.0]]])
    assert summarize(density, draws)[0, 1] == 5.0


def test_means_have_two_decimals_more_than_the_cells():
    rng = np.random.default_rng(3)
    cells = [np.round(rng.normal(size=400), decimals) for decimals in (1, 3)]
    density = fitted(np.stack(cells, axis=1), body="affine")
    draws = np.array([[[0.1, 0.001]], [[0.2, 0.001]], [[0.2, 0.002]]])
    assert summarize(density, draws).tolist() == [[0.167, 0.00133]]


@pytest.fixture(scope="module")
def tailed():
    """Two columns with long tails that hardly differ, and the fit that fills their cells."""
    rng = np.random.default_rng(4)
    x = np.exp(2 * rng.normal(size=400))
    values = np.stack([x, x * np.exp(0.1 * rng.normal(size=400))], axis=1)
    return values, Completion.fit(Columns.fit(as_table(values, call="test")), values)


def test_what_fills_a_missing_cell_stays_in_range_beside_an_outlier(tailed):
    values, completion = tailed
    assert all(part.has_long_tails for part in completion.marginals.parts)
    holed = np.tile([[1e4 * values[:, 0].max(), np.nan], [np.nan, 1.0]], (50, 1))
    filled = completion.fill(holed, np.random.default_rng(5))
    known = ~np.isnan(holed)
    np.testing.assert_array_equal(filled[known], holed[known])
    assert np.all(filled[::2, 1] == values[:, 1].max())
    assert np.all(filled <= np.maximum(values.max(axis=0), holed[0, 0]))
    assert np.median(filled[1::2, 0]) == pytest.approx(1.0, rel=0.2)


def test_unseen_categories_are_filled():
    rng = np.random.default_rng(4)
    values = np.stack([rng.normal(size=300), rng.integers(0, 2, 300)], axis=1)
    completion = Completion.fit(Columns.fit(as_table(values, call="test")), values)
    filled = completion.fill(np.array([[0.1, 7.0], [0.2, 1.0]]), rng)
    assert filled[0, 1] in (0.0, 1.0)
    np.testing.assert_array_equal(filled[:, 0], [0.1, 0.2])
