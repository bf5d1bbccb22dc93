"""Fits of mixtures, and the choice of a base. Kind of truth: closed forms, definitions, 5 sigma.

The references are scipy's marginals, conditional moments written out row by row, and the principal
components of scikit-learn. Seeds are NumPy's, as written in the tests.
"""

from functools import partial

import numpy as np
import pytest
from exact import brute
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA

from harmonium.data import Whitening
from harmonium.errors import InvalidInputError
from harmonium.learning import base_choice
from harmonium.learning.base_choice import choose_base, fit_base
from harmonium.model import GaussianBase, MixtureBase, mixture_fit, mixture_rows
from harmonium.model.mixture_blocks import inverse_factors
from harmonium.model.mixture_components import Components
from harmonium.model.mixture_fit import MixtureFit, MixtureSettings, fit_bag, fit_mixture
from harmonium.model.mixture_rows import MixtureRows

NAN = np.nan


def plain(n_components, **others):
    """Settings of a fit by maximum likelihood alone."""
    return MixtureSettings(n_components, **{"floor": 0.0, "wide_share": 0.0} | others)


def clusters(n_rows, n_visible, seed, n_clusters=3, apart=1.5):
    """Rows of correlated clusters in an order by chance, far from the origin."""
    rng = np.random.default_rng(seed)
    centers = 5 + apart * rng.normal(size=(n_clusters, n_visible))
    mixing = 0.4 * np.eye(n_visible) + 0.2 * rng.normal(size=(n_visible, n_visible))
    noise = rng.normal(size=(n_rows, n_visible)) @ mixing
    return centers[rng.integers(n_clusters, size=n_rows)] + noise


def with_holes(rows, share, seed):
    return np.where(np.random.default_rng(seed).uniform(size=rows.shape) < share, NAN, rows)


def random_fit(n_visible, n_components, seed=0):
    mixture = brute.random_mixture(n_visible, n_components, seed=seed)
    return MixtureFit(*brute.mixture_parts(mixture))


def joint_of(fit, row):
    """log w_k N(observed cells; their mean, their covariance) of every component."""
    seen = ~np.isnan(row)
    if not seen.any():
        return np.log(fit.weights)
    marginals = [
        multivariate_normal.logpdf(row[seen], mean[seen], covariance[np.ix_(seen, seen)])
        for mean, covariance in zip(fit.means, fit.covariances, strict=True)
    ]
    return np.log(fit.weights) + marginals


def log_densities(fit, rows):
    return np.array([logsumexp(joint_of(fit, row)) for row in rows])


def expected_moments(fit, rows):
    """Counts, sums and sums of squares of every component, completed row by row."""
    n_components, n_visible = fit.means.shape
    found = np.zeros((n_components, n_visible + 1, n_visible + 1))
    for row in rows:
        gap, joint = np.isnan(row), joint_of(fit, row)
        shares = np.exp(joint - logsumexp(joint))
        for k, (mean, covariance) in enumerate(zip(fit.means, fit.covariances, strict=True)):
            block = covariance[np.ix_(gap, ~gap)]
            gain = block @ np.linalg.inv(covariance[np.ix_(~gap, ~gap)])
            augmented = np.append(1.0, row)
            augmented[1:][gap] = mean[gap] + gain @ (row[~gap] - mean[~gap])
            square = np.outer(augmented, augmented)
            open_cells = 1 + np.flatnonzero(gap)
            square[np.ix_(open_cells, open_cells)] += covariance[np.ix_(gap, gap)] - gain @ block.T
            found[k] += shares[k] * square
    return found


HOLED = with_holes(1.5 * np.random.default_rng(1).normal(size=(80, 5)), 0.4, seed=2)
HOLED[3] = NAN
HOLED[4:10] = np.random.default_rng(3).normal(size=(6, 5))


# Log-densities and moments under a given mixture


@pytest.mark.parametrize("n_components", [1, 4])
def test_densities_of_incomplete_rows_are_marginals(n_components):
    fit = random_fit(5, n_components)
    np.testing.assert_allclose(fit.log_density(HOLED), log_densities(fit, HOLED), atol=1e-10)
    assert fit.log_density(HOLED)[3] == pytest.approx(0.0, abs=1e-12)
    assert fit.log_density(HOLED[:0]).shape == (0,)


def test_densities_far_from_the_origin_keep_their_digits():
    fit = random_fit(5, 3)
    moved = MixtureFit(fit.weights, fit.means + 1e6, fit.covariances)
    np.testing.assert_allclose(moved.log_density(HOLED + 1e6), fit.log_density(HOLED), atol=1e-6)


@pytest.mark.parametrize("n_components", [1, 4])
def test_expected_moments_are_those_of_the_definition(n_components):
    fit = random_fit(5, n_components)
    components = Components.from_moments(fit.weights, fit.means, fit.covariances)
    moments, log_likelihood = MixtureRows(HOLED, n_components).expected_moments(components)
    np.testing.assert_allclose(moments, expected_moments(fit, HOLED), atol=1e-10)
    assert log_likelihood == pytest.approx(log_densities(fit, HOLED).sum(), abs=1e-9)


@pytest.mark.parametrize("n_visible", [1, 7, 8, 20])
def test_components_have_the_precisions_of_their_covariances(n_visible):
    fit = random_fit(n_visible, 3)
    found = Components.from_moments(fit.weights, fit.means, fit.covariances)
    identity = np.broadcast_to(np.eye(n_visible), fit.covariances.shape)
    np.testing.assert_allclose(found.precisions @ fit.covariances, identity, atol=1e-9)
    log_dets = np.linalg.slogdet(fit.covariances)[1]
    np.testing.assert_allclose(found.log_scales, np.log(fit.weights) - log_dets / 2, atol=1e-9)


@pytest.mark.parametrize("sizes", [(1, 1), (100, 200)])
def test_blocks_do_not_matter(monkeypatch, sizes):
    """Neither how many rows they have, nor which kind complete rows go through."""
    fit = random_fit(5, 3)
    components = Components.from_moments(fit.weights, fit.means, fit.covariances)
    whole, log_likelihood = MixtureRows(HOLED, 3).expected_moments(components)
    for name, size in zip(("MONOMIALS", "BY_PATTERN"), sizes, strict=True):
        monkeypatch.setattr(mixture_rows, name, size)
    for most_columns in (0, 100):
        monkeypatch.setattr(mixture_rows, "COLUMNS_PER_COMPONENT", most_columns)
        parts, in_parts = MixtureRows(HOLED, 3).expected_moments(components)
        np.testing.assert_allclose(parts, whole, atol=1e-10)
        assert in_parts == pytest.approx(log_likelihood, abs=1e-9)


def test_inverse_factors_are_those_of_lapack():
    roots = np.random.default_rng(0).normal(size=(2, 3, 4, 9))
    squares = roots @ np.swapaxes(roots, 2, 3)
    found = inverse_factors(np.moveaxis(squares, 1, 3))
    expected = np.linalg.inv(np.linalg.cholesky(squares))
    np.testing.assert_allclose(np.moveaxis(found, 3, 1), expected, atol=1e-10)


# Fits


@pytest.mark.parametrize("rank", [None, 1], ids=["full", "rank 1"])
@pytest.mark.parametrize("share", [0.0, 0.3], ids=["complete", "holes"])
def test_no_pass_lowers_the_likelihood(share, rank):
    rows = with_holes(clusters(150, 4, seed=0), share, seed=1)
    settings = plain(3, rank=rank)
    steps = [
        fit_mixture(
            rows,
            settings,
            np.random.default_rng(2),
            most_passes=n_passes,
            tolerance=-np.inf,
        )
        .log_density(rows)
        .sum()
        for n_passes in range(25)
    ]
    assert np.all(np.diff(steps) > -1e-9)
    assert steps[-1] - steps[0] > 1.0


@pytest.mark.parametrize("n_visible", [3, 20])
def test_one_component_has_the_moments_of_the_rows(n_visible):
    rows = clusters(200, n_visible, seed=3)
    fit = fit_mixture(rows, plain(1), np.random.default_rng(0))
    np.testing.assert_allclose(fit.weights, [1.0])
    np.testing.assert_allclose(fit.means[0], rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(fit.covariances[0], np.cov(rows.T, bias=True), atol=1e-12)
    floored = fit_mixture(rows, plain(1, floor=0.5), np.random.default_rng(0))
    added = floored.covariances[0] - fit.covariances[0]
    np.testing.assert_allclose(added, 0.5 * np.eye(n_visible), atol=1e-12)


def test_rows_without_any_cell_change_nothing():
    rows = clusters(100, 3, seed=4)
    more = np.concatenate([rows, np.full((20, 3), NAN)])
    fit, same = (fit_mixture(r, plain(1), np.random.default_rng(0)) for r in (rows, more))
    tight = fit_mixture(more, plain(1), np.random.default_rng(0), most_passes=500, tolerance=1e-12)
    assert np.abs(same.covariances - fit.covariances).max() < 0.05
    np.testing.assert_allclose(tight.means, fit.means, rtol=1e-5)
    np.testing.assert_allclose(tight.covariances, fit.covariances, atol=1e-4)


def test_the_second_of_two_columns_missing_has_a_closed_form():
    """Regression of the second on the first where both are seen; the first of all (Anderson
    1957)."""
    rows = clusters(60, 2, seed=5, n_clusters=1)
    rows[35:, 1] = NAN
    x, seen = rows[:, 0], rows[:35]
    slope, intercept = np.polyfit(seen[:, 0], seen[:, 1], 1)
    residual = np.mean((seen[:, 1] - intercept - slope * seen[:, 0]) ** 2)
    fit = fit_mixture(rows, plain(1), np.random.default_rng(0), most_passes=3000, tolerance=1e-14)
    np.testing.assert_allclose(fit.means[0], [x.mean(), intercept + slope * x.mean()], rtol=1e-6)
    variance = x.var()
    expected = [[variance, slope * variance], [slope * variance, residual + slope**2 * variance]]
    np.testing.assert_allclose(fit.covariances[0], expected, rtol=1e-5)


def test_a_mixture_is_recovered_from_rows_with_holes():
    """A fifth of the cells is missing at random. Statistical: seed 6, 5 standard errors.

    The clusters lie so far apart that every row tells its own, so the errors are those of two
    Gaussians. They are no larger than those of the cells of a column, and of the 64 % of the rows
    with both cells.
    """
    n, rng = 6000, np.random.default_rng(6)
    covariances = np.array([[[1.0, 0.6], [0.6, 2.0]], [[0.5, -0.2], [-0.2, 0.4]]])
    means, weights = np.array([[0.0, -1.0], [12.0, 10.0]]), np.array([0.7, 0.3])
    labels = (rng.uniform(size=n) < weights[1]).astype(int)
    roots = np.linalg.cholesky(covariances)
    rows = means[labels] + np.einsum("rij,rj->ri", roots[labels], rng.normal(size=(n, 2)))
    rows = with_holes(rows, 0.2, seed=7)
    fit = fit_mixture(rows, plain(2), rng, tolerance=1e-9)
    order = np.argsort(fit.means[:, 0])
    seen = n * (1 - 0.2**2)
    assert abs(fit.weights[order[0]] - 0.7) < 5 * np.sqrt(0.7 * 0.3 / seen)
    for k, own in enumerate(order):
        variances = np.diag(covariances[k])
        error = np.sqrt(variances / (0.8 * n * weights[k]))
        assert np.all(np.abs(fit.means[own] - means[k]) < 5 * error)
        spread = np.outer(variances, variances) + covariances[k] ** 2
        error = np.sqrt(spread / (0.64 * n * weights[k]))
        assert np.all(np.abs(fit.covariances[own] - covariances[k]) < 5 * error)


def test_filling_means_would_not_recover_the_covariance():
    """What the test above can see: columns filled by their means lose a third of the covariance."""
    rows = np.random.default_rng(8).multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], size=4000)
    holed = with_holes(rows, 0.2, seed=9)
    filled = np.where(np.isnan(holed), np.nanmean(holed, axis=0), holed)
    assert np.cov(filled.T)[0, 1] < 0.6
    fit = fit_mixture(holed, plain(1), np.random.default_rng(0), tolerance=1e-9)
    assert fit.covariances[0, 0, 1] == pytest.approx(0.8, abs=5 * np.sqrt(1.64 / (0.64 * 4000)))


def settled(rows, settings, seed=0):
    return fit_mixture(
        rows, settings, np.random.default_rng(seed), most_passes=2000, tolerance=1e-12
    )


def test_shrinkage_ties_covariances():
    """Of clusters so far apart that every row has one component, in closed form."""
    rows = clusters(300, 3, seed=10, n_clusters=2, apart=30.0)
    free = settled(rows, plain(2))
    counts = 300 * free.weights
    pooled = np.einsum("k,kij->ij", free.weights, free.covariances)
    tied = settled(rows, plain(2, shrinkage=np.inf))
    np.testing.assert_array_equal(tied.covariances[0], tied.covariances[1])
    target = tied.covariances[0]
    # The rows are many, so that next to no identity is mixed in.
    np.testing.assert_allclose(target, pooled, atol=0.02 * np.trace(pooled))
    partly = settled(rows, plain(2, shrinkage=50.0))
    own = (counts / (counts + 50.0))[:, None, None]
    expected = own * free.covariances + (1 - own) * target
    np.testing.assert_allclose(partly.covariances, expected, atol=1e-8)


def left_out_misfit(rows, share):
    """-2 log-likelihood of every row under a fit to the others, mean; rows have the mean 0."""
    n_rows, n_visible = rows.shape
    squares, typical = rows.T @ rows, np.mean(rows**2)
    found = []
    for row in rows:
        others = (squares - np.outer(row, row)) / (n_rows - 1)
        covariance = (1 - share) * others + share * typical * np.eye(n_visible)
        found.append(multivariate_normal.logpdf(row, np.zeros(n_visible), covariance))
    return -2 * np.mean(found)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.95])
@pytest.mark.parametrize(("n_rows", "n_visible"), [(15, 4), (40, 12), (25, 30)])
def test_the_share_of_the_identity_is_nearly_the_best_for_rows_left_out(
    n_rows, n_visible, correlation
):
    root = np.linalg.cholesky(autoregressive(n_visible, correlation))
    rows = np.random.default_rng(11).normal(size=(n_rows, n_visible)) @ root.T
    covariance = rows.T @ rows / n_rows
    (found,) = mixture_fit._towards_identity(covariance[None], np.array([float(n_rows)]))
    off = ~np.eye(n_visible, dtype=bool)
    share = 1 - np.mean(found[off] * covariance[off]) / np.mean(covariance[off] ** 2)
    misfits = [left_out_misfit(rows, other) for other in mixture_fit.SHARES[8:]]
    assert left_out_misfit(rows, share) < min(misfits) + 0.05 * n_visible


@pytest.mark.parametrize("rank", [0, 2, 5])
def test_low_ranks_are_those_of_probabilistic_principal_components(rank):
    rows = clusters(200, 5, seed=12)
    fit = fit_mixture(rows, plain(1, rank=rank), np.random.default_rng(0))
    covariance = np.cov(rows.T, bias=True)
    if rank == 0:
        expected = np.trace(covariance) / 5 * np.eye(5)
    elif rank == 5:
        expected = covariance
    else:
        expected = PCA(rank).fit(rows).get_covariance() * 199 / 200
    np.testing.assert_allclose(fit.covariances[0], expected, atol=1e-10)


def test_low_ranks_of_every_component():
    fit = fit_mixture(clusters(300, 6, seed=13), plain(3, rank=2), np.random.default_rng(0))
    variances = np.linalg.eigvalsh(fit.covariances)
    np.testing.assert_allclose(variances[:, :4] / variances[:, :1], 1.0, rtol=1e-8)
    assert np.all(variances[:, 4] > 1.01 * variances[:, 3])


def test_the_wide_component_has_its_share_and_the_covariance_of_all():
    rows = clusters(300, 3, seed=14)
    fit = fit_mixture(rows, plain(2, wide_share=0.1, wide_spread=3.0), np.random.default_rng(0))
    assert fit.weights.shape == (3,)
    assert fit.weights[-1] == pytest.approx(0.1) and fit.weights.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(fit.means[-1], rows.mean(axis=0), rtol=1e-8)
    np.testing.assert_allclose(fit.covariances[-1], 9 * np.cov(rows.T, bias=True), atol=1e-8)


def test_a_fit_goes_on_from_a_start():
    rows = with_holes(clusters(200, 3, seed=15), 0.1, seed=16)
    once = settled(rows, plain(3))
    again = fit_mixture(rows, plain(3), np.random.default_rng(1), start=once, tolerance=1e-9)
    np.testing.assert_allclose(again.means, once.means, atol=1e-3)
    first = fit_mixture(rows, plain(3), np.random.default_rng(0), most_passes=0)
    np.testing.assert_array_equal(
        fit_mixture(rows, plain(3), np.random.default_rng(1), start=first, most_passes=0).weights,
        first.weights,
    )


@pytest.mark.parametrize("rank", [None, 1])
@pytest.mark.parametrize("shrinkage", [0.0, 5.0, np.inf])
def test_fits_side_by_side_are_those_of_each_alone(shrinkage, rank):
    """Also where one of them needs more passes than the others."""
    rows = clusters(120, 3, seed=3)
    rows[np.random.default_rng(4).random(rows.shape) < 0.1] = np.nan
    settings = plain(3, shrinkage=shrinkage, rank=rank)
    rough = [fit_mixture(rows, settings, np.random.default_rng(i), most_passes=0) for i in range(2)]
    close = fit_mixture(rows, settings, np.random.default_rng(7), tolerance=1e-4)
    starts = (rough[0], close, rough[1])
    bag = fit_bag(rows, settings, np.random.default_rng(0), 3, starts=starts)
    for fit, start in zip(bag, starts, strict=True):
        alone = fit_mixture(rows, settings, np.random.default_rng(0), start=start)
        for name in ("weights", "means", "covariances"):
            np.testing.assert_allclose(getattr(fit, name), getattr(alone, name), atol=1e-9)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_fewer_distinct_rows_than_components(share):
    rows = np.repeat(np.random.default_rng(17).normal(size=(3, 2)), 10, axis=0)
    rows = with_holes(rows, share, seed=18)
    fit = fit_mixture(rows, MixtureSettings(8), np.random.default_rng(0))
    assert fit.means.shape == (9, 2)
    assert np.isfinite(fit.log_density(rows)).all()
    assert fit.weights.sum() == pytest.approx(1.0)


def test_constant_columns_and_single_cells_have_the_floor():
    rows = np.random.default_rng(19).normal(size=(30, 3))
    rows[:, 0] = 7.0
    rows[1:, 1] = NAN
    fit = fit_mixture(rows, MixtureSettings(2), np.random.default_rng(0))
    assert np.isfinite(fit.log_density(rows)).all()
    np.testing.assert_allclose(fit.covariances[:2, 0, 0], 1e-3, rtol=1e-3)


def test_work_bounds_the_rows_and_every_column_keeps_a_cell(monkeypatch):
    monkeypatch.setattr(mixture_fit, "MOST_WORK", 0.0)
    taken = []

    class Counted(MixtureRows):
        def __init__(self, rows, n_components):
            taken.append(len(rows))
            super().__init__(rows, n_components)

    monkeypatch.setattr(mixture_fit, "MixtureRows", Counted)
    rows = with_holes(clusters(2000, 3, seed=20), 0.2, seed=21)
    rows[:-1, 2] = NAN
    fit = fit_mixture(rows, MixtureSettings(2), np.random.default_rng(0))
    assert np.isfinite(fit.means).all()
    assert set(taken[:2]) <= {106, 107}
    taken.clear()
    # Complete rows cost little.
    fit_mixture(clusters(2000, 3, seed=20), MixtureSettings(2), np.random.default_rng(0))
    assert set(taken[:2]) == {2000}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_components", 0),
        ("floor", -1.0),
        ("floor", NAN),
        ("shrinkage", -1.0),
        ("shrinkage", NAN),
        ("wide_share", 1.0),
        ("wide_spread", 0.0),
        ("rank", -1),
    ],
)
def test_impossible_settings_are_refused(name, value):
    with pytest.raises(InvalidInputError, match=name):
        MixtureSettings(**{"n_components": 2} | {name: value})


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (np.zeros(3), "shape"),
        (np.zeros((0, 3)), "shape"),
        (np.zeros((3, 0)), "shape"),
        (np.array([[1.0, np.inf]]), "infinite"),
        (np.array([[1.0, NAN], [2.0, NAN]]), "column 2"),
    ],
)
@pytest.mark.usefixtures("unannotated")
def test_impossible_rows_are_refused(rows, words):
    with pytest.raises(InvalidInputError, match=words):
        fit_mixture(rows, MixtureSettings(2), np.random.default_rng(0))


def test_what_does_not_fit_together_is_refused():
    fit = random_fit(3, 2)
    with pytest.raises(InvalidInputError, match=r"rows \(rows, 3\)"):
        fit.log_density(np.zeros((4, 2)))
    with pytest.raises(InvalidInputError, match="start of 3"):
        fit_mixture(np.zeros((4, 2)), MixtureSettings(2), np.random.default_rng(0), start=fit)


def test_singular_covariances_are_refused():
    rows = np.ones((20, 2)) * np.arange(20.0)[:, None]
    with pytest.raises(InvalidInputError, match="larger floor"):
        fit_mixture(rows, plain(2), np.random.default_rng(0))


# The choice of a base


def autoregressive(n_visible, correlation):
    return correlation ** np.abs(np.subtract.outer(np.arange(n_visible), np.arange(n_visible)))


def gaussian_log_density(rows):
    return -np.sum(rows**2, axis=1) - rows.shape[1] / 2 * np.log(np.pi)


def base_log_density(base, rows):
    if isinstance(base, GaussianBase):
        return gaussian_log_density(rows)
    return brute.mixture_log_density(base.mixture, rows)


@pytest.mark.parametrize("share", [0.0, 0.2], ids=["complete", "holes"])
def test_gaussian_rows_get_the_gaussian(share):
    rows = np.sqrt(0.5) * np.random.default_rng(22).normal(size=(400, 3))
    choice = choose_base(with_holes(rows, share, seed=23), np.random.default_rng(0))
    assert choice.settings is None and choice.best is not None
    gaussian, *mixtures = choice.candidates
    assert gaussian.name == "gaussian"
    # Of some twenty mixtures, none gains more than chance does.
    best = max(mixture.score for mixture in mixtures)
    assert best < gaussian.score + 0.05


@pytest.mark.parametrize("share", [0.0, 0.2], ids=["complete", "holes"])
def test_clustered_rows_get_a_mixture(share):
    rng = np.random.default_rng(24)
    rows = clusters(400, 3, seed=25, n_clusters=4, apart=2.0)
    rows = np.sqrt(0.5) * (rows - rows.mean(axis=0)) / rows.std(axis=0)
    rows, fresh = with_holes(rows[:300], share, seed=26), rows[300:]
    choice = choose_base(rows, rng)
    assert choice.settings is not None and choice.settings.n_components >= 4
    base = fit_base(rows, choice.settings, rng)
    assert isinstance(base, MixtureBase)
    gain = base_log_density(base, fresh) - gaussian_log_density(fresh)
    assert gain.mean() > 0.5 + 5 * gain.std() / 10


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9], ids=["standard", "0.5", "0.9"])
@pytest.mark.parametrize(("n_rows", "n_visible"), [(10, 4), (50, 3), (100, 120)])
@pytest.mark.parametrize("scale", [1.0, np.sqrt(0.5)], ids=["variance 1", "variance 1/2"])
def test_few_rows_get_nothing_worse_than_the_gaussian(n_rows, n_visible, correlation, scale):
    """On 2000 fresh rows, by more than two standard errors of the paired differences; seed 27."""
    rng = np.random.default_rng(27)
    root = scale * np.linalg.cholesky(autoregressive(n_visible, correlation))
    rows, fresh = (rng.normal(size=(n, n_visible)) @ root.T for n in (n_rows, 2000))
    choice = choose_base(rows, rng)
    scores = [number for own in choice.candidates for number in (own.score, own.standard_error)]
    assert np.isfinite(scores).all()
    gain = base_log_density(fit_base(rows, choice.settings, rng), fresh)
    gain = gain - gaussian_log_density(fresh)
    assert np.isfinite(gain).all()
    assert gain.mean() >= -2 * gain.std() / np.sqrt(len(fresh))
    if n_visible == 120 and (correlation, scale) != (0.0, np.sqrt(0.5)):
        # There is much to gain, also with fewer rows than columns.
        assert gain.mean() > 3.0


@pytest.mark.parametrize(("n_rows", "n_visible"), [(1, 3), (2, 3), (3, 1)])
def test_hardly_any_rows_get_the_gaussian(n_rows, n_visible):
    rows = np.random.default_rng(28).normal(size=(n_rows, n_visible))
    choice = choose_base(rows, np.random.default_rng(0))
    assert choice.settings is None
    assert not np.isnan([choice.candidates[0].score, choice.candidates[0].standard_error]).any()


def test_a_column_too_empty_to_hold_rows_out_gets_the_gaussian():
    rows = np.random.default_rng(29).normal(size=(50, 3))
    rows[2:, 1] = NAN
    choice = choose_base(rows, np.random.default_rng(0))
    assert choice.settings is None and choice.best is None


def names_of(choice):
    return [candidate.name for candidate in choice.candidates]


def test_low_ranks_are_tried_for_many_columns_only():
    rng = np.random.default_rng(30)
    few, many = (choose_base(rng.normal(size=(60, n)), rng) for n in (6, 32))
    assert not any("rank" in name for name in names_of(few))
    assert any("rank 4," in name for name in names_of(many))
    assert any("rank 10," in name for name in names_of(many))


def test_the_search_begins_with_tied_covariances_where_rows_per_column_are_few():
    rng = np.random.default_rng(32)
    few, many = (choose_base(rng.normal(size=(n, 4)), rng, largest=2) for n in (80, 400))
    first = [next(name for name in names_of(found) if "of 2" in name) for found in (few, many)]
    assert "inf rows tied" in first[0] and "4 rows tied" in first[1]


def test_work_and_seconds_bound_the_sizes(monkeypatch):
    rows = clusters(200, 3, seed=31)
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    late = choose_base(rows, np.random.default_rng(0), seconds=0.0)
    assert not any("of 2" in name for name in names_of(late))
    work = base_choice._work(rows, 4, 5)
    monkeypatch.setattr(base_choice, "MOST_WORK", work)
    choice = choose_base(rows, np.random.default_rng(0))
    assert any("of 4" in name for name in names_of(choice))
    assert not any("of 8" in name for name in names_of(choice))


def rescaled(rows, whitening, kept):
    """The rows in the units of a whitening of some of them."""
    own = Whitening.fit(rows[kept], "full", floor=1e-9, shrink=0.0)
    return own.forward(rows), own.log_det - whitening.log_det


def test_held_out_rows_have_no_part_in_the_units_that_they_are_scored_in():
    """The Gaussian and one component, beside a Gaussian fitted anew without each fold; float64."""
    rng = np.random.default_rng(33)
    rows = rng.normal(size=(60, 8)) @ rng.normal(size=(8, 8))
    whitening = Whitening.fit(rows, "full", floor=1e-9, shrink=0.0)
    units = whitening.forward(rows)
    scale = partial(rescaled, rows, whitening)
    choice = choose_base(units, np.random.default_rng(0), rescale=scale, largest=1)
    order = np.random.default_rng(0).permutation(len(rows))
    expected = []
    for held_out in np.array_split(order, 5):
        kept = np.delete(rows, held_out, axis=0)
        fitted = multivariate_normal(kept.mean(axis=0), np.cov(kept.T, bias=True))
        expected.extend(fitted.logpdf(rows[held_out]) - whitening.log_det)
    assert choice.candidates[0].score == pytest.approx(np.mean(expected), rel=1e-9)
    # By units of all rows the held-out ones look smaller than they are.
    naive = choose_base(units, np.random.default_rng(0), largest=1)
    tied = [
        next(own.score for own in found.candidates if "inf rows" in own.name)
        for found in (choice, naive)
    ]
    assert tied[1] > tied[0] + 0.5
