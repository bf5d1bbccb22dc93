"""Kind of truth: exact. Paths with a center against the documented energy, summed over all h.

Theory, section 6, and the docstring of `Path`. Seeds: models 0, 1 and 3, rows 0, centers 2.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute
from scipy.special import logsumexp

from harmonium.model import Center, Path, base_log_partition, center_at, sample_base, temper

MODELS = {
    f"{build.__name__} {alphabet}": build(alphabet)
    for build in (brute.affine_model, brute.deep_model)
    for alphabet in brute.ALPHABETS
}
each_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
each_alphabet = pytest.mark.parametrize("alphabet", brute.ALPHABETS)


def center_of(model):
    """Any center at all: the path does not ask where it comes from."""
    rng = np.random.default_rng(2)
    visible = rng.normal(size=model.n_visible) + 0.7
    return Center(jnp.asarray(visible), jnp.asarray(rng.normal(size=model.n_features) - 0.4))


def rows_for(model):
    return 1.5 * np.random.default_rng(0).normal(size=(7, model.n_visible))


def free_energies_of(model, rows):
    return np.asarray(jax.vmap(model.free_energy)(jnp.asarray(rows)))


def centered_free_energies(model, center, beta, rows):
    """-log sum_h exp(-E) of x·x + beta (h·W (f - phi) - (b - 2m)·x) - (c - W phi)·h - 2m·x."""
    weights, visible_bias, hidden_bias = brute.numbers(model)
    mean, phi = np.asarray(center.visible), np.asarray(center.features)
    features = brute.features(model, rows)
    energies = np.zeros((len(rows), 0))
    for h in brute.states(model):
        energy = np.sum(rows * rows, axis=1)
        energy += beta * ((features - phi) @ weights.T @ h - rows @ (visible_bias - 2 * mean))
        energy -= (hidden_bias - weights @ phi) @ h + rows @ (2 * mean)
        energies = np.column_stack([energies, energy])
    return -logsumexp(-energies, axis=1)


def differences(values):
    """What is left of free energies known up to a constant."""
    return values[1:] - values[0]


def assert_same_leaves(left, right):
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@each_model
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_without_a_center_beta_multiplies_the_weights_alone(model, beta):
    tempered = Path(model).at(beta)
    assert_same_leaves(tempered, temper(model, beta))
    expected = eqx.tree_at(lambda m: m.weights, model, beta * model.weights)
    assert_same_leaves(tempered, expected)
    assert_same_leaves(Path(model).base, temper(model, 0.0))


@each_model
def test_at_one_is_the_model_to_the_last_bit(model):
    path = Path(model, center_of(model))
    assert_same_leaves(path.at(1.0), model)
    assert_same_leaves(path.at(jnp.asarray(1.0)), model)
    assert_same_leaves(path.model, model)


@each_model
def test_the_base_is_the_gaussian_around_the_center(model):
    center = center_of(model)
    path = Path(model, center)
    base = path.base
    assert_same_leaves(base, path.at(0.0))
    assert not np.any(np.asarray(base.weights))
    np.testing.assert_allclose(np.asarray(base.visible_bias) / 2, np.asarray(center.visible))
    # N(m, I/2): F differs between points by |x - m|² and nothing else.
    rows = rows_for(model)
    squares = np.sum((rows - np.asarray(center.visible)) ** 2, axis=1)
    np.testing.assert_allclose(differences(free_energies_of(base, rows)), differences(squares))


@each_model
@pytest.mark.parametrize("beta", [0.0, 0.2, 0.7, 1.0])
def test_the_free_energy_is_the_documented_energy_summed_over_h(model, beta):
    center, rows = center_of(model), rows_for(model)
    actual = differences(free_energies_of(Path(model, center).at(beta), rows))
    expected = differences(centered_free_energies(model, center, beta, rows))
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9)


@each_model
@pytest.mark.parametrize("part", ["visible", "features"])
def test_another_center_is_another_path(model, part):
    # Otherwise the comparison above would not see a wrong mean of x or of f(x).
    center, rows = center_of(model), rows_for(model)
    moved = center._replace(**{part: getattr(center, part) + 0.5})
    actual = differences(free_energies_of(Path(model, moved).at(0.5), rows))
    expected = differences(centered_free_energies(model, center, 0.5, rows))
    assert np.abs(actual - expected).max() > 0.05


@each_model
def test_base_log_partition_of_a_centered_path(model):
    base = Path(model, center_of(model)).base
    actual = float(base_log_partition(base))
    assert actual == pytest.approx(brute.Mixture(base).log_partition, abs=1e-10)
    if model.n_visible == 2:
        assert actual == pytest.approx(brute.grid_log_partition(base), abs=1e-9)
    # By the quotient: one point of the model at beta = 0 is enough for a Gaussian.
    point = np.asarray(base.visible_bias)[None, :] / 2
    gaussian = model.n_visible / 2 * np.log(np.pi)
    assert actual == pytest.approx(gaussian - free_energies_of(base, point)[0], abs=1e-10)


def test_draws_of_the_base_are_around_the_center():
    model = MODELS["deep_model bernoulli"]
    center = center_of(model)
    draws = np.asarray(sample_base(jax.random.key(4), Path(model, center).base, 20_000))
    brute.assert_within(draws, center.visible, label="mean")
    spread = (draws - np.asarray(center.visible)) ** 2
    brute.assert_within(spread, np.full(model.n_visible, 0.5), label="variance")


@each_model
def test_center_at_is_the_mean_of_rows_and_of_their_features(model):
    rows = rows_for(model)
    center = center_at(model, jnp.asarray(rows))
    np.testing.assert_allclose(np.asarray(center.visible), rows.mean(axis=0))
    expected = brute.features(model, rows).mean(axis=0)
    np.testing.assert_allclose(np.asarray(center.features), expected)


def balanced_pair(alphabet):
    """One hidden unit with two modes of exactly equal mass, neither of them near b/2."""
    model = brute.affine_model(alphabet, n_hidden=1, seed=3, scale=2.0)
    probabilities = brute.Mixture(model).probabilities
    low, high = brute.VALUES[type(model.hidden_units).__name__]
    shift = np.log(probabilities[0] / probabilities[1]) / (high - low)
    return eqx.tree_at(lambda m: m.hidden_bias, model, model.hidden_bias + shift)


@each_alphabet
@pytest.mark.parametrize("beta", [0.1, 0.5, 0.9])
def test_modes_of_equal_mass_keep_it_along_a_path_centered_between_them(alphabet, beta):
    model = balanced_pair(alphabet)
    mixture = brute.Mixture(model)
    np.testing.assert_allclose(mixture.probabilities, 0.5)
    # f is affine: its mean is f of the mean.
    features = brute.features(model, mixture.mean[None, :])[0]
    centered = Path(model, Center(jnp.asarray(mixture.mean), jnp.asarray(features))).at(beta)
    np.testing.assert_allclose(brute.Mixture(centered).probabilities, 0.5, atol=1e-10)
    # Without a center it is lost; with {-1, +1} only by what f(0) does, as b/2 is between the
    # modes.
    aside = brute.Mixture(Path(model).at(beta)).probabilities
    assert abs(aside[0] - 0.5) > {"bernoulli": 0.05, "spin": 1e-3}[alphabet]


@each_model
def test_a_path_can_be_compiled_and_batched(model):
    path = Path(model, center_of(model))
    rows = jnp.asarray(rows_for(model))[:3]
    betas = jnp.asarray([0.0, 0.4, 1.0])
    compiled = eqx.filter_jit(lambda path, beta, x: path.at(beta).free_energy(x))
    batched = jax.vmap(lambda beta, x: path.at(beta).free_energy(x))(betas, rows)
    for beta, x, expected in zip(betas, rows, batched, strict=True):
        assert float(compiled(path, beta, x)) == pytest.approx(float(expected), rel=1e-12)


@each_alphabet
def test_float32_stays_float32(alphabet):
    model = MODELS[f"affine_model {alphabet}"]
    path = jax.tree.map(
        lambda leaf: leaf.astype(jnp.float32) if eqx.is_inexact_array(leaf) else leaf,
        Path(model, center_of(model)),
    )
    for beta in (0.5, jnp.asarray(0.5, jnp.float64)):
        tempered = path.at(beta)
        leaves = jax.tree.leaves(eqx.filter(tempered, eqx.is_inexact_array))
        assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}
