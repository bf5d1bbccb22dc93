"""Kind of truth: exact (weights worked out by hand, W = 0) and statistical at 5 standard errors.

Annealing upwards and downwards, and the numbers in which weights are summed up. Seeds: keys 0 to 2,
rows 0.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute

from harmonium.likelihood.annealed import anneal_down, anneal_up, summarize
from harmonium.model import Center, Path
from harmonium.sampling import MALA, BlockGibbs
from harmonium.sampling.schedule import Schedule

N_CHAINS = 4000


def test_three_weights_by_hand():
    # Weights 1, 2, 3: mean 2, variance 1, so Var(mean)/mean² = 1/(3·4), and ess = 36/14.
    found = summarize(np.log([1.0, 2.0, 3.0]), 0.7, np.arange(3))
    assert found.value == pytest.approx(0.7 + np.log(2.0), abs=1e-12)
    assert found.standard_error == pytest.approx(np.sqrt(1 / 12), abs=1e-12)
    assert found.ess == pytest.approx(36 / 14, abs=1e-12)
    assert found.n_chains == 3


@pytest.mark.parametrize("shift", [-900.0, 0.0, 900.0])
def test_a_common_factor_moves_the_value_alone(shift):
    log_weights = np.random.default_rng(0).normal(size=50)
    plain = summarize(log_weights, 0.0, np.arange(50))
    moved = summarize(log_weights + shift, 0.0, np.arange(50))
    assert moved.value == pytest.approx(plain.value + shift, abs=1e-9)
    assert moved.standard_error == pytest.approx(plain.standard_error, rel=1e-9)
    assert moved.ess == pytest.approx(plain.ess, rel=1e-9)
    weights = np.exp(log_weights)
    expected = weights.std(ddof=1) / np.sqrt(50) / weights.mean()
    assert plain.standard_error == pytest.approx(expected, rel=1e-9)


def test_descendants_of_one_chain_count_once():
    # Four equal weights; three chains descend from the first: family weights 3/4, 1/4, 0, 0.
    found = summarize(np.zeros(4), 1.0, np.array([0, 0, 0, 3]))
    assert found.value == pytest.approx(1.0, abs=1e-12)
    assert found.ess == pytest.approx(1 / (9 / 16 + 1 / 16), abs=1e-12)
    # The same as four chains with weights 3, 0, 0, 1: their variance is 2, over 4 chains of mean 1.
    assert found.standard_error == pytest.approx(np.sqrt(2 / 4), abs=1e-12)
    apart = summarize(np.zeros(4), 1.0, np.arange(4))
    assert apart.ess == pytest.approx(4) and apart.standard_error == pytest.approx(0, abs=1e-7)
    one_family = summarize(np.zeros(4), 1.0, np.zeros(4, int))
    assert one_family.ess == pytest.approx(1) and one_family.standard_error == pytest.approx(1)


@pytest.mark.parametrize("log_weights", [np.full(4, -np.inf), np.array([0.0, np.nan, 0.0, 0.0])])
def test_weights_that_say_nothing_are_worth_no_draw(log_weights):
    with np.errstate(all="ignore"):
        found = summarize(log_weights, 0.0, np.arange(4))
    assert found.ess == 0
    assert not np.isfinite(found.value)
    assert not np.isfinite(found.standard_error)


def schedule_of(n_levels, step_size=0.2):
    return Schedule(jnp.linspace(0, 1, n_levels), jnp.full(n_levels, step_size))


def centered(model):
    center = Center(jnp.asarray([0.4, -0.6]), jnp.asarray(0.4 * np.arange(model.n_features)))
    return Path(model, center)


# path, kernel, temperatures, resample below: Z is met from both sides whatever these are.
MODELS = {alphabet: brute.balanced_model(alphabet) for alphabet in brute.ALPHABETS}
RUNS = {
    "gibbs": (Path(MODELS["bernoulli"]), BlockGibbs(), 20, 0.0),
    "gibbs, centered": (centered(MODELS["spin"]), BlockGibbs(), 20, 0.0),
    "gibbs, coarse": (centered(MODELS["spin"]), BlockGibbs(), 4, 0.0),
    "gibbs, resampled": (Path(MODELS["bernoulli"]), BlockGibbs(), 4, 0.9),
    "mala, centered": (centered(MODELS["bernoulli"]), MALA(0.2), 20, 0.0),
    "mala, resampled": (Path(MODELS["spin"]), MALA(0.2), 4, 0.9),
}


def assert_right_and_telling(estimate, path):
    """Within 5 standard errors, on a way so long that a weight left out would be missed."""
    exact = brute.Mixture(path.model).log_partition
    assert abs(estimate.value - exact) < 5 * estimate.standard_error
    way = abs(exact - brute.Mixture(path.base).log_partition)
    assert 0 < estimate.standard_error < way / 10


each_run = pytest.mark.parametrize("name", RUNS)


@each_run
def test_annealing_upwards_agrees_with_enumeration(name):
    path, kernel, n_temperatures, below = RUNS[name]
    schedule = schedule_of(n_temperatures + 1)
    estimate, population = anneal_up(
        jax.random.key(0), path, kernel, schedule, N_CHAINS, resample_below=below
    )
    assert_right_and_telling(estimate, path)
    assert 20 < estimate.ess <= N_CHAINS and estimate.n_chains == N_CHAINS
    assert (len(np.unique(np.asarray(population.ancestors))) < N_CHAINS) == (below > 0)
    # The chains arrive with their weights as the running estimate has them, evaluated at the model.
    assert float(population.estimated_log_partition()) == pytest.approx(estimate.value, abs=1e-9)
    expected = brute.free_energies(path.model, np.asarray(population.states.position))
    np.testing.assert_allclose(np.asarray(population.states.free_energy), expected, atol=1e-8)


@each_run
@pytest.mark.slow
def test_annealing_downwards_agrees_with_enumeration(name):
    path, kernel, n_temperatures, _ = RUNS[name]
    mixture = brute.Mixture(path.model)
    draws = jnp.asarray(mixture.sample(np.random.default_rng(0), N_CHAINS))
    schedule = schedule_of(n_temperatures + 1)
    estimate = anneal_down(
        jax.random.key(1), path, kernel, schedule, draws, np.arange(N_CHAINS) % 50
    )
    assert_right_and_telling(estimate, path)
    alone = anneal_down(jax.random.key(1), path, kernel, schedule, draws, np.arange(N_CHAINS))
    assert alone.value == pytest.approx(estimate.value, abs=1e-12)
    # Independent draws in families of twenty: the error is the same, up to its own noise.
    assert estimate.standard_error == pytest.approx(alone.standard_error, rel=0.5)


def test_draws_of_the_wrong_model_are_noticed_downwards():
    # With moves that hardly move, the draws alone make the weights.
    path = centered(MODELS["bernoulli"])
    draws = brute.Mixture(path.model).sample(np.random.default_rng(0), N_CHAINS)
    schedule = schedule_of(3, step_size=1e-8)
    exact = brute.Mixture(path.model).log_partition
    scores = []
    for shift in (0.0, 0.3):
        estimate = anneal_down(
            jax.random.key(1),
            path,
            MALA(1e-8),
            schedule,
            jnp.asarray(draws + shift),
            np.arange(N_CHAINS),
        )
        scores.append(abs(estimate.value - exact) / estimate.standard_error)
    assert scores[0] < 5 and scores[1] > 10


def test_copies_of_one_draw_do_not_shrink_the_error_downwards():
    # Without moves that forget (a step size of almost 0), copies of a draw have one weight.
    path = centered(MODELS["bernoulli"])
    kernel, schedule = MALA(1e-8), schedule_of(3, step_size=1e-8)
    draws = brute.Mixture(path.model).sample(np.random.default_rng(0), 200)
    key = jax.random.key(1)
    few = anneal_down(key, path, kernel, schedule, jnp.asarray(draws), np.arange(len(draws)))
    copies, origins = np.tile(draws, (20, 1)), np.tile(np.arange(len(draws)), 20)
    many = anneal_down(key, path, kernel, schedule, jnp.asarray(copies), origins)
    assert many.value == pytest.approx(few.value, abs=1e-2)
    assert many.standard_error == pytest.approx(few.standard_error, rel=0.05)
    fooled = anneal_down(key, path, kernel, schedule, jnp.asarray(copies), np.arange(len(copies)))
    assert fooled.standard_error < 0.3 * many.standard_error


@pytest.mark.parametrize("kernel", [BlockGibbs(), MALA(0.2)], ids=["BlockGibbs", "MALA"])
def test_without_weights_the_value_is_exact_and_the_error_nothing(kernel):
    model = MODELS["bernoulli"]
    model = eqx.tree_at(lambda m: m.weights, model, jnp.zeros_like(model.weights))
    exact = brute.Mixture(model).log_partition
    schedule = schedule_of(6)
    up, population = anneal_up(jax.random.key(2), Path(model), kernel, schedule, 200)
    draws = population.states.position
    down = anneal_down(jax.random.key(2), Path(model), kernel, schedule, draws, np.arange(200))
    for estimate in (up, down):
        assert estimate.value == pytest.approx(exact, abs=1e-10)
        assert estimate.standard_error == pytest.approx(0.0, abs=1e-7)
        assert estimate.ess == pytest.approx(200)
