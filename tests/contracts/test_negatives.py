"""Kind of truth: contract. Every source of negatives through the same battery and a tiny fit.

The running log Z of a source is checked against the exact one. Seeds: rows 0, keys 0 to 3.
"""

import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from contracts.registry import final_subclasses
from exact import brute

from harmonium.errors import InfeasibleError, NotFactorizedError
from harmonium.learning import (
    AbstractNegatives,
    DataStartedChains,
    ExactSamples,
    FitSettings,
    MaximumLikelihood,
    PersistentChains,
    WeightedPopulation,
    fit,
)
from harmonium.learning.negatives import training_kernel, training_steps
from harmonium.model import with_wide_component
from harmonium.sampling import MALA, Alternate, BlockGibbs

SOURCES = {
    "WeightedPopulation": WeightedPopulation(n_chains=64, steps_per_update=2),
    "PersistentChains": PersistentChains(n_chains=64, steps_per_update=2),
    "DataStartedChains": DataStartedChains(steps_per_update=2),
    "ExactSamples": ExactSamples(n_chains=64),
}
N_MANY = 1024
MANY = {
    "WeightedPopulation": WeightedPopulation(n_chains=N_MANY, steps_per_update=2),
    "PersistentChains": PersistentChains(n_chains=N_MANY, steps_per_update=2),
    "DataStartedChains": DataStartedChains(steps_per_update=2),
    "ExactSamples": ExactSamples(n_chains=N_MANY),
}
KNOWS_LOG_PARTITION = {"WeightedPopulation", "ExactSamples"}
each_source = pytest.mark.parametrize("name", SOURCES)

MODEL = brute.balanced_model("bernoulli")
ROWS = jnp.asarray(brute.Mixture(MODEL).sample(np.random.default_rng(0), 64))
SETTINGS = FitSettings(batch_size=32, n_evaluations=3)


# One object for all fits, and one compiled function for all draws: compiling is what takes time.
SGD = optax.sgd(0.05)


@eqx.filter_jit
def draw(source, key, carry):
    return source.draw(key, MODEL, ROWS, carry)


@functools.cache
def started(name):
    return SOURCES[name].init(jax.random.key(0), MODEL, ROWS)


@functools.cache
def drawn_once(name):
    return started(name), draw(SOURCES[name], jax.random.key(1), started(name))


def test_every_source_has_a_row():
    assert final_subclasses(AbstractNegatives, "learning") == set(SOURCES)


@each_source
def test_draws_have_one_shape_and_are_finite(name):
    carry, (negatives, trust_region_chains, next_carry, metrics) = drawn_once(name)
    assert trust_region_chains.positions.shape[1] == 2
    assert trust_region_chains.positions.shape[0] == trust_region_chains.log_weights.shape[0] >= 64
    assert negatives.positions.shape == (64, 2) and negatives.log_weights.shape == (64,)
    assert np.all(np.isfinite(np.asarray(negatives.positions)))
    assert np.all(np.isfinite(np.asarray(negatives.log_weights)))
    assert jax.tree.structure(carry) == jax.tree.structure(next_carry)
    for before, after in zip(jax.tree.leaves(carry), jax.tree.leaves(next_carry), strict=True):
        assert (before.shape, before.dtype) == (after.shape, after.dtype)
    for value in metrics.values():
        assert value.shape == () and math.isfinite(float(value))


@each_source
def test_the_same_key_gives_the_same_draws(name):
    _, (negatives, _, _, _) = drawn_once(name)
    source = SOURCES[name]
    carry = source.init(jax.random.key(0), MODEL, ROWS)
    again, *_ = draw(source, jax.random.key(1), carry)
    np.testing.assert_array_equal(np.asarray(again.positions), np.asarray(negatives.positions))
    other, *_ = draw(source, jax.random.key(2), carry)
    assert np.any(np.asarray(other.positions) != np.asarray(negatives.positions))


@each_source
def test_negatives_come_from_the_model(name):
    # Starts are exact here (data drawn from the model) or forgotten: Gibbs mixes in a few sweeps.
    exact = brute.Mixture(MODEL)
    source, rows = MANY[name], jnp.asarray(exact.sample(np.random.default_rng(2), N_MANY))
    carry = source.init(jax.random.key(0), MODEL, rows)

    @eqx.filter_jit
    def collect(key, carry):
        def turn(carry, key):
            negatives, _, carry, _ = source.draw(key, MODEL, rows, carry)
            weight = jax.nn.softmax(negatives.log_weights)
            return carry, weight @ negatives.positions

        return jax.lax.scan(turn, carry, jax.random.split(key, 20))[1]

    means = np.asarray(collect(jax.random.key(3), carry))[10:]
    # So many chains are so many independent rows at least; a standard deviation is at most 1.4.
    allowed = 5 * 1.4 / np.sqrt(N_MANY)
    assert np.all(np.abs(means.mean(axis=0) - exact.mean) < allowed)
    # Chains that never left the base would be seen.
    assert np.abs(np.asarray(MODEL.visible_bias) / 2 - exact.mean).max() > 2 * allowed


@each_source
def test_running_log_partition_is_right_or_openly_unknown(name):
    _, (_, _, carry, _) = drawn_once(name)
    value, ess = SOURCES[name].log_partition(MODEL, carry)
    if name in KNOWS_LOG_PARTITION:
        error = abs(float(value) - brute.Mixture(MODEL).log_partition)
        assert error < (1e-9 if name == "ExactSamples" else 0.3)
        assert 1 <= float(ess) <= 64 + 1e-9
    else:
        assert math.isnan(float(value)) and float(ess) == 0.0


@each_source
@pytest.mark.slow
def test_a_tiny_fit_runs_and_repeats(name):
    def train():
        return fit(
            MODEL,
            ROWS,
            key=jax.random.key(0),
            objective=MaximumLikelihood(SOURCES[name]),
            optimizer=SGD,
            n_updates=6,
            settings=SETTINGS,
        )

    result, again = train(), train()
    leaves = jax.tree.leaves(eqx.filter(result.model, eqx.is_inexact_array))
    assert all(np.all(np.isfinite(np.asarray(leaf))) for leaf in leaves)
    for a, b in zip(leaves, jax.tree.leaves(again.model), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    assert result.history[-1]["update"] == 6
    # k = 3 is enumerated: log Z of the fitted model is exact, and so says the verdict.
    exact = brute.Mixture(result.model).log_partition
    assert result.log_partition.value == pytest.approx(exact, abs=1e-9)
    assert "exact" in result.verdict


def test_training_climbs_the_exact_log_likelihood():
    # From W = 0 with exact negatives; the gain is measured by the mixture, not by the library.
    start = eqx.tree_at(lambda m: m.weights, MODEL, jnp.zeros_like(MODEL.weights))

    def log_likelihood(model):
        mean = np.mean(brute.free_energies(model, np.asarray(ROWS)))
        return -mean - brute.Mixture(model).log_partition

    result = fit(
        start,
        ROWS,
        key=jax.random.key(0),
        objective=MaximumLikelihood(ExactSamples(n_chains=256)),
        optimizer=optax.sgd(0.1),
        n_updates=90,
        settings=SETTINGS,
    )
    assert log_likelihood(result.model) > log_likelihood(start) + 0.05


@pytest.mark.slow
def test_the_default_optimizer_trains_too(usual_promotion):
    # Optax's Adam raises a float to an integer count, which strict promotion forbids.
    # Fewer rows or updates would not beat the base beyond chance, which `fit` returns then.
    rows = brute.Mixture(MODEL).sample(np.random.default_rng(1), 2000)
    start = eqx.tree_at(lambda m: m.weights, MODEL, jnp.zeros_like(MODEL.weights))
    result = fit(
        start,
        jnp.asarray(rows),
        key=jax.random.key(0),
        objective=MaximumLikelihood(SOURCES["ExactSamples"]),
        n_updates=600,
        settings=SETTINGS,
    )
    moved = np.asarray(result.model.weights) != 0
    assert np.all(moved) and np.all(np.isfinite(np.asarray(result.model.weights)))


def test_exact_samples_refuse_what_they_cannot_enumerate():
    with pytest.raises(NotFactorizedError, match="does not factorize"):
        ExactSamples(4).init(jax.random.key(0), brute.deep_model("bernoulli"), ROWS)
    wide = brute.affine_model("bernoulli", n_visible=2, n_hidden=17)
    with pytest.raises(InfeasibleError, match="at most 16 hidden units; got 17"):
        ExactSamples(4).init(jax.random.key(0), wide, ROWS)


@pytest.mark.parametrize(("scale", "annealed"), [(0.0, False), (0.1, False), (3.0, True)])
def test_first_chains_are_annealed_where_the_model_is_far_from_its_base(scale, annealed):
    """One importance weight each where it is near; either way the monitors know log Z."""
    values = (scale * MODEL.weights, 2 * jnp.mean(ROWS, axis=0))
    near = eqx.tree_at(lambda m: (m.weights, m.visible_bias), MODEL, values)
    source = WeightedPopulation(n_chains=512, steps_per_update=2)
    carry = source.init(jax.random.key(0), near, ROWS)
    value, ess = source.log_partition(near, carry)
    spread = math.sqrt(512 / float(ess) - 1) / math.sqrt(512)
    error = abs(float(value) - brute.Mixture(near).log_partition)
    assert error < 5 * spread + (0.5 if annealed else 1e-9)
    # Chains that have not moved know no correlation.
    assert bool(jnp.any(carry.correlation != 0)) == annealed


def on_a_mixture(model, scale):
    """The model on a mixture base, with its weights scaled."""
    based = brute.on_mixture(model, with_wide_component(brute.random_mixture(2)))
    return eqx.tree_at(lambda m: m.weights, based, scale * model.weights)


def test_kernels_jump_where_the_base_has_modes_at_the_same_cost():
    deep = brute.deep_model("bernoulli")
    kernels = [training_kernel(m) for m in (deep, on_a_mixture(deep, 1.0), on_a_mixture(MODEL, 1))]
    assert [type(kernel) for kernel in kernels] == [MALA, Alternate, BlockGibbs]
    assert kernels[1].n_moves == 3
    assert [training_steps(kernel) for kernel in kernels] == [5, 1, 5]


def test_first_chains_are_resampled_draws_of_a_base_that_is_not_too_far():
    near = on_a_mixture(MODEL, 0.6)
    source = WeightedPopulation(n_chains=512)
    carry = source.init(jax.random.key(0), near, ROWS)
    log_weights = np.asarray(carry.log_weights)
    assert np.ptp(log_weights) == 0 and log_weights.shape == (2, 512)
    # They were picked from more draws than there are chains, and not moved.
    assert int(jnp.max(carry.ancestors)) >= 512
    assert not np.any(np.asarray(carry.correlation))
    exact = brute.Mixture(near)
    value, _ = source.log_partition(near, carry)
    assert abs(float(value) - exact.log_partition) < 0.1
    rows = np.asarray(carry.states.position).reshape(-1, 2)
    brute.assert_within(rows, exact.mean, label="mean")
