"""The scikit-learn contract of `DensityEstimator`, and its promises about data units."""

import copy
import warnings
from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator

import harmonium as hm
from harmonium.errors import HarmoniumWarning
from harmonium.estimators import AnomalyDetector, DensityEstimator, Imputer

# These fit tables of shapes or types of their own, and each compiles anew.
SLOW_CHECKS = {
    "check_dict_unchanged",
    "check_dont_overwrite_parameters",
    "check_dtype_object",
    "check_estimators_dtypes",
    "check_estimators_overwrite_params",
    "check_fit2d_1feature",
    "check_fit_score_takes_y",
    "check_n_features_in_after_fitting",
    "check_positive_only_tag_during_fit",
}


def contract(estimator):
    """scikit-learn's checks, the slow ones marked."""
    for checked, check in estimator_checks_generator(estimator):
        slow = check.func.__name__ in SLOW_CHECKS
        yield pytest.param(checked, check, marks=[pytest.mark.slow] if slow else [])


# The contract needs no training.
@pytest.mark.parametrize(
    ("estimator", "check"),
    contract(DensityEstimator(4, effort="quick")),
    ids=lambda value: getattr(getattr(value, "func", None), "__name__", "estimator"),
)
@pytest.mark.filterwarnings("ignore")
def test_sklearn_contract(estimator, check):
    check(estimator)


@pytest.mark.slow
def test_a_model_without_weights_is_the_gaussian_fit():
    """W = 0 is the Gaussian of the training rows, but for the shrinkage of its correlations
    (theory, section 9)."""
    rows = np.random.default_rng(1).normal(size=(300, 3)) @ np.array(
        [[2.0, 0.0, 0.0], [0.5, 1.0, 0.0], [-1.0, 0.3, 0.1]]
    )
    estimator = DensityEstimator(effort="quick", base="gaussian", marginals="affine").fit(rows)
    kept = rows[np.random.default_rng(0).permutation(300)[30:]]
    gaussian = multivariate_normal(kept.mean(axis=0), np.cov(kept.T, bias=True)).logpdf(rows)
    found = estimator.score_samples(rows)
    np.testing.assert_allclose(found, gaussian, atol=0.3)
    assert found.mean() == pytest.approx(gaussian.mean(), abs=0.01)
    assert estimator.log_partition_.method == "exact"


@pytest.mark.slow
def test_density_of_one_column_integrates_to_one():
    rng = np.random.default_rng(2)
    rows = np.concatenate([rng.normal(-2, 0.4, 300), rng.normal(3, 1.0, 300)])[:, None]
    estimator = DensityEstimator(effort="quick").fit(rows)
    grid = np.linspace(-30, 40, 20_001)[:, None]
    mass = np.exp(estimator.score_samples(grid)).sum() * (grid[1, 0] - grid[0, 0])
    assert mass == pytest.approx(1.0, abs=1e-3)


def test_masses_of_an_integer_column_sum_to_one():
    """Of few numbers, those that were seen share all but the chance of another one."""
    rng = np.random.default_rng(3)
    few, many = (rng.poisson(rate, (400, 1)).astype(float) for rate in (2.0, 40.0))
    estimator = DensityEstimator(effort="quick").fit(many)
    mass = np.exp(estimator.score_samples(np.arange(-60.0, 300.0)[:, None])).sum()
    assert mass == pytest.approx(1.0, abs=1e-3)
    estimator = DensityEstimator(effort="quick").fit(few)
    seen = np.exp(estimator.score_samples(np.unique(few)[:, None])).sum()
    assert seen == pytest.approx(361 / 362, abs=1e-4)  # 360 training rows


def test_scores_do_not_depend_on_the_batch(fitted, rows):
    together = fitted.score_samples(rows)
    alone = np.concatenate([fitted.score_samples(rows[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(together[:5], alone, rtol=1e-6)


def test_same_seed_same_result_and_other_seed_other(fitted, rows):
    again = clone(fitted).fit(rows)
    other = clone(fitted).set_params(random_state=1).fit(rows)
    np.testing.assert_array_equal(fitted.score_samples(rows), again.score_samples(rows))
    assert not np.allclose(fitted.score_samples(rows), other.score_samples(rows))
    np.testing.assert_array_equal(fitted.sample(5), again.sample(5))


def test_a_row_that_breaks_a_rule_costs_its_log_probability(fitted, rows):
    broken = rows[:1].copy()
    broken[0, 3] = 5.0
    difference = fitted.score_samples(rows[:1]) - fitted.score_samples(broken)
    assert difference[0] == pytest.approx(np.log(181), abs=1e-9)  # 180 training rows


def test_scores_that_are_not_finite_are_told(fitted, rows):
    damaged = copy.copy(fitted)
    model = eqx.tree_at(lambda m: m.hidden_bias, fitted.model_, replace_fn=lambda b: b * jnp.nan)
    damaged.density_ = replace(fitted.density_, model=model)
    with pytest.warns(HarmoniumWarning, match="7 of 7 log-densities are not finite.*in row 1"):
        damaged.score_samples(rows[:7])


def test_samples_look_like_rows(fitted):
    drawn = fitted.sample(50)
    assert drawn.shape == (50, 4)
    assert np.all(drawn[:, 2] == np.round(drawn[:, 2]))
    assert np.all(drawn[:, 3] == 4.0)


def test_hidden_probabilities(fitted, rows):
    features = fitted.transform(rows)
    assert features.shape == (len(rows), 8)
    assert np.all((features >= 0) & (features <= 1))


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames_go_by_name(frame, rows):
    names = ["a", "b", "c"]
    table = frame({name: rows[:, i] for i, name in enumerate(names)})
    estimator = DensityEstimator(effort="quick", base="gaussian").fit(table)
    shuffled = frame({name: rows[:, names.index(name)] for name in ["c", "a", "b"]})
    np.testing.assert_array_equal(estimator.score_samples(table), estimator.score_samples(shuffled))
    assert list(estimator.feature_names_in_) == names
    with pytest.raises(hm.errors.InvalidInputError, match="'b'"):
        estimator.score_samples(frame({"a": rows[:, 0], "c": rows[:, 2]}))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"n_hidden": 0}, "n_hidden=.*from 1 to.*got 0"),
        ({"n_hidden": 2.5}, "n_hidden=.*whole number.*got 2.5"),
        ({"random_state": 2**40}, "random_state.*from 0 to"),
        ({"validation_fraction": "half"}, "validation_fraction=.*between 0 and 1"),
        ({"validation_fraction": 0.99}, "rows to train on"),
        ({"feature_map": "cnn"}, "feature_map=.*'mlp'.*got 'cnn'"),
        ({"hidden_units": "potts"}, "hidden_units=.*'spin'"),
        ({"objective": "score"}, "objective=.*'likelihood'"),
        ({"effort": "none"}, "effort=.*'quick'"),
        ({"base": "flow"}, "base=.*'mixture'"),
        ({"time_budget": -1.0}, "time_budget=.*positive"),
        ({"learning_rate": float("nan")}, "learning_rate=.*positive"),
        ({"validation_fraction": 1.5}, "validation_fraction=.*between 0 and 1"),
        ({"marginals": "log"}, "marginals=.*'asinh'"),
        ({"whitening": "zca"}, "whitening"),
    ],
)
def test_wrong_parameters_are_named(parameters, words, rows):
    with pytest.raises(ValueError, match=words):
        DensityEstimator(**{"n_updates": 2, **parameters}).fit(rows[:, :2])


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (np.ones((3, 2)), "at least 8 rows"),
        (np.ones((20, 2)), "constant"),
        (np.array([[1.0, np.nan]] * 20), "only constant, empty"),
        (np.array([[1.0, np.inf]] * 20), "inf"),
        (np.array([[1.0, 2.0]] * 19 + [[1.0, "red"]], dtype=object), "red"),
        (np.zeros((0, 3)), "0 sample"),
    ],
)
def test_wrong_tables_are_explained(table, words):
    with pytest.raises(ValueError, match=words):
        DensityEstimator(n_updates=2).fit(table)


def or_slow(usual, others):
    """Parameters of which only the usual one runs in the default suite: each compiles for
    seconds."""
    return [usual, *(pytest.param(other, marks=pytest.mark.slow) for other in others)]


@pytest.mark.parametrize("objective", or_slow("persistent", ["contrastive-divergence"]))
@pytest.mark.parametrize("hidden_units", or_slow("bernoulli", ["spin"]))
@pytest.mark.parametrize("feature_map", or_slow("residual", ["identity", "fourier"]))
@pytest.mark.slow
def test_every_combination_fits(objective, hidden_units, feature_map, rows):
    estimator = DensityEstimator(
        6,
        feature_map,
        width=6,
        hidden_units=hidden_units,
        objective=objective,
        n_updates=4,
        random_state=0,
    ).fit(rows[:, :2])
    assert np.all(np.isfinite(estimator.score_samples(rows[:, :2])))
    assert np.isfinite(estimator.log_partition_.value)


@pytest.mark.parametrize(
    "objective", or_slow("auto", ["likelihood", "warm-started-likelihood", "score-matching"])
)
@pytest.mark.slow
def test_every_objective_fits(objective, rows):
    estimator = DensityEstimator(6, width=6, objective=objective, n_updates=20, random_state=0)
    assert np.all(np.isfinite(estimator.fit(rows).score_samples(rows)))
    assert estimator.verdict_


def test_huge_outliers_score_finitely_and_low(fitted, rows):
    outlier = rows[:1].copy()
    outlier[0, :2] = 1e80
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = fitted.score_samples(outlier)
    assert np.isfinite(value[0])
    assert value[0] < fitted.score_samples(rows).min()


def test_hidden_units_become_different():
    """From W = 0 all of them would answer alike, |r| > 0.99."""
    rng = np.random.default_rng(0)
    centers = np.array([[-2, -2], [-2, 2], [2, -2], [2, 2]])
    table = centers[rng.integers(4, size=2000)] + 0.5 * rng.normal(size=(2000, 2))
    estimator = DensityEstimator(12, width=16, base="gaussian", marginals="affine", n_updates=400)
    means = estimator.fit(table).transform(table)
    # The clusters are learned by hidden units: nothing would be told by a fit that kept the base.
    assert estimator.held_out_.log_likelihood > estimator.held_out_.gaussian + 0.5
    r = np.abs(np.corrcoef(means[:, means.std(axis=0) > 1e-4].T))
    assert len(r) > 6
    assert np.median(r[np.triu_indices(len(r), 1)]) < 0.9


def test_draws_of_a_base_alone_are_exact(rows):
    """Means and products of 20 000 draws, seed 4, within five standard errors of those of the
    mixture."""
    estimator = DensityEstimator(effort="quick", base="mixture").fit(rows)
    boxes = estimator.density_.boxes
    points, ess = boxes.draw_rows(20_000, seed=4)
    assert ess == 20_000
    base = boxes.base
    mean = np.asarray(base.mean, float)
    second = np.einsum("k,kij->ij", np.exp(base.log_weights), base.covariances)
    second += np.einsum("k,ki,kj->ij", np.exp(base.log_weights), base.means, base.means)
    products = points[:, :, None] * points[:, None, :]
    for found, truth in ((points, mean), (products.reshape(len(points), -1), second.ravel())):
        error = found.std(axis=0) / len(points) ** 0.5
        assert np.all(np.abs(found.mean(axis=0) - truth) < 5 * error)
    estimator.sample(10)
    assert estimator.draw_diagnostics_.way == "exact" and estimator.draw_diagnostics_.trusted


@pytest.mark.parametrize("effort", ["quick", "normal"])
def test_a_verbose_fit_prints_its_progress_in_lines(effort, rows, capsys, monkeypatch):
    monkeypatch.setattr("harmonium.inference.progress.PAUSE", 0.0)
    settings = {"n_hidden": 4, "feature_map": "identity", "base": "gaussian", "n_updates": 6}
    for verbose in (False, True):
        DensityEstimator(effort=effort, verbose=verbose, **settings).fit(rows[:, :2])
        lines = capsys.readouterr().out.splitlines()
        assert bool(lines) == verbose
    assert lines[:2] == ["fitting the marginals", "choosing the base"]
    trained = [line for line in lines if line.startswith("update 6 of 6, ")]
    assert len(trained) == (effort == "normal")
    assert all("nats per row (Gaussian -" in line for line in trained)


def test_verbose_detectors_and_imputers_say_what_they_do(rows, capsys):
    AnomalyDetector(verbose=True).fit(rows[:, :2])
    assert "calibrating the detector" in capsys.readouterr().out
    holed = np.where(np.random.default_rng(0).random((200, 2)) < 0.1, np.nan, rows[:, :2])
    Imputer(n_trees=2, verbose=True).fit(holed)
    printed = capsys.readouterr().out
    assert "choosing the base" in printed and "growing trees" in printed
