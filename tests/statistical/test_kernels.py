"""Kind of truth: statistical, 5 standard errors against the exact mixture of an enumerable model.

Chains start at NumPy's own exact draws and move: an invariant kernel leaves them exact draws, and
because chains are independent, standard errors need no autocorrelation time. Kernels that are
wrong on purpose must fail the same check.

Seeds: starts 0, moves key(1), groups key(2), adaptation key(3).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute
from scipy.special import logsumexp

from harmonium.sampling import MALA, BlockGibbs, Langevin
from harmonium.sampling.chains import init_chains, run_chains

N_CHAINS = 20000
SIGMAS = 5.0
MODELS = {
    "affine bernoulli": brute.balanced_model("bernoulli"),
    "affine spin": brute.balanced_model("spin"),
    "deep bernoulli": brute.deep_model("bernoulli"),
}
each_model = pytest.mark.parametrize("name", MODELS)


class Truth:
    """Exact expectations on a grid, and exact draws by inverting the grid's distribution."""

    def __init__(self, model):
        self.model = model
        self.nodes, _ = brute.grid(2, half_width=7.0, n_points=281)
        self.free_energies = brute.free_energies(model, self.nodes)
        log_density = -self.free_energies
        self.weights = np.exp(log_density - logsumexp(log_density))

    def statistics(self, rows, free_energies):
        """x, x xᵀ, F, F² and E[h|x] of every row."""
        products = np.stack([rows[:, 0] ** 2, rows[:, 0] * rows[:, 1], rows[:, 1] ** 2], axis=1)
        energies = np.stack([free_energies, free_energies**2], axis=1)
        return np.hstack([rows, products, energies, brute.hidden_means(self.model, rows)])

    def expected(self):
        """The exact mean of each statistic."""
        return self.weights @ self.statistics(self.nodes, self.free_energies)

    def sample(self, rng, n):
        """Exact draws: of the mixture if affine, by rejection from a Gaussian bound otherwise."""
        if self.model.is_affine:
            return brute.Mixture(self.model).sample(rng, n)
        # Log-density on the grid bounded by a wide Gaussian's: candidates accepted exactly.
        center = self.weights @ self.nodes
        log_ratio = -self.free_energies + np.sum((self.nodes - center) ** 2, axis=1) / 4
        bound = log_ratio.max() + 0.05
        kept = np.empty((0, 2))
        while len(kept) < n:
            proposed = center + np.sqrt(2.0) * rng.normal(size=(4 * n, 2))
            log_accept = -brute.free_energies(self.model, proposed) - bound
            log_accept += np.sum((proposed - center) ** 2, axis=1) / 4
            assert log_accept.max() <= 0
            kept = np.vstack([kept, proposed[np.log(rng.uniform(size=4 * n)) < log_accept]])
        return kept[:n]

    def worst_score(self, rows):
        """The largest |z| over all statistics."""
        rows = np.asarray(rows)
        statistics = self.statistics(rows, brute.free_energies(self.model, rows))
        return np.abs(brute.z_scores(statistics, self.expected())).max()


TRUTHS = {name: Truth(model) for name, model in MODELS.items()}


@eqx.filter_jit
def run(key, model, kernel, starts, n_steps):
    states = init_chains(key, model, kernel, starts)
    return run_chains(key, model, kernel, states, n_steps=n_steps)


def moved(name, kernel, n_steps):
    truth = TRUTHS[name]
    starts = jnp.asarray(truth.sample(np.random.default_rng(0), N_CHAINS))
    return starts, run(jax.random.key(1), truth.model, kernel, starts, n_steps)


@each_model
def test_the_reference_draws_pass_their_own_check(name):
    truth = TRUTHS[name]
    assert truth.worst_score(truth.sample(np.random.default_rng(0), N_CHAINS)) < SIGMAS


@each_model
@pytest.mark.parametrize("step_size", [0.05, 0.4])
def test_mala_leaves_the_model_invariant(name, step_size):
    starts, result = moved(name, MALA(step_size), 30)
    assert TRUTHS[name].worst_score(result.states.position) < SIGMAS
    # It has moved, and both outcomes of the accept test have been seen.
    assert 0.1 < float(result.acceptance) < 0.995
    assert np.mean(np.any(np.asarray(starts != result.states.position), axis=1)) > 0.99
    assert_remembers(TRUTHS[name], result.states)


@pytest.mark.parametrize("name", ["affine bernoulli", "affine spin"])
def test_block_gibbs_leaves_the_model_invariant(name):
    _, result = moved(name, BlockGibbs(), 10)
    assert TRUTHS[name].worst_score(result.states.position) < SIGMAS
    assert_remembers(TRUTHS[name], result.states)


def assert_remembers(truth, states):
    """The free energy that a state carries is that of its position."""
    expected = brute.free_energies(truth.model, np.asarray(states.position))
    np.testing.assert_allclose(np.asarray(states.free_energy), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["affine bernoulli", "affine spin"])
def test_block_gibbs_forgets_a_wrong_start(name):
    # Invariance alone is met by a kernel that never moves; this one must also get there.
    model = MODELS[name]
    starts = jnp.zeros((N_CHAINS, 2)) + jnp.asarray([[4.0, -4.0]])
    assert TRUTHS[name].worst_score(np.asarray(starts) + 1e-9 * np.arange(N_CHAINS)[:, None]) > 50
    result = run(jax.random.key(1), model, BlockGibbs(), starts, 150)
    assert TRUTHS[name].worst_score(result.states.position) < SIGMAS


def test_mala_forgets_a_wrong_start():
    model = MODELS["deep bernoulli"]
    starts = jnp.zeros((N_CHAINS, 2)) + jnp.asarray([[2.0, -2.0]])
    result = run(jax.random.key(1), model, MALA(0.2), starts, 150)
    assert TRUTHS["deep bernoulli"].worst_score(result.states.position) < SIGMAS


@each_model
def test_unadjusted_langevin_is_caught(name):
    _, result = moved(name, Langevin(0.4), 30)
    assert TRUTHS[name].worst_score(result.states.position) > 2 * SIGMAS


class MeanFieldGibbs(BlockGibbs):
    """Wrong on purpose: uses E[h|x] in place of a draw of h."""

    def step(self, key, model, state):
        """A sweep without the noise of the hidden units."""
        frozen = eqx.tree_at(lambda m: m.hidden_units, model, _Mean(model.hidden_units))
        return BlockGibbs.step(self, key, frozen, state)


class _Mean(eqx.Module):
    units: object

    def sample(self, key, logits):
        return self.units.mean(logits)

    def log_normalizer(self, logits):
        return self.units.log_normalizer(logits)


class Unreversed(MALA):
    """Wrong on purpose: an accept test without the ratio of the proposals."""

    def _log_proposal(self, start, end):
        return jnp.zeros(())


@pytest.mark.parametrize(
    ("kernel", "n_steps"), [(MeanFieldGibbs(), 10), (Unreversed(0.4), 30)], ids=["gibbs", "mala"]
)
def test_subtly_wrong_kernels_are_caught(kernel, n_steps, unannotated):
    _, result = moved("affine bernoulli", kernel, n_steps)
    assert TRUTHS["affine bernoulli"].worst_score(result.states.position) > 2 * SIGMAS


@pytest.mark.parametrize("group", [1, 4, 200])
def test_invariance_does_not_depend_on_how_many_chains_run_together(group):
    truth = TRUTHS["affine bernoulli"]
    n_groups = 8000 // group
    starts = truth.sample(np.random.default_rng(0), 8000).reshape(n_groups, group, 2)
    keys = jax.random.split(jax.random.key(2), n_groups)

    def of_group(key, starts):
        return run(key, truth.model, MALA(0.3), starts, 30).states.position

    positions = jax.jit(jax.vmap(of_group))(keys, jnp.asarray(starts))
    assert truth.worst_score(positions.reshape(-1, 2)) < SIGMAS


@pytest.mark.parametrize("start", [1e-3, 3.0])
def test_adaptation_reaches_the_target_acceptance(start):
    truth = TRUTHS["affine bernoulli"]
    starts = jnp.asarray(truth.sample(np.random.default_rng(0), 500))

    @eqx.filter_jit
    def settle(key, kernel):
        states = init_chains(key, truth.model, kernel, starts)
        tuned = run_chains(key, truth.model, kernel, states, n_steps=600, adaptation_rate=0.05)
        return run_chains(key, truth.model, tuned.kernel, tuned.states, n_steps=50)

    settled = settle(jax.random.key(3), MALA(start))
    assert float(settled.acceptance) == pytest.approx(0.574, abs=0.03)
