"""What tells draws from rows. Kind of truth: ratios of known densities, and counts by hand.

Seeds as written; tolerances are a few standard errors of the counts.
"""

import numpy as np
import pytest
from scipy.stats import norm

from harmonium.data import Columns, Field, Marginals, Table
from harmonium.inference.refinement import Refinement, Unseen
from harmonium.learning import boosting
from harmonium.learning.boosting import Trees, fit_trees


@pytest.fixture
def few_trees(monkeypatch):
    monkeypatch.setattr(boosting, "MOST_TREES", 40)


def test_trees_climb_to_the_log_ratio_of_the_densities(few_trees):
    """Rows of N(0, 1), draws of N(0, 2²), and a second column that tells nothing."""
    rng = np.random.default_rng(0)
    rows, draws = rng.normal(size=(3000, 2)), rng.normal(size=(6000, 2)) * [2.0, 1.0]
    trees = fit_trees(rows, draws, rng)
    places = np.stack([np.linspace(-3, 3, 25), np.zeros(25)], axis=1)
    truth = norm.logpdf(places[:, 0]) - norm.logpdf(places[:, 0], scale=2)
    found = trees(places)
    assert np.abs(found - truth).mean() < 0.25
    assert np.ptp(trees(np.stack([np.zeros(25), places[:, 0]], axis=1))) < 1.0


def test_weighted_draws_have_the_marginals_of_the_rows(few_trees):
    rng = np.random.default_rng(1)
    rows, draws = rng.exponential(size=(2000, 1)), rng.normal(size=(8000, 1)) + 1
    weights = np.exp(fit_trees(rows, draws, rng)(draws))
    for cut in np.quantile(rows, [0.1, 0.5, 0.9]):
        share = weights @ (draws[:, 0] < cut) / weights.sum()
        assert share == pytest.approx(np.mean(rows < cut), abs=0.03)


def test_equal_distributions_are_left_alone(few_trees):
    rng = np.random.default_rng(2)
    rows, draws = rng.normal(size=(1000, 2)), rng.normal(size=(3000, 2))
    assert np.std(fit_trees(rows, draws, rng)(draws)) < 0.3


def test_a_pair_that_no_row_has_passes_by_its_share():
    """Two columns of two categories; of the pair (1, 1) a tenth passes, and nothing else changes."""
    rng = np.random.default_rng(3)
    values = rng.integers(0, 2, size=(4000, 2)).astype(float)
    fields = tuple(Field(n, "text", "categorical", ("a", "b")) for n in "xy")
    table = Table(values, ("x", "y"), fields)
    marginals = Marginals.fit(Columns.fit(table), values)
    own = [marginals.parts[j].index(np.array([0.0, 1.0])) for j in (0, 1)]
    is_seen = np.ones((2, 2), bool)
    is_seen[own[0][1], own[1][1]] = False
    nodes = 2**boosting.DEPTH - 1
    trees = Trees(np.zeros((0, nodes), int), np.zeros((0, nodes)), np.zeros((0, nodes + 1)))
    refinement = Refinement(trees, (Unseen(0, 1, is_seen, np.log(0.1)),))
    kept = values[refinement.choose(marginals, values, 1000, rng)]
    pairs = np.unique(kept, axis=0, return_counts=True)[1] / 1000
    others = 1 / 3.1
    np.testing.assert_allclose(pairs, [others, others, others, 0.1 * others], atol=0.05)
    assert pairs[3] < 0.06
