"""Whether holes go with what is observed. Kind of truth: closed forms; NumPy seeds 0 and 1."""

import numpy as np
import pytest
from scipy.stats import ttest_ind

from harmonium.data import Columns, Marginals, as_table
from harmonium.errors import HarmoniumWarning
from harmonium.estimators import DensityEstimator, Imputer
from harmonium.inference.missingness import compare_holes, describe_holes


def marginals_of(values):
    columns = Columns.fit(as_table(values, call="test"))
    return Marginals.fit(columns, values, "affine", atoms=False)


@pytest.fixture(scope="module")
def holed():
    """The first column has holes where the third is high, the second has some at random."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(500, 3))
    values[values[:, 2] + 0.5 * rng.normal(size=500) > 1, 0] = np.nan
    values[rng.random(500) < 0.2, 1] = np.nan
    return values


def test_holes_that_go_with_another_column_are_found(holed):
    (found,) = compare_holes(marginals_of(holed), holed)
    assert (found.column, found.other) == ("x1", "x3")
    is_hole = np.isnan(holed[:, 0])
    expected = ttest_ind(holed[is_hole, 2], holed[~is_hole, 2], equal_var=False)
    assert found.shift == pytest.approx(
        (holed[is_hole, 2].mean() - holed[~is_hole, 2].mean()) / holed[:, 2].std(), rel=1e-6
    )
    assert found.p_value < 1e-10 and expected.pvalue < 1e-10
    assert describe_holes((found,)).startswith("'x1' is missing where 'x3' is higher")


def test_holes_at_random_are_not():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(500, 3))
    holed = np.where(rng.random(values.shape) < 0.2, np.nan, values)
    assert compare_holes(marginals_of(holed), holed) == ()


def test_no_rows_and_no_holes_say_nothing(holed):
    marginals = marginals_of(holed)
    assert compare_holes(marginals, np.empty((0, 3))) == ()
    assert compare_holes(marginals, np.nan_to_num(holed)) == ()


def test_an_imputer_warns_of_them(holed):
    estimator = DensityEstimator(effort="quick", base="gaussian")
    with pytest.warns(HarmoniumWarning, match="'x1' is missing where 'x3' is higher"):
        imputer = Imputer(4, n_trees=0, estimator=estimator).fit(holed)
    assert [own.column for own in imputer.hole_differences_] == ["x1"]
    draws = imputer.draws(holed)
    assert draws.shape == (4, 500, 3) and np.all(np.isfinite(draws))
