"""Bodies of the marginals in a race. Kind of truth: columns whose best bodies are known."""

import numpy as np
import pytest

from harmonium.data import Columns, Marginals, Table
from harmonium.inference import body_family
from harmonium.inference.body_family import FAMILIES, choose_family, compare_families


def rules_of(values):
    return Columns.fit(Table(values, tuple(f"x{i + 1}" for i in range(values.shape[1]))))


def linear_rows(n=400, seed=0):
    """Rows of a Gaussian."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 4)) @ rng.normal(size=(4, 4))


def compare(values, **options):
    rules = rules_of(values)
    marginals = {family: Marginals.fit(rules, values, family) for family in FAMILIES}
    return compare_families(
        marginals, values, shape="full", rng=np.random.default_rng(1), **options
    )


def test_the_best_is_behind_by_nothing_and_the_others_by_something():
    gaps = compare(linear_rows())
    assert max(gaps.values()) == 0.0
    assert set(gaps) == set(FAMILIES)
    # A Gaussian has no use for anything but scaling, and loses little by it.
    assert all(gap > -0.2 for gap in gaps.values())


@pytest.fixture
def scored(monkeypatch):
    """Calls of the function that scores a fold."""
    calls, score = [], body_family._score

    def count(coordinates, *rest):
        calls.append(coordinates.marginals.kinds)
        return score(coordinates, *rest)

    monkeypatch.setattr(body_family, "_score", count)
    return calls


def test_who_is_far_behind_is_out_of_the_race(scored):
    """Exponentials of Gaussian columns: scaling them loses nats from the first fold on."""
    values = np.exp(2.0 * linear_rows())
    gaps = compare(values)
    assert gaps["affine"] < -1.0
    assert scored.count(("affine",) * 4) == 1
    assert (
        choose_family(rules_of(values), values, shape="full", rng=np.random.default_rng(1)).kinds
        != ("affine",) * 4
    )


def test_level_families_run_to_the_end(scored):
    """Rows of a Gaussian tell two kinds of scaling hardly apart."""
    rules, values = rules_of(linear_rows()), linear_rows()
    same = {name: Marginals.fit(rules, values, "affine") for name in ("affine", "auto")}
    gaps = compare_families(same, values, shape="full", rng=np.random.default_rng(2))
    assert len(scored) == 2 * body_family.N_FOLDS
    assert set(gaps.values()) == {0.0}


def test_columns_without_two_cells_end_the_race_before_it_begins():
    values = linear_rows(10)
    values[:, 0] = 0.0
    values[0, 0] = 1.0
    rules = rules_of(linear_rows(10))
    marginals = {"affine": Marginals.fit(rules, linear_rows(10), "affine")}
    assert compare_families(marginals, values, shape="full", rng=np.random.default_rng(3)) == {}
