"""Feature maps, objectives and kernels that are given as objects: what is fitted, and what a file
knows of them."""

import copy
from dataclasses import asdict
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_expit, log_ndtr, ndtri_exp
from scipy.stats import norm
from sklearn.base import clone

import harmonium as hm
from harmonium.errors import ArtifactError, InvalidInputError
from harmonium.estimators import DensityEstimator
from harmonium.inference import DensitySettings, OwnParts
from harmonium.learning import PersistentChains, WeightedPopulation
from harmonium.model import AbstractBase, ConditionalVisible, GaussianBase, Mixture


class Bent(eqx.Module):
    """A feature map of the user's own."""

    scale: jax.Array

    def __call__(self, x):
        return jnp.tanh(self.scale * x * x)


class Round(AbstractBase):
    """A base of the user's own: N(mean, variance I)."""

    mean: jax.Array
    variance: jax.Array
    n_visible: int = eqx.field(static=True)
    has_modes: ClassVar[bool] = False

    @staticmethod
    def fit(rows, *, key):
        return Round(jnp.mean(rows, axis=0), jnp.var(rows), rows.shape[1])

    def energy(self, x):
        log_scale = self.n_visible * jnp.log(2 * jnp.pi * self.variance) / 2
        return jnp.sum((x - self.mean) ** 2) / (2 * self.variance) + log_scale

    def tilted(self, tilt):
        root = jnp.sqrt(self.variance)
        unit = jnp.eye(self.n_visible, dtype=tilt.dtype)[None]
        mean = self.mean + self.variance * tilt
        log_partition = tilt @ self.mean + self.variance * (tilt @ tilt) / 2
        return log_partition, Mixture(
            jnp.zeros(1, tilt.dtype), mean[None], root * unit, unit / root
        )

    def conditional(self, tilt):
        return ConditionalVisible(
            self.mean + self.variance * tilt, jnp.full_like(tilt, self.variance)
        )


class Logistic(eqx.Module):
    """A marginal of the user's own, for columns with cells on both sides of 0."""

    location: float
    scale: float

    @staticmethod
    def fit(values, counts):
        if values[0] >= 0:
            return None
        mean = float(np.average(values, weights=counts))
        variance = float(np.average((values - mean) ** 2, weights=counts))
        return Logistic(mean, (3 * variance) ** 0.5 / np.pi)

    def to_normal(self, cells):
        z = (cells - self.location) / self.scale
        return -np.sign(z) * ndtri_exp(log_expit(-np.abs(z)))

    def from_normal(self, u):
        return self.location + self.scale * (log_ndtr(u) - log_ndtr(-u))

    def log_slope(self, cells):
        z = (cells - self.location) / self.scale
        log_density = log_expit(z) + log_expit(-z) - np.log(self.scale)
        return log_density - norm.logpdf(self.to_normal(cells))


class Shrinking(Logistic):
    """A marginal whose inverse is none."""

    @staticmethod
    def fit(values, counts):
        return Shrinking(0.0, 1.0)

    def from_normal(self, u):
        return 0.5 * Logistic.from_normal(self, u)


def make_bent(n_visible, *, key):
    """A factory of it."""
    return Bent(1.0 + jax.random.uniform(key, (n_visible,)))


def own_estimator(**changes):
    parameters = {
        "feature_map": make_bent,
        "objective": hm.NoiseContrastive(noise_ratio=3, pool_size=2048, held_size=512),
        "kernel": hm.HMC(),
        "effort": "quick",
        "base": "gaussian",
    }
    return DensityEstimator(2, **(parameters | changes))


def test_settings_hold_class_names():
    settings = own_estimator().check_settings()
    assert (settings.feature_map, settings.objective, settings.kernel) == (
        "own:make_bent",
        "own:NoiseContrastive",
        "own:HMC",
    )
    plain = asdict(settings)
    assert all(isinstance(own, str | int | float | None) for own in plain.values())
    assert DensitySettings(**plain) == settings
    assert DensityEstimator().check_settings().kernel == "auto"


def test_parts_are_used_as_they_are():
    settings = DensitySettings(n_hidden=2, objective="persistent")
    module = Bent(jnp.arange(1.0, 4.0))
    model = settings.build_model(jax.random.key(0), GaussianBase(3), OwnParts(feature_map=module))
    assert eqx.tree_equal(model.feature_map, module)
    made = settings.build_model(jax.random.key(0), GaussianBase(3), OwnParts(make_bent))
    assert made.feature_map.scale.shape == (3,)
    objective = hm.MaximumLikelihood(WeightedPopulation(n_chains=8))
    assert settings.build_objective(OwnParts(objective=objective)) is objective
    kernel = hm.HMC()
    named = settings.build_objective(OwnParts(kernel=kernel))
    assert isinstance(named.negatives, PersistentChains)
    assert named.negatives.kernel is kernel


@pytest.mark.parametrize("feature_map", [make_bent, Bent(jnp.ones(3))], ids=["factory", "module"])
def test_an_estimator_with_objects_can_be_cloned_saved_and_loaded(feature_map, rows, tmp_path):
    estimator = own_estimator(feature_map=feature_map).fit(rows)
    assert isinstance(estimator.model_.feature_map, Bent)
    assert clone(estimator).check_settings() == estimator.settings_
    path = tmp_path / "own.safetensors"
    estimator.save(path)
    with pytest.raises(ArtifactError, match="Bent"):
        hm.load(path)
    template = Bent(jnp.zeros(3))
    loaded = hm.load(path, feature_map=template)
    np.testing.assert_array_equal(loaded.score_samples(rows), estimator.score_samples(rows))
    assert loaded.settings_ == estimator.settings_
    assert loaded.get_params()["feature_map"] is template and loaded.kernel == "auto"


@pytest.mark.parametrize("base", [Round, Round(jnp.zeros(3), jnp.asarray(0.5), 3)], ids=type)
def test_a_base_is_fitted_saved_and_loaded(base, rows, tmp_path):
    estimator = own_estimator(feature_map="identity", base=base).fit(rows)
    assert isinstance(estimator.model_.base, Round)
    assert estimator.chosen_.base == "own:Round" and estimator.chosen_.n_components == 1
    # Marginals and whitening bring the rows to about N(0, I/2).
    assert float(estimator.model_.base.variance) == pytest.approx(0.5, rel=0.1)
    if base is not Round:
        like = own_estimator(feature_map="identity", base="gaussian").fit(rows)
        expected = like.score_samples(rows)
        np.testing.assert_allclose(estimator.score_samples(rows), expected, atol=1e-9)
    path = tmp_path / "own.safetensors"
    estimator.save(path)
    with pytest.raises(ArtifactError, match=r"a base of your own, 'Round'.*base="):
        hm.load(path)
    with pytest.raises(ArtifactError, match="has the fields"):
        hm.load(path, base=type("Other", (Round,), {"__annotations__": {"more": jax.Array}}))
    for given in (Round, Round(jnp.ones(3), jnp.asarray(7.0), 3)):
        loaded = hm.load(path, base=given)
        np.testing.assert_array_equal(loaded.score_samples(rows), estimator.score_samples(rows))
        kept = (own.model_.base for own in (loaded, estimator))
        for a, b in zip(*map(jax.tree.leaves, kept), strict=True):
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b, np.asarray(a).dtype))
    assert hm.load(path, base=Round).get_params()["base"] is Round


def test_marginals_are_fitted_where_they_may_be_saved_and_loaded(rows, tmp_path):
    table = np.column_stack([rows[:, :2], np.abs(rows[:, 2]) + 0.1])
    parts = {"feature_map": "identity", "objective": "auto", "kernel": "auto"}
    estimator = own_estimator(marginals=Logistic, **parts).fit(table)
    kinds = list(estimator.chosen_.marginals.values())
    assert kinds[:2] == ["own:Logistic"] * 2 and not kinds[2].startswith("own:")
    scores = estimator.score_samples(table)
    assert np.all(np.isfinite(scores))
    drawn = estimator.sample(50)
    assert np.all(np.isfinite(drawn)) and np.all(drawn[:, 2] > 0)
    path = tmp_path / "own.safetensors"
    estimator.save(path)
    with pytest.raises(ArtifactError, match=r"your own class, 'Logistic'.*marginals="):
        hm.load(path)
    loaded = hm.load(path, marginals=Logistic)
    np.testing.assert_array_equal(loaded.score_samples(table), scores)
    assert loaded.settings_.marginals == "own:Logistic"


def test_one_column_by_an_own_marginal_has_its_density():
    """Closed form: of one column, a Gaussian in u is the logistic density in x."""
    cells = np.random.default_rng(0).logistic(1.0, 2.0, size=(400, 1))
    parts = {"feature_map": "identity", "objective": "auto", "kernel": "auto"}
    estimator = own_estimator(marginals=Logistic, base=Round, **parts).fit(cells)
    body = estimator.density_.coordinates.marginals.parts[0].body
    expected = body.log_density(cells[:, 0])
    # The base is fitted to u, which is not quite standard normal.
    assert np.mean(estimator.score_samples(cells) - expected) == pytest.approx(0.0, abs=0.02)


def test_an_objective_and_a_kernel_come_back_with_a_loaded_model(rows, tmp_path):
    path = tmp_path / "own.safetensors"
    estimator = own_estimator(feature_map="identity").fit(rows)
    estimator.save(path)
    kernel, objective = hm.HMC(), hm.NoiseContrastive(noise_ratio=3)
    loaded = hm.load(path, kernel=kernel, objective=objective)
    assert loaded.kernel is kernel and loaded.objective is objective
    assert loaded.fit(rows).check_settings() == loaded.settings_


def test_what_a_file_does_not_hold_is_asked_for_before_another_fit(rows, tmp_path):
    path = tmp_path / "own.safetensors"
    own_estimator(feature_map="identity").fit(rows).save(path)
    loaded = hm.load(path)
    with pytest.raises(InvalidInputError, match=r"objective=.*own:NoiseContrastive.*set_params"):
        loaded.fit(rows)
    loaded.set_params(objective="auto").fit(rows)


@pytest.mark.slow
def test_objects_are_trained(rows):
    estimator = own_estimator(effort="normal", n_updates=20).fit(rows)
    assert estimator.history_[-1]["update"] > 0
    assert np.all(np.isfinite(estimator.score_samples(rows)))
    assert isinstance(estimator.model_.feature_map, Bent)


class Halved(hm.HMC):
    """A kernel of the user's own: as if all proposals were refused half of the time."""

    def step(self, key, model, state):
        key_step, key_stay = jax.random.split(key)
        moved, info = super().step(key_step, model, state)
        stays = jax.random.bernoulli(key_stay)
        return jax.tree.map(lambda a, b: jnp.where(stays, a, b), state, moved), info


@pytest.mark.slow
def test_own_map_base_and_kernel_are_trained_together_in_the_core(rows):
    base, key = Round.fit(jnp.asarray(rows[:, :2]), key=None), jax.random.key(0)
    model = hm.Harmonium(2, 4, feature_map=Bent(jnp.ones(2)), base=base, key=key)
    negatives = hm.PersistentChains(kernel=Halved(), n_chains=32, steps_per_update=2)
    result = hm.fit(
        model,
        rows[:, :2],
        key=key,
        objective=hm.MaximumLikelihood(negatives),
        n_updates=10,
        settings=hm.FitSettings(batch_size=32),
    )
    assert isinstance(result.model.feature_map, Bent) and isinstance(result.model.base, Round)
    assert result.history[-1]["update"] == 10 and np.isfinite(result.log_partition.value)
    drawn = hm.sample(result.model, 32, key=key, kernel=Halved(), n_steps=20)
    assert drawn.diagnostics.kernel == "Halved"
    assert np.all(np.isfinite(drawn.samples))


@pytest.mark.slow
def test_a_kernel_draws(fitted):
    estimator = copy.copy(fitted).set_params(kernel=hm.MALA())
    assert estimator.sample(3).shape == (3, 4)
    assert estimator.draw_diagnostics_.kernel == "MALA"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"feature_map": None}, "feature_map=.*a factory called with.*got None"),
        ({"feature_map": lambda v: v}, "feature_map=.*a factory called with.*got <function"),
        ({"objective": make_bent}, "objective=.*a name or an objective"),
        ({"kernel": "hmc"}, "kernel=.*'auto'.*got 'hmc'"),
        ({"kernel": None}, "kernel=.*or a kernel, such as"),
        ({"base": GaussianBase(7)}, "base=.*a base of 3 visible units; this one has 7"),
        ({"base": GaussianBase}, r"base=.*a class of bases with fit\(rows, key=key\)"),
        ({"marginals": Bent}, "marginals=.*a class with the methods fit, to_normal"),
        ({"marginals": Shrinking}, r"marginals=Shrinking.*from_normal\(to_normal\(cells\)\)"),
        ({"feature_map": "own:Bent"}, "feature_map=.*the object itself.*own:Bent"),
        ({"feature_map": Bent(jnp.ones(7))}, r"feature map cannot take one row of shape \(3,\)"),
    ],
)
def test_what_is_no_part_is_refused(parameters, words, rows):
    with pytest.raises(InvalidInputError, match=words):
        own_estimator(**parameters).fit(rows)
