"""Kind of truth: exact, and 5 standard errors. Noise-contrastive estimation against its definition.

The objective is written out with SciPy and F by summation over h; the noise is the base. At the
true density with its true log Z nothing pulls (Gutmann & Hyvärinen 2010). Seeds: rows 0, noise 1,
keys 0 to 6.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute
from exact.test_gradient import differences, flatten
from scipy.special import log_expit, logsumexp

from harmonium.learning import NoiseContrastive, fit
from harmonium.learning.noise_contrastive import LOG_PARTITION_RATE, NoiseState
from harmonium.model import Harmonium, MixtureBase

each_alphabet = pytest.mark.parametrize("alphabet", brute.ALPHABETS)
each_base = pytest.mark.parametrize("has_modes", [False, True], ids=["Gaussian", "mixture"])
ROWS = np.random.default_rng(0).normal(size=(9, 2)) + np.array([0.4, -0.6])
NOISE = np.random.default_rng(1).normal(size=(18, 2))


def on_base(model, has_modes):
    return brute.on_mixture(model) if has_modes else model


def base_log_density(model, x):
    """log q(x), by scipy."""
    return -brute.base_energies(model, x) - brute.base_parts(model)[0]


def log_ratio_of(model, log_z):
    """log(Z / Z_base)."""
    return log_z - brute.base_parts(model)[0]


def naive_objective(model, rows, noise, log_z):
    """Mean log-probability of telling a row, and of telling the noise that comes with it."""
    ratio = len(noise) / len(rows)

    def logits(x):
        log_p = -brute.free_energies(model, x) - log_z
        return log_p - base_log_density(model, x) - np.log(ratio)

    return np.mean(log_expit(logits(rows))) + ratio * np.mean(log_expit(-logits(noise)))


def state(model, noise, log_z, held=NOISE):
    ratio = jnp.asarray(log_ratio_of(model, log_z))
    return NoiseState(jnp.asarray(noise), jnp.asarray(held), ratio)


@each_base
@each_alphabet
def test_the_ascent_is_the_slope_of_the_objective(alphabet, has_modes):
    key, log_z = jax.random.key(0), 1.3
    model = on_base(brute.deep_model(alphabet, n_hidden=2, widths=(3,)), has_modes)
    # The pool is as long as the noise of a batch: there is nothing to choose.
    ascent = NoiseContrastive().ascend(key, model, jnp.asarray(ROWS), state(model, NOISE, log_z))
    expected = differences(model, lambda m: naive_objective(m, ROWS, NOISE, log_z))
    np.testing.assert_allclose(flatten(ascent.gradient), expected, rtol=1e-5, atol=1e-7)
    assert np.abs(expected).max() > 1e-2
    value = naive_objective(model, ROWS, NOISE, log_z)
    np.testing.assert_allclose(float(ascent.metrics["loss"]), -value, rtol=1e-10)
    assert ascent.trust_region_chains is None


@pytest.mark.parametrize("off", [0.0, 0.7, -12.0, 12.0])
def test_log_z_takes_a_share_of_a_clipped_newton_step(off):
    key, model = jax.random.key(1), brute.affine_model("bernoulli", n_visible=2)
    log_z, h = brute.Mixture(model).log_partition + off, 1e-3
    before, here, after = (
        naive_objective(model, ROWS, NOISE[:9], log_z + change) for change in (-h, 0, h)
    )
    slope, curvature = (after - before) / (2 * h), -(after - 2 * here + before) / h**2
    step = np.clip(slope / max(curvature, 1e-3), -1, 1)
    carry = state(model, NOISE[:9], log_z)
    ascent = NoiseContrastive(noise_ratio=1).ascend(key, model, jnp.asarray(ROWS), carry)
    moved = float(ascent.carry.log_ratio) - log_ratio_of(model, log_z)
    assert moved == pytest.approx(LOG_PARTITION_RATE * step, abs=1e-6)
    # The noise stays.
    np.testing.assert_array_equal(ascent.carry.noise, carry.noise)
    np.testing.assert_array_equal(ascent.carry.held, carry.held)


def test_batches_take_neighbors_of_the_pool():
    """The loss is that of one of the eleven runs of 18 draws, and not always of the same."""
    model = brute.affine_model("spin", n_visible=2)
    pool = np.random.default_rng(1).normal(size=(28, 2))
    losses = [-naive_objective(model, ROWS, pool[i : i + 18], 0.3) for i in range(11)]
    carry, objective = state(model, pool, 0.3), NoiseContrastive()
    keys = jax.random.split(jax.random.key(2), 200)
    ascend = jax.jit(
        jax.vmap(lambda key: objective.ascend(key, model, jnp.asarray(ROWS), carry).metrics)
    )
    found = np.asarray(ascend(keys)["loss"])
    nearest = np.abs(found[:, None] - losses).argmin(axis=1)
    np.testing.assert_allclose(found, np.array(losses)[nearest], rtol=1e-10)
    assert set(nearest) == set(range(11))


@each_base
@each_alphabet
def test_nothing_pulls_at_the_truth(alphabet, has_modes):
    """Rows of the model itself and its exact log Z: every slope vanishes on average; key 3."""
    model = on_base(brute.balanced_model(alphabet), has_modes)
    mixture, rng, n = brute.Mixture(model), np.random.default_rng(0), 4000
    rows = jnp.asarray(mixture.sample(rng, n * 16).reshape(n, 16, 2))
    _, base = model.base.tilted(jnp.zeros(2))
    noise = base.sample(jax.random.key(3), n * 32).reshape(n, 32, 2)
    keys = jax.random.split(jax.random.key(3), n)
    held = jnp.zeros((1, 2))

    @jax.jit
    def slopes(log_ratio):
        def one(key, batch, noise):
            ascent = NoiseContrastive().ascend(
                key, model, batch, NoiseState(noise, held, log_ratio)
            )
            return jax.flatten_util.ravel_pytree(ascent.gradient)[0]

        return jax.vmap(one)(keys, rows, noise)

    exact = log_ratio_of(model, mixture.log_partition)
    at_truth = np.asarray(slopes(jnp.asarray(exact)))
    brute.assert_within(at_truth, np.zeros(at_truth.shape[1]))
    # With another log Z the same rows do pull.
    off = np.asarray(slopes(jnp.asarray(exact + 1.0)))
    assert np.abs(brute.z_scores(off, np.zeros(off.shape[1]))).max() > 10


def untrained(has_modes):
    """W = 0 and b = 0: the base."""
    model = Harmonium(2, 3, key=jax.random.key(0))
    return on_base(model, has_modes)


def paths(off, has_modes, n_updates=200, n_runs=32):
    """log Z minus its exact value along independent runs of the base as a model, (runs,
    updates)."""
    model, objective = untrained(has_modes), NoiseContrastive(pool_size=4096, held_size=1)
    _, base = model.base.tilted(jnp.zeros(2))

    def run(key):
        key_start, key_scan = jax.random.split(key)
        first = objective.init(key_start, model, jnp.asarray(ROWS))
        exact = first.log_ratio

        def body(carry, key):
            key_rows, key_ascend = jax.random.split(key)
            rows = base.sample(key_rows, 256)
            carry = objective.ascend(key_ascend, model, rows, carry).carry
            return carry, carry.log_ratio - exact

        first = first._replace(log_ratio=exact + off)
        return jax.lax.scan(body, first, jax.random.split(key_scan, n_updates))[1]

    return np.asarray(jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(4), n_runs)))


@each_base
def test_for_the_base_log_z_never_moves(has_modes):
    """Rows and noise have the same logits, so that the slope of every batch is 0: no variance at
    all."""
    np.testing.assert_allclose(paths(0.0, has_modes, n_updates=20), 0.0, atol=1e-12)


@pytest.mark.parametrize("off", [2.0, -2.0])
def test_log_z_comes_back_to_the_truth(off):
    errors = paths(off, has_modes=True)
    assert np.abs(errors[:, 0] - off).max() <= LOG_PARTITION_RATE + 1e-9
    assert np.abs(errors[:, 10]).min() > 1
    assert np.abs(errors[:, -1]).max() < 0.01


@each_base
def test_training_starts_with_draws_of_the_base_and_the_exact_log_z(has_modes):
    """Key 5. Hidden biases count: Z is that of all states of h."""
    model = on_base(brute.affine_model("bernoulli", n_visible=2), has_modes)
    model = eqx.tree_at(lambda m: (m.weights, m.visible_bias), model, replace_fn=jnp.zeros_like)
    objective = NoiseContrastive(pool_size=20_000, held_size=10_000)
    start = objective.init(jax.random.key(5), model, jnp.asarray(ROWS))
    exact = brute.Mixture(model)
    assert float(start.log_ratio) == pytest.approx(log_ratio_of(model, exact.log_partition))
    for drawn, size in ((start.noise, 20_000), (start.held, 10_000)):
        rows = np.asarray(drawn)
        assert rows.shape == (size, 2)
        brute.assert_within(rows, exact.mean, label="mean")
        products = np.einsum("ri,rj->rij", rows, rows)
        brute.assert_within(products, exact.second_moments, label="second moments")
    assert not np.isin(start.held, start.noise).any()
    # An untrained model has the log Z that it starts with, without any error.
    value, ess = objective.log_partition(model, start)
    assert float(value) == pytest.approx(exact.log_partition)
    assert float(ess) == pytest.approx(10_000)
    assert objective.chains(model, start).negatives is None


@each_base
def test_the_running_log_z_is_importance_sampling_one_standard_error_up(has_modes):
    model = on_base(brute.deep_model("spin"), has_modes)
    held = np.random.default_rng(1).normal(size=(40, 2))
    log_weights = brute.base_energies(model, held) - brute.free_energies(model, held)
    log_mean = logsumexp(log_weights) - np.log(40)
    weights = np.exp(log_weights - log_weights.max())
    expected_ess = weights.sum() ** 2 / (weights**2).sum()
    # Of the mean of the weights, over itself: their variance is that of 40 numbers, divided by 40.
    error = weights.std() / weights.mean() / np.sqrt(40)
    carry = state(model, NOISE, 123.0, held=held)
    value, ess = NoiseContrastive().log_partition(model, carry)
    assert float(ess) == pytest.approx(expected_ess)
    assert float(value) == pytest.approx(brute.base_parts(model)[0] + log_mean + error)
    assert error > 0.05


def test_the_running_log_z_is_near_the_truth():
    """Key 6: five standard errors of 16 384 draws, and above the truth on average."""
    model = on_base(brute.affine_model("bernoulli", n_visible=2), has_modes=True)
    objective, found = NoiseContrastive(pool_size=1), []
    for key in jax.random.split(jax.random.key(6), 8):
        carry = objective.init(key, model, jnp.asarray(ROWS))
        value, ess = objective.log_partition(model, carry)
        error = np.sqrt(1 / float(ess) - 1 / 16_384)
        found.append((float(value) - brute.Mixture(model).log_partition) / error)
    assert np.abs(np.array(found) - 1).max() < 5
    assert abs(np.mean(found) - 1) < 5 / np.sqrt(8)


@pytest.mark.usefixtures("usual_promotion")
@pytest.mark.slow
def test_fit_runs():
    rows = np.random.default_rng(0).normal(size=(120, 2)) * 0.7
    _, mixture = untrained(has_modes=True).base.tilted(jnp.zeros(2))
    start = Harmonium(2, 3, base=MixtureBase(mixture), key=jax.random.key(0))
    objective = NoiseContrastive(pool_size=4096, held_size=1024)
    result = fit(start, rows, objective=objective, n_updates=40, key=jax.random.key(5))
    assert np.isfinite(result.log_partition.value) and result.verdict
    updates = [record for record in result.history if "loss" in record]
    assert updates
    for name in ("loss", "running_log_partition", "validation_log_likelihood"):
        assert np.all(np.isfinite([record[name] for record in updates])), name
    assert not any(record["event"] for record in result.history)
