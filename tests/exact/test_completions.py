"""What fills missing cells. Kind of truth: closed forms, and enumeration by the density itself.

Seeds: NumPy 3, 4 and 5.
"""

import pickle

import numpy as np
import pandas as pd
import pytest

from harmonium.data import Columns, as_table
from harmonium.estimators import DensityEstimator, Imputer
from harmonium.inference import expect_cells
from harmonium.inference.completion import Completion
from harmonium.inference.expectation import _medians


def test_medians_of_weighted_numbers():
    numbers = np.array([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0]])
    weights = np.array([[0.2, 0.2, 0.6], [0.6, 0.2, 0.2]])
    assert _medians(numbers, weights).tolist() == [2.0, 3.0]


@pytest.fixture(scope="module")
def mixed():
    """Sizes by color, how many by size, and few numbers; with the Gaussian of such a table."""
    rng = np.random.default_rng(5)
    color = rng.integers(0, 3, 600)
    size = np.round(color + rng.normal(size=600), 2)
    frame = pd.DataFrame(
        {
            "size": size,
            "color": np.array(["blue", "green", "red"])[color],
            "count": rng.poisson(np.exp(1 + 0.3 * size)),
            "stars": rng.choice([1.0, 2.0, 5.0], 600),
        }
    )
    estimator = DensityEstimator(effort="quick", base="gaussian", validation_fraction=0.1)
    return frame, estimator.fit(frame)


def expected_of(estimator, rows, column, loss="squared"):
    """What is expected of a column of a frame whose cells there are missing, (rows, width)."""
    density = estimator.density_
    values = as_table(rows, call="test", fields=density.columns.fields).values
    place = list(density.columns.modeled_names).index(column)
    found = expect_cells(density, values, loss, seed=0).cells[place]
    assert found.rows.tolist() == list(range(len(rows)))
    return found.values


def shares(estimator, rows, column, cells):
    """Probabilities of cells given the others, by scores of the rows that have them."""
    scores = [estimator.score_samples(rows.assign(**{column: cell})) for cell in cells]
    odds = np.exp(np.stack(scores, axis=1) - np.max(scores, axis=0)[:, None])
    return odds / odds.sum(axis=1, keepdims=True)


def test_categories_have_the_probabilities_that_scores_give_them(mixed):
    frame, estimator = mixed
    rows = frame.iloc[:8].assign(color=None)
    truth = shares(estimator, rows, "color", ["blue", "green", "red"])
    found = expected_of(estimator, rows, "color")
    codes = estimator.density_.coordinates.marginals.parts[1].atoms.astype(int)
    np.testing.assert_allclose(found[:, np.argsort(codes)], truth, atol=0.03)


def test_whole_numbers_have_the_mean_and_the_median_that_scores_give_them(mixed):
    frame, estimator = mixed
    rows = frame.iloc[:8].assign(count=None)
    cells = np.arange(frame["count"].max() + 1)
    truth = shares(estimator, rows, "count", cells)
    np.testing.assert_allclose(
        expected_of(estimator, rows, "count")[:, 0], truth @ cells, rtol=0.05
    )
    medians = (truth.cumsum(axis=1) >= 0.5).argmax(axis=1)
    found = expected_of(estimator, rows, "count", "absolute")[:, 0]
    assert np.all(np.abs(found - medians) <= 1)


def test_fills_are_cells_that_the_column_could_have(mixed):
    frame, estimator = mixed
    imputer = Imputer(n_trees=0).adopt(estimator)
    holes = np.random.default_rng(5).random(frame.shape) < 0.3
    filled = imputer.transform(frame.mask(holes))
    assert set(filled["color"]) == {"blue", "green", "red"}
    assert set(filled["stars"]) == {1.0, 2.0, 5.0}
    assert np.all(filled["count"] % 1 == 0)
    assert np.all(np.abs(filled["size"] * 100 - np.round(filled["size"] * 100)) < 1e-6)


def test_filled_tenths_have_one_decimal():
    rng = np.random.default_rng(6)
    weight = rng.normal(30, 6, 200)
    size = np.round(weight / 3 + rng.normal(0, 0.5, 200), 1)
    frame = pd.DataFrame({"size": size, "weight": weight})
    estimator = DensityEstimator(effort="quick").fit(frame)
    holed = as_table(frame.assign(size=np.nan), call="", fields=estimator.density_.columns.fields)
    filled = Imputer(n_trees=0).adopt(estimator).fill(holed)[:, 0]
    assert len(np.unique(filled)) > 20
    # Equal to the last digit: 4.7 + 54 * 0.1 is another number than 10.1.
    np.testing.assert_array_equal(filled, np.round(filled, 1))


def test_few_numbers_get_the_one_nearest_to_their_mean(mixed):
    frame, estimator = mixed
    rows = frame.iloc[:1].assign(stars=None)
    mean = shares(estimator, rows, "stars", [1.0, 2.0, 5.0])[0] @ [1.0, 2.0, 5.0]
    nearest = min([1.0, 2.0, 5.0], key=lambda level: abs(level - mean))
    assert Imputer(n_trees=0).adopt(estimator).transform(rows)["stars"].item() == nearest


@pytest.fixture(scope="module")
def folded():
    """y = |x| and a little noise, which a Gaussian does not see; and an imputer fitted to it."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=400)
    values = np.stack([x, np.abs(x) + 0.05 * rng.normal(size=400)], axis=1)
    estimator = DensityEstimator(effort="quick", base="gaussian")
    return values, Imputer(estimator=estimator).fit(values)


def test_trees_see_what_the_base_does_not(folded):
    values, imputer = folded
    holed = np.array(values)
    holed[:, 1] = np.nan
    alone = Imputer(n_trees=0).adopt(imputer.estimator_)
    errors = [np.mean((own.transform(holed) - values)[:, 1] ** 2) for own in (alone, imputer)]
    # Half of what is expected is the trees': an error of at least half goes with it.
    assert errors[1] < 0.5 * errors[0]


def test_a_row_by_itself_is_filled_as_among_others_and_after_pickling(folded):
    values, imputer = folded
    holed = np.where(np.random.default_rng(4).random(values.shape) < 0.3, np.nan, values)[:40]
    filled = imputer.transform(holed)
    np.testing.assert_allclose(imputer.transform(holed[7:8])[0], filled[7], rtol=1e-5)
    again = pickle.loads(pickle.dumps(imputer))
    np.testing.assert_allclose(again.transform(holed), filled, rtol=1e-6)
    empty = imputer.transform(np.full((1, 2), np.nan))
    assert np.all(np.isfinite(empty))


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
