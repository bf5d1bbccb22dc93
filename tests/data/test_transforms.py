"""Transform: inverse, Jacobian, the Gaussian it stands for, tails, floors and real tables."""

import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from harmonium.data import Columns, Table, Transform
from harmonium.errors import HarmoniumWarning, InvalidInputError

# scipy's inferred types know of no covariance matrix.
GAUSSIAN: Any = multivariate_normal
ADBENCH = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "adbench"


def correlated(n=400, seed=0):
    """Skewed, correlated columns in unlike units; the middle one has heavy tails."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(n, 3)) @ np.array([[1, 0.5, 0.2], [0, 1, -0.7], [0, 0, 0.6]])
    mixed[:, 1] = np.sinh(2 * mixed[:, 1])
    return mixed * [10, 1, 1e-3] + [5, -1, 1]


def in_like_units(x):
    """The same rows in units in which scipy does not take the covariance for singular."""
    return x * [0.1, 0.01, 1e3]


def numeric_log_det(transform, x):
    """log|det| of the Jacobian by central differences, step relative to each column's scale."""
    n = len(x)
    steps = (
        1e-6 * transform.scale * np.maximum(1, np.abs((x - transform.location) / transform.scale))
    )
    points = np.vstack([x + np.diag(steps), x - np.diag(steps)])
    z = transform.forward(points)
    return np.linalg.slogdet((z[:n] - z[n:]) / (2 * steps[:, None]))[1]


SETTINGS = [(t, w) for t in ("auto", "none", "asinh") for w in ("full", "diagonal")]


@pytest.mark.parametrize(("tails", "whitening"), SETTINGS)
def test_inverse_of_forward_is_the_identity(tails, whitening):
    x = correlated()
    transform = Transform.fit(x, tails=tails, whitening=whitening)
    np.testing.assert_allclose(transform.inverse(transform.forward(x)), x, rtol=1e-9, atol=1e-12)
    z = np.random.default_rng(1).normal(size=(50, 3))
    np.testing.assert_allclose(transform.forward(transform.inverse(z)), z, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("tails", "whitening"), SETTINGS)
def test_log_det_is_that_of_the_jacobian(tails, whitening):
    x = correlated()
    transform = Transform.fit(x, tails=tails, whitening=whitening)
    expected = [numeric_log_det(transform, row) for row in x[:20]]
    np.testing.assert_allclose(transform.log_det(x[:20]), expected, atol=1e-6)


def test_log_det_with_floored_directions():
    x = correlated()
    x = np.column_stack([x, x[:, 0] + x[:, 2]])
    transform = Transform.fit(x)
    assert transform.n_floored == 1
    expected = [numeric_log_det(transform, row) for row in x[:20]]
    np.testing.assert_allclose(transform.log_det(x[:20]), expected, atol=1e-5)


@pytest.mark.parametrize(("tails", "whitening"), SETTINGS)
def test_training_rows_have_half_the_unit_variance(tails, whitening):
    z = Transform.fit(correlated(), tails=tails, whitening=whitening).forward(correlated())
    covariance = np.cov(z.T, bias=True)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.diag(covariance), 0.5, atol=1e-12)
    off_diagonal = np.abs(covariance - np.diag(np.diag(covariance))).max()
    assert (off_diagonal < 1e-12) == (whitening == "full")


def base_log_density(z):
    """log N(z; 0, I/2)."""
    return -(z**2).sum(axis=1) - 0.5 * z.shape[1] * np.log(np.pi)


def test_the_base_is_the_maximum_likelihood_gaussian():
    x, fresh = in_like_units(correlated()), in_like_units(correlated(seed=9))
    transform = Transform.fit(x, tails="none")
    ours = base_log_density(transform.forward(fresh)) + transform.log_det(fresh)
    truth = GAUSSIAN.logpdf(fresh, x.mean(axis=0), np.cov(x.T, bias=True))
    np.testing.assert_allclose(ours, truth, rtol=0, atol=1e-8)


def test_diagonal_whitening_is_the_gaussian_of_independent_columns():
    x = in_like_units(correlated())
    transform = Transform.fit(x, tails="none", whitening="diagonal")
    ours = base_log_density(transform.forward(x)) + transform.log_det(x)
    truth = GAUSSIAN.logpdf(x, x.mean(axis=0), np.diag(x.var(axis=0)))
    np.testing.assert_allclose(ours, truth, rtol=0, atol=1e-8)


def test_the_compressed_density_integrates_to_one():
    x = correlated()[:, 1:2]
    transform = Transform.fit(x, tails="asinh")
    ends = transform.inverse(np.array([[-6.0], [6.0]]))[:, 0]
    grid = np.linspace(np.arcsinh(100 * ends[0]), np.arcsinh(100 * ends[1]), 20_001)
    points = np.sinh(grid) / 100
    density = base_log_density(transform.forward(points[:, None])) + transform.log_det(
        points[:, None]
    )
    assert np.trapezoid(np.exp(density), points) == pytest.approx(1.0, abs=1e-5)


def moons(n=1000):
    """Two half circles, the columns of the usual two-moons set."""
    rng = np.random.default_rng(2)
    angle, second = rng.uniform(0, np.pi, n), rng.integers(0, 2, n)
    x = np.column_stack([np.cos(angle), np.sin(angle)])
    x = np.where(second[:, None], [1, 0.5] - x, x)
    return x + 0.05 * rng.normal(size=x.shape)


RNG = np.random.default_rng(3)
LIGHT = {
    "normal": RNG.normal(size=1000),
    "uniform": RNG.uniform(size=1000),
    "integers": RNG.integers(0, 16, 1000) + RNG.uniform(-0.5, 0.5, 1000),
    "coin": RNG.integers(0, 2, 1000) + RNG.uniform(-0.5, 0.5, 1000),
    "moons, across": moons()[:, 0],
    "moons, along": moons()[:, 1],
    "two clusters": RNG.normal(size=1000) + 8 * RNG.integers(0, 2, 1000),
}
HEAVY = {
    "cauchy": RNG.standard_cauchy(1000),
    "student": RNG.standard_t(2, 1000),
    "log-normal, both sides": RNG.choice([-1, 1], 1000) * np.exp(1.5 * RNG.normal(size=1000)),
    "contaminated": np.where(RNG.uniform(size=1000) < 0.02, 100, 1) * RNG.normal(size=1000),
    "mostly zero": np.where(RNG.uniform(size=1000) < 0.1, 1e3, 1e-3) * RNG.normal(size=1000),
}


@pytest.mark.parametrize("column", LIGHT.values(), ids=LIGHT.keys())
def test_light_tails_stay_linear(column):
    assert not Transform.fit(column[:, None]).is_asinh[0]


@pytest.mark.parametrize("column", HEAVY.values(), ids=HEAVY.keys())
def test_heavy_tails_are_compressed_and_gain_likelihood(column):
    x = column[:, None]
    chosen, linear = Transform.fit(x), Transform.fit(x, tails="none")
    assert chosen.is_asinh[0]
    gain = [np.mean(base_log_density(t.forward(x)) + t.log_det(x)) for t in (chosen, linear)]
    assert gain[0] - gain[1] >= 0.05


def test_tails_are_chosen_per_column():
    transform = Transform.fit(np.column_stack([LIGHT["normal"], HEAVY["cauchy"]]))
    np.testing.assert_array_equal(transform.is_asinh, [False, True])
    assert Transform.fit(transform.forward(moons()), tails="asinh").is_asinh.all()


def test_more_than_half_equal_cells_have_no_robust_scale():
    column = np.where(np.arange(1000) % 5 < 3, 0.0, RNG.standard_cauchy(1000))
    transform = Transform.fit(column[:, None])
    assert transform.is_asinh[0]
    assert transform.scale[0] == pytest.approx(column.std())


def singular(n=20_000):
    """Four columns of rank three, and a fifth almost equal to the first."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(n, 3))
    return np.column_stack([x, x.sum(axis=1), x[:, 0] + 0.01 * rng.normal(size=n)])


def test_floored_directions_with_noise_have_the_base_covariance():
    x = singular()
    transform = Transform.fit(x, tails="none")
    assert transform.n_floored == 2
    noise = transform.null_noise(np.random.default_rng(5), len(x))
    covariance = np.cov((transform.forward(x) + noise).T)
    # Five standard errors of a sample covariance with entries near 1/2.
    np.testing.assert_allclose(covariance, np.eye(5) / 2, atol=5 * 0.5 * np.sqrt(2 / len(x)))
    exact = np.cov(transform.forward(x).T, bias=True)
    exact += transform.noise_factor().T @ transform.noise_factor()
    np.testing.assert_allclose(exact, np.eye(5) / 2, atol=1e-9)


def test_noise_stays_in_the_floored_directions():
    transform = Transform.fit(singular(), tails="none")
    noise = transform.null_noise(np.random.default_rng(6), 100)
    kept = transform.eigenvectors[:, transform.eigenvalues >= transform.floor]
    np.testing.assert_allclose(noise @ kept, 0, atol=1e-12)
    assert np.linalg.matrix_rank(noise) == 2


def test_without_floored_directions_there_is_no_noise():
    transform = Transform.fit(correlated())
    assert transform.n_floored == 0
    np.testing.assert_array_equal(
        transform.null_noise(np.random.default_rng(7), 4), np.zeros((4, 3))
    )


@pytest.mark.parametrize("tails", ["auto", "asinh"])
@pytest.mark.parametrize("scale", [1e50, 1e99, 1e-12, 1e-200])
def test_extreme_units(scale, tails):
    x = np.clip(correlated(), -9, 9) * scale
    transform = Transform.fit(x, tails=tails)
    z = transform.forward(x)
    np.testing.assert_allclose(np.cov(z.T, bias=True), np.eye(3) / 2, atol=1e-6)
    assert np.all(np.isfinite(transform.log_det(x)))
    np.testing.assert_allclose(transform.inverse(z) / scale, x / scale, rtol=1e-6, atol=1e-8)


def test_fewer_rows_than_columns():
    x = np.random.default_rng(8).normal(size=(5, 20))
    transform = Transform.fit(x)
    assert transform.n_floored >= 16
    far = np.random.default_rng(9).normal(size=(100, 20)) * 100
    assert np.all(np.isfinite(transform.forward(far)))
    np.testing.assert_allclose(transform.inverse(transform.forward(far)), far, rtol=1e-6, atol=1e-6)


def test_the_inverse_is_finite_wherever_the_chains_are():
    transform = Transform.fit(correlated(), tails="asinh")
    far = np.array([[1e4] * 3, [-1e30] * 3, [1e300, -1e300, 1e300], [np.finfo(float).max] * 3])
    assert np.all(np.abs(transform.inverse(far)) <= 1e100)


def test_state_survives_json():
    transform, x = Transform.fit(correlated()), correlated()
    config, arrays = transform.to_state()
    again = Transform.from_state(json.loads(json.dumps(config)), arrays)
    np.testing.assert_array_equal(again.forward(x), transform.forward(x))
    np.testing.assert_array_equal(again.log_det(x), transform.log_det(x))


@pytest.mark.parametrize(
    ("config", "arrays", "words"),
    [
        ({"floor": 0.0}, {}, "a floor in (0, 1]"),
        ({"floor": "low"}, {}, "a floor in (0, 1]"),
        ({"n_columns": 0}, {}, "n_columns ≥ 1"),
        ({"n_columns": 2}, {}, "location of shape (2,); got shape (3,)"),
        ({"extra": 1}, {}, "config with the keys"),
        ({}, {"extra": np.ones(3)}, "arrays with the keys"),
        ({}, {"scale": np.array([1.0, 0.0, 1.0])}, "positive scale; got 0.0"),
        ({}, {"spread": -np.ones(3)}, "positive spread; got -1.0"),
        ({}, {"tail": -np.ones(3)}, "tail of at least 0; got -1.0"),
        ({}, {"center": np.array([0, np.nan, 0])}, "finite center"),
        ({}, {"eigenvectors": np.ones((3, 3))}, "orthonormal eigenvectors"),
        ({}, {"eigenvectors": np.eye(2)}, "eigenvectors of shape (3, 3)"),
    ],
)
def test_nonsense_is_no_state(config, arrays, words):
    good_config, good_arrays = Transform.fit(correlated()).to_state()
    with pytest.raises(InvalidInputError, match=re.escape(words)):
        Transform.from_state({**good_config, **config}, {**good_arrays, **arrays})


@pytest.mark.parametrize(
    ("values", "settings", "words"),
    [
        (correlated(), {"tails": "log"}, "tails among ('auto', 'none', 'asinh'); got 'log'"),
        (
            correlated(),
            {"whitening": "none"},
            "whitening among ('full', 'partial', 'diagonal'); got 'none'",
        ),
        (correlated(), {"floor": 0}, "a floor in (0, 1]; got 0"),
        (np.ones(3), {}, "a table (rows, columns); got shape (3,)"),
        (np.array([[1.0, 2], [2, 2]]), {}, "column 2 with a range of 0.0"),
        (np.array([[1.0, 2], [np.nan, 3]]), {}, "column 1 with a range of 0.0"),
        (np.array([[1.0, 2], [np.inf, 3]]), {}, "column 1 with a range of inf"),
        (
            np.array([[np.nan, 2], [np.nan, 3]]),
            {},
            "an observed cell in every column; got column 1",
        ),
    ],
)
def test_refused_fits(values, settings, words):
    with pytest.raises(InvalidInputError, match=re.escape(words)):
        Transform.fit(values, **settings)


@pytest.mark.parametrize("method", ["forward", "inverse", "log_det"])
def test_wrong_widths(method):
    transform = Transform.fit(correlated())
    words = (
        rf"Transform.{method}\(values\): expected values of shape \(rows, 3\); got shape \(2, 4\)"
    )
    with pytest.raises(InvalidInputError, match=words):
        getattr(transform, method)(np.ones((2, 4)))


@pytest.fixture
def adbench():
    """The files of the development sets."""
    files = sorted(ADBENCH.glob("*.npz"))
    if not files:
        pytest.skip(f"no development data in {ADBENCH}")
    return files


def test_every_development_set(adbench):
    """Fit on half of the rows: the base covariance there, finite results on all rows."""
    rng = np.random.default_rng(10)
    for file in adbench:
        with np.load(file) as content:
            values = rng.permutation(content["X"].astype(np.float64))[:20_000]
        table = Table(values[::2], tuple(f"x{i + 1}" for i in range(values.shape[1])))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HarmoniumWarning)
            columns = Columns.fit(table)
        x = columns.dequantize(table.values, rng)
        transform = Transform.fit(x)
        z = transform.forward(x)
        covariance = np.cov(z.T, bias=True).reshape(x.shape[1], x.shape[1])
        covariance = covariance + transform.noise_factor().T @ transform.noise_factor()
        np.testing.assert_allclose(
            covariance, np.eye(len(covariance)) / 2, atol=1e-6, err_msg=file.name
        )
        every = columns.modeled(values)
        # What was 0 or 1 in training and is something else here has no place among the categories.
        unseen = columns.breaks_rule(values)[:, columns.modeled_index]
        np.testing.assert_array_equal(np.isnan(every), unseen)
        every = every[~unseen.any(axis=1)]
        assert np.all(np.isfinite(transform.forward(every))), file.name
        assert np.all(np.isfinite(transform.log_det(every))), file.name
        assert np.all(np.isfinite(columns.log_rule(values))), file.name
        # The asinh loses digits near the median of a column with tiny robust scale.
        scale = np.abs(x).max(axis=0)
        np.testing.assert_allclose(
            transform.inverse(z) / scale, x / scale, atol=1e-9, err_msg=file.name
        )


def test_what_fills_a_missing_cell_stays_in_range_beside_an_outlier():
    rng = np.random.default_rng(12)
    x = np.exp(2 * rng.normal(size=400))
    values = np.stack([x, x * np.exp(0.1 * rng.normal(size=400))], axis=1)
    transform = Transform.fit(values)
    assert transform.is_asinh.all()
    holed = np.array([[1e4 * x.max(), np.nan], [np.nan, 1.0]])
    beyond = transform.from_standard(transform.standardize(np.full((1, 2), 1e5 * x.max())))
    np.testing.assert_allclose(transform.within_range(beyond)[0], values.max(axis=0))
    drawn = transform.draw_missing(np.tile(holed, (50, 1)), rng)
    assert drawn[::2, 1] == pytest.approx(values[:, 1].max())
    inside = drawn[1::2, 0]
    assert len(np.unique(inside)) == 50 and inside.max() < x.max()
