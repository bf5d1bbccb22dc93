"""Kind of truth: quadrature and closed forms, for the truths that benchmarks compare with."""

import numpy as np
import pytest
from scipy import stats

from benchmarks import density
from benchmarks.report import markdown
from benchmarks.shapes import truth_of
from benchmarks.targets import PLANE, heavy_tails

# Half the width of the grid, in standard deviations, and its points per axis.
GRIDS = {
    "8 gaussians": (6, 801),
    "two moons": (5, 301),
    "3 gaussians": (6, 801),
    "two moons (ebmkit)": (5, 301),
    "banana": (14, 1201),
    "far scales": (6, 801),
    "nearly singular": (6, 801),
}


@pytest.mark.parametrize("name", GRIDS)
def test_densities_are_normalized_and_have_the_stated_entropy(name):
    target = PLANE[name]()
    rows = target.sample(np.random.default_rng(0), 20_000)
    factor = np.linalg.cholesky(np.cov(rows.T))
    half_width, n_points = GRIDS[name]
    axis = np.linspace(-half_width, half_width, n_points)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    log_density = target.log_density(rows.mean(axis=0) + grid @ factor.T)
    weights = np.exp(log_density) * (axis[1] - axis[0]) ** 2 * np.prod(np.diag(factor))
    assert weights.sum() == pytest.approx(1, abs=1e-4)
    assert -(weights @ log_density) == pytest.approx(target.entropy, abs=2e-4)


@pytest.mark.parametrize("name", PLANE)
def test_draws_have_the_stated_entropy_and_shares(name):
    target = PLANE[name]()
    rows = target.sample(np.random.default_rng(1), 20_000)
    surprise = -target.log_density(rows)
    error = surprise.std() / len(rows) ** 0.5
    assert surprise.mean() == pytest.approx(target.entropy, abs=5 * error + 1e-9)
    if target.modes is not None:
        shares = np.bincount(target.modes.label(rows)) / len(rows)
        errors = np.sqrt(target.modes.shares * (1 - target.modes.shares) / len(rows))
        assert np.all(np.abs(shares - target.modes.shares) < 5 * errors)


def test_heavy_tails_are_those_of_scipy():
    target, shape = heavy_tails(), np.array([[1.0, 0.8], [0.8, 1.0]])
    theirs = stats.multivariate_t(shape=shape, df=3)
    rows = target.sample(np.random.default_rng(2), 100)
    np.testing.assert_allclose(target.log_density(rows), theirs.logpdf(rows), rtol=1e-12)
    assert target.entropy == pytest.approx(float(theirs.entropy()))


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_normals_are_those_of_scipy(correlation):
    truth = truth_of(5, correlation)
    rows = truth.sample(np.random.default_rng(3), 100)
    theirs = stats.multivariate_normal(cov=truth.covariances[0])
    np.testing.assert_allclose(truth.log_density(rows), theirs.logpdf(rows), rtol=1e-12)
    assert truth.covariances[0][0, 2] == pytest.approx(correlation**2)


def run(method, seed, score, seconds, **more):
    sizes = {"table": "wilt", "rows": 10, "columns": 2, "method": method, "seed": seed}
    figures = {"log-likelihood": score, "standard error": 0.1, "fit seconds": seconds}
    return sizes | figures | {"score seconds": 0.1, "chosen": "", "limits": {}} | more


def test_summary_of_density_runs():
    log_z = {"log Z": 0.0, "log Z low": -0.1, "log Z high": 0.1}
    runs = [
        run("harmonium", 0, -3.0, 10.0, **log_z, trusted=True),
        run("harmonium", 1, -2.0, 20.0, **log_z, trusted=False),
        run("flow", 0, -4.0, 5.0),
        {"table": "wilt", "rows": 10, "columns": 2, "method": "flow", "seed": 1, "failed": "why"},
        run("mixture", 0, -2.0, 1.0),
    ]
    lines, (row, total) = density.summarize(runs)
    assert [line["method"] for line in lines] == ["harmonium", "mixture", "flow"]
    assert [line["failed"] for line in lines] == [0, 0, 1]
    assert row["best"] == "mixture" and total["best"] == "harmonium on 0"
    assert (row["over the flow"], row["over the mixture"]) == (1.5, -0.5)
    assert (row["untrusted"], row["time / flow's"]) == (1, 3.0)
    assert "| wilt | mixture |" in markdown([row, total])
