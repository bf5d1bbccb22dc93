"""Kind of truth: exact, and 5 standard errors. Noise-contrastive estimation against its definition.

The objective is written out with SciPy and F by summation over h; at the true density with its true
log Z nothing pulls (Gutmann & Hyvärinen 2010). Seeds: rows 0, objective keys 0 to 5.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute
from exact.test_gradient import differences, flatten
from scipy.special import log_expit
from scipy.stats import norm

from harmonium.learning import NoiseContrastive, fit
from harmonium.learning.noise_contrastive import LOG_PARTITION_RATE
from harmonium.model import Harmonium, base_log_partition, sample_base

each_alphabet = pytest.mark.parametrize("alphabet", brute.ALPHABETS)
ROWS = np.random.default_rng(0).normal(size=(9, 2)) + np.array([0.4, -0.6])


def naive_objective(key, model, rows, log_z, spread):
    """Mean log-probability of telling rows from as much noise, with the noise of the same key."""
    sd = spread * np.sqrt(0.5)
    noise = sd * np.asarray(jax.random.normal(key, rows.shape))

    def logits(x):
        return -brute.free_energies(model, x) - log_z - norm.logpdf(x, scale=sd).sum(axis=1)

    return np.mean(log_expit(logits(rows))) + np.mean(log_expit(-logits(noise)))


@pytest.mark.parametrize("spread", [1.5, 2.5])
@each_alphabet
def test_the_ascent_is_the_slope_of_the_objective(alphabet, spread):
    key, log_z = jax.random.key(0), 1.3
    model = brute.deep_model(alphabet, n_hidden=2, widths=(3,))
    ascent = NoiseContrastive(spread).ascend(key, model, jnp.asarray(ROWS), jnp.asarray(log_z))
    expected = differences(model, lambda m: naive_objective(key, m, ROWS, log_z, spread))
    np.testing.assert_allclose(flatten(ascent.gradient), expected, rtol=1e-5, atol=1e-7)
    assert np.abs(expected).max() > 1e-2
    value = naive_objective(key, model, ROWS, log_z, spread)
    np.testing.assert_allclose(float(ascent.metrics["loss"]), -value, rtol=1e-10)
    assert ascent.witnesses is None


@pytest.mark.parametrize("off", [0.0, 0.7, -12.0, 12.0])
def test_log_z_takes_a_share_of_a_clipped_newton_step(off):
    key, model = jax.random.key(1), brute.affine_model("bernoulli", n_visible=2)
    log_z, h = brute.Mixture(model).log_partition + off, 1e-3
    before, here, after = (naive_objective(key, model, ROWS, log_z + s, 1.5) for s in (-h, 0, h))
    slope, curvature = (after - before) / (2 * h), -(after - 2 * here + before) / h**2
    step = np.clip(slope / max(curvature, 1e-3), -1, 1)
    ascent = NoiseContrastive().ascend(key, model, jnp.asarray(ROWS), jnp.asarray(log_z))
    np.testing.assert_allclose(float(ascent.carry), log_z + LOG_PARTITION_RATE * step, atol=1e-6)
    assert float(ascent.metrics["log_partition"]) == float(ascent.carry)


@each_alphabet
def test_nothing_pulls_at_the_truth(alphabet):
    # Rows of the model itself and its exact log Z: every slope vanishes on average.
    model, objective = brute.balanced_model(alphabet), NoiseContrastive(2.5)
    mixture = brute.Mixture(model)
    rows = jnp.asarray(mixture.sample(np.random.default_rng(0), 4000 * 16).reshape(4000, 16, 2))
    keys = jax.random.split(jax.random.key(2), 4000)

    @jax.jit
    def slopes(log_z):
        def one(key, batch):
            gradient = objective.ascend(key, model, batch, log_z).gradient
            return jax.flatten_util.ravel_pytree(gradient)[0]

        return jax.vmap(one)(keys, rows)

    at_truth = np.asarray(slopes(jnp.asarray(mixture.log_partition)))
    brute.assert_within(at_truth, np.zeros(at_truth.shape[1]))
    # With another log Z the same rows do pull.
    off = np.asarray(slopes(jnp.asarray(mixture.log_partition + 1.0)))
    assert np.abs(brute.z_scores(off, np.zeros(off.shape[1]))).max() > 10


def gaussian():
    model = Harmonium(2, 3, key=jax.random.key(0))
    return eqx.tree_at(lambda m: m.visible_bias, model, jnp.asarray([0.4, -0.3]))


def paths(off, n_updates=200, n_runs=32):
    """Log Z minus its exact value along independent runs of a frozen Gaussian, (runs, updates)."""
    model, objective = gaussian(), NoiseContrastive()
    exact = base_log_partition(model)

    def run(key):
        def body(log_z, key):
            key_rows, key_ascend = jax.random.split(key)
            rows = sample_base(key_rows, model, 256)
            log_z = objective.ascend(key_ascend, model, rows, log_z).carry
            return log_z, log_z - exact

        return jax.lax.scan(body, exact + off, jax.random.split(key, n_updates))[1]

    return np.asarray(jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(3), n_runs)))


def test_log_z_stays_at_the_truth():
    errors = paths(0.0)
    spread = errors[:, -1].std(ddof=1)
    assert 0 < spread < 0.05
    assert np.abs(errors).max() < 6 * spread
    # A Newton step of 256 rows leans by about 1/256.
    assert np.abs(errors[:, -1].mean()) < 5 * spread / np.sqrt(len(errors)) + 1 / 256


@pytest.mark.parametrize("off", [2.0, -2.0])
def test_log_z_comes_back_to_the_truth(off):
    errors = paths(off)
    assert np.abs(errors[:, 0] - off).max() <= LOG_PARTITION_RATE + 1e-9
    assert np.abs(errors[:, 10]).min() > 1
    assert np.abs(errors[:, -1]).max() < 6 * errors[:, -1].std(ddof=1) < 0.3


def test_the_start_and_the_running_log_z():
    model, objective = gaussian(), NoiseContrastive()
    start = objective.init(jax.random.key(4), model, jnp.asarray(ROWS))
    expected = brute.grid_log_partition(model)
    np.testing.assert_allclose(float(start), expected, rtol=1e-9)
    value, ess = objective.log_partition(model, jnp.asarray(7.25))
    assert float(value) == 7.25 and float(ess) == 0
    assert objective.chains(model, start).negatives is None


@pytest.mark.usefixtures("usual_promotion")
@pytest.mark.slow
def test_fit_runs():
    rows = np.random.default_rng(0).normal(size=(120, 2)) * 0.7
    start = Harmonium(2, 3, key=jax.random.key(0))
    result = fit(start, rows, objective=NoiseContrastive(), n_updates=40, key=jax.random.key(5))
    assert np.isfinite(result.log_partition.value) and result.verdict
    updates = [record for record in result.history if "loss" in record]
    assert len(updates) == 40
    for name in ("loss", "log_partition", "running_log_partition", "validation_log_likelihood"):
        assert np.all(np.isfinite([record[name] for record in updates])), name
    assert not any(record["event"] for record in result.history)
