"""Saving and loading: exact round trips, and words for everything that is not a model file."""

from dataclasses import fields, replace

import equinox as eqx
import jax
import numpy as np
import pytest
from rewriting import rewrite
from safetensors.numpy import save_file

import harmonium as hm
from harmonium.data import Table, fingerprint
from harmonium.errors import ArtifactError
from harmonium.estimators import DensityEstimator
from harmonium.likelihood import LogPartition


def test_round_trip_is_exact(fitted, rows, tmp_path):
    path = tmp_path / "model.safetensors"
    fitted.save(path)
    loaded = hm.load(path)
    np.testing.assert_array_equal(loaded.score_samples(rows), fitted.score_samples(rows))
    np.testing.assert_array_equal(loaded.sample(5), fitted.sample(5))
    assert loaded.log_partition_ == fitted.log_partition_
    assert loaded.verdict_ == fitted.verdict_
    assert loaded.chosen_ == fitted.chosen_
    assert loaded.density_.judgment == fitted.density_.judgment
    assert loaded.get_params() == fitted.get_params()


def test_a_file_tells_where_the_fit_comes_from(fitted, rows, tmp_path):
    path = tmp_path / "model.safetensors"
    fitted.save(path)
    origin = hm.load(path).provenance_
    assert origin == fitted.provenance_
    assert origin["seed"] == 0 and origin["verdict"] == fitted.verdict_
    assert origin["metrics"]["log_likelihood"] == fitted.held_out_.log_likelihood
    names = tuple(f"x{i}" for i in range(1, 5))
    assert origin["data"] == {
        "sha256": fingerprint(Table(rows, names)),
        "n_rows": 200,
        "n_columns": 4,
    }
    assert set(origin["versions"]) == {"python", "harmonium", "jax", "equinox", "optax", "numpy"}


def test_fingerprints_are_of_names_and_values():
    values = np.array([[1.0, np.nan], [0.0, 2.0]])
    of = fingerprint(Table(values, ("a", "b")))
    same = np.array([[1.0, -np.nan], [-0.0, 2.0]])
    assert fingerprint(Table(np.asfortranarray(same), ("a", "b"))) == of
    assert fingerprint(Table(values, ("a", "c"))) != of
    assert fingerprint(Table(values + 1e-12, ("a", "b"))) != of
    assert fingerprint(Table(values.reshape(4, 1), ("a",))) != of


@pytest.mark.parametrize("feature_map", ["identity", "mlp", "residual", "fourier"])
def test_every_feature_map_comes_back(feature_map, rows, tmp_path):
    table = rows[:, :2]
    estimator = DensityEstimator(4, feature_map, width=4, effort="quick", base="gaussian").fit(
        table
    )
    estimator.save(tmp_path / "m.safetensors")
    loaded = hm.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded.score_samples(table), estimator.score_samples(table))


class Quadratic(eqx.Module):
    """A feature map of the user's own."""

    scale: jax.Array

    def __call__(self, x):
        return jax.numpy.tanh(self.scale * x * x)


def test_a_users_feature_map_needs_to_be_passed(fitted, rows, tmp_path):

    model = hm.Harmonium(
        3, 2, feature_map=Quadratic(jax.numpy.asarray([1.0, 2.0, 3.0])), key=jax.random.key(0)
    )
    estimator = hm.load(_saved(fitted, tmp_path))
    estimator.density_ = replace(estimator.density_, model=model)
    estimator.save(tmp_path / "own.safetensors")
    with pytest.raises(ArtifactError, match="Quadratic.*feature_map="):
        hm.load(tmp_path / "own.safetensors")
    template = Quadratic(jax.numpy.zeros(3))
    loaded = hm.load(tmp_path / "own.safetensors", feature_map=template)
    np.testing.assert_array_equal(loaded.free_energy(rows), estimator.free_energy(rows))


def test_a_mixture_base_comes_back(fitted, rows, tmp_path):

    mixture = hm.Mixture.from_moments(
        np.array([0.4, 0.6]), np.array([[0.0, 1, 0], [1, 0, 2]]), np.stack([0.01 * np.eye(3)] * 2)
    )
    model = hm.Harmonium(3, 2, base=hm.MixtureBase(mixture), key=jax.random.key(0))
    estimator = hm.load(_saved(fitted, tmp_path))
    estimator.density_ = replace(estimator.density_, model=model)
    estimator.save(tmp_path / "mixture.safetensors")
    loaded = hm.load(tmp_path / "mixture.safetensors")
    assert eqx.tree_equal(loaded.density_.model, model)
    np.testing.assert_array_equal(loaded.free_energy(rows), estimator.free_energy(rows))


def test_a_mixture_that_no_file_may_hold_is_not_saved(fitted, tmp_path, monkeypatch):

    monkeypatch.setattr("harmonium.artifact.models.MAX_FACTORS", 8)
    mixture = hm.Mixture.from_moments(np.ones(1), np.zeros((1, 3)), np.eye(3)[None])
    model = hm.Harmonium(3, 2, base=hm.MixtureBase(mixture), key=jax.random.key(0))
    estimator = hm.load(_saved(fitted, tmp_path))
    estimator.density_ = replace(estimator.density_, model=model)
    with pytest.raises(ArtifactError, match="1 components in 3 columns has 9 numbers.*may hold 8"):
        estimator.save(tmp_path / "mixture.safetensors")


def test_a_failed_save_leaves_nothing(fitted, tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr("harmonium.artifact.container.save_file", fail)
    with pytest.raises(OSError, match="no space"):
        fitted.save(tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_is_named(fitted, tmp_path):
    with pytest.raises(ArtifactError, match="folder.*absent.*does not exist"):
        fitted.save(tmp_path / "absent" / "model.safetensors")


LOG_PARTITION = tuple(field.name for field in fields(LogPartition))


def _saved(fitted, folder):
    path = folder / "good.safetensors"
    fitted.save(path)
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"header": {"format_version": 99}}, r"format version \d+; got 99"),
        ({"header": {"whitening": None}}, "damaged"),
        ({"header": {"training": None}}, "damaged"),
        ({"header": {"judgment": None}}, "damaged"),
        ({"header": {"judgment": {"log_partition": True}}}, "damaged"),
        ({"header": {"chosen": {"base": "gaussian"}}}, "damaged"),
        ({"header": {"columns": [1, 2]}}, "damaged"),
        ({"header": {"settings": {"n_hidden": -3}}}, "damaged"),
        ({"header": {"log_partition": {"value": 1.0}}}, "damaged"),
        ({"header": {"log_partition": dict.fromkeys(LOG_PARTITION, "abc")}}, "a finite number"),
        ({"arrays": {"model/.weights": None}}, "do not match"),
        ({"arrays": {"model/.weights": np.ones((2, 2))}}, "shape"),
        ({"arrays": {"model/.visible_bias": np.full(3, np.nan)}}, "finite"),
        ({"arrays": {"model/.odd": np.ones(3)}}, "do not match"),
        ({"arrays": {"whitening/spread": np.zeros(3)}}, "spread"),
    ],
)
def test_damaged_models_are_refused_in_words(change, words, fitted, tmp_path):
    path = _saved(fitted, tmp_path)
    rewrite(path, **change)
    with pytest.raises(ArtifactError, match=words):
        hm.load(path)


@pytest.mark.parametrize("size", [0, 4, 100, 2000])
def test_truncated_files_are_refused(size, fitted, tmp_path):
    path = _saved(fitted, tmp_path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ArtifactError, match="not a harmonium model"):
        hm.load(path)


def test_foreign_and_missing_files(tmp_path):
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": np.ones(3)}, foreign)
    with pytest.raises(ArtifactError, match="not a harmonium model"):
        hm.load(foreign)
    with pytest.raises(ArtifactError, match="no such file"):
        hm.load(tmp_path / "absent.safetensors")


def test_the_same_fit_gives_the_same_bytes(fitted, tmp_path):
    contents = set()
    for number in range(8):
        path = tmp_path / f"{number}.safetensors"
        fitted.save(path)
        contents.add(path.read_bytes())
    assert len(contents) == 1
