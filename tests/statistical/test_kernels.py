"""Kind of truth: statistical, 5 standard errors against the exact mixture of an enumerable model.

Chains start at NumPy's own exact draws and move: an invariant kernel leaves them exact draws, and
because chains are independent, standard errors need no autocorrelation time. Kernels that are
wrong on purpose must fail the same check.

Seeds: starts 0, moves key(1), groups key(2), adaptation key(3), base key(4).
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute
from statistical.truth import Truth

from harmonium.model import sample_base
from harmonium.sampling import (
    HMC,
    MALA,
    AbstractKernel,
    Alternate,
    BlockGibbs,
    CrankNicolsonMALA,
    GibbsLangevin,
    Independence,
    Langevin,
)
from harmonium.sampling.chains import init_chains, run_chains
from harmonium.sampling.crank_nicolson import ornstein
from harmonium.sampling.hamiltonian import leapfrog
from harmonium.sampling.langevin import Drift, euler, evaluate, log_proposal, propose
from harmonium.sampling.metropolis import metropolis
from harmonium.sampling.noise import draw_noise

N_CHAINS = 20000
SIGMAS = 5.0
MODELS = {
    "affine bernoulli": brute.balanced_model("bernoulli"),
    "affine spin": brute.balanced_model("spin"),
    "deep bernoulli": brute.deep_model("bernoulli"),
    "deep bernoulli on a mixture": brute.on_mixture(brute.deep_model("bernoulli")),
    "affine spin on a mixture": brute.on_mixture(brute.balanced_model("spin")),
}
each_model = pytest.mark.parametrize("name", MODELS)


TRUTHS = {name: Truth(model) for name, model in MODELS.items()}


@eqx.filter_jit
def run(key, model, kernel, starts, n_steps):
    states = init_chains(key, model, kernel, starts)
    return run_chains(key, model, kernel, states, n_steps=n_steps)


@functools.cache
def exact_draws(name):
    return TRUTHS[name].sample(np.random.default_rng(0), N_CHAINS)


def moved(name, kernel, n_steps):
    starts = jnp.asarray(exact_draws(name))
    return starts, run(jax.random.key(1), MODELS[name], kernel, starts, n_steps)


@each_model
def test_the_reference_draws_pass_their_own_check(name):
    assert TRUTHS[name].worst_score(exact_draws(name)) < SIGMAS


def label(value):
    """A kernel by its class and step size; anything else as pytest would write it."""
    if isinstance(value, AbstractKernel):
        return f"{type(value).__name__}-{float(value.step_size)}"
    return None


# Every kernel meets each kind of map, of units and of base, though not all of them together.
@pytest.mark.parametrize(
    "name", ["affine bernoulli", "deep bernoulli on a mixture", "affine spin on a mixture"]
)
@pytest.mark.parametrize(
    ("kernel", "n_steps"),
    [
        (MALA(0.05), 30),
        (MALA(0.4), 30),
        (HMC(0.7, n_leapfrog=3), 10),
        (GibbsLangevin(0.4), 20),
        (CrankNicolsonMALA(1.0), 30),
        (Alternate(MALA(0.2)), 10),
    ],
    ids=label,
)
def test_adjusted_kernels_leave_the_model_invariant(name, kernel, n_steps):
    starts, result = moved(name, kernel, n_steps)
    assert TRUTHS[name].worst_score(result.states.position) < SIGMAS
    # It has moved, and both outcomes of the accept test have been seen.
    assert 0.1 < float(result.acceptance) < 0.995
    assert np.mean(np.any(np.asarray(starts != result.states.position), axis=1)) > 0.99
    assert_remembers(TRUTHS[name], result.states)


# Of the affine models on the Gaussian base, modes lie so far out that many chains wait longer.
@pytest.mark.parametrize(
    "name", ["deep bernoulli", "deep bernoulli on a mixture", "affine spin on a mixture"]
)
def test_jumps_leave_the_model_invariant(name):
    starts, result = moved(name, Independence(), 60)
    assert TRUTHS[name].worst_score(result.states.position) < SIGMAS
    assert 0.05 < float(result.acceptance) < 0.995
    assert np.mean(np.any(np.asarray(starts != result.states.position), axis=1)) > 0.9
    assert_remembers(TRUTHS[name], result.states)


@pytest.mark.parametrize("name", ["affine spin", "deep bernoulli on a mixture"])
def test_jumps_are_all_accepted_at_the_base_and_forget_every_start(name):
    base = eqx.tree_at(lambda m: m.weights, MODELS[name], jnp.zeros_like(MODELS[name].weights))
    starts = jnp.zeros((N_CHAINS, 2)) + jnp.asarray([[4.0, -4.0]])
    result = run(jax.random.key(1), base, Independence(), starts, 1)
    assert float(result.acceptance) > 1 - 1e-12
    assert Truth(base, observer=MODELS[name]).worst_score(result.states.position) < SIGMAS


@pytest.mark.parametrize("name", ["affine bernoulli", "affine spin", "affine spin on a mixture"])
def test_block_gibbs_leaves_the_model_invariant(name):
    _, result = moved(name, BlockGibbs(), 10)
    assert TRUTHS[name].worst_score(result.states.position) < SIGMAS
    assert_remembers(TRUTHS[name], result.states)


def assert_remembers(truth, states):
    """The free energy (and the gradient) that a state carries is that of its position."""
    expected = brute.free_energies(truth.model, np.asarray(states.position))
    np.testing.assert_allclose(np.asarray(states.free_energy), expected, rtol=1e-9, atol=1e-9)
    if hasattr(states, "gradient"):
        score = np.asarray(jax.vmap(truth.model.score)(states.position))
        np.testing.assert_allclose(np.asarray(states.gradient), -score, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["affine bernoulli", "affine spin"])
def test_block_gibbs_forgets_a_wrong_start(name):
    # Invariance alone is met by a kernel that never moves; this one must also get there.
    model = MODELS[name]
    starts = jnp.zeros((N_CHAINS, 2)) + jnp.asarray([[4.0, -4.0]])
    assert TRUTHS[name].worst_score(np.asarray(starts) + 1e-9 * np.arange(N_CHAINS)[:, None]) > 50
    result = run(jax.random.key(1), model, BlockGibbs(), starts, 150)
    assert TRUTHS[name].worst_score(result.states.position) < SIGMAS


@pytest.mark.parametrize(
    ("kernel", "n_steps"),
    [(MALA(0.2), 150), (HMC(0.3, 4), 20), (GibbsLangevin(0.2), 80), (CrankNicolsonMALA(0.4), 60)],
    ids=label,
)
@pytest.mark.slow
def test_adjusted_kernels_forget_a_wrong_start(kernel, n_steps):
    truth = TRUTHS["deep bernoulli"]
    starts = jnp.zeros((N_CHAINS, 2)) + jnp.asarray([[2.0, -2.0]])
    assert truth.worst_score(np.asarray(starts) + 1e-9 * np.arange(N_CHAINS)[:, None]) > 50
    result = run(jax.random.key(1), truth.model, kernel, starts, n_steps)
    assert truth.worst_score(result.states.position) < SIGMAS


BASE = eqx.tree_at(
    lambda m: m.weights, MODELS["deep bernoulli"], jnp.zeros_like(MODELS["deep bernoulli"].weights)
)


@pytest.mark.parametrize("step_size", [1e-3, 0.3, 5.0])
def test_crank_nicolson_accepts_everything_where_the_model_is_gaussian(step_size):
    # Wide starts: the ratio is 1 everywhere, not only where the base has its mass.
    starts = jnp.asarray(3 * np.random.default_rng(0).normal(size=(200, 2)))

    def rejected(kernel):
        return 1 - float(run(jax.random.key(4), BASE, kernel, starts, 1).acceptance)

    # No probability exceeds 1, so a mean of 1 is 1 for every chain.
    assert rejected(CrankNicolsonMALA(step_size)) < 1e-12
    assert rejected(MALA(step_size)) > 1e-5


@pytest.mark.parametrize("step_size", [0.3, 10.0])
def test_crank_nicolson_solves_the_base_exactly(step_size):
    # OU over the time eps: mean b/2 + rho (x - b/2), variance (1 - rho²)/2, rho = exp(-2 eps).
    start = np.array([3.0, -1.0])
    starts = jnp.zeros((N_CHAINS, 2)) + jnp.asarray(start)[None, :]
    rows = run(jax.random.key(4), BASE, CrankNicolsonMALA(step_size), starts, 1).states.position
    center = np.asarray(BASE.visible_bias) / 2
    mean = center + np.exp(-2 * step_size) * (start - center)
    brute.assert_within(rows, mean, label="mean")
    squares = (np.asarray(rows) - mean) ** 2
    brute.assert_within(squares, np.full(2, (1 - np.exp(-4 * step_size)) / 2), label="variance")


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


class MeanFieldGibbsLangevin(GibbsLangevin):
    """Wrong on purpose: moves x given E[h|x] in place of a draw of h."""

    def step(self, key, model, state):
        """A sweep without the noise of the hidden units."""
        frozen = eqx.tree_at(lambda m: m.hidden_units, model, _Mean(model.hidden_units))
        return GibbsLangevin.step(self, key, frozen, state)


class Mismatched(AbstractKernel):
    """Wrong on purpose: proposes with one drift, and accepts as if it had been another."""

    step_size: jax.Array
    proposed: object = eqx.field(static=True)
    assumed: object = eqx.field(static=True)
    target_acceptance = None
    is_exact = False

    def init(self, key, model, position):
        """As every Langevin kernel."""
        return evaluate(model.free_energy, position)

    def retarget(self, key, model, state):
        """As every Langevin kernel."""
        return self.init(key, model, state.position)

    def step(self, key, model, state):
        """Propose, then accept by the ratio of another proposal."""
        noise, uniform = draw_noise(key, state.position.size, 1, state.position.dtype)
        drift = self.proposed(self.step_size, state)
        proposal = evaluate(model.free_energy, propose(noise, state, drift))
        assumed = self.assumed(self.step_size, state)
        log_ratio = state.free_energy - proposal.free_energy
        log_ratio += log_proposal(proposal, state, assumed) - log_proposal(state, proposal, assumed)
        return metropolis(uniform[0], log_ratio, proposal, state)


def flipped(step_size, state):
    """Uphill in F instead of downhill."""
    return Drift(-step_size, 2 * step_size)


def symmetric(step_size, state):
    """No drift: the accept test then has no ratio of proposals."""
    return Drift(0 * step_size, 2 * step_size)


class Weightless(HMC):
    """Wrong on purpose: an accept test without the energy of the momentum."""

    def step(self, key, model, state):
        """Follow a trajectory, then accept by F alone."""
        momentum, uniform = draw_noise(key, state.position.size, 1, state.position.dtype)
        proposal, _ = leapfrog(model.free_energy, state, momentum, self.step_size, self.n_leapfrog)
        log_ratio = state.free_energy - proposal.free_energy
        return metropolis(uniform[0], log_ratio, proposal, state)


class WholeRatio(Independence):
    """Wrong on purpose: accepts by F, as if the proposal were symmetric."""

    def step(self, key, model, state):
        """Propose from the base, without its density in the ratio."""
        key_draw, key_accept = jax.random.split(key)
        proposal = self.init(key, model, sample_base(key_draw, model, 1)[0])
        uniform = jax.random.uniform(key_accept)
        return metropolis(uniform, state.free_energy - proposal.free_energy, proposal, state)


@pytest.mark.parametrize(
    ("kernel", "n_steps"),
    [
        (MeanFieldGibbs(), 10),
        (MeanFieldGibbsLangevin(0.2), 20),
        (Mismatched(jnp.asarray(0.4), euler, symmetric), 30),
        (Mismatched(jnp.asarray(0.4), flipped, euler), 30),
        (Mismatched(jnp.asarray(0.4), ornstein, euler), 30),
        (Weightless(0.3), 6),
        (WholeRatio(), 10),
    ],
    ids=[
        *("gibbs", "gibbs-langevin", "no proposal ratio", "flipped", "ornstein as euler", "hmc"),
        "jump",
    ],
)
@pytest.mark.slow
def test_subtly_wrong_kernels_are_caught(kernel, n_steps, unannotated):
    _, result = moved("affine bernoulli", kernel, n_steps)
    assert TRUTHS["affine bernoulli"].worst_score(result.states.position) > 2 * SIGMAS


@pytest.mark.parametrize(("proposed", "step_size"), [(euler, 0.4), (ornstein, 2.0)])
def test_the_same_kernels_with_matching_drifts_pass(proposed, step_size):
    # So what is caught above is the mismatch, and nothing else in `Mismatched`.
    _, result = moved(
        "affine bernoulli", Mismatched(jnp.asarray(step_size), proposed, proposed), 30
    )
    assert TRUTHS["affine bernoulli"].worst_score(result.states.position) < SIGMAS


@pytest.mark.parametrize(
    ("kernel", "group"),
    [
        (MALA(0.3), 1),
        (MALA(0.3), 4),
        (MALA(0.3), 200),
        (HMC(0.5, n_leapfrog=4), 4),
        (GibbsLangevin(0.3), 4),
        (CrankNicolsonMALA(0.4), 4),
    ],
    ids=label,
)
@pytest.mark.slow
def test_invariance_does_not_depend_on_how_many_chains_run_together(kernel, group):
    truth = TRUTHS["affine bernoulli"]
    n_groups = 8000 // group
    starts = truth.sample(np.random.default_rng(0), 8000).reshape(n_groups, group, 2)
    keys = jax.random.split(jax.random.key(2), n_groups)

    def of_group(key, starts):
        return run(key, truth.model, kernel, starts, 30).states.position

    positions = jax.jit(jax.vmap(of_group))(keys, jnp.asarray(starts))
    assert truth.worst_score(positions.reshape(-1, 2)) < SIGMAS


@pytest.mark.parametrize(
    "start", [MALA(1e-3), MALA(3.0), HMC(0.05), GibbsLangevin(1e-2)], ids=label
)
@pytest.mark.slow
def test_adaptation_reaches_the_target_acceptance(start):
    truth = TRUTHS["affine bernoulli"]
    starts = jnp.asarray(truth.sample(np.random.default_rng(0), 500))

    @eqx.filter_jit
    def settle(key, kernel):
        states = init_chains(key, truth.model, kernel, starts)
        tuned = run_chains(key, truth.model, kernel, states, n_steps=600, adaptation_rate=0.05)
        return run_chains(key, truth.model, tuned.kernel, tuned.states, n_steps=50)

    settled = settle(jax.random.key(3), start)
    assert float(settled.acceptance) == pytest.approx(start.target_acceptance, abs=0.03)
