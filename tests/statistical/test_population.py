"""Kind of truth: statistical, 5 standard errors against exact log Z; resampling exactly.

Theory, section 8. Seeds: path keys key(0), resampling key(1), annealing keys 0 to 7.
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute

import harmonium.model as hm
from harmonium.errors import InfeasibleError, InvalidInputError
from harmonium.likelihood import LogPartition, estimate_log_partition
from harmonium.model import Center, Path, center_at
from harmonium.sampling import MALA, BlockGibbs
from harmonium.sampling.annealing import anneal_population
from harmonium.sampling.population import (
    effective_sample_size,
    importance_start,
    log_mean_exp,
    move,
    resample,
    reweight,
    start_population,
    systematic_indices,
)

N_SEEDS = 60


def between(start, end, share):
    """The model a share of the way from one to the other, in all parameters."""
    return jax.tree.map(
        lambda a, b: a + share * (b - a) if eqx.is_inexact_array(a) else a, start, end
    )


def path_start(target):
    """Another base: W = 0 and other biases than the target's."""
    return eqx.tree_at(
        lambda m: (m.weights, m.visible_bias, m.hidden_bias),
        target,
        (jnp.zeros_like(target.weights), jnp.asarray([0.3, 0.7]), jnp.asarray([0.2, -0.4, 0.9])),
    )


# Few updates on the path make the weights fall apart, so that chains are resampled.
PATHS = {
    "gibbs, gentle": ("bernoulli", BlockGibbs(), 30),
    "gibbs, resampled": ("spin", BlockGibbs(), 4),
    "mala, gentle": ("spin", MALA(0.2), 30),
    "mala, resampled": ("bernoulli", MALA(0.2), 4),
}


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.slow
def test_running_log_partition_follows_a_fixed_path(name):
    # With frozen kernels the mean of exp(running log Z) is Z itself: unbiased, not only consistent.
    alphabet, kernel, n_updates = PATHS[name]
    target = brute.balanced_model(alphabet)
    start = path_start(target)
    shares = jnp.linspace(0, 1, n_updates + 1)[1:]

    @jax.jit
    @jax.vmap
    def run(key):
        key_start, key_path = jax.random.split(key)
        population = start_population(key_start, Path(start), kernel, 100)

        def update(population, inputs):
            share, key = inputs
            model = between(start, target, share)
            keys = jax.random.split(key, 3)
            population = resample(keys[1], reweight(keys[0], population, model))
            population = move(keys[2], population, model, n_steps=2, adaptation_rate=0.0)
            return population, population.log_partition

        keys = jax.random.split(key_path, n_updates)
        population, booked = jax.lax.scan(update, population, (shares, keys))
        return population.estimated_log_partition(), population.ess(), booked

    values, ess, booked = run(jax.random.split(jax.random.key(0), N_SEEDS))
    ratios = np.exp(np.asarray(values) - brute.Mixture(target).log_partition)
    brute.assert_within(ratios[:, None], 1.0, label=name)
    assert ratios.std() < 0.6
    assert np.all((np.asarray(ess) > 1) & (np.asarray(ess) < 100 + 1e-9))
    if "resampled" in name:
        assert np.mean(np.ptp(np.asarray(booked), axis=1) > 0) > 0.5


def test_the_path_end_is_far_from_its_start():
    # Otherwise the test above could not fail: log Z must change by much more than its error.
    for alphabet in brute.ALPHABETS:
        target = brute.balanced_model(alphabet)
        change = (
            brute.Mixture(target).log_partition - brute.Mixture(path_start(target)).log_partition
        )
        assert abs(change) > 0.5


def centered(model):
    """A path whose base is far from the model's own."""
    return Path(model, center_at(model, jnp.asarray([[1.2, -0.3], [0.4, 0.9]])))


def test_a_population_starts_at_exact_draws_of_the_base_of_its_path():
    path = centered(brute.balanced_model("spin"))
    population = start_population(jax.random.key(0), path, BlockGibbs(), 8000)
    base = brute.Mixture(path.base)
    assert float(population.estimated_log_partition()) == pytest.approx(base.log_partition)
    rows = np.asarray(population.states.position)
    brute.assert_within(rows, path.center.visible, label="mean")
    np.testing.assert_allclose(
        np.asarray(population.states.free_energy), brute.free_energies(path.base, rows)
    )
    assert float(population.ess()) == pytest.approx(8000)


@pytest.mark.parametrize("alphabet", brute.ALPHABETS)
def test_a_jump_weights_draws_of_the_base_for_the_model(alphabet):
    target = brute.balanced_model(alphabet)
    path = Path(target, center_at(target, jnp.asarray([[0.2, -0.1], [0.3, 0.4]])))
    population = importance_start(jax.random.key(0), path, BlockGibbs(), 20_000)
    rows = np.asarray(population.states.position)
    brute.assert_within(rows, path.center.visible, label="mean")
    free_energies = brute.free_energies(target, rows)
    np.testing.assert_allclose(np.asarray(population.states.free_energy), free_energies)
    expected = brute.free_energies(path.base, rows) - free_energies
    np.testing.assert_allclose(np.asarray(population.log_weights), expected, rtol=1e-9, atol=1e-9)
    # Z = E_base[Z_base exp(A)]: the mean weight of one draw has no bias.
    booked = float(population.log_partition) + np.asarray(population.log_weights)
    ratios = np.exp(booked - brute.Mixture(target).log_partition)
    brute.assert_within(ratios[:, None], 1.0, label="weights")


@pytest.mark.parametrize("make_path", [Path, centered])
@pytest.mark.parametrize("has_modes", [False, True], ids=["Gaussian", "mixture"])
def test_weighted_population_has_the_moments_of_the_model(make_path, has_modes):
    # A centered path from a mixture is no good idea, but exact.
    target = brute.balanced_model("bernoulli")
    target = brute.on_mixture(target) if has_modes else target
    population = anneal_population(
        jax.random.key(0), make_path(target), BlockGibbs(), 8000, n_temperatures=30, n_steps=1
    )
    population = resample(jax.random.key(1), population, below=1.0)
    brute.assert_within(population.states.position, brute.Mixture(target).mean, label="mean")


def test_a_model_without_weights_is_its_own_base_whatever_the_center():
    model = path_start(brute.balanced_model("bernoulli"))
    path = Path(model, Center(jnp.asarray([5.0, -5.0]), jnp.zeros(model.n_features)))
    population = anneal_population(jax.random.key(0), path, BlockGibbs(), 4000)
    value = float(population.estimated_log_partition())
    assert value == pytest.approx(brute.Mixture(model).log_partition, abs=1e-10)
    assert not np.any(np.asarray(population.log_weights))
    brute.assert_within(population.states.position, np.asarray(model.visible_bias) / 2)


def test_reweighting_books_the_difference_of_free_energies():
    old = brute.balanced_model("bernoulli")
    start = path_start(old)
    population = start_population(jax.random.key(0), Path(start), BlockGibbs(), 50)
    rows = np.asarray(population.states.position)
    moved = reweight(jax.random.key(1), population, old)
    expected = brute.free_energies(start, rows) - brute.free_energies(old, rows)
    np.testing.assert_allclose(np.asarray(moved.log_weights), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(np.asarray(moved.states.position), rows)
    # Resampling moves the mean weight into log Z and changes the estimate by nothing.
    kept = float(moved.estimated_log_partition())
    resampled = resample(jax.random.key(2), moved, below=1.0)
    assert float(resampled.estimated_log_partition()) == pytest.approx(kept, abs=1e-10)
    assert not np.any(np.asarray(resampled.log_weights))
    ancestors = np.asarray(resampled.ancestors)
    np.testing.assert_array_equal(np.asarray(resampled.states.position), rows[ancestors])


def test_resampling_waits_for_the_threshold():
    population = start_population(
        jax.random.key(0), Path(brute.balanced_model("bernoulli")), BlockGibbs(), 8
    )
    mild = eqx.tree_at(lambda p: p.log_weights, population, 0.1 * jnp.arange(8.0))
    assert np.any(np.asarray(resample(jax.random.key(1), mild).log_weights))
    harsh = eqx.tree_at(lambda p: p.log_weights, population, 5 * jnp.arange(8.0))
    assert not np.any(np.asarray(resample(jax.random.key(1), harsh).log_weights))


@pytest.mark.parametrize("n_chains", [1, 7, 64])
def test_systematic_resampling_is_unbiased_and_even(n_chains):
    log_weights = jnp.asarray(1.5 * np.random.default_rng(4).normal(size=n_chains))
    expected = n_chains * np.exp(np.asarray(log_weights))
    expected /= np.exp(np.asarray(log_weights)).sum()
    keys = jax.random.split(jax.random.key(1), 4000)
    chosen = np.asarray(jax.vmap(systematic_indices, in_axes=(0, None))(keys, log_weights))
    counts = np.stack([np.bincount(row, minlength=n_chains) for row in chosen])
    assert counts.shape == (4000, n_chains)
    assert np.all(np.abs(counts - expected) < 1)
    scores = brute.z_scores(counts, expected)
    certain = np.ptp(counts, axis=0) == 0
    # A count that never varies must be an integer expectation, or one too near to it to tell.
    assert np.all(np.abs(counts[0] - expected)[certain] < 5e-3)
    assert np.all(np.abs(scores[~certain]) < 5)


@pytest.mark.parametrize(
    ("log_weights", "expected"),
    [
        (np.zeros(10), 10.0),
        (np.full(10, -700.0), 10.0),
        (np.array([0.0] + [-np.inf] * 9), 1.0),
        (np.array([0.0, 0.0] + [-800.0] * 8), 2.0),
        (np.log([1.0, 2.0, 3.0]), 36 / 14),
    ],
)
def test_effective_sample_size(log_weights, expected):
    assert float(effective_sample_size(jnp.asarray(log_weights))) == pytest.approx(expected)


def test_log_mean_exp_is_stable():
    values = np.array([1000.0, 1000.0 + np.log(3.0)])
    assert float(log_mean_exp(jnp.asarray(values))) == pytest.approx(1000 + np.log(2.0))


@pytest.mark.parametrize("kind", ["affine", "deep"])
@pytest.mark.slow
def test_annealed_estimates_cover_the_exact_value(kind):
    if kind == "affine":
        model = brute.balanced_model("spin")
        exact = brute.Mixture(model).log_partition
    else:
        model = brute.deep_model("bernoulli")
        exact = brute.grid_log_partition(model)
    estimates = [
        estimate_log_partition(
            model, key=jax.random.key(seed), method="ais", n_chains=128, n_temperatures=60
        )
        for seed in range(8)
    ]
    scores = np.array([(e.value - exact) / e.standard_error for e in estimates])
    assert np.all(np.abs(scores) < 5)
    # Standard errors are neither far too small nor far too large: the scores are of order one.
    assert 0.3 < np.sqrt(np.mean(scores**2)) < 2.2
    for estimate in estimates:
        assert estimate.low < estimate.value < estimate.high
        # The interval knows that its standard error is uncertain, by the effective sample size.
        wide = 1 + (2 * (estimate.ess - 1)) ** -0.5
        margin = 3.92 * wide * estimate.standard_error
        # A bound that holds for certain can raise the upper end, never lower it.
        assert estimate.high - estimate.low >= margin * (1 - 1e-6)
        assert kind == "affine" or estimate.high - estimate.low == pytest.approx(margin)
        assert estimate.method == "ais"
        assert estimate.trusted and "may be quoted with their interval" in estimate.verdict


def test_a_hopeless_annealing_is_not_trusted():
    model = brute.affine_model("bernoulli", n_visible=6, n_hidden=8, seed=1, scale=4.0)
    estimate = estimate_log_partition(
        model, key=jax.random.key(0), method="ais", n_chains=16, n_temperatures=2
    )
    assert not estimate.trusted
    assert "NOT reliable" in estimate.verdict and "do not quote" in estimate.verdict


def test_auto_is_exact_for_small_models():
    affine = brute.affine_model("bernoulli", n_visible=5, n_hidden=9, seed=2)
    deep = brute.deep_model("spin")
    for model, exact, method in (
        (affine, brute.Mixture(affine).log_partition, "exact"),
        (deep, brute.grid_log_partition(deep), "quadrature"),
    ):
        estimate = estimate_log_partition(model, key=jax.random.key(0))
        assert estimate.value == pytest.approx(exact, abs=1e-6)
        assert (estimate.low, estimate.high) == (estimate.value, estimate.value)
        assert estimate.method == method and estimate.trusted and "exact" in estimate.verdict


def test_methods_are_named_in_the_error(unannotated):
    model = brute.deep_model("bernoulli", n_visible=3)
    with pytest.raises(InvalidInputError) as caught:
        estimate_log_partition(model, key=jax.random.key(0), method="exactly")
    for word in ("estimate_log_partition(method=...)", "auto", "quadrature", "ais", "'exactly'"):
        assert word in str(caught.value)
    with pytest.raises(InfeasibleError, match="Try: estimate_log_partition"):
        estimate_log_partition(model, key=jax.random.key(0), method="exact")


def test_results_are_frozen():
    estimate = estimate_log_partition(
        hm.Harmonium(1, 1, key=jax.random.key(0)), key=jax.random.key(0)
    )
    assert isinstance(estimate, LogPartition)
    with pytest.raises(dataclasses.FrozenInstanceError):
        estimate.value = 0.0
