"""Kind of truth: contract. Every kind of marginal through the same battery; a new kind is one row.

Sums over cells, quadrature, finite differences. Seeds: cells 0, coordinates 1.
"""

import json
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtri
from shell.test_own_parts import Logistic

from harmonium.data import Columns, Marginals, Table
from harmonium.data.fields import Field
from harmonium.data.marginals_state import KINDS
from harmonium.errors import InvalidInputError

N = 1500
RNG = np.random.default_rng(0)
CATEGORIES = Field("x", "text", "categorical", ("a", "b", "c"))


def normal(scale=2.0):
    return RNG.normal(10, scale, N)


def clustered():
    return np.where(RNG.uniform(size=N) < 0.4, RNG.normal(-3, 0.3, N), RNG.normal(3, 1, N))


def with_zeros():
    return np.where(RNG.uniform(size=N) < 0.3, 0.0, RNG.gamma(2.0, 3.0, N))


# Kind, body asked for, field, and cells.
MARGINALS = {
    "affine": ("affine", "affine", Field("x"), normal()),
    "asinh": ("asinh", "asinh", Field("x"), RNG.standard_t(2.5, N)),
    "mixture": ("mixture", "mixture", Field("x"), clustered()),
    "affine, lattice": ("affine", "affine", Field("x"), np.round(normal(8.0))),
    "mixture, lattice": ("mixture", "mixture", Field("x"), np.round(5 * clustered())),
    "asinh, atom": ("asinh", "asinh", Field("x"), with_zeros()),
    "levels": ("levels", "auto", Field("x"), RNG.choice([1.0, 2, 3, 4, 5], N)),
    "levels, categories": ("levels", "auto", CATEGORIES, RNG.choice([0.0, 1.0, 2.0], N)),
    "own": ("own:Logistic", Logistic, Field("x"), RNG.logistic(1.0, 2.0, N)),
    "own, lattice": ("own:Logistic", Logistic, Field("x"), np.round(RNG.logistic(1.0, 9.0, N))),
}
each_marginal = pytest.mark.parametrize("name", MARGINALS)
FITTED = {}


def fitted(name):
    """The marginals of a table of one column, fitted once, and its cells."""
    if name not in FITTED:
        _, body, field, cells = MARGINALS[name]
        rules = Columns.fit(Table(cells[:, None], ("x",), (field,)))
        FITTED[name] = Marginals.fit(rules, cells[:, None], body)
    return FITTED[name], MARGINALS[name][3]


def test_every_kind_has_a_row():
    kinds = {kind for kind, *_ in MARGINALS.values()}
    assert {kind for kind in kinds if not kind.startswith("own:")} == set(KINDS)
    assert any(kind.startswith("own:") for kind in kinds)


@each_marginal
def test_the_kind_is_the_one_that_was_asked_for(name):
    marginals, _ = fitted(name)
    assert marginals.kinds == (MARGINALS[name][0],)


@each_marginal
def test_all_cells_together_have_the_probability_one(name):
    marginals, cells = fitted(name)
    (part,) = marginals.parts

    def density(values):
        return np.exp(part.log_density(np.asarray(values, float)))

    if part.body is None:
        # Levels on a lattice count by their mass over its step, as its cells do.
        total = np.sum(density(part.atoms) * (part.shape.step or 1.0))
    elif part.shape.step:
        reach = np.arange(-4000, 4001) * part.shape.step + part.shape.offset
        total = np.sum(density(reach[part.restore(part.centers(reach)) == reach])) * part.shape.step
    else:
        spread = np.ptp(cells)
        ends = [-np.inf, cells.min() - spread, *np.quantile(cells, [0, 0.3, 0.5, 0.7, 1]), np.inf]
        parts = np.unique(np.concatenate([ends, part.atoms]))
        between = [
            quad(lambda x: density([x])[0], low, high, limit=200)[0]
            for low, high in pairwise(parts)
        ]
        total = np.sum(between) + part.masses.sum()
    assert total == pytest.approx(1.0, abs=2e-4)


@each_marginal
def test_cells_come_back_from_their_places(name):
    marginals, cells = fitted(name)
    places = marginals.centers(cells[:, None])
    assert np.isfinite(places).all()
    np.testing.assert_allclose(marginals.restore(places)[:, 0], cells, rtol=1e-9, atol=1e-9)


@each_marginal
def test_larger_cells_have_larger_places(name):
    marginals, cells = fitted(name)
    # Categories are put in an order of their own.
    if MARGINALS[name][2] is CATEGORIES:
        pytest.skip("categories have no order")
    ordered = np.unique(cells)
    assert np.all(np.diff(marginals.centers(ordered[:, None])[:, 0]) > 0)


@each_marginal
def test_a_cell_is_known_as_a_point_or_as_an_interval(name):
    marginals, cells = fitted(name)
    (part,) = marginals.parts
    bounds = marginals.bounds(cells[:, None])
    is_point = bounds.is_point[:, 0]
    on_lattice = part.body is None or bool(part.shape.step)
    np.testing.assert_array_equal(is_point, (not on_lattice) & ~np.isin(cells, part.atoms))
    assert np.all(bounds.low[~is_point] < bounds.high[~is_point])
    missing = marginals.bounds(np.array([[np.nan]]))
    assert missing.low[0, 0] == -np.inf and missing.high[0, 0] == np.inf


@each_marginal
def test_the_measure_of_points_is_the_slope_of_the_map(name):
    marginals, cells = fitted(name)
    own = np.quantile(cells, np.linspace(0.1, 0.9, 17), method="nearest")
    own = own[marginals.bounds(own[:, None]).is_point[:, 0]]
    step = 1e-5 * np.ptp(cells)
    up, down = (marginals.centers((own + h)[:, None])[:, 0] for h in (step, -step))
    found = marginals.log_measure(own[:, None])[:, 0]
    np.testing.assert_allclose(np.exp(found), (up - down) / (2 * step), rtol=1e-4)
    # Cells of which none is a point have no slope to compare.
    assert len(own) or marginals.parts[0].shape.step or marginals.parts[0].body is None


@each_marginal
def test_any_place_is_one_of_a_cell_that_may_occur(name):
    marginals, cells = fitted(name)
    u = ndtri(np.random.default_rng(1).uniform(1e-6, 1 - 1e-6, 500))
    drawn = marginals.restore(u[:, None])[:, 0]
    assert np.isfinite(drawn).all()
    (part,) = marginals.parts
    if part.body is None:
        assert set(drawn) <= set(cells)
    elif part.shape.step:
        np.testing.assert_allclose(drawn, np.round(drawn), atol=1e-9)
    if cells.min() >= 0:
        assert drawn.min() >= 0


@each_marginal
def test_a_file_holds_all_of_it(name):
    marginals, cells = fitted(name)
    config, arrays = marginals.to_state()
    own = Logistic if name.startswith("own") else None
    built = Marginals.from_state(json.loads(json.dumps(config)), arrays, marginals.columns, own=own)
    assert built.kinds == marginals.kinds and built.scores == marginals.scores
    np.testing.assert_array_equal(
        built.log_density(cells[:, None]), marginals.log_density(cells[:, None])
    )


@each_marginal
def test_a_damaged_file_is_refused(name):
    marginals, _ = fitted(name)
    config, arrays = marginals.to_state()
    own = Logistic if name.startswith("own") else None
    for broken in ({**arrays, "n_atoms": arrays["n_atoms"] + 1}, {**arrays, "nearest": [np.nan]}):
        with pytest.raises(InvalidInputError):
            Marginals.from_state(config, broken, marginals.columns, own=own)
