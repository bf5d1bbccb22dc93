"""Views of rows and their surprises. Kind of truth: closed forms, quadrature, direct sums.

Densities of mixtures by scipy and by `Mixture.conditional`; to 1e-8 in float64. Statistics within 5
standard errors. Seeds: mixtures 0 and 1, rows 5, tables 0 and 3, draws as written.
"""

from dataclasses import replace
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from scipy.stats import cauchy, hmean

from harmonium.compiling import as_floats
from harmonium.data import Columns, Field, Marginals, Table
from harmonium.inference import DetectorSettings, explain, fit_detector
from harmonium.inference.conditionals import (
    conditional_log_densities,
)
from harmonium.inference.neighbors import BANDWIDTH, N_NEAREST, near_votes
from harmonium.inference.views import (
    ANYWHERE,
    LARGEST_COORDINATE,
    N_QUANTILES,
    ROWS_PER_COLUMN,
    TAIL,
    UNSEEN,
    Scale,
    Space,
    Surprise,
    fit_mixtures,
    mixture_votes,
)

# In its package the name is that of the function.
fitting = import_module("harmonium.inference.fit_detector")

NAN = np.nan
MIXTURES = (brute.random_mixture(3, 4, seed=0), brute.random_mixture(3, 2, seed=1))
ROWS = 1.5 * np.random.default_rng(5).normal(size=(9, 3))


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-8, atol=1e-8)


def log_conditional(mixture, row, j, place):
    """log q(x_j = place given the other coordinates of the row)."""
    known = np.array(row)
    known[j] = NAN
    _, own = mixture.conditional(known)
    return float(own.log_density(jnp.asarray([place])))


def log_conditionals(mixture, rows):
    """log q(x_j given the others) of every coordinate of rows, (rows, visible)."""
    columns = range(rows.shape[1])
    return np.array([[log_conditional(mixture, row, j, row[j]) for j in columns] for row in rows])


# Votes


def test_votes_of_mixtures_are_log_densities_and_mean_column_surprisals():
    votes = mixture_votes(MIXTURES, ROWS)
    assert votes.shape == (9, 4)
    for i, mixture in enumerate(MIXTURES):
        close(votes[:, i], -brute.mixture_log_density(mixture, ROWS))
        close(votes[:, 2 + i], -log_conditionals(mixture, ROWS).mean(axis=1))


@pytest.mark.parametrize("mixture", MIXTURES)
def test_column_densities_are_those_of_conditional_mixtures(mixture):
    places = np.random.default_rng(6).normal(size=(9, 3, 5))
    found = conditional_log_densities(mixture, ROWS, places)
    assert found.shape == places.shape
    expected = [
        [[log_conditional(mixture, row, j, place) for place in own[j]] for j in range(3)]
        for row, own in zip(ROWS, places, strict=True)
    ]
    close(found, np.array(expected))


@pytest.mark.parametrize("mixture", MIXTURES)
def test_column_densities_integrate_to_one(mixture):
    line = np.linspace(-20, 20, 4001)
    places = np.broadcast_to(line, (9, 3, len(line)))
    masses = np.exp(conditional_log_densities(mixture, ROWS, places)).sum(axis=2)
    close(masses * (line[1] - line[0]), np.ones((9, 3)))


def kernel_sums(kernels, rows, own=None):
    """Minus logs of sums of kernels, one by one; `own` numbers the kernel that a row leaves out."""
    found = []
    for i, row in enumerate(rows):
        exponents = -np.sum((kernels - row) ** 2, axis=1) / (2 * BANDWIDTH**2)
        if own is not None:
            exponents = np.delete(exponents, own[i])
        found.append(-logsumexp(exponents))
    return np.array(found)


def test_kernels_are_summed():
    kernels = np.random.default_rng(7).normal(size=(40, 3))
    close(near_votes(as_floats(kernels), ROWS)[:, 0], kernel_sums(kernels, ROWS))


@pytest.mark.parametrize("n_columns", [1, 16, 37])
def test_distances_to_the_nearest_rows_are_averaged(n_columns):
    rng = np.random.default_rng(8)
    neighbors, rows = rng.normal(size=(40, n_columns)), rng.normal(size=(9, n_columns))
    distances = np.sort(cdist(rows, neighbors, "cityblock"), axis=1)
    close(near_votes(as_floats(neighbors), rows)[:, 1], distances[:, :N_NEAREST].mean(axis=1))
    own = np.sort(cdist(neighbors, neighbors, "cityblock"), axis=1)
    close(near_votes(as_floats(neighbors), neighbors)[:, 1], own[:, 1 : N_NEAREST + 1].mean(axis=1))


def test_rows_of_the_kernels_leave_their_own_out_in_every_batch():
    # More rows than a batch has, and two that are alike; on a lattice, so that no others are.
    places = np.stack(np.meshgrid(np.arange(34), np.arange(33)), axis=-1).reshape(-1, 2)
    kernels = 0.05 * places[:1100].astype(float)
    kernels[1099] = kernels[3]
    found = near_votes(as_floats(kernels), kernels)[:, 0]
    close(found, kernel_sums(kernels, kernels, own=np.arange(1100)))
    assert max(found[3], found[1099]) <= 1e-12


def test_kernels_far_from_the_center_hold_in_single_precision():
    rng = np.random.default_rng(13)
    # Multiples of 1/8 are the same numbers in both precisions.
    kernels = 500 + np.round(rng.normal(size=(40, 6)) * 8) / 8
    rows = 500 + np.round(rng.normal(size=(9, 6)) * 8) / 8 + 1 / 16
    with jax.enable_x64(False):
        found = near_votes(as_floats(kernels), rows)[:, 0]
    np.testing.assert_allclose(found, kernel_sums(kernels, rows), rtol=1e-6)


def test_a_component_of_few_rows_is_left_out():
    """Two rows far out would be a component of their own, and normal by it; seed 12."""
    rng = np.random.default_rng(12)
    rows = rng.normal(size=(400, 2))
    rows[:2] = [[9.0, -9.0], [9.1, -9.1]]
    (mixture,) = fit_mixtures(rows, (8,), rng)
    assert np.exp(np.asarray(mixture.log_weights)).sum() == pytest.approx(1)
    assert not np.any(np.linalg.norm(np.asarray(mixture.means), axis=1) > 6)
    votes = mixture_votes((mixture,), rows)[:, 0]
    assert votes[:2].min() > votes[2:].max()


# Surprises


def test_surprises_of_fresh_rows_have_uniform_p_values():
    rng = np.random.default_rng(9)
    n = 20_000
    surprise = Surprise.fit(rng.normal(size=(n, 2)))
    p_values = np.exp(-surprise.of(rng.normal(size=(n, 2))))
    for level in (0.1, 0.2, 0.5, 0.8):
        error = np.sqrt(level * (1 - level) * 2 / n)
        shares = np.mean(p_values <= level, axis=0)
        assert np.all(np.abs(shares - level) < 5 * error)


@pytest.mark.parametrize("digits", [0, 1, 12])
def test_surprises_rise_with_votes(digits):
    """Also where votes are tied, as those of tables of categories are."""
    votes = np.round(np.random.default_rng(10).normal(size=(500, 1)), digits)
    line = np.linspace(-6, 9, 3001)[:, None]
    found = Surprise.fit(votes).of(line)
    assert np.all(np.diff(found, axis=0) >= 0)
    assert np.all(found >= 0) and found[0] == 0
    assert found[-1] > found[line[:, 0] <= votes.max()].max()


def test_beyond_the_tail_a_surprise_rises_by_the_mean_excess():
    votes = np.random.default_rng(11).gamma(2.0, size=(3000, 1))
    surprise = Surprise.fit(votes)
    edge = np.quantile(votes, 1 - TAIL)
    beyond = edge + np.array([[1e-9], [1.0], [50.0]])
    close(
        surprise.of(beyond), -np.log(TAIL) + (beyond - edge) / np.mean(votes[votes > edge] - edge)
    )


def test_surprises_of_exponential_votes_are_the_votes():
    n = 200_000
    votes = -np.log1p(-(np.arange(n) + 0.5) / n)[:, None]
    surprise = Surprise.fit(np.concatenate([votes, 7 + 3 * votes], axis=1))
    assert surprise.quantiles.shape == (N_QUANTILES, 2)
    line = np.linspace(0.01, 30, 200)
    found = surprise.of(np.stack([line, 7 + 3 * line], axis=1))
    # 201 quantiles are joined by straight lines.
    np.testing.assert_allclose(found, np.stack([line, line], axis=1), rtol=1e-3, atol=1e-3)


def test_what_rounding_makes_of_equal_votes_changes_no_surprise():
    rng = np.random.default_rng(14)
    exact = np.round(10 * rng.normal(size=(500, 1)), 0)
    rounded = [exact * (1 + 1e-7 * rng.uniform(-1, 1, exact.shape)) for _ in range(2)]
    surprise = Surprise.fit(rounded[0])
    one, other = (surprise.of(own) for own in (exact, rounded[1]))
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_votes_that_are_all_alike_have_a_tail():
    found = Surprise.fit(np.full((30, 1), 4.0)).of(np.array([[3.0], [5.0]]))
    assert np.all(np.isfinite(found)) and found[1] > found[0]


# Spaces


FIELDS = (Field("a"), Field("color", "text", "categorical", ("red", "green", "blue")), Field("c"))


def mixed_table(n=200):
    """A number, a color that goes with it, and a truth value; no row is blue."""
    rng = np.random.default_rng(0)
    number = rng.normal(size=n)
    color = (number + rng.normal(size=n) > 0).astype(float)
    return np.stack([number, color, rng.integers(0, 2, n).astype(float)], axis=1)


def space_of(values):
    names = tuple(field.name for field in FIELDS)
    columns = Columns.fit(Table(values, names, FIELDS))
    marginals = Marginals.fit(columns, values, "auto")
    scale = Scale.of_points(marginals, marginals.centers(values))
    return Space(scale, MIXTURES, scale.forward(values)[:50])


def test_coordinates_have_variance_one():
    values = mixed_table()
    points = space_of(values).scale.forward(values)
    close(points.mean(axis=0), np.zeros(3))
    close(points.std(axis=0), np.ones(3))


def test_unseen_levels_stand_far_out_and_leave_the_others_alone():
    values = mixed_table()
    scale = space_of(values).scale
    unseen = values[:4].copy()
    unseen[0, 1], unseen[1, 2], unseen[2, 1:] = 2.0, 7.0, (2.0, 7.0)
    expected = scale.forward(values[:4])
    expected[0, 1], expected[1, 2], expected[2, 1:] = UNSEEN, UNSEEN, UNSEEN
    close(scale.forward(unseen), expected)


def test_coordinates_end_where_single_precision_can_still_square_them():
    values = np.random.default_rng(0).normal(size=(50, 2))
    columns = Columns.fit(Table(values, ("a", "b")))
    marginals = Marginals.fit(columns, values, "affine", atoms=False)
    scale = Scale.of_points(marginals, marginals.centers(values))
    found = scale.forward(np.array([[1e30, -1e30]]))
    close(found, [[LARGEST_COORDINATE, -LARGEST_COORDINATE]])


def test_votes_of_a_space_are_those_of_its_coordinates():
    values = mixed_table()
    space = space_of(values)
    rows = space.scale.forward(values[:9])
    votes = space.votes(values[:9])
    assert votes.shape == (9, sum(space.groups)) and space.groups == (2, 2, 1, 1)
    close(votes[:, :4], mixture_votes(space.mixtures, rows))
    close(votes[:, 4:], near_votes(as_floats(space.kernels), rows))


def test_a_candidate_that_is_the_own_value_is_as_likely():
    values = mixed_table()
    space = space_of(values)
    # More rows than are explained at once.
    found = space.conditionals(values[:40], space.places(values[:40]))
    own = found[np.arange(40)[:, None], np.arange(3), np.arange(40)[:, None]]
    close(own, found[:, :, -1])


def test_conditionals_are_those_of_the_mean_density():
    """The joint density with the place in the row, less that of the other cells."""
    values = mixed_table()
    space = space_of(values)
    candidates = values[50:54]
    found = space.conditionals(values[:6], space.places(candidates))
    assert found.shape == (6, 3, 5)
    rows, places = (space.scale.forward(cells) for cells in (values[:6], candidates))
    for i, row in enumerate(rows):
        for j in range(3):
            others = [k for k in range(3) if k != j]
            marginals = [mixture.marginal(others) for mixture in MIXTURES]
            tried = np.tile(row, (5, 1))
            tried[:, j] = [*places[:, j], row[j]]
            joint = [brute.mixture_log_density(mixture, tried) for mixture in MIXTURES]
            known = [brute.mixture_log_density(mixture, row[None, others]) for mixture in marginals]
            close(found[i, j], logsumexp(joint, axis=0) - logsumexp(known))


def test_wrong_cells_are_those_of_other_rows_or_lie_anywhere():
    values = mixed_table()
    space = space_of(values)
    rows = space.scale.forward(values[:6])
    found = space.wrong(values[:6])
    for j in range(3):
        marginals = [mixture.marginal([j]) for mixture in MIXTURES]
        own = [jax.vmap(m.log_density)(jnp.asarray(rows[:, j : j + 1])) for m in marginals]
        others = np.exp(own).mean(axis=0)
        close(found[:, j], np.log((others + cauchy.pdf(rows[:, j], scale=ANYWHERE)) / 2))


# Detectors


def holed_table(n=150):
    """Three columns that are tied, of which the first is never missing and the others often are."""
    rng = np.random.default_rng(3)
    first = rng.normal(size=n)
    rows = np.stack([first, first + 0.3 * rng.normal(size=n), first**2], axis=1)
    rows[rng.random(n) < 0.3, 1] = NAN
    return Table(rows, ("a", "b", "c"))


@pytest.fixture(scope="module")
def detector():
    return fit_detector(holed_table(), DetectorSettings())


def test_a_row_is_as_abnormal_as_the_harmonic_mean_of_its_p_values_is_small(detector):
    values = np.nan_to_num(holed_table().values)[:20] + np.array([0.0, 0.2, 0.1])
    votes = np.concatenate([space.votes(values) for space in detector.spaces], axis=1)
    surprises, kinds, start = detector.surprise.of(votes), [], 0
    for space in detector.spaces:
        n = len(space.mixtures)
        for width in (n, n, 1, 1):
            kinds.append(surprises[:, start : start + width].mean(axis=1))
            start += width
    assert start == votes.shape[1] and len(kinds) == 4 * len(detector.spaces)
    n_rows, n_columns = detector.columns.n_rows, detector.columns.n_modeled
    known = n_rows / (n_rows + ROWS_PER_COLUMN * n_columns)
    weights = np.array([known, known, 1, 1] * len(detector.spaces))[:, None]
    p_values = np.exp(-np.array(kinds))
    close(detector.abnormality(values), -np.log(hmean(p_values, axis=0, weights=weights)))


def test_scores_are_minus_abnormality_where_nothing_is_missing(detector):
    values = np.nan_to_num(holed_table().values)[:20]
    close(detector.scores(values), -detector.abnormality(values))


def test_one_view_is_enough_to_call_a_row_abnormal(detector):
    """The harmonic mean loses to the largest surprise at most the log of the number of kinds."""
    values = np.array([[0.0, 4.0, 0.0]])
    votes = np.concatenate([space.votes(values) for space in detector.spaces], axis=1)
    surprises, ends = detector.surprise.of(votes)[0], []
    for space in detector.spaces:
        ends.extend(space.groups)
    kinds = [part.mean() for part in np.split(surprises, np.cumsum(ends)[:-1])]
    found = detector.abnormality(values)[0]
    assert max(kinds) - np.log(len(kinds)) <= found <= max(kinds)


@pytest.mark.parametrize("contamination", ["auto", 0.1])
def test_rows_are_not_judged_by_copies_of_themselves(contamination, monkeypatch):
    fitted, judged, kernels = [], [], []

    def fit(rows, sizes, rng):
        fitted.append(rows)
        return fit_mixtures(rows, (1,), rng)

    def vote(mixtures, rows):
        judged.append(rows)
        return mixture_votes(mixtures, rows)

    def near(at, rows):
        kernels.append((at, rows))
        return near_votes(at, rows)

    monkeypatch.setattr(fitting, "fit_mixtures", fit)
    monkeypatch.setattr(fitting, "mixture_votes", vote)
    monkeypatch.setattr(fitting, "near_votes", near)
    found = fit_detector(holed_table(), DetectorSettings(contamination=contamination))
    n_spaces = len(found.spaces)
    # The first column tells rows apart, and copies of one row not.
    assert len(judged) == fitting.N_FOLDS * n_spaces
    folds = fitting.N_FOLDS
    for space in range(n_spaces):
        own = slice(folds * space, folds * (space + 1))
        parts = fitted[(folds + 1) * space : (folds + 1) * (space + 1)]
        n_copies = []
        for others, part in zip(parts, judged[own], strict=False):
            assert not set(others[:, 0]) & set(part[:, 0])
            assert len(others) + len(part) == len(parts[-1])
            n_copies.extend(np.unique(part[:, 0], return_counts=True)[1])
        assert max(n_copies) == fitting.N_COPIES
        at, rows = kernels[space]
        close(at, rows)
        assert len(np.unique(rows[:, 0])) == len(rows)


LEVELS = (7.0, 10.0, 100.0)


@pytest.mark.parametrize("contamination", ["auto", 0.1])
def test_drawn_cells_are_among_the_levels_of_columns_of_few_numbers(contamination):
    values = np.array(holed_table().values)
    values[:, 2] = np.random.default_rng(4).choice(LEVELS, len(values))
    values[::7, 2] = NAN
    settings = DetectorSettings(contamination=contamination)
    found = fit_detector(Table(values, ("a", "b", "c")), settings)
    assert found.spaces[-1].scale.marginals.kinds[2] == "levels"
    draws = found.completions(values)
    assert set(np.unique(draws[:, :, 2])) == set(LEVELS)
    known = np.broadcast_to(~np.isnan(values), draws.shape)
    np.testing.assert_array_equal(draws[known], np.broadcast_to(values, draws.shape)[known])
    # None of the rows that shaped the views stands where unseen levels do.
    for space in found.spaces:
        assert np.abs(space.kernels[:, 2]).max() < UNSEEN
    assert np.all(np.isfinite(found.scores(values)))
    likely = explain(found, values).likely_values[:, 2]
    assert set(np.unique(likely)) <= set(LEVELS)


def test_calibration_is_by_rows_that_shape_nothing(monkeypatch):
    """With other held-out rows the views stay as they are."""
    table = holed_table()
    seen = []

    def hold_out(*given, **named):
        split = usual_hold_out(*given, **named)
        seen.append(split)
        return split if len(seen) == 1 else split._replace(held_out=split.held_out + 50.0)

    usual_hold_out = fitting.hold_out
    monkeypatch.setattr(fitting, "hold_out", hold_out)
    one, other = (fit_detector(table, DetectorSettings()) for _ in range(2))
    rows = np.nan_to_num(table.values)
    np.testing.assert_array_equal(one.scores(rows), other.scores(rows))
    assert other.calibration.max() < one.calibration.min()


def test_explanations_are_the_largest_mean_rise_over_the_spaces(detector):
    values = np.nan_to_num(holed_table().values)[:10]
    found = explain(detector, values)
    spaces = detector.spaces
    given = np.mean(
        [space.conditionals(values, space.places(detector.candidates)) for space in spaces], axis=0
    )
    rises = given[:, :, :-1] - given[:, :, -1:]
    close(found.drops, np.maximum(rises.max(axis=2), 0))
    wrong = np.mean([space.wrong(values) for space in spaces], axis=0)
    close(found.contributions, np.log1p(np.exp(wrong - given[:, :, -1])))
    best = detector.candidates[rises.argmax(axis=2), np.arange(3)]
    close(found.likely_values, np.where(rises.max(axis=2) > 0, best, values))


def test_a_cell_stays_where_there_is_nothing_better_to_try(detector):
    values = np.nan_to_num(holed_table().values)[:1]
    found = explain(replace(detector, candidates=values), values)
    close(found.drops, np.zeros((1, 3)))
    np.testing.assert_array_equal(found.likely_values, values)
