"""Densities of table rows as masses of boxes. Kind of truth: sums over cells, quadrature, closed
forms.

Densities are built by hand: fitted marginals and whitening, a base of three components, and W of a
few hidden units on the identity, for which p(u) is a mixture of Gaussians with a log Z in closed
form. Masses of one interval are exact then; others have the error of 128 quasi-random draws. Seeds:
tables 0 to 5, models 7, as written.
"""

import itertools
from dataclasses import dataclass, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute
from scipy.special import logsumexp, ndtr
from scipy.stats import ks_2samp, kstest, norm

from harmonium.data import Columns, Field, Marginals, Table
from harmonium.inference import (
    Chosen,
    Density,
    conditional_sampling,
    draw_completions,
    sample_given,
)
from harmonium.inference.conditions import Span, read_conditions
from harmonium.inference.coordinates import Coordinates
from harmonium.learning.base_choice import fit_base
from harmonium.likelihood.result import exact_result
from harmonium.model import Harmonium
from harmonium.model.mixture_fit import MixtureSettings

NAN = np.nan
# Of totals over all cells of a table.
TOLERANCE = 0.005
each_model = pytest.mark.parametrize("has_residual", [False, True], ids=["base", "residual"])


def density_of(values, fields=None, *, has_residual=False, body="auto"):
    """A density of a table, with an energy on top of its base or without."""
    names = fields or tuple(Field(f"x{i + 1}") for i in range(values.shape[1]))
    table = Table(values, tuple(field.name for field in names), names)
    rng, columns = np.random.default_rng(7), Columns.fit(table)
    coordinates = Coordinates.fit(
        Marginals.fit(columns, values, body), values, shape="full", rng=rng
    )
    z = coordinates.whitening.forward(coordinates.draw_points(values, rng))
    base = fit_base(z, MixtureSettings(3), rng)
    coordinates = coordinates.refined(base, values)
    n = columns.n_modeled
    model = Harmonium(n, 4, base=base, key=jax.random.key(7))
    if has_residual:
        # Small enough that draws of the base are worth something: the features are not bounded.
        weights, bias = (rng.normal(size=shape) / n**0.5 for shape in ((4, n), n))
        leaves = (0.3 * weights, 0.4 * bias, rng.normal(size=4))
        where = lambda m: (m.weights, m.visible_bias, m.hidden_bias)  # noqa: E731
        model = eqx.tree_at(where, model, tuple(map(jnp.asarray, leaves)))
    log_partition = exact_result(brute.Mixture(model).log_partition, "exact")
    chosen = Chosen("mixture", 3, {}, has_residual, (), ())
    return Density(coordinates, model, log_partition, "by hand", True, chosen)


@dataclass(frozen=True)
class Gaussians:
    """p(u) of such a density as a mixture of Gaussians, the truth of its masses."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    @staticmethod
    def of(density):
        exact, whitening = brute.Mixture(density.model), density.coordinates.whitening
        back = np.linalg.inv(whitening.matrix)
        means = exact.means @ back + whitening.center
        return Gaussians(exact.probabilities, means, back.T @ exact.covariances @ back)

    def log_density(self, index, u, interval=None):
        """Of rows of coordinates by their index, and of one that lies in intervals (column, lows,
        highs)."""
        within = self.covariances[:, index][:, :, index]
        precision = np.linalg.inv(within)
        off = u[:, None] - self.means[:, index]
        log_density = -0.5 * (np.einsum("nki,kij->nkj", off, precision) * off).sum(axis=2)
        log_density -= 0.5 * np.linalg.slogdet(2 * np.pi * within)[1]
        mass = 1.0
        if interval is not None:
            j, low, high = interval
            across = self.covariances[:, index, j]
            gain = np.einsum("ki,kij->kj", across, precision)
            mean = self.means[:, j] + (off * gain).sum(axis=2)
            sd = np.sqrt(self.covariances[:, j, j] - (gain * across).sum(axis=1))
            mass = ndtr((high[:, None] - mean) / sd) - ndtr((low[:, None] - mean) / sd)
        return logsumexp(log_density, b=self.weights * mass, axis=1)


def without_rules(density, values):
    """Log-densities less what rules add: that a category has been seen before."""
    return density.log_density(values) - density.coordinates.log_rule(values)


def grouped(n, n_columns, seed):
    """Rows of two groups with a common cause, correlated and not Gaussian."""
    rng = np.random.default_rng(seed)
    group, cause = rng.integers(0, 2, (n, 1)), rng.normal(size=(n, 1))
    signs, loads = np.sign(rng.normal(size=n_columns)), rng.normal(size=n_columns)
    return (2 * group - 1) * signs + 0.8 * cause * loads + rng.normal(size=(n, n_columns))


def words(name, n):
    return Field(name, "text", "categorical", tuple("abcdefg"[:n]))


def enumerable(n_levels, *, are_words):
    """A table of columns with so many levels, and all its cells."""
    latent = grouped(2000, len(n_levels), seed=0)
    cuts = {2: [0.3], 3: [-0.7, 0.9]}
    columns = [np.digitize(v, cuts[n]) for v, n in zip(latent.T, n_levels, strict=True)]
    fields = None
    if are_words:
        fields = tuple(words(f"x{i}", n) for i, n in enumerate(n_levels))
    cells = itertools.product(*[range(n) for n in n_levels])
    return np.stack(columns, axis=1).astype(float), fields, np.array(list(cells), float)


TABLES = {
    "categories": ([3, 3, 2, 3, 2, 3, 2, 3], True),
    "few levels": ([2, 3, 3, 2, 3, 2, 3, 2], False),
    "truth values": ([2] * 8, False),
}


@each_model
@pytest.mark.parametrize(("n_levels", "are_words"), TABLES.values(), ids=TABLES.keys())
def test_the_masses_of_all_cells_add_up_to_one(n_levels, are_words, has_residual):
    values, fields, cells = enumerable(n_levels, are_words=are_words)
    density = density_of(values, fields, has_residual=has_residual)
    assert set(density.coordinates.marginals.kinds) == {"levels"}
    masses = np.exp(without_rules(density, cells))
    assert masses.sum() == pytest.approx(1.0, abs=TOLERANCE)
    # They are no independent columns, of which this would be trivial.
    alone = density.coordinates.marginals.log_density(cells).sum(axis=1)
    assert np.abs(masses - np.exp(alone)).sum() > 0.1
    # Of fewer columns they add up too, and to what the others leave of them.
    first = np.unique(cells[:, :3], axis=0)
    rows = np.concatenate([first, np.full((len(first), cells.shape[1] - 3), NAN)], axis=1)
    marginal = np.exp(without_rules(density, rows))
    expected = [masses[np.all(cells[:, :3] == own, axis=1)].sum() for own in first]
    np.testing.assert_allclose(marginal, expected, atol=TOLERANCE)
    assert marginal.sum() == pytest.approx(1.0, abs=TOLERANCE)


def mixed(n=3000, seed=1):
    """A number, a count and a category that belong together; with their fields."""
    rng, latent = np.random.default_rng(seed), grouped(n, 3, seed)
    count = rng.poisson(np.exp(1.2 + 0.4 * latent[:, 1]))
    color = np.digitize(latent[:, 2], [-0.7, 0.9])
    values = np.stack([5 + 2 * latent[:, 0], count, color], axis=1).astype(float)
    return values, (Field("x"), Field("n"), words("color", 3))


@pytest.fixture(scope="module")
def of_mixed():
    values, fields = mixed()
    return {
        "values": values,
        False: density_of(values, fields),
        True: density_of(values, fields, has_residual=True),
    }


def nodes_of(density, column, n=400, half_width=7.0):
    """Numbers of a column at evenly spaced u, with the widths that they stand for."""
    body = density.coordinates.marginals.parts[column].body
    edges = body.from_normal(np.linspace(-half_width, half_width, n + 1))
    return body.from_normal(np.linspace(-half_width, half_width, 2 * n + 1)[1::2]), np.diff(edges)


@each_model
def test_the_density_of_a_mixed_table_integrates_to_one(of_mixed, has_residual):
    density = of_mixed[has_residual]
    assert density.coordinates.marginals.kinds[2] == "levels"
    assert density.coordinates.fine.tolist() == [True, False, False]
    x, widths = nodes_of(density, 0, n=120, half_width=6.0)
    counts = np.arange(61.0)
    total = 0.0
    for color in range(3):
        rows = np.array(list(itertools.product(x, counts, [float(color)])))
        masses = np.exp(without_rules(density, rows)).reshape(len(x), len(counts))
        total += widths @ masses.sum(axis=1)
    assert total == pytest.approx(1.0, abs=TOLERANCE)


@each_model
def test_the_density_of_fewer_columns_integrates_to_one_too(of_mixed, has_residual):
    density = of_mixed[has_residual]
    x, widths = nodes_of(density, 0)
    rows = np.stack([x, np.full(len(x), NAN), np.full(len(x), NAN)], axis=1)
    assert widths @ np.exp(density.log_density(rows)) == pytest.approx(1.0, abs=TOLERANCE)
    rows = np.stack([np.full(121, NAN), np.arange(121.0), np.full(121, NAN)], axis=1)
    assert np.exp(density.log_density(rows)).sum() == pytest.approx(1.0, abs=TOLERANCE)


def test_cells_of_a_fine_lattice_are_points():
    """Two decimals: the density times the step stands for the mass."""
    rng = np.random.default_rng(2)
    x = np.round(rng.normal(5, 0.8, 2000), 2)
    values = np.stack([x, x + rng.normal(0, 0.5, 2000)], axis=1)
    density = density_of(values)
    assert density.coordinates.fine[0]
    cells = np.arange(0, 1001) / 100
    rows = np.stack([cells, np.full(len(cells), NAN)], axis=1)
    assert np.exp(density.log_density(rows)).sum() * 0.01 == pytest.approx(1.0, abs=TOLERANCE)


@pytest.mark.parametrize("share", [0.15, 0.5])
@each_model
def test_an_atom_has_its_share_and_the_rest_the_rest(share, has_residual):
    """Of zeros beside amounts; given the other column too. Seed 3; 5 standard errors of 4000
    rows."""
    rng, n = np.random.default_rng(3), 4000
    latent = grouped(n, 2, seed=3)
    order = np.argsort(np.argsort(latent[:, 0] + rng.normal(size=n)))
    amounts = np.where(order < share * n, 0.0, np.exp(1 + 0.5 * latent[:, 0]))
    density = density_of(np.stack([amounts, latent[:, 1]], axis=1), has_residual=has_residual)
    part = density.coordinates.marginals.parts[0]
    assert part.atoms.tolist() == [0.0]
    zero = np.exp(density.log_density(np.array([[0.0, NAN]])))[0]
    if not has_residual:
        error = 5 * np.sqrt(share * (1 - share) / n)
        assert zero == pytest.approx(share, abs=max(error, TOLERANCE))
    x, widths = nodes_of(density, 0, n=4000, half_width=9.0)
    for given in (NAN, -1.0, 1.5):
        rows = np.stack([x, np.full(len(x), given)], axis=1)
        whole = 0.0 if np.isnan(given) else truths(density, np.array([[NAN, given]]))[0]
        rest = widths @ np.exp(density.log_density(rows) - whole)
        own = np.exp(density.log_density(np.array([[0.0, given]]))[0] - whole)
        assert own + rest == pytest.approx(1.0, abs=TOLERANCE)


def holed_rows(values, n=40):
    """Rows with every pattern of missing cells but the empty one."""
    rng = np.random.default_rng(4)
    rows = values[:n].copy()
    gaps = rng.random(rows.shape) < 0.5
    gaps[gaps.all(axis=1), 0] = False
    rows[gaps] = NAN
    return rows


def truths(density, rows):
    """Log-densities of rows by the closed form, where at most one cell is an interval."""
    exact, coordinates = Gaussians.of(density), density.coordinates
    bounds, found = coordinates.bounds(rows), np.empty(len(rows))
    known = bounds.low == bounds.high
    wide = (bounds.low < bounds.high) & (np.isfinite(bounds.low) | np.isfinite(bounds.high))
    assert np.all(wide.sum(axis=1) <= 1)
    patterns, places = np.unique(np.concatenate([known, wide], axis=1), axis=0, return_inverse=True)
    for i, pattern in enumerate(patterns):
        own = places == i
        index, columns = (np.flatnonzero(part) for part in np.split(pattern, 2))
        low, high = bounds.low[own], bounds.high[own]
        interval = (columns[0], low[:, columns[0]], high[:, columns[0]]) if len(columns) else None
        found[own] = exact.log_density(index, low[:, index], interval)
    return found + coordinates.log_measure(rows) + coordinates.log_rule(rows)


def one_category(n=1500):
    """Two numbers and a category."""
    latent = grouped(n, 3, seed=5)
    values = np.stack([latent[:, 0], np.exp(latent[:, 1]), np.digitize(latent[:, 2], [-0.5, 0.6])])
    return values.T.astype(float), (Field("x"), Field("y"), words("color", 3))


def test_of_the_base_one_interval_is_exact():
    values, fields = one_category()
    density = density_of(values, fields)
    rows = np.concatenate([holed_rows(values), values[:20]])
    np.testing.assert_allclose(density.log_density(rows), truths(density, rows), atol=1e-6)


def test_the_residual_enters_with_the_error_of_its_weights():
    """Points of all columns are exact; others within 5 standard errors and without a common
    lean."""
    values, fields = one_category()
    density = density_of(values, fields, has_residual=True)
    rows = np.concatenate([holed_rows(values), values[:20]])
    off = density.log_density(rows) - truths(density, rows)
    bounds = density.coordinates.bounds(rows)
    points = bounds.is_point.all(axis=1)
    np.testing.assert_allclose(off[points], 0, atol=1e-6)
    boxes = density.boxes
    errors = boxes._masses(bounds, 128).log_mass_error
    assert np.all(np.abs(off) < 5 * errors + 1e-6)
    assert errors.max() > 0.01
    assert abs(off.mean()) < 0.02


def test_points_are_exact_with_a_residual():
    rng = np.random.default_rng(5)
    latent = grouped(1000, 2, seed=5)
    values = np.stack([latent[:, 0], rng.gamma(2.0, np.exp(0.3 * latent[:, 1]))], axis=1)
    density = density_of(values, has_residual=True)
    np.testing.assert_allclose(
        density.log_density(values[:50]), truths(density, values[:50]), atol=1e-8
    )


def test_draws_of_a_base_alone_are_as_good_as_their_number():
    """Given a number, exact ones; their moments by the closed form of the mixture. Seed 14."""
    values = grouped(600, 2, seed=5)
    density = density_of(values, body="affine")
    bounds = density.coordinates.bounds(np.array([[0.7, NAN]]))
    drawn = density.boxes.draw(bounds, 64, seed=14)
    assert drawn.ess[0] == pytest.approx(64)
    mixture, known = density.boxes.base, bounds.low[0, 0]
    weights, means, factors = (
        np.asarray(part, np.float64)
        for part in (np.exp(mixture.log_weights), mixture.means, mixture.factors)
    )
    covariances = factors @ np.swapaxes(factors, 1, 2)
    shares = weights * norm.pdf(known, means[:, 0], covariances[:, 0, 0] ** 0.5)
    shares /= shares.sum()
    slopes = covariances[:, 1, 0] / covariances[:, 0, 0]
    centers = means[:, 1] + slopes * (known - means[:, 0])
    spreads = covariances[:, 1, 1] - slopes * covariances[:, 0, 1]
    mean = shares @ centers
    sd = (shares @ (spreads + centers**2) - mean**2) ** 0.5
    # Quasi-random points err by less than so many random ones would.
    assert abs(drawn.points[0, :, 1].mean() - mean) < 5 * sd / 64**0.5
    assert drawn.points[0, :, 1].std() == pytest.approx(sd, rel=0.5)


@each_model
def test_draws_given_a_category_follow_the_enumeration(of_mixed, has_residual):
    """`sample_given`: shares, means and spreads of the other columns; seed 11, 5 standard
    errors."""
    density = of_mixed[has_residual]
    n, color = 4000, 1.0
    drawn, diagnostics = sample_given(density, n, {"color": "b"}, seed=11)
    assert diagnostics.trusted
    np.testing.assert_array_equal(drawn[:, 2], color)
    whole = density.log_density(np.array([[NAN, NAN, color]]))[0]
    rule = density.coordinates.log_rule(np.array([[NAN, NAN, color]]))[0]
    assert diagnostics.log_probability == pytest.approx(whole - rule, abs=0.02)
    counts = np.arange(121.0)
    rows = np.stack([np.full(121, NAN), counts, np.full(121, color)], axis=1)
    shares = np.exp(density.log_density(rows) - whole)
    assert shares.sum() == pytest.approx(1.0, abs=TOLERANCE)
    for function in (np.log1p, lambda c: c < 2, lambda c: c > 6):
        assert_near(function(drawn[:, 1]), shares @ function(counts), diagnostics)
    x, widths = nodes_of(density, 0)
    rows = np.stack([x, np.full(len(x), NAN), np.full(len(x), color)], axis=1)
    masses = widths * np.exp(density.log_density(rows) - whole)
    for function in (np.asarray, np.square, lambda v: v < 4):
        assert_near(function(drawn[:, 0]), masses @ function(x), diagnostics)


def assert_near(values, expected, diagnostics, allowed=0.005):
    """Draws of eight batches, each of which chose among proposals worth so many draws."""
    values = np.asarray(values, float)
    error = values.std() * np.sqrt(1 / len(values) + 1 / (8 * diagnostics.ess))
    assert abs(values.mean() - expected) < 5 * error + allowed * max(1, abs(expected))


@each_model
def test_draws_given_numbers_and_intervals_follow_the_enumeration(of_mixed, has_residual):
    """An interval of counts, and a number given: shares of the colors; seed 12."""
    density = of_mixed[has_residual]
    given = {"x": 6.0, "n": (3, 5)}
    drawn, diagnostics = sample_given(density, 4000, given, seed=12)
    assert diagnostics.trusted
    np.testing.assert_array_equal(drawn[:, 0], 6.0)
    assert set(drawn[:, 1]) == {3.0, 4.0, 5.0}
    rows = np.array(list(itertools.product([6.0], [3.0, 4.0, 5.0], range(3))), float)
    masses = np.exp(without_rules(density, rows))
    assert diagnostics.log_probability == pytest.approx(np.log(masses.sum()), abs=0.03)
    for (_, count, color), mass in zip(rows, masses / masses.sum(), strict=True):
        is_own = (drawn[:, 1] == count) & (drawn[:, 2] == color)
        assert_near(is_own, mass, diagnostics)


def test_few_draws_fill_an_interval(of_mixed):
    """Of many equally good proposals, those kept are no corner of the box; 256 draws, seed 15."""
    density, low, high = of_mixed[False], 3.0, 7.0
    drawn, _ = sample_given(density, 256, {"x": (low, high), "n": (1, 9)}, seed=15)
    x, widths = nodes_of(density, 0)
    inside = (x > low) & (x < high)
    rows = np.stack([x[inside], np.full(inside.sum(), NAN), np.full(inside.sum(), NAN)], axis=1)
    masses = widths[inside] * np.exp(density.log_density(rows))
    passed = np.interp(drawn[:, 0], x[inside], np.cumsum(masses) / masses.sum())
    # Counts beyond nine, which are not given, have little mass there.
    assert kstest(passed, "uniform").statistic < 0.12


SETS = {
    "a set": ({"color": {"a", "c"}}, [0, 2], range(121)),
    "a list": ({"color": ["a", "b"]}, [0, 1], range(121)),
    "with an interval": ({"color": ("b", "c"), "n": Span(3, 6, True)}, [1, 2], [4, 5, 6]),
    "two sets": ({"color": {"a", "c"}, "n": {2, 7}}, [0, 2], [2, 7]),
}


@each_model
@pytest.mark.parametrize("name", SETS)
def test_members_of_sets_are_drawn_by_their_probabilities(of_mixed, has_residual, name):
    """By the enumeration of counts and colors; seed 16, 4.5 standard errors of 1000 draws."""
    density = of_mixed[has_residual]
    given, colors, counts = SETS[name]
    n = 1000
    drawn, diagnostics = sample_given(density, n, given, seed=16)
    assert diagnostics.trusted and len(drawn) == n
    assert set(drawn[:, 2]) <= set(colors) and set(drawn[:, 1]) <= set(counts)
    rows = np.array(list(itertools.product([NAN], counts, colors)), float)
    masses = np.exp(without_rules(density, rows))
    assert diagnostics.log_probability == pytest.approx(np.log(masses.sum()), abs=0.02)
    for color in colors:
        share = masses[rows[:, 2] == color].sum() / masses.sum()
        error = 4.5 * (share * (1 - share) / n) ** 0.5
        assert np.mean(drawn[:, 2] == color) == pytest.approx(share, abs=error + 0.01)


def test_balanced_draws_have_as_many_of_each_category(of_mixed):
    """Of which each is drawn as if it were given; seed 17."""
    density, n = of_mixed[False], 1000
    drawn, diagnostics = sample_given(density, n, None, balance="color", seed=17)
    assert sorted(np.unique(drawn[:, 2], return_counts=True)[1]) == [333, 333, 334]
    assert diagnostics.trusted and diagnostics.log_probability == pytest.approx(0, abs=0.01)
    for color in range(3):
        own = drawn[drawn[:, 2] == color, 0]
        alone, _ = sample_given(density, n, {"color": "abc"[color]}, seed=18)
        assert ks_2samp(own, alone[:, 0]).pvalue > 1e-4
    few, _ = sample_given(density, 2, {"n": (2, 4)}, balance="color", seed=17)
    assert len(set(few[:, 2])) == 2 and set(few[:, 1]) <= {2, 3, 4}


def test_chains_take_over_where_proposals_are_worth_little():
    """Two columns, W so large that the base hardly draws where p is; seed 13."""
    values = grouped(1500, 3, seed=4)
    density = density_of(values, has_residual=True, body="affine")
    model = density.model
    model = eqx.tree_at(lambda m: m.weights, model, 14 * model.weights)
    log_partition = exact_result(brute.Mixture(model).log_partition, "exact")
    density = replace(density, model=model, log_partition=log_partition)
    n, given = 3000, {"x1": 0.5}
    _, weighted = conditional_sampling._draw(density, read_conditions(density, given)[0], n, 13)
    assert not weighted.trusted
    drawn, diagnostics = sample_given(density, n, given, seed=13)
    assert diagnostics.trusted, diagnostics.verdict
    np.testing.assert_array_equal(drawn[:, 0], 0.5)
    whole = truths(density, np.array([[0.5, NAN, NAN]]))[0]
    assert diagnostics.log_probability == pytest.approx(whole, abs=0.05)
    x, widths = nodes_of(density, 1, n=3000, half_width=40.0)
    rows = np.stack([np.full(len(x), 0.5), x, np.full(len(x), NAN)], axis=1)
    masses = widths * np.exp(truths(density, rows) - whole)
    assert masses.sum() == pytest.approx(1, abs=0.01)
    places = np.interp(drawn[:, 1], x, np.cumsum(masses))
    # Chains are not independent draws: an eighth of them are taken to be.
    assert abs(places.mean() - 0.5) < 5 * np.sqrt(1 / 12 / (n / 8))


def test_what_no_model_reacts_to_would_be_seen(of_mixed):
    """It is no test if the base passes for the model with its energy."""
    base, whole = of_mixed[False], of_mixed[True]
    drawn, diagnostics = sample_given(base, 4000, {"color": "b"}, seed=11)
    rows = np.stack([np.full(121, NAN), np.arange(121.0), np.full(121, 1.0)], axis=1)
    shares = np.exp(whole.log_density(rows))
    expected = shares @ np.log1p(np.arange(121)) / shares.sum()
    with pytest.raises(AssertionError):
        assert_near(np.log1p(drawn[:, 1]), expected, diagnostics)


def everything(n=1500):
    """A column of every sort, with missing cells; names by what they are."""
    rng, latent = np.random.default_rng(6), grouped(n, 8, seed=6)
    columns = {
        "number": latent[:, 0],
        "rounded": np.round(10 + latent[:, 1], 1),
        "count": rng.poisson(np.exp(0.5 + 0.5 * latent[:, 2])).astype(float),
        "large count": np.floor(np.exp(4 + 0.5 * latent[:, 3])),
        "amount": np.where(latent[:, 4] < 0, 0.0, np.exp(latent[:, 4])),
        "scale": np.digitize(latent[:, 5], [-1.0, 0.0, 1.0]) * 2.0,
        "truth": (latent[:, 6] > 0.5).astype(float),
        "color": np.digitize(latent[:, 7], [-0.5, 0.6]).astype(float),
    }
    columns |= {"constant": np.full(n, 4.0), "twin": columns["count"]}
    values = np.stack(list(columns.values()), axis=1)
    fields = tuple(words(name, 3) if name == "color" else Field(name) for name in columns)
    return list(columns), values, fields


@pytest.fixture(scope="module")
def of_everything():
    names, values, fields = everything()
    with pytest.warns(match="not modeled"):
        return names, values, density_of(values, fields, has_residual=True)


def assert_of_the_table(names, values, drawn, density):
    """Every drawn cell is one that the table could have."""
    cells = dict(zip(names, drawn.T, strict=True))
    for name in ("scale", "truth", "color"):
        assert set(cells[name]) <= set(values[:, names.index(name)]), name
    for name in ("count", "large count"):
        assert np.all((cells[name] >= 0) & (cells[name] % 1 == 0)), name
    np.testing.assert_array_equal(np.round(cells["rounded"], 1), cells["rounded"])
    assert np.all(cells["amount"] >= 0)
    np.testing.assert_array_equal(cells["constant"], 4.0)
    np.testing.assert_array_equal(cells["twin"], cells["count"])
    assert np.all(np.isfinite(density.log_density(drawn)))


def test_samples_are_rows_that_the_table_could_have(of_everything):
    names, values, density = of_everything
    drawn, _ = density.sample(1000, seed=0, n_steps=20)
    assert drawn.shape == (1000, len(names))
    assert_of_the_table(names, values, drawn, density)
    # Zeros are drawn as often as they are, within what the energy makes of it.
    zeros = np.mean(drawn[:, names.index("amount")] == 0.0)
    expected = np.exp(
        density.log_density(np.array([np.where(np.array(names) == "amount", 0.0, NAN)]))
    )
    assert zeros == pytest.approx(expected[0], abs=0.1)


def test_conditional_draws_are_rows_that_the_table_could_have(of_everything):
    names, values, density = of_everything
    drawn, _ = sample_given(density, 300, {"count": 2, "color": "c"}, seed=0)
    assert_of_the_table(names, values, drawn, density)
    assert set(drawn[:, names.index("count")]) == {2.0}


def test_completions_keep_what_is_known_and_the_range(of_everything):
    names, values, density = of_everything
    rng = np.random.default_rng(8)
    rows = np.where(rng.random((60, len(names))) < 0.4, NAN, values[:60])
    seen = []
    for batch in draw_completions(density, rows, 5, seed=3):
        assert batch.draws.shape == (5, len(batch.rows), len(names))
        for drawn in batch.draws:
            known = ~np.isnan(rows[batch.rows])
            np.testing.assert_array_equal(drawn[known], rows[batch.rows][known])
            assert_of_the_table(names, values, drawn, density)
            assert np.all((drawn >= values.min(axis=0)) & (drawn <= values.max(axis=0)))
        seen.extend(batch.rows)
    assert sorted(seen) == np.flatnonzero(np.isnan(rows).any(axis=1)).tolist()


def test_free_energies_need_whole_rows_and_differ_by_log_z(of_everything):
    """Of continuous columns F is minus the log-density, but for log Z and the slopes."""
    latent = grouped(600, 2, seed=9)
    density = density_of(latent, has_residual=True)
    free_energy, z = density.free_energy(latent[:20]), density.in_model_units(latent[:20])
    np.testing.assert_allclose(free_energy, brute.free_energies(density.model, z), rtol=1e-9)
    measure = density.coordinates.log_measure(latent[:20]) + density.coordinates.whitening.log_det
    expected = -free_energy - density.log_partition.value + measure
    np.testing.assert_allclose(density.log_density(latent[:20]), expected, atol=1e-9)
