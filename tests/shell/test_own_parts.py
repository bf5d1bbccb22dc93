"""Feature maps, objectives and kernels that are given as objects: what is fitted, and what a file
knows of them."""

import copy
from dataclasses import asdict

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.base import clone

import harmonium as hm
from harmonium.errors import ArtifactError, InvalidInputError
from harmonium.estimators import DensityEstimator
from harmonium.inference import DensitySettings, OwnParts
from harmonium.learning import PersistentChains, WeightedPopulation
from harmonium.model import GaussianBase


class Bent(eqx.Module):
    """A feature map of the user's own."""

    scale: jax.Array

    def __call__(self, x):
        return jnp.tanh(self.scale * x * x)


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


@pytest.mark.slow
def test_a_kernel_draws(fitted):
    estimator = copy.copy(fitted).set_params(kernel=hm.MALA())
    assert estimator.sample(3).shape == (3, 4)
    assert estimator.draw_diagnostics_.kernel == "MALA"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"feature_map": None}, "feature_map=.*a factory called with.*got None"),
        ({"objective": make_bent}, "objective=.*a name or an objective"),
        ({"kernel": "hmc"}, "kernel=.*'auto'.*got 'hmc'"),
        ({"kernel": None}, "kernel=.*or a kernel, such as"),
        ({"feature_map": "own:Bent"}, "feature_map=.*the object itself.*own:Bent"),
        ({"feature_map": Bent(jnp.ones(7))}, r"feature map cannot take one row of shape \(3,\)"),
    ],
)
def test_what_is_no_part_is_refused(parameters, words, rows):
    with pytest.raises(InvalidInputError, match=words):
        own_estimator(**parameters).fit(rows)
