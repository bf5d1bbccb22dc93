"""Marginals of columns. Kind of truth: closed forms, quadrature, sums over cells, differences."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import norm, poisson

from harmonium.data import Bounds, Columns, Marginals, Table, log_interval_mass, spread
from harmonium.data.atoms import find_atoms, has_levels
from harmonium.data.bodies import Body
from harmonium.data.cell_shapes import CellShape
from harmonium.data.fields import Field
from harmonium.data.marginal import Marginal
from harmonium.errors import InvalidInputError

N = 2000
ONE = np.ones(1)


def table_columns(n=N, seed=0):
    """Columns by name, of every sort that a table has."""
    rng = np.random.default_rng(seed)
    return {
        "gaussian": rng.normal(20, 3, n),
        "bimodal": np.where(rng.uniform(size=n) < 0.4, rng.normal(-3, 0.1, n), rng.normal(3, 1, n)),
        "heavy": rng.standard_t(1.2, n),
        "no charge": np.where(rng.uniform(size=n) < 0.3, 0.0, rng.exponential(5, n)),
        "capped": np.clip(rng.normal(0.7, 0.3, n), 0, 1),
        "zero-inflated": np.where(rng.uniform(size=n) < 0.4, 0, rng.poisson(30, n)).astype(float),
        "count": rng.negative_binomial(2, 0.05, n).astype(float),
        "rounded": np.round(rng.normal(5, 0.4, n), 2),
        "below": -np.round(rng.gamma(2, 4, n)),
        "scale": rng.choice([1.0, 2, 3, 4, 5], n, p=[0.1, 0.2, 0.4, 0.2, 0.1]),
        "years": rng.choice([2007.0, 2008, 2011], n),
        "truth": (rng.uniform(size=n) < 0.05).astype(float),
        "prices": rng.choice(np.round(rng.uniform(1, 99, 25), 2), n),
        "category": rng.choice([0.0, 1.0, 2.0, 3.0], n, p=[0.4, 0.3, 0.2, 0.1]),
    }


def fitted(columns, body="auto", **options):
    """Rules, marginals and cells of columns by name."""
    fields = tuple(
        Field(name, "text", "categorical", ("a", "b", "c", "d"))
        if name == "category"
        else Field(name)
        for name in columns
    )
    values = np.column_stack(list(columns.values()))
    rules = Columns.fit(Table(values, tuple(columns), fields))
    return rules, Marginals.fit(rules, values, body, **options), values


@pytest.fixture(scope="module")
def everything():
    return fitted(table_columns())


def one(values, body="auto", **options):
    """The marginal of a single column."""
    return fitted({"x": np.asarray(values, dtype=float)}, body, **options)[1].parts[0]


def test_the_kinds_of_columns(everything):
    rules, marginals, _ = everything
    kinds = dict(zip(rules.names, marginals.kinds, strict=True))
    levels = {"scale", "years", "truth", "prices", "category"}
    assert {name for name, kind in kinds.items() if kind == "levels"} == levels
    assert kinds["bimodal"] == "mixture"
    atoms = {
        name: part.atoms.tolist() for name, part in zip(rules.names, marginals.parts, strict=True)
    }
    assert atoms["no charge"] == [0.0] and atoms["zero-inflated"] == [0.0]
    assert atoms["capped"] == [1.0] or atoms["capped"] == [0.0, 1.0]
    assert not any(atoms[name] for name in ("gaussian", "bimodal", "heavy", "count", "rounded"))


@pytest.mark.parametrize("scale", [1e50, 1e99, 1e-12, 1e-200])
def test_extreme_units(scale):
    names = ("gaussian", "bimodal", "heavy")
    units = {name: np.clip(table_columns()[name] / 4, -9, 9) for name in names}
    _, marginals, values = fitted({name: scale * column for name, column in units.items()})
    assert np.all(np.isfinite(marginals.log_density(values)))
    u = marginals.centers(values)
    np.testing.assert_allclose(marginals.restore(u) / scale, values / scale, rtol=1e-6, atol=1e-6)
    _, plain, _ = fitted(units)
    np.testing.assert_allclose(u, plain.centers(values / scale), atol=1e-3)


@pytest.mark.parametrize("body", ["auto", "affine", "asinh", "mixture"])
@pytest.mark.parametrize("atoms", [True, False])
def test_cells_come_back_from_every_place(body, atoms):
    _, marginals, values = fitted(table_columns(500, seed=1), body, atoms=atoms)
    bounds = marginals.bounds(values)
    rng = np.random.default_rng(2)
    for place in (1e-6, 0.5, rng.uniform(size=values.shape), 1 - 1e-6):
        back = marginals.restore(spread(bounds, place))
        np.testing.assert_allclose(back, values, rtol=1e-9, atol=1e-9)
        exact = [kind != "continuous" for kind in marginals.columns.kinds]
        np.testing.assert_array_equal(back[:, exact], values[:, exact])
    back = marginals.restore(marginals.centers(values))
    np.testing.assert_allclose(back, values, rtol=1e-9, atol=1e-9)


def test_every_column_is_standard_normal_on_its_rows(everything):
    """Kolmogorov's distance: below 1.95/sqrt(n), as chance alone passes once in a thousand."""
    _, marginals, values = everything
    place = np.random.default_rng(3).uniform(size=values.shape)
    u = np.sort(spread(marginals.bounds(values), place), axis=0)
    steps = np.arange(N + 1)[:, None] / N
    distance = np.maximum(np.abs(ndtr(u) - steps[1:]), np.abs(ndtr(u) - steps[:-1])).max(axis=0)
    bound = np.where([kind == "levels" or kind == "mixture" for kind in marginals.kinds], 1.95, 3)
    assert np.all(distance < bound / np.sqrt(N))


def test_the_masses_of_all_cells_of_a_lattice_add_up_to_one(everything):
    rules, marginals, _ = everything
    for name in ("zero-inflated", "count", "rounded", "below"):
        j = rules.names.index(name)
        step, offset = rules.step[j], rules.offset[j]
        lattice = offset + step * np.arange(-200_000, 200_000)
        if name == "below":
            lattice = lattice[lattice <= 0]
        elif name != "rounded":
            lattice = lattice[lattice >= 0]
        total = np.exp(marginals.parts[j].log_density(lattice)).sum() * step
        assert total == pytest.approx(1, abs=1e-9), name


def test_the_masses_of_all_levels_add_up_to_one(everything):
    rules, marginals, values = everything
    for j, part in enumerate(marginals.parts):
        if part.body is None:
            step = rules.step[j] or 1.0
            levels, counts = np.unique(values[:, j], return_counts=True)
            found = np.exp(part.log_density(levels)) * step
            np.testing.assert_allclose(found, counts / N, rtol=1e-9)


def test_atoms_have_their_share(everything):
    rules, marginals, values = everything
    for name in ("no charge", "capped", "zero-inflated"):
        part = marginals.parts[rules.names.index(name)]
        column = values[:, rules.names.index(name)]
        for atom in part.atoms:
            mass = np.exp(part.log_density(np.array([atom])))[0]
            assert mass == pytest.approx(np.mean(column == atom), rel=1e-9)


@pytest.mark.parametrize("name", ["gaussian", "bimodal", "heavy", "no charge", "capped"])
def test_the_density_beside_atoms_integrates_to_the_rest(everything, name):
    rules, marginals, _ = everything
    part = marginals.parts[rules.names.index(name)]
    body = part.body
    ends = np.unique(np.concatenate([part.atoms, body.from_normal(np.linspace(-8, 8, 33))]))
    density = lambda x: float(np.exp(part.log_density(np.array([x])))[0])  # noqa: E731
    total = sum(quad(density, a, b, limit=200)[0] for a, b in pairwise(ends))
    assert total == pytest.approx(1 - part.masses.sum(), abs=1e-6)


def test_the_measure_is_the_slope_of_the_map(everything):
    rules, marginals, values = everything
    smooth = [j for j, kind in enumerate(rules.kinds) if kind == "continuous"]
    for j in smooth:
        part = marginals.parts[j]
        if part.body is None:
            continue
        cells = np.concatenate(
            [values[:200, j], np.quantile(values[:, j], [0.5]) + 40 * np.array([-1, 1])]
        )
        cells = cells[(part.index(cells) < 0)]
        step = 1e-6 * part.body.scale
        if len(part.atoms):
            cells = cells[np.abs(cells[:, None] - part.atoms).min(axis=1) > step]
        high, low = (part.bounds(cells + sign * step)[0] for sign in (1, -1))
        slope = np.exp(part.log_measure(cells))
        noise = np.spacing(np.abs(high) + 1) / step
        assert np.all(np.abs((high - low) / (2 * step) - slope) <= 1e-4 * slope + 20 * noise)


def test_the_measure_of_cells_and_atoms(everything):
    rules, marginals, values = everything
    measure = marginals.log_measure(values)
    for j, name in enumerate(rules.names):
        if name in ("rounded", "zero-inflated", "count", "scale", "years"):
            assert np.all(measure[:, j] == -np.log(rules.step[j])), name
        if name in ("category", "truth"):
            assert not measure[:, j].any()
        if name in ("no charge", "capped"):
            atom = np.isin(values[:, j], marginals.parts[j].atoms)
            assert not measure[atom, j].any() and measure[~atom, j].all()


def test_the_log_density_puts_points_and_intervals_together(everything):
    _, marginals, values = everything
    bounds = marginals.bounds(values)
    with np.errstate(invalid="ignore"):
        of_u = np.where(bounds.is_point, norm.logpdf(bounds.low), log_interval_mass(bounds))
    expected = of_u + marginals.log_measure(values)
    np.testing.assert_allclose(marginals.log_density(values), expected, rtol=1e-12)


def test_maps_increase(everything):
    rules, marginals, values = everything
    for j, part in enumerate(marginals.parts):
        if rules.kinds[j] == "categorical":
            continue
        cells = np.unique(values[:, j])
        low, high = part.bounds(cells)
        assert np.all(np.diff(low) > 0) and np.all(np.diff(high) > 0)
        # Where one cell ends the next begins, or later.
        assert np.all(low[1:] >= high[:-1] - 1e-12)


def test_missing_cells_and_unseen_levels_are_open(everything):
    rules, marginals, values = everything
    rows = values[:2].copy()
    rows[0] = np.nan
    for name, cell in (("category", 7.0), ("years", 2010.0), ("scale", 6.0), ("truth", 2.0)):
        rows[1, rules.names.index(name)] = cell
    bounds = marginals.bounds(rows)
    assert bounds.is_open[0].all() and not marginals.log_measure(rows)[0].any()
    assert not marginals.log_density(rows)[0].any()
    odd = [rules.names.index(name) for name in ("category", "years", "scale", "truth")]
    assert np.flatnonzero(bounds.is_open[1]).tolist() == sorted(odd)
    assert np.flatnonzero(marginals.is_unseen(rows)[1]).tolist() == sorted(odd)
    assert not marginals.is_unseen(rows)[0].any()
    assert np.isnan(marginals.restore(spread(bounds, 0.5))[0]).all()
    assert np.isnan(marginals.centers(rows)[0]).all()


def test_an_unseen_number_breaks_a_rule(everything):
    rules, marginals, values = everything
    rows = values[:3].copy()
    rows[1, rules.names.index("years")] = 2010.0
    rows[2] = np.nan
    found = marginals.log_rule(rows)
    # Three columns of levels of numbers: categories and truth values are rules of the columns.
    kept = np.log((N + 1) / (N + 2))
    np.testing.assert_allclose(found, [3 * kept, 2 * kept - np.log(N + 2), 0.0], rtol=1e-12)


def test_fine_lattices_may_be_points(everything):
    rules, marginals, values = everything
    fine = np.array([kind == "grid" for kind in rules.kinds])
    bounds = marginals.bounds(values, fine=fine)
    measure = marginals.log_measure(values, fine=fine)
    j = rules.names.index("rounded")
    part = marginals.parts[j]
    assert bounds.is_point[:, j].all()
    np.testing.assert_array_equal(measure[:, j], part.body.log_slope(values[:, j]))
    # In the middle of a cell of 1/40 of a standard deviation the density is the mass over the step.
    points = norm.logpdf(bounds.low[:, j]) + measure[:, j]
    np.testing.assert_allclose(points, marginals.log_density(values)[:, j], atol=2e-3)
    zeros = rules.names.index("zero-inflated")
    is_atom = values[:, zeros] == 0
    assert np.array_equal(bounds.is_point[:, zeros], ~is_atom)
    assert np.all(measure[is_atom, zeros] == 0.0)
    # Levels are intervals however fine they are.
    assert not bounds.is_point[:, rules.names.index("scale")].any()


def test_the_body_of_a_zero_inflated_count_is_not_ruined_by_the_zeros():
    rng = np.random.default_rng(4)
    count = rng.poisson(30, 3000)
    part = one(np.where(rng.uniform(size=3000) < 0.5, 0, count))
    lattice = np.arange(0.0, 100)
    found = np.exp(part.log_density(lattice))
    expected = 0.5 * poisson.pmf(lattice, 30) + 0.5 * (lattice == 0)
    # Total variation; of 1500 rows in some 40 cells, a table of shares would have 0.06.
    assert np.abs(found - expected).sum() / 2 < 0.04


def test_atoms_at_both_ends_and_within():
    rng = np.random.default_rng(5)
    body = rng.uniform(0, 1, 3000)
    kind = rng.choice(4, 3000, p=[0.1, 0.2, 0.05, 0.65])
    values = np.choose(kind, [0.0, 1.0, 0.25, body])
    part = one(values)
    assert part.atoms.tolist() == [0.0, 0.25, 1.0]
    np.testing.assert_allclose(part.masses, np.bincount(kind)[[0, 2, 1]] / 3000)
    low, high = part.bounds(part.atoms)
    np.testing.assert_allclose(ndtr(high) - ndtr(low), part.masses, rtol=1e-9)
    # Just beside an atom the coordinate goes on where its interval ends.
    beside = np.array([np.nextafter(0.25, 0), np.nextafter(0.25, 1)])
    np.testing.assert_allclose(part.bounds(beside)[0], [low[1], high[1]], atol=1e-12)
    inside = spread(Bounds(low[:, None], high[:, None]), 0.3)[:, 0]
    np.testing.assert_array_equal(part.restore(inside), part.atoms)
    np.testing.assert_array_equal(part.restore(np.array([low[1], high[1]])), [0.25, 0.25])


def test_atoms_keep_both_tails():
    """Far out the coordinate is that of the body, with all mass of the atoms on the other side."""
    body = Body(0.0, 1.0, 0.0, ONE, np.zeros(1), ONE)
    part = Marginal(body, np.array([-1.0, 2.0]), np.array([0.25, 0.25]), CellShape())
    cells = np.array([-40.0, -30.0, 30.0, 40.0])
    u = part.bounds(cells)[0]
    np.testing.assert_allclose(norm.logcdf(-np.abs(u)), norm.logcdf(-np.abs(cells)) + np.log(0.5))
    np.testing.assert_allclose(part.restore(u), cells, rtol=1e-13)
    np.testing.assert_allclose(
        part.log_density(cells), norm.logpdf(cells) + np.log(0.5), rtol=1e-12
    )


def test_counts_stay_counts():
    _, marginals, _ = fitted(table_columns(300, seed=6), "affine")
    u = np.linspace(-12, 12, 401)[:, None] * np.ones(marginals.n_columns)
    cells = dict(zip(marginals.columns.names, marginals.restore(u).T, strict=True))
    for name in ("no charge", "zero-inflated", "count", "prices", "years"):
        assert cells[name].min() >= 0, name
    assert cells["below"].max() <= 0
    for name in ("zero-inflated", "count", "below", "scale", "years"):
        assert np.all(cells[name] % 1 == 0), name
    assert cells["gaussian"].min() > 0
    assert set(cells["years"]) == {2007.0, 2008.0, 2011.0}
    assert np.array_equal(np.round(cells["rounded"], 2), cells["rounded"])


def test_a_column_of_positive_numbers_gets_no_zeros():
    values = np.random.default_rng(7).gamma(2, 1, 200)
    part = one(values, "affine")
    restored = part.restore(np.array([-6.0, 0.0]))
    assert restored[0] == values.min() and restored[1] > 0
    # Positive numbers smaller than all in training come back, nevertheless.
    small = np.array([values.min() / 2])
    np.testing.assert_allclose(part.restore(part.bounds(small)[0]), small)


def test_cells_below_a_plain_bound_have_some_density():
    part = one(np.random.default_rng(8).poisson(20, 500).astype(float))
    low, high = part.bounds(np.array([-3.0, 0.0, 1.0]))
    assert low[1] == -np.inf and high[1] == low[2] and low[0] < high[0] < high[1]
    assert np.isfinite(part.log_density(np.array([-3.0])))[0]


@pytest.mark.filterwarnings("ignore:.*columns not modeled")
@pytest.mark.parametrize("n", [8, 12, 30])
@pytest.mark.parametrize("body", ["auto", "mixture", "affine"])
def test_few_rows(n, body):
    _, marginals, values = fitted(table_columns(n, seed=9), body)
    density = marginals.log_density(values)
    assert np.all(np.isfinite(density))
    back = marginals.restore(spread(marginals.bounds(values), 0.5))
    modeled = values[:, marginals.columns.modeled_index]
    np.testing.assert_allclose(back, modeled, rtol=1e-9, atol=1e-9)


def test_a_small_table_of_gaussian_columns_gets_plain_bodies():
    """Statistical: seed 10. Of 100 columns of 60 rows hardly any gets a mixture."""
    rows = np.random.default_rng(10).normal(size=(60, 100))
    _, marginals, _ = fitted({f"c{i}": rows[:, i] for i in range(100)})
    assert sum(kind == "mixture" for kind in marginals.kinds) <= 5
    fresh = np.random.default_rng(11).normal(size=(2000, 100))
    loss = norm.logpdf(fresh).mean() - marginals.log_density(fresh).mean()
    # The maximum-likelihood Gaussian of 60 rows loses about 1/60.
    assert loss < 2.5 / 60


def test_the_best_body_is_taken():
    rng = np.random.default_rng(12)
    rows = {
        "gaussian": rng.normal(size=4000),
        "heavy": rng.standard_t(2, 4000),
        "two": np.where(rng.uniform(size=4000) < 0.5, -3, 3) + rng.normal(size=4000),
    }
    _, marginals, values = fitted(rows)
    own = marginals.log_density(values).mean(axis=0)
    for j, scores in enumerate(marginals.scores):
        assert max(scores.values()) <= own[j] <= max(scores.values()) + 0.1
    truth = [
        norm.logpdf(values[:, 0]).mean(),
        0.0,
        np.logaddexp(norm.logpdf(values[:, 2], -3), norm.logpdf(values[:, 2], 3)).mean()
        - np.log(2),
    ]
    assert own[0] == pytest.approx(truth[0], abs=2e-3)
    assert own[2] == pytest.approx(truth[2], abs=2e-3)
    affine = fitted(rows, "affine")[1].log_density(values).mean(axis=0)
    assert own[1] > affine[1] + 0.3 and own[2] > affine[2] + 0.3


def test_of_very_many_values_some_stand_for_all(monkeypatch):
    """The same bodies, nearly, from a fifth of the values; the seed is that of the columns."""
    columns = {name: table_columns()[name] for name in ("bimodal", "no charge", "capped", "heavy")}
    _, whole, values = fitted(columns)
    monkeypatch.setattr("harmonium.data.body_choice.MOST_VALUES", 400)
    _, some, _ = fitted(columns)
    for one_part, other in zip(whole.parts, some.parts, strict=True):
        np.testing.assert_array_equal(one_part.atoms, other.atoms)
        np.testing.assert_allclose(one_part.masses, other.masses, rtol=1e-12)
    lost = whole.log_density(values).mean(axis=0) - some.log_density(values).mean(axis=0)
    assert np.all(lost < 0.02)


@pytest.mark.parametrize("body", ["affine", "asinh", "mixture"])
def test_a_body_can_be_asked_for(body):
    _, marginals, _ = fitted(table_columns(400, seed=13), body, atoms=False)
    columns = zip(marginals.kinds, marginals.columns.levels, strict=True)
    numbers = [kind for kind, levels in columns if levels is None]
    assert set(numbers) == {body}


@pytest.mark.parametrize("body", ["auto", "asinh", "affine"])
def test_marginals_like_others_keep_their_tails_and_sizes(body):
    """Of the same rows they are the same ones; of a part of them, those of the same kind."""
    rules, whole, values = fitted(table_columns(600), body)
    again = Marginals.fit(rules, values, body, like=whole)
    part = Marginals.fit(rules, values[::2], body, like=whole)
    for own, new, some in zip(whole.parts, again.parts, part.parts, strict=True):
        if own.body is None:
            continue
        for name in ("location", "scale", "tail", "weights", "means", "sds"):
            np.testing.assert_allclose(getattr(new.body, name), getattr(own.body, name))
        np.testing.assert_allclose(new.masses, own.masses)
        if some.body is not None:
            assert some.body.tail == own.body.tail
            assert some.body.n_components == own.body.n_components
            assert not np.array_equal(
                some.body.sds * some.body.scale, own.body.sds * own.body.scale
            )


def test_without_atoms_every_number_is_a_point_or_a_cell_of_the_body():
    rules, marginals, values = fitted(table_columns(400, seed=14), "affine", atoms=False)
    bounds = marginals.bounds(values)
    for j, part in enumerate(marginals.parts):
        column = values[:, j]
        if rules.levels[j] is not None:
            continue
        assert not len(part.atoms)
        np.testing.assert_allclose(
            marginals.centers(values)[:, j], (column - column.mean()) / column.std(), atol=1e-9
        )
        if rules.kinds[j] == "grid":
            inner = np.abs(column - part.shape.bound) > rules.step[j] / 2
            width = (bounds.high - bounds.low)[inner | (part.shape.sign == 0), j]
            np.testing.assert_allclose(width, rules.step[j] / column.std(), rtol=1e-6)


def test_what_is_stated_to_be_continuous_has_no_levels():
    values = np.random.default_rng(15).choice([1.0, 2.0, 3.0], 100)[:, None]
    table = Table(values, ("x",), (Field("x", kind="continuous"),))
    rules = Columns.fit(table)
    marginals = Marginals.fit(rules, values)
    assert marginals.kinds[0] != "levels" and marginals.bounds(values).is_point.all()


@pytest.mark.parametrize(
    ("n_values", "rows", "step", "expected"),
    [
        (5, 6, 1.0, True),
        (5, 4, 1.0, False),
        (12, 5, 0.5, True),
        (13, 500, 1.0, False),
        (13, 20, 0.0, True),
        (13, 19, 0.0, False),
        (60, 20, 0.0, True),
        (61, 100, 0.0, False),
        (13, 20, 0.05, True),
    ],
)
def test_few_levels(n_values, rows, step, expected):
    values, counts = np.arange(float(n_values)), np.full(n_values, float(rows))
    assert has_levels(values, counts, step) == expected


def test_atoms_stand_out():
    values = np.arange(0.0, 40)
    counts = np.full(40, 30.0)
    assert not find_atoms(values, counts, 1.0).any() and not find_atoms(values, counts, 0.0).any()
    counts[[0, 1, 30]] = 300
    np.testing.assert_array_equal(np.flatnonzero(find_atoms(values, counts, 0.0)), [0, 1, 30])
    # A slope that a body can follow is none.
    assert not find_atoms(values, 1000 * 0.6**values, 1.0).any()
    # A value of most rows needs others for a body.
    assert not find_atoms(np.array([0.0, 1.0]), np.array([100.0, 1.0]), 0.0).any()


def test_rounding_errors_are_no_levels():
    noisy = np.array([0.1 + 0.2, 0.3, 0.1, 0.2] * 20)
    part = one(noisy)
    assert part.kind == "levels" and part.atoms.tolist() == [0.1, 0.2, 0.3]
    assert not part.is_unseen(noisy).any() and part.is_unseen(np.array([0.25]))[0]


def test_state_round_trip(everything):
    rules, marginals, values = everything
    config, arrays = marginals.to_state()
    config = json.loads(json.dumps(config))
    again = Marginals.from_state(config, arrays, rules)
    for one_end, other in zip(again.bounds(values), marginals.bounds(values), strict=True):
        np.testing.assert_array_equal(one_end, other)
    np.testing.assert_array_equal(again.log_measure(values), marginals.log_measure(values))
    assert again.scores == marginals.scores and again.kinds == marginals.kinds


DAMAGE = [
    ({"kinds": ["affine"]}, {}, "one kind for each of 14"),
    ({"kinds": ["linear"] * 14}, {}, "kinds among"),
    ({"scores": None}, {}, "scores of 14 columns"),
    ({"scores": [{"affine": float("nan")}] * 14}, {}, "finite numbers by name"),
    ({}, {"scale": lambda a: -a}, "positive scales"),
    ({}, {"tail": lambda a: a - 1}, "positive scales"),
    ({}, {"sds": lambda a: 0 * a}, "positive scales"),
    ({}, {"weights": lambda a: 2 * a}, "weights that add up to 1"),
    ({}, {"tail": lambda a: a + 1}, "a body of kind"),
    ({}, {"n_components": lambda a: a + 1}, "numbers of components"),
    ({}, {"n_atoms": lambda a: a + 0.5}, "numbers of atoms"),
    ({}, {"masses": lambda a: a + 1}, "masses|leave a mass"),
    ({}, {"masses": lambda a: -a}, "positive masses"),
    ({}, {"atoms": lambda a: -a}, "increasing atoms"),
    ({}, {"sign": lambda a: a + 2}, "signs among"),
    ({}, {"nearest": lambda a: a * np.nan}, "finite nearest"),
    ({}, {"location": lambda a: a[:1]}, "location of shape"),
]


@pytest.mark.parametrize(("settings", "changes", "words"), DAMAGE)
def test_damaged_state_is_refused(everything, settings, changes, words):
    rules, marginals, _ = everything
    config, arrays = marginals.to_state()
    arrays |= {name: change(arrays[name]) for name, change in changes.items()}
    with pytest.raises(InvalidInputError, match=words):
        Marginals.from_state(config | settings, arrays, rules)


def test_state_of_other_columns_is_refused(everything):
    _, marginals, _ = everything
    config, arrays = marginals.to_state()
    swapped = dict(zip(table_columns(), list(table_columns().values())[::-1], strict=True))
    rules = fitted(swapped)[0]
    with pytest.raises(InvalidInputError):
        Marginals.from_state(config, arrays, rules)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda r, m, v: Marginals.fit(r, v, "cubic"), "a body among"),
        (lambda r, m, v: Marginals.fit(r, v[:, :3]), "values of shape"),
        (lambda r, m, v: m.bounds(v[:, :3]), "Marginals.bounds(values): expected values of shape"),
        (lambda r, m, v: m.log_measure(v[0]), "values of shape"),
        (lambda r, m, v: m.restore(v[:, :3]), "u of shape"),
        (lambda r, m, v: Marginals.fit(r, np.full_like(v, np.nan)), "two different finite cells"),
    ],
)
def test_refusals_say_what_was_needed(everything, call, words):
    with pytest.raises(InvalidInputError, match=re.escape(words)):
        call(*everything)


@pytest.mark.parametrize("body", ["auto", "affine", "asinh"])
def test_smooth_columns_in_one_pass_are_those_column_by_column(body):
    """To the last digit, with missing cells, beside columns of every other kind."""
    _, marginals, values = fitted(table_columns(), body)
    assert len(set(marginals.kinds)) > 1
    missing = np.random.default_rng(0).random(values.shape) < 0.1
    asked = np.where(missing, np.nan, values)[:500]
    columns = list(zip(marginals.parts, asked.T, strict=True))
    ends = [part.bounds(cells) for part, cells in columns]
    bounds = marginals.bounds(asked)
    np.testing.assert_array_equal(bounds.low, np.stack([low for low, _ in ends], axis=1))
    np.testing.assert_array_equal(bounds.high, np.stack([high for _, high in ends], axis=1))
    centers = [part.centers(cells) for part, cells in columns]
    np.testing.assert_array_equal(marginals.centers(asked), np.stack(centers, axis=1))
    measure = [part.log_measure(cells) for part, cells in columns]
    np.testing.assert_array_equal(marginals.log_measure(asked), np.stack(measure, axis=1))


def test_the_center_of_a_level_is_the_median_of_its_interval(everything):
    _, marginals, values = everything
    levels = [j for j, kind in enumerate(marginals.kinds) if kind == "levels"]
    assert levels
    for j in levels:
        part, cells = marginals.parts[j], values[:200, j]
        low, high = (end[:, None] for end in part.bounds(cells))
        np.testing.assert_array_equal(part.centers(cells), spread(Bounds(low, high), 0.5)[:, 0])
        assert np.isnan(part.centers(np.array([np.nan, 1e9]))).all()


def test_the_cell_at_the_bound_is_a_plain_zero():
    shape = CellShape(step=0.1, offset=13.1, decimals=1, sign=1, nearest=13.1)
    assert str(shape.bound) == "0.0"
    cells = shape.snap(np.array([-3.0, -0.001, 0.001, 13.14]))
    assert [str(cell) for cell in cells] == ["0.0", "0.0", "0.0", "13.1"]
